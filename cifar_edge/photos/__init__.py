"""Where photos are, and what they look like."""
