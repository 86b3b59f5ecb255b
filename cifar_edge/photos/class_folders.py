"""Photos in a folder that is named as their class: `CLASS/photo.jpg`."""

from __future__ import annotations

from pathlib import Path


def class_of(path: str | Path) -> str:
    """Return the name of a photo's folder, which is its class where photos are labelled."""
    return Path(path).parent.name
