"""Many photos on one picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cifar_edge.photos.decoded import File, Images
from cifar_edge.system.files import atomic

COLUMNS, ROWS = 12, 20
"""Photos on a sheet; of more, a part that is spread evenly over the class."""

GAP = 4  # pixels between photos
HEAD = 20  # pixels for the title
BACKGROUND, INK = "white", "black"


def write_contact_sheet(
    path: Path, title: str, thumbnails: Images, files: Sequence[File], chosen: Sequence[int]
) -> None:
    """Draw photos in rows, each in its own proportions, and write a PNG.

    Args:
        path: of the PNG.
        title: a line above the photos.
        thumbnails: squares into which the photos were stretched.
        files: the photos' files, which know their proportions.
        chosen: indices of the photos.
    """
    shown = [chosen[int(index)] for index in _spread(len(chosen))]
    side = thumbnails.shape[1]
    columns = min(COLUMNS, max(1, len(shown)))
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGB", (columns * (side + GAP) + GAP, HEAD + rows * (side + GAP) + GAP), BACKGROUND)
    part = f" ({len(shown)} of {len(chosen):,} photos)" if len(shown) < len(chosen) else f" ({len(chosen)} photos)"
    ImageDraw.Draw(sheet).text((GAP, GAP), title.encode("latin-1", "replace").decode("latin-1") + part, INK)
    for place, photo in enumerate(_pictures(thumbnails, files, shown)):
        row, column = divmod(place, columns)
        left, top = GAP + column * (side + GAP), HEAD + GAP + row * (side + GAP)
        sheet.paste(photo, (left + (side - photo.width) // 2, top + (side - photo.height) // 2))
    with atomic(path) as partial:
        sheet.save(partial, "PNG")


def _spread(count: int) -> NDArray[np.float64]:
    return np.linspace(0, count - 1, min(count, COLUMNS * ROWS))


def _pictures(thumbnails: Images, files: Sequence[File], shown: Sequence[int]) -> Iterator[Image.Image]:
    for index in shown:
        (pixels,) = thumbnails[[index]]
        side, width, height = len(pixels), *files[index][2:4]
        scale = side / max(1, width, height)
        size = (max(1, round(width * scale)), max(1, round(height * scale))) if width else (side, side)
        yield Image.fromarray(pixels).resize(size, Image.Resampling.BOX)
