from __future__ import annotations

import struct

import pytest

from cifar_edge.errors import ImageError
from cifar_edge.photos.boxes import Container, Turn, brands
from tests.photos.containers import META, Item, box, clap, container, imir, irot, ispe


def picture(*properties: bytes, data: bytes = b"\0\0\0\2\1\1") -> Item:
    return Item(b"hvc1", data, [ispe(640, 480), *properties])


@pytest.mark.parametrize(
    ("properties", "turn"),
    [
        ((), Turn()),
        ((irot(3),), Turn(None, 3)),
        ((imir(0),), Turn(None, 0, 0)),
        ((clap(10, 20, 600, 400, 640, 480), irot(1), imir(1)), Turn((10, 20, 600, 400), 1, 1)),
        ((clap(0, 0, 641, 481, 640, 480),), Turn((0, 0, 640, 480))),
    ],
)
def test_a_photo_s_size_and_how_it_is_turned(properties: tuple[bytes, ...], turn: Turn) -> None:
    photo = Container(container("heic", [picture(*properties)])).photo
    assert (photo.kind, photo.size, photo.turn) == (b"hvc1", (640, 480), turn)


@pytest.mark.parametrize(
    "crop", [clap(10, 10, 10, 20, 640, 480), clap(700, 0, 800, 100, 640, 480), box(b"clap", bytes(32))]
)
def test_a_crop_that_leaves_nothing_is_damage(crop: bytes) -> None:
    photo = Container(container("heic", [picture(crop)])).photo
    with pytest.raises(ImageError, match="damaged"):
        _ = photo.turn


def test_brands_are_those_of_the_first_box() -> None:
    content = container("avif", [picture()])
    assert {b"avif", b"mif1"} <= brands(content)
    assert b"heic" not in brands(content)
    assert brands(struct.pack(">I4s4s", 2**32 - 1, b"ftyp", b"heic") + bytes(10_000)) >= {b"heic"}


def test_tiles_are_those_of_the_photo() -> None:
    items = [Item(b"grid", b"", [ispe(1_280, 480)]), picture(), picture(), picture()]
    assert Container(container("heic", items, [(b"dimg", 1, [2, 3])])).tiles() == [(640, 480)] * 2
    assert Container(container("heic", items, [(b"dimg", 1, [2, 99])])).tiles() == [(640, 480)]
    assert Container(container("heic", items)).tiles() == []


@pytest.mark.parametrize(
    "data",
    [bytes(6), b"\0\0\0\2\1\1" + bytes(8), b"\0\0\0\7" + b"\1\1" + bytes(5), b"\0\0\0\7\1\1", b"\0\0\0"],
    ids=["zeros", "zeros behind", "zeros at the end", "too short", "no length"],
)
def test_half_a_tile_is_noticed(data: bytes) -> None:
    tiles = [Item(b"grid", b"", [ispe(1_280, 480)]), picture(), picture(data=data)]
    content = container("heic", tiles, [(b"dimg", 1, [2, 3])])
    with pytest.raises(ImageError, match=r"damaged|cut off"):
        Container(content).check_whole(content)
    content = container("heic", tiles, [(b"dimg", 1, [2])])  # it belongs to another picture
    Container(content).check_whole(content)


def test_every_cut_and_every_lie_is_an_error_or_harmless() -> None:
    """Each byte of the boxes is made small and large; nothing but an `ImageError` is raised."""
    content = container("heic", [picture(irot(1)), picture()], [(b"thmb", 2, [1])])
    boxes = content.index(b"mdat")
    for at in range(boxes):
        with pytest.raises(ImageError):
            Container(content[:at]).check_whole(content[:at])
        for value in (0, 1, 127, 255):
            damaged = content[:at] + bytes((value,)) + content[at + 1 :]
            try:
                found = Container(damaged)
                found.check_whole(damaged)
                _ = found.photo.turn, found.tiles(), list(found.thumbnails(damaged))
            except ImageError:
                pass


@pytest.mark.parametrize("count", [70_000, 2**32 - 1])
def test_parts_without_number_are_refused(count: int) -> None:
    """Of places that take no bytes, and of properties."""
    start = box(b"ftyp", b"heic" + META + b"heic")
    ids = box(b"pitm", META + b"\0\1") + box(b"iinf", META + b"\0\1" + box(b"infe", b"\2\0\0\0\0\1\0\0hvc1\0"))
    nowhere = box(b"iloc", b"\2\0\0\0\0\0" + struct.pack(">I", count) + bytes(1_000_000))
    properties = box(b"iprp", box(b"ipma", META + struct.pack(">I", count) + bytes(1_000_000)))
    for part in (nowhere, properties):
        with pytest.raises(ImageError, match="of more than 65,536 parts"):
            Container(start + box(b"meta", META + ids + part))
