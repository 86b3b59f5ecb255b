"""What a photo costs its decoder, found out before it is decoded: from what the decoder does, not from a label."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from operator import mul
from typing import Any, BinaryIO, NamedTuple

from PIL import Image

from cifar_edge.errors import ImageError

SMALL = 1 << 16
"""Bytes of a file that no decoder can work on for long before it knows the picture's size."""

# Bytes that decoding takes for a pixel, as measured: by mode, RGB being the only one that needs no conversion. A JPEG
# of one scan is decoded row by row at a reduced scale. If it has several, all coefficients, of two bytes each, are held
# until the last one.
WEBP_PIXEL, TRANSPARENT_PIXEL, OTHER_PIXEL, COEFFICIENT = 26, 16, 9, 2
PIXELS = {"RGB": 4, "L": 6, "P": 6, "1": 6}

# Each scan costs as much time as a whole photo; encoders make about ten.
MOST_SCANS = 100

# Where a header is a list of parts that Python reads one by one: more than any camera or program writes.
MOST_SEGMENTS, MOST_CHUNKS, MOST_METADATA = 1_000, 20_000, 1 << 24
MOST_UNREAD = 1 << 20  # bytes of a GIF, BMP or TIFF: their headers can be of as many parts as they have bytes
MOST_BYTES = 1 << 28  # of any file

TILE = 2_000  # the work of a tile or strip in pixels, beside that for its pixels
PYTHON = 20  # times as long a pixel of a run-length encoded BMP takes: Pillow decodes it in Python

MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""A JPEG marker among entropy-coded data, where 0xFF00 is a byte and RST0 to RST7 only divide (ITU-T T.81, B.1.1)."""

SOS, EOI, ALONE = 0xDA, 0xD9, (0x01, *range(0xD0, 0xD9))  # markers of no length stand alone


BITS_PER_SAMPLE, STRIP_OFFSETS, SAMPLES_PER_PIXEL, ROWS_PER_STRIP, PLANAR_CONFIGURATION = 258, 273, 277, 278, 284
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS = 322, 323, 324
"""Tags of a TIFF (TIFF 6.0, section 8 and 15)."""


class ContainerPhoto(Image.Image):
    """A HEIC or AVIF, opened by `photos.heif`.

    Attributes:
        memory: bytes that decoding takes.
    """

    memory = 0.0

    def thumbnails(self) -> Iterator[Image.Image]:
        """Yield the container's own thumbnails, opened, the smallest first."""
        raise NotImplementedError


class Cost(NamedTuple):
    """Of decoding one photo.

    Attributes:
        memory: bytes at most.
        work: pixels that the decoder goes over, each scan, tile and strip counted. A laptop does 100 million in a
            second, a Raspberry Pi Zero 2 W some 10. Infinite for what should have a process of its own.
    """

    memory: float
    work: float


def cost_of(image: Image.Image, pixels: int) -> Cost:
    """Return what it costs to decode an opened photo.

    Args:
        image: opened, and drafted at the scale at which it will be decoded.
        pixels: of the file, before scaling.

    Raises:
        ImageError: a JPEG of more scans than encoders make.
    """
    memory, work = float(_bytes_a_pixel(image) * image.width * image.height), float(pixels)
    if image.format in ("JPEG", "MPO"):
        scans = _scans(image)
        if scans > 1:
            memory += _coefficients(image, pixels)
        return Cost(memory, work * scans)
    if isinstance(image, ContainerPhoto):
        return Cost(memory + image.memory, work)
    if image.format == "TIFF":
        tiles, area = _tiles(image)
        work = max(work, tiles * area) + TILE * tiles
        if (packed := image.info.get("compression")) == "raw":
            return Cost(memory, work)
        # A tile is unpacked whole, even if the picture is smaller; one that is a JPEG may be of any number of scans.
        # Libtiff prints a line for each fault, without the file's name. Only in a process of its own nobody sees them.
        is_jpeg = packed in ("jpeg", "tiff_jpeg")
        return Cost(memory + area * _bytes_in_file(image) * (1 + COEFFICIENT * is_jpeg), math.inf)
    return Cost(memory, work * (PYTHON if image.tile and image.tile[0][0] == "bmp_rle" else 1))  # type: ignore[attr-defined]


def may_take_long_to_open(file: BinaryIO, size: int) -> bool:
    """Tell whether a file's header may be so long that Pillow needs seconds, or much memory, to read it.

    Args:
        file: at its beginning, where it is again afterwards.
        size: in bytes.
    """
    if size <= SMALL:
        return False
    start = file.read(12)
    try:
        if start.startswith(b"\xff\xd8"):
            return size > MOST_BYTES or not _is_short_jpeg_header(file)
        if start.startswith(b"\x89PNG"):
            return size > MOST_BYTES or not _is_short_png_header(file)
        return size > (MOST_BYTES if start[8:] == b"WEBP" or start[4:8] == b"ftyp" else MOST_UNREAD)
    finally:
        file.seek(0)


