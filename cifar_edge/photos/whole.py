"""Zeros where pixels belong: a program that copies a photo may reserve the file's whole size before it writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from PIL import Image

from cifar_edge.photos.cost import ALONE, EOI, MOST_CHUNKS, next_marker, skip_segment

ZEROS = bytes(16)
"""Fewer may be padding."""

FLAT = 5_000
"""Pixels of one colour for which an encoder writes one byte of zeros, or none; libwebp needs twice as many."""

BLOCK = 1 << 16

STRIP_OFFSETS, STRIP_BYTES, PLANAR_CONFIGURATION, TILE_OFFSETS, TILE_BYTES = 273, 279, 284, 324, 325
"""Tags of a TIFF (TIFF 6.0, sections 8 and 15)."""

PICTURE_IN_WEBP = (b"VP8 ", b"VP8L", b"ANMF")


def is_cut_off(photo: Image.Image, file: BinaryIO) -> bool:
    """Tell whether the last of a photo's pixels are missing, and zeros stand in their place.

    Zeros behind the picture are padding. Those at the end of one that is not compressed may be black: they are missing
    pixels if they begin within a row, and the row before it is not black there.

    Args:
        photo: opened, and not loaded yet.
        file: it was opened from; stays where it is.
    """
    here = file.tell()
    try:
        size = file.seek(0, os.SEEK_END)
        if _at(file, max(0, size - len(ZEROS)), len(ZEROS)) != ZEROS:
            return False
        zeros = _zeros_from(file, size)
        if row := _bytes_of_a_row(photo):
            return _ends_within_a_row(file, zeros, photo, row)
        has_mark = photo.format in ("JPEG", "MPO", "PNG")  # where a picture ends
        return _end_of_pixels(photo, file, size) - zeros >= len(ZEROS) + (
            0 if has_mark else photo.width * photo.height // FLAT
        )
    finally:
        file.seek(here)


def _end_of_pixels(photo: Image.Image, file: BinaryIO, size: int) -> int:
    """Return the offset behind the last byte of a compressed picture; 0 if it is not known."""
    match photo.format:
        case "JPEG" | "MPO":
            return _end_of_jpeg(file, size)
        case "PNG":
            return _end(_png_chunks(file), size, (b"IEND",), or_else=size)
        case "WEBP":
            return _end(_webp_chunks(file), size, PICTURE_IN_WEBP)
        case "TIFF" if photo.tile and photo.tile[0][0] == "raw":  # type: ignore[attr-defined]
            return 0  # in tiles, whose padding is zeros
        case "TIFF":
            tags: Any = photo.tag_v2  # type: ignore[attr-defined]
            places = (tags.get(STRIP_OFFSETS) or tags.get(TILE_OFFSETS), tags.get(STRIP_BYTES) or tags.get(TILE_BYTES))
            return max(map(sum, zip(*places, strict=False))) if all(places) else 0
    return 0


def _end_of_jpeg(file: BinaryIO, size: int) -> int:
    """Return where the end of the first picture is marked; the file's size if nowhere (ITU-T T.81, B.1.1)."""
    file.seek(2)
    for _ in range(MOST_CHUNKS):
        marker = next_marker(file)
        if marker in (EOI, None):
            return size if marker is None else file.tell()
        if marker not in ALONE:
            skip_segment(file)
    return 0


def _end(parts: Iterator[tuple[bytes, int]], size: int, wanted: tuple[bytes, ...], or_else: int = 0) -> int:
    """Return the end of the last part of a wanted kind; else `or_else`."""
    ends = [min(end, size) for (kind, end), _ in zip(parts, range(MOST_CHUNKS), strict=False) if kind in wanted]
    return max(ends, default=or_else)


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    end = 8
    while len(head := _at(file, end, 8)) == 8:
        end += 12 + int.from_bytes(head[:4])
        yield head[4:], end


def _webp_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    end = 12
    while len(head := _at(file, end, 8)) == 8:
        end += 8 + int.from_bytes(head[4:], "little")
        yield head[:4], end
        end += end % 2


def _at(file: BinaryIO, place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(length)


def _zeros_from(file: BinaryIO, size: int) -> int:
    """Return where the zeros begin that a file ends in."""
    end = size
    while end:
        start = max(0, end - BLOCK)
        if rest := _at(file, start, end - start).rstrip(b"\0"):
            return start + len(rest)
        end = start
    return 0


def _bytes_of_a_row(photo: Any) -> int:
    """Return the bytes of a row of a picture that is not compressed, as it is in the file; 0 if it is compressed."""
    if not photo.tile or photo.tile[0][0] != "raw":
        return 0
    if photo.format == "BMP":
        return int(photo.tile[0][3][1])
    return int(sum(getattr(photo, "tag_v2", {}).get(STRIP_BYTES, (0,))) // _rows(photo))


def _rows(photo: Any) -> int:
    """Return how many rows a picture that is not compressed has, of all planes together."""
    planes = len(photo.getbands()) if getattr(photo, "tag_v2", {}).get(PLANAR_CONFIGURATION) == 2 else 1
    return int(planes * photo.height)


def _ends_within_a_row(file: BinaryIO, zeros: int, photo: Any, row: int) -> bool:
    """Tell whether zeros begin within a row of pixels, below others that are not black."""
    first = photo.tile[0][2]
    missing = -(zeros - first) % row
    above = _at(file, zeros - row, missing) if first + row <= zeros < first + row * _rows(photo) else b""
    return len(above) >= len(ZEROS) and 2 * above.count(0) < len(above)
