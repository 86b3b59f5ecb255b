"""The container of HEIC and AVIF files: which items there are, and what makes a photo of them.

Source: ISO/IEC 23008-12 (HEIF) and its base, ISO/IEC 14496-12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from cifar_edge.errors import ImageError

MOST_PARTS = 1 << 16
"""Items, extents, references and properties of a file, all together; a camera's photo of 200 megapixels has 3,000."""

HEAD = 4096
"""Bytes of a file in which its brands are."""

MOST_ZEROS = 4
"""Bytes at the end of coded pixels that may all be zero."""

HEVC, AV1 = b"hvc1", b"av01"


class Turn(NamedTuple):
    """How a picture is cropped, then turned, then mirrored (HEIF 6.5.9, 6.5.10, 6.5.12).

    Attributes:
        crop: (left, top, right, bottom) in pixels; None if there is none.
        quarters: quarter turns, anti-clockwise.
        mirror: 0 swaps top and bottom, 1 left and right; None swaps nothing.
    """

    crop: tuple[int, int, int, int] | None = None
    quarters: int = 0
    mirror: int | None = None


@dataclass
class Item:
    """A picture, a tile of one, or metadata.

    Attributes:
        kind: four letters, such as b"hvc1" or b"grid".
        extents: (start, stop) of its parts in the file.
        properties: name and content of each, in their order.
    """

    kind: bytes = b""
    extents: list[tuple[int, int]] = field(default_factory=list)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, before it is cropped and turned."""
        sizes = (content for name, content in self.properties if name == b"ispe")
        content = next(sizes, b"")
        return _integer(content, 4, 4), _integer(content, 8, 4)

    @property
    def turn(self) -> Turn:
        """How it is cropped and turned."""
        found = dict(self.properties)
        quarters = _integer(found[b"irot"], 0, 1) & 3 if b"irot" in found else 0
        mirror = _integer(found[b"imir"], 0, 1) & 1 if b"imir" in found else None
        return Turn(_crop(found[b"clap"], *self.size) if b"clap" in found else None, quarters, mirror)


class _Reference(NamedTuple):
    """From an item to others; `at` is the place of its kind in the file."""

    at: int
    kind: bytes
    source: int
    targets: list[int]


class Container:
    """What a file's boxes say.

        Container(Path("photo.heic").read_bytes()).photo.size

    Args:
        content: of a file that begins with its brands.

    Attributes:
        photo: the primary item.

    Raises:
        ImageError: there is no photo, or a box is damaged.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._items: dict[int, Item] = {}
        self._references: list[_Reference] = []
        self._primary, self._primary_place = 0, (0, 0)
        self._left = MOST_PARTS
        self._read()
        del self._content
        if self._primary not in self._items:
            raise ImageError("cut off, or no photo but a video")
        self.photo = self._items[self._primary]

    def tiles(self) -> list[tuple[int, int]]:
        """Return the sizes of the pictures that the photo is put together from; none if it is one itself."""
        return [self._items[part].size for part in self._from(self._primary, b"dimg")]

    def check_whole(self, content: bytes) -> None:
        """Raise `ImageError` if a part of the photo is missing in its file, or ends with zeros.

        Decoders make up what they lack, and libheif leaves missing tiles black. Coded pixels do not end with zeros
        (ITU-T H.265, 7.4.2; AV1, 8.2.4), but for a few of some programs; those of an unfinished copy may.
        """
        pictures = [self._primary, *(each.source for each in self._to(self._primary, b"auxl"))]
        tiles = [tile for picture in pictures for tile in self._from(picture, b"dimg")]
        for item in map(self._items.__getitem__, pictures + tiles):
            if any(stop > len(content) for _, stop in item.extents):
                raise ImageError("cut off: the file ends before the photo does")
            if item.kind in (HEVC, AV1) and item.extents:
                data = b"".join(content[start:stop] for start, stop in item.extents)
                if not all(any(unit[-MOST_ZEROS:]) for unit in (_units(data) if item.kind == HEVC else [data])):
                    raise ImageError("damaged: a part of the photo is missing")

    def thumbnails(self, content: bytes) -> Iterator[bytes]:
        """Yield a file for each of the photo's thumbnails, the smallest first: its own, with another primary item."""
        start, stop = self._primary_place
        for each in sorted(self._to(self._primary, b"thmb"), key=lambda each: self._items[each.source].size):
            file = bytearray(content)
            file[start:stop] = each.source.to_bytes(stop - start)
            file[each.at : each.at + 4] = b"skip"  # to libavif, the thumbnail of another item is never the primary one
            yield bytes(file)

    def _from(self, source: int, kind: bytes) -> list[int]:
        found = (each.targets for each in self._references if (each.source, each.kind) == (source, kind))
        return [target for targets in found for target in targets if target in self._items]

    def _to(self, target: int, kind: bytes) -> list[_Reference]:
        return [
            each
            for each in self._references
            if each.kind == kind and target in each.targets and each.source in self._items
        ]

    def _read(self) -> None:
        meta = next((box for box in _boxes(self._content, 0, len(self._content)) if box[0] == b"meta"), None)
        if meta is None:
            return
        if meta[2] > len(self._content):
            raise ImageError("cut off: the file ends before the photo begins")
        parts = {name: (start, stop) for name, start, stop in self._inside(meta[1] + 4, meta[2])}
        start_of_data = parts.get(b"idat", (0, 0))[0]
        readers: dict[bytes, Callable[[int, int], None]] = {
            b"pitm": self._read_primary,
            b"iinf": self._read_kinds,
            b"iref": self._read_references,
            b"iloc": partial(self._read_places, start_of_data),
            b"iprp": self._read_properties,
        }
        for name, read in readers.items():
            if name in parts:
                read(*parts[name])

    def _count(self, number: int) -> range:
        self._left -= number
        if self._left < 0:
            raise ImageError(f"of more than {MOST_PARTS:,} parts; save it again")
        return range(number)

    def _take(self, at: int, size: int) -> int:
        return _integer(self._content, at, size)

    def _inside(self, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
        for box in _boxes(self._content, start, stop):
            self._count(1)
            if box[2] > stop:
                raise ImageError("damaged: a box is larger than the one around it")
            yield box

    def _read_primary(self, start: int, stop: int) -> None:
        del stop
        digits = 2 if self._take(start, 1) == 0 else 4
        self._primary, self._primary_place = self._take(start + 4, digits), (start + 4, start + 4 + digits)

    def _read_kinds(self, start: int, stop: int) -> None:
        for name, at, _ in self._inside(start + (6 if self._take(start, 1) == 0 else 8), stop):
            version = self._take(at, 1)
            if name == b"infe" and version >= 2:
                digits = 2 if version == 2 else 4
                kind = self._content[at + 6 + digits : at + 10 + digits]
                self._items[self._take(at + 4, digits)] = Item(kind)

    def _read_references(self, start: int, stop: int) -> None:
        digits = 2 if self._take(start, 1) == 0 else 4
        for name, at, _ in self._inside(start + 4, stop):
            number = self._take(at + digits, 2)
            targets = [self._take(at + 2 + digits * (1 + each), digits) for each in self._count(number)]
            self._references.append(_Reference(at - 4, name, self._take(at, digits), targets))

    def _read_places(self, data: int, start: int, stop: int) -> None:
        del stop
        version, sizes = self._take(start, 1), self._take(start + 4, 2)
        offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
        digits = 2 if version < 2 else 4
        at = start + 6 + digits
        for _ in self._count(self._take(start + 6, digits)):
            item = self._items.get(self._take(at, digits), Item())
            at += digits
            where = self._take(at, 2) & 15 if version else 0
            at += 4 if version else 2
            origin = self._take(at, base) + (data if where == 1 else 0)
            number = self._take(at + base, 2)
            at += base + 2
            for _ in self._count(number):
                at += index if version else 0
                begin = origin + self._take(at, offset)
                item.extents.append((begin, begin + self._take(at + offset, length)))
                at += offset + length

    def _read_properties(self, start: int, stop: int) -> None:
        boxes = list(self._inside(start, stop))
        properties = [
            (name, self._content[at:end])
            for kind, begin, limit in boxes
            if kind == b"ipco"
            for name, at, end in self._inside(begin, limit)
        ]
        for at in (at for kind, at, _ in boxes if kind == b"ipma"):
            digits = 2 if self._take(at, 1) == 0 else 4
            wide = 1 + (self._take(at + 3, 1) & 1)
            place = at + 8
            for _ in self._count(self._take(at + 4, 4)):
                item = self._items.get(self._take(place, digits), Item())
                number = self._take(place + digits, 1)
                place += digits + 1
                for each in self._count(number):
                    which = self._take(place + wide * each, wide) & (0x7F if wide == 1 else 0x7FFF)
                    item.properties += properties[max(0, which - 1) : which]
                place += wide * number


def brands(head: bytes) -> set[bytes]:
    """Return the four-letter brands of a file (ISO/IEC 14496-12, 4.3), of whose beginning `HEAD` bytes are enough."""
    return {head[at : at + 4] for at in (8, *range(16, min(_integer(head, 0, 4), HEAD), 4))}


def _boxes(content: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and stop of each box's content (ISO/IEC 14496-12, 4.2); the last may be cut off."""
    while start + 8 <= stop:
        size, name, head = _integer(content, start, 4), content[start + 4 : start + 8], 8
        if size == 1:
            size, head = _integer(content, start + 8, 8), 16
        size = size or stop - start
        if size < head:
            raise ImageError("damaged: a box is smaller than its head")
        yield name, start + head, start + size
        start += size


def _integer(content: bytes, at: int, size: int) -> int:
    if at + size > len(content):
        raise ImageError("cut off, or damaged: a box ends too early")
    return int.from_bytes(content[at : at + size])


def _units(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of an item; a length of 4 bytes stands before each (ISO/IEC 14496-15, 8.3.2)."""
    at = 0
    while at < len(data):
        size = _integer(data, at, 4)
        unit = data[at + 4 : at + 4 + size]
        yield unit if len(unit) == size else b""
        at += 4 + size


def _crop(clap: bytes, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the box of a clean aperture, whose offsets are those of its centre (ISO/IEC 14496-12, 12.1.4)."""
    box = []
    for side, at in ((width, 0), (height, 8)):
        numerator, denominator = _integer(clap, at, 4), _integer(clap, at + 4, 4)
        shift, parts = int.from_bytes(clap[at + 16 : at + 20], signed=True), _integer(clap, at + 20, 4)
        if not (denominator and parts):
            raise ImageError("damaged: its crop is a fraction of nothing")
        length = numerator / denominator
        begin = round(shift / parts + (side - length) / 2)
        box.append((max(0, begin), min(side, begin + round(length))))
    (left, right), (top, bottom) = box
    if left >= right or top >= bottom:
        raise ImageError("damaged: nothing is left of its crop")
    return left, top, right, bottom
