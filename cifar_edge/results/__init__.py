"""Rows, and what keeps them."""
