"""Folders that photos arrive in."""
