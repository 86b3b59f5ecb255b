"""Photos and a model -> rows."""
