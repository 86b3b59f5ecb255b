"""What a network takes and gives -> whether it classifies images."""

from __future__ import annotations

from typing import Any


def objection(takes: Any, gives: Any) -> str:
    """Return why a network is no image classifier, or "".

    Args:
        takes: its input's shape: number of images or None, height, width, 3.
        gives: its output's shape: number of images or None, classes.
    """
    if not (_is_shape(takes) and _is_shape(gives)):
        return "takes or gives several tensors, but an image classifier takes one image and gives one row of scores"
    match tuple(takes[1:]):
        case int(), int(), 3:
            pass
        case _, _, 3:
            return "takes images of any size; say which size (--image-size)"
        case _, _, 1:
            return "takes grey images, of one channel; export reads networks for RGB images"
        case 3, _, _:
            return "takes its channels first (3, height, width); convert it to channels last (height, width, 3)"
        case _:
            return f"takes {takes}, but an image classifier takes (None, height, width, 3)"
    match tuple(gives[1:]):
        case (int(classes),) if classes > 1:
            return ""
        case (1,):
            return "gives one number, which is no probability, so no class; end it with a sigmoid"
        case _:
            return f"gives {gives}, but an image classifier gives (None, classes)"


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple | list) and all(size is None or isinstance(size, int) for size in shape)