def _bytes_a_pixel(image: Image.Image) -> int:
    if image.format == "WEBP":
        return WEBP_PIXEL
    if image.mode[-1] in "Aa" or "transparency" in image.info:
        return TRANSPARENT_PIXEL
    return PIXELS.get(image.mode, OTHER_PIXEL)


def _coefficients(image: Any, pixels: int) -> float:
    _, across, down, _ = zip(*image.layer, strict=True)
    return float(COEFFICIENT * pixels * sum(map(mul, across, down)) / max(1, max(across) * max(down)))


def _scans(image: Any) -> int:
    """Return how many scans a JPEG has, 1 if its first one holds the whole picture; the file is open behind its SOS."""
    file, here = image.fp, image.fp.tell()
    try:
        if "progressive" not in image.info and _is_of_all_components(file, image.layers):
            return 1
        scans, parts = 1, 1
        while (marker := next_marker(file)) not in (EOI, None):
            scans, parts = scans + (marker == SOS), parts + 1
            if scans > MOST_SCANS or parts > 10 * MOST_SCANS:
                raise ImageError(
                    f"of more than {MOST_SCANS} scans, each of which takes as long as a photo; save it again"
                )
            if marker not in ALONE:
                skip_segment(file)
        return max(scans, 2)  # it is buffered, even if the others are missing
    finally:
        file.seek(here)


def _is_of_all_components(file: BinaryIO, components: int) -> bool:
    """Tell whether the scan whose header ends here is interleaved of all components (ITU-T T.81, B.2.3)."""
    length = 6 + 2 * components
    file.seek(-length - 2, 1)
    header = file.read(length + 2)
    return header.startswith(bytes((0xFF, SOS, 0, length, components))) and header.count(b"\xff\xda") == 1


def next_marker(file: BinaryIO) -> int | None:
    """Move behind the next marker in a JPEG and return it; None at the file's end."""
    length = 512
    while block := file.read(length):
        if found := MARKER.search(block):
            file.seek(found.end() - len(block), 1)
            return found[1][0]
        if len(block) > 1 and block.endswith(b"\xff"):
            file.seek(-1, 1)
        length = min(2 * length, SMALL)
    return None


def skip_segment(file: BinaryIO) -> None:
    """Move behind the segment of a JPEG's marker; the file is behind the marker."""
    file.seek(max(0, int.from_bytes(file.read(2)) - 2), 1)


def _is_short_jpeg_header(file: BinaryIO) -> bool:
    file.seek(2)
    for _ in range(MOST_SEGMENTS):
        marker = next_marker(file)
        if marker in (SOS, EOI, None) or file.tell() > MOST_METADATA:
            return marker in (SOS, EOI)
        if marker not in ALONE:
            skip_segment(file)
    return False


def _is_short_png_header(file: BinaryIO) -> bool:
    metadata = 0
    file.seek(8)
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        length, kind = int.from_bytes(head[:4]), head[4:]
        metadata += 0 if kind in (b"IDAT", b"fdAT") else length
        if metadata > MOST_METADATA:
            return False
        if len(head) < 8 or kind == b"IEND":
            return True
        file.seek(length + 4, 1)  # with its checksum
    return False


def _tiles(image: Any) -> tuple[int, int]:
    """Return how many tiles or strips a TIFF is decoded from, and the pixels of one; more of them for each plane."""
    tags, (width, height) = image.tag_v2, image.size
    planes = len(image.getbands()) if tags.get(PLANAR_CONFIGURATION) == 2 else 1
    if TILE_WIDTH in tags or TILE_OFFSETS in tags:
        across, down = (max(1, int(tags.get(tag, 1))) for tag in (TILE_WIDTH, TILE_LENGTH))
    else:
        across, down = width, min(height, max(1, int(tags.get(ROWS_PER_STRIP, height))))
    covering = -(-width // across) * -(-height // down) * planes
    listed = max(len(_list(tags.get(tag))) for tag in (STRIP_OFFSETS, TILE_OFFSETS))
    return max(covering, listed), across * down


def _bytes_in_file(image: Any) -> int:
    """Return the bytes of a TIFF's pixel, unpacked but not yet Pillow's."""
    tags = image.tag_v2
    samples, bits = tags.get(SAMPLES_PER_PIXEL, 1), _list(tags.get(BITS_PER_SAMPLE)) or (8,)
    return max(1, int(samples)) * -(-int(max(bits)) // 8)


def _list(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else ()
