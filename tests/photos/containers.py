"""HEIC and AVIF files, coded by pillow-heif and Pillow, and containers put together by hand."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pillow_heif
from PIL import Image

from cifar_edge.photos.boxes import Container

pillow_heif.register_heif_opener()

PRIMARY, META = 1, b"\0\0\0\0"
FORMATS = ("heic", "avif")


@dataclass
class Item:
    """A picture or metadata: its kind, data, and properties as boxes."""

    kind: bytes
    data: bytes
    properties: Sequence[bytes] = ()


def coded(image: Image.Image, suffix: str, **how: Any) -> bytes:
    """A file of nearly the same pixels, "heic" or "avif"."""
    file = io.BytesIO()
    how = {"quality": 95, "chroma": 444} | how if suffix == "heic" else {"quality": 95, "speed": 9} | how
    image.save(file, {"heic": "HEIF", "avif": "AVIF"}[suffix], **how)
    return file.getvalue()


def item(image: Image.Image, suffix: str, *properties: bytes, size: tuple[int, int] | None = None) -> Item:
    """A coded picture as an item, with further properties; `size` is what it says of itself."""
    content = coded(image, suffix, **{"tile_size": 0} if suffix == "heic" else {})
    photo = Container(content).photo
    ((start, stop),) = photo.extents
    own = [box(name, data) for name, data in photo.properties if name in (b"hvcC", b"av1C", b"colr", b"pixi")]
    return Item(photo.kind, content[start:stop], [ispe(*(size or image.size)), *own, *properties])


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def ispe(width: int, height: int) -> bytes:
    return box(b"ispe", META + struct.pack(">II", width, height))


def clap(left: int, top: int, right: int, bottom: int, width: int, height: int) -> bytes:
    """The crop to a box: its size, and how far its centre is from the picture's, in halves."""
    shift = (left + right - width, top + bottom - height)
    sizes = (right - left, 1, bottom - top, 1)
    return box(b"clap", struct.pack(">4IiIiI", *sizes, shift[0], 2, shift[1], 2))


def irot(quarters: int) -> bytes:
    return box(b"irot", bytes((quarters,)))


def imir(axis: int) -> bytes:
    return box(b"imir", bytes((axis,)))


def grid(rows: int, columns: int, width: int, height: int) -> bytes:
    """The data of a grid (HEIF 6.6.2.3.2)."""
    return struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)


def container(
    suffix: str,
    items: Sequence[Item],
    references: Sequence[tuple[bytes, int, Sequence[int]]] = (),
    primary: int = PRIMARY,
) -> bytes:
    """A file of items, which are numbered from 1, and references: kind, from, to."""
    brand = suffix.encode()
    head = box(b"ftyp", brand + META + b"mif1" + brand)
    kinds = b"".join(
        box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", number, 0, each.kind) + b"\0")
        for number, each in enumerate(items, 1)
    )
    properties = [each for one in items for each in one.properties]
    associated, first = b"", 1
    for number, each in enumerate(items, 1):
        indices = range(first, first + len(each.properties))
        associated += struct.pack(">HB", number, len(indices)) + b"".join(
            struct.pack(">H", 0x8000 | index) for index in indices
        )
        first += len(indices)
    links = b"".join(
        box(kind, struct.pack(f">HH{len(targets)}H", source, len(targets), *targets))
        for kind, source, targets in references
    )

    def meta(start: int) -> bytes:
        places = b""
        for number, each in enumerate(items, 1):
            places += struct.pack(">HHHII", number, 0, 1, start, len(each.data))
            start += len(each.data)
        return box(
            b"meta",
            META
            + box(b"hdlr", META + b"\0\0\0\0pict" + bytes(13))
            + box(b"pitm", META + struct.pack(">H", primary))
            + box(b"iinf", META + struct.pack(">H", len(items)) + kinds)
            + box(b"iref", META + links)
            + box(
                b"iprp",
                box(b"ipco", b"".join(properties))
                + box(b"ipma", b"\0\0\0\1" + struct.pack(">I", len(items)) + associated),
            )
            + box(b"iloc", META + b"\x44\0" + struct.pack(">H", len(items)) + places),
        )

    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", b"".join(each.data for each in items))
