"""Photos -> rows on the machines of a Ray cluster."""
