"""This computer and its files; nothing here knows of photos or models."""
