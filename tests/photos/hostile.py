"""Photos that are made to hurt: small files that cost their decoder much memory or time."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

from PIL import Image


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG's segment (ITU-T T.81, B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_of_scans(width: int, height: int, scans: int = 1, between: bytes = b"") -> bytes:
    """A baseline JPEG whose three components have scans of their own, all of them so many times; without data."""
    tables = io.BytesIO()
    Image.new("L", (8, 8)).save(tables, "JPEG")
    content = b""
    rest = tables.getvalue()[2:]
    while rest[1] != 0xDA:
        length = 2 + int.from_bytes(rest[2:4])
        part, rest = rest[:length], rest[length:]
        if part[1] == 0xC0:
            components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
            part = segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + components)
        content += part
    once = b"".join(segment(0xDA, bytes((1, number, 0, 0, 63, 0))) + between for number in (1, 2, 3))
    return b"\xff\xd8" + content + scans * once + b"\xff\xd9"


def tiff(width: int, height: int, tags: dict[int, Sequence[int]], data: bytes) -> bytes:
    """A grey TIFF; an offset of -1 in a tag is that of the data."""
    all_tags = {256: [width], 257: [height], 258: [8], 262: [1], 277: [1]} | {tag: list(tags[tag]) for tag in tags}
    body = 8 + 2 + 12 * len(all_tags) + 4
    end = body + sum(4 * len(values) for values in all_tags.values() if len(values) > 1)
    directory, extra = struct.pack("<H", len(all_tags)), b""
    for tag in sorted(all_tags):
        values = [end if value == -1 else value for value in all_tags[tag]]
        packed = struct.pack(f"<{len(values)}I", *values)
        directory += struct.pack("<HHI", tag, 4, len(values))
        if len(values) > 1:
            directory, extra = directory + struct.pack("<I", body + len(extra)), extra + packed
        else:
            directory += packed
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + extra + data


def tiff_of_one_tile(across: int, down: int) -> bytes:
    """16x16 pixels in a tile of another size."""
    packed = zlib.compress(bytes(1_000))
    return tiff(16, 16, {259: [8], 322: [across], 323: [down], 324: [-1], 325: [len(packed)]}, packed)


def tiff_of_strips(number: int) -> bytes:
    """64x64 pixels in that many strips, which is more than rows."""
    return tiff(64, 64, {259: [1], 273: [-1] * number, 278: [1], 279: [64] * number}, bytes(64))


def run_length_bmp(side: int) -> bytes:
    """A square whose rows all end after one pixel: Pillow fills them in Python, byte by byte."""
    rows = b"\x01\x05\x00\x00" * side + b"\0\1"
    offset = 14 + 40 + 1024
    header = struct.pack(
        "<2sIIIIiiHHIIiiII", b"BM", offset + len(rows), 0, offset, 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0
    )
    return header + bytes(1024) + rows


def png_of_chunks(number: int, content: bytes = b"") -> bytes:
    """A black PNG with that many chunks of a kind that nobody knows."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    chunk = struct.pack(">I", len(content)) + b"abCd" + content + struct.pack(">I", zlib.crc32(b"abCd" + content))
    return file.getvalue()[:33] + number * chunk + file.getvalue()[33:]


def jpeg_of_segments(number: int) -> bytes:
    """A black JPEG with that many empty segments before it."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    return file.getvalue()[:2] + number * segment(0xE5, b"") + file.getvalue()[2:]
