"""HEIC and AVIF: pixels, crop and orientation once, transparency, thumbnails, damage, and what lies about its size."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps

from cifar_edge.errors import ImageError
from cifar_edge.photos import decode
from cifar_edge.photos.decode import load
from cifar_edge.photos.own_process import Reader
from tests.conftest import PHOTOS
from tests.photos import containers
from tests.photos.containers import FORMATS, Item, clap, coded, container, grid, imir, irot, ispe, item
from tests.photos.profiles import in_srgb, profile

PHOTO = PHOTOS / "bird" / "kingfisher.jpg"
SIDE = 32


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(PHOTO) as image:
        return image.convert("RGB").resize((128, 96))


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(20, height=SIDE, width=SIDE, memory=5e7)


def shown(image: Image.Image) -> np.ndarray:
    """What `load` makes of an image in a format without any loss."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return load(file, SIDE, SIDE).astype(int)


def off(content: bytes, image: Image.Image) -> float:
    """The mean difference between a file and what it was made of."""
    return float(np.abs(load(io.BytesIO(content), SIDE, SIDE) - shown(image)).mean())


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_pixels_are_those_of_the_original(mode: str, suffix: str, photo: Image.Image) -> None:
    image = photo.convert(mode)
    if "A" in mode:  # what is transparent is white
        image.putalpha(Image.linear_gradient("L").resize(photo.size))
    assert off(coded(image, suffix), image) < 2


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("size", [(640, 480), (517, 389), (2048, 64)])
def test_larger_ones_are_reduced(size: tuple[int, int], suffix: str, photo: Image.Image) -> None:
    image = photo.resize(size)
    assert off(coded(image, suffix), image) < 2


def test_tiles_and_deep_colours(photo: Image.Image) -> None:
    image = photo.resize((320, 240))
    assert off(coded(image, "heic", tile_size=128), image) < 2
    assert off(coded(image, "heic", chroma=422), image) < 2
    file = io.BytesIO()
    deep = (np.asarray(image).astype("<u2") << 8).tobytes()
    pillow_heif.from_bytes("RGB;16", image.size, deep).save(file, quality=95)
    assert off(file.getvalue(), image) < 3


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("space", ["Display P3", "Adobe RGB"])
def test_colours_are_those_of_the_profile(space: str, suffix: str, photo: Image.Image) -> None:
    pixels = load(io.BytesIO(coded(photo, suffix, icc_profile=profile(space))), SIDE, SIDE)
    assert np.abs(pixels - in_srgb(shown(photo), space)).mean() < 2


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_once(orientation: int, suffix: str, photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = coded(photo, suffix, exif=exif.tobytes())
    turned = photo.copy()
    turned.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(turned)
    with decode.open_photo(io.BytesIO(content)) as opened:
        assert opened.size == upright.size
    assert off(content, upright) < 2


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "turns", [(irot(0),), (irot(1),), (irot(3),), (imir(0),), (imir(1),), (irot(1), imir(0)), (irot(3), imir(1))]
)
def test_it_is_cropped_then_turned_then_mirrored(turns: tuple[bytes, ...], suffix: str, photo: Image.Image) -> None:
    box = (10, 20, 110, 90)
    expected = photo.crop(box)
    for turn in turns:
        number = turn[-1]
        if turn[4:8] == b"irot":
            expected = expected.rotate(90 * number, expand=True)
        else:
            expected = ImageOps.mirror(expected) if number else ImageOps.flip(expected)
    content = container(suffix, [item(photo, suffix, clap(*box, *photo.size), *turns)])
    assert off(content, expected) < 3


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_orientation_that_only_the_exif_data_have_does_not_count(suffix: str, photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = bytes(4) + exif.tobytes().removeprefix(b"Exif\0\0")
    content = container(suffix, [item(photo, suffix), Item(b"Exif", data)], [(b"cdsc", 2, [1])])
    assert off(content, photo) < 2
    with decode.open_photo(io.BytesIO(content)) as opened:
        assert opened.info["exif"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_thumbnails(suffix: str, photo: Image.Image) -> None:
    inverted = ImageOps.invert(photo)
    items = [
        item(photo, suffix, irot(1)),
        item(photo.resize((96, 64)), suffix, irot(1)),  # of another aspect ratio
        item(inverted.resize((96, 72)), suffix, irot(1)),
    ]
    content = container(suffix, items, [(b"thmb", number, [1]) for number in (2, 3)])
    assert off(content, photo.rotate(90, expand=True)) < 3
    found = load(io.BytesIO(content), SIDE, SIDE, exif_thumbnails=True)
    assert np.abs(found - shown(inverted.rotate(90, expand=True))).mean() < 4
    none = load(io.BytesIO(content), 100, 75, exif_thumbnails=True)  # it is smaller
    assert np.array_equal(none, load(io.BytesIO(content), 100, 75))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("rest", ["nothing", "zeros"])
def test_half_a_photo_is_no_photo(rest: str, share: float, suffix: str, photo: Image.Image) -> None:
    for content in {
        coded(photo, suffix),
        coded(photo.resize((320, 240)), suffix, **{"tile_size": 64} if suffix == "heic" else {}),
    }:
        kept = content[: int(share * len(content))]
        with pytest.raises(ImageError):
            load(io.BytesIO(kept + bytes(len(content) - len(kept)) * (rest == "zeros")), SIDE, SIDE)


def test_in_a_process_of_its_own_its_suffix_does_not_matter(reader: Reader, photo: Image.Image, tmp_path: Path) -> None:
    for suffix in FORMATS:
        content = coded(photo, suffix)
        expected = load(io.BytesIO(content), SIDE, SIDE)
        for name in (f"a.{suffix.upper()}", f"{suffix}.jpg"):
            (tmp_path / name).write_bytes(content)
            assert np.array_equal(reader(tmp_path / name), expected)
        assert np.array_equal(reader(content), expected)
        with pytest.raises(decode.SlowPhotoError):  # for the photos behind it
            reader(content, wait=False)


@pytest.mark.parametrize("brand", [b"mp42", b"qt  ", b"crx ", b"mif1", b"jxl "])
def test_other_containers_are_no_photos(brand: bytes, reader: Reader) -> None:
    with pytest.raises(ImageError, match=r"not an image \(JPEG, PNG, WEBP, BMP, GIF, TIFF, HEIC, AVIF\)"):
        reader(containers.box(b"ftyp", brand + bytes(4) + brand) + containers.box(b"moov", bytes(100)))


def put_together(data: bytes, tiles: Sequence[Item], targets: Sequence[int]) -> bytes:
    """A file of one grid that says it is as large as its data say."""
    size = np.frombuffer(data[4:], ">u4")
    return container("heic", [Item(b"grid", data, [ispe(*size)]), *tiles], [(b"dimg", 1, targets)])


LIARS: dict[str, Callable[[Image.Image], bytes]] = {
    "a grid of gigapixels": lambda photo: put_together(
        grid(2, 2, 65_535, 65_535), [item(photo, "heic")] * 4, [2, 3, 4, 5]
    ),
    "tiles that are too few": lambda photo: put_together(grid(256, 256, 30_000, 20_000), [item(photo, "heic")], [2]),
    "a tile that is smaller than it says": lambda photo: put_together(
        grid(1, 1, 20_000, 20_000), [item(photo, "heic", size=(20_000, 20_000))], [2]
    ),
    "a grid of itself": lambda _: put_together(grid(1, 1, 64, 64), [], [1]),
    "smaller than it says": lambda photo: container("heic", [item(photo, "heic", size=(20_000, 20_000))]),
    "larger than it says": lambda photo: container("heic", [item(photo.resize((1_024, 1_024)), "heic", size=(64, 64))]),
    "AVIF, smaller than it says": lambda photo: container("avif", [item(photo, "avif", size=(20_000, 20_000))]),
    "many items": lambda photo: container("heic", [item(photo, "heic"), *[Item(b"hvc1", b"")] * 30_000]),
    "many parts": lambda photo: container("heic", [item(photo, "heic")], [(b"dimg", 1, [1] * 60_000)] * 2),
}


@pytest.mark.parametrize("name", LIARS)
def test_what_is_not_as_it_says_is_an_error_and_takes_no_memory(name: str, reader: Reader, photo: Image.Image) -> None:
    with pytest.raises(ImageError):
        reader(LIARS[name](photo))


@pytest.mark.parametrize(
    ("suffix", "how", "megabytes"),
    [
        ("heic", {"chroma": 420}, 6.55),
        ("heic", {"chroma": 420, "tile_size": 256}, 5.18),
        ("heic", {"chroma": 444}, 9.7),
        ("avif", {}, 13.89),
    ],
    ids=["one picture", "tiles", "4:4:4", "AVIF"],
)
def test_the_memory_it_takes_is_known_before(suffix: str, how: dict[str, int], megabytes: float) -> None:
    content = coded(Image.new("RGB", (1_024, 1_024), "green"), suffix, **how)
    assert load(io.BytesIO(content), SIDE, SIDE, memory=1e6 * megabytes + 1e5).shape == (SIDE, SIDE, 3)
    with pytest.raises(ImageError, match="too large: to decode it takes"):
        load(io.BytesIO(content), SIDE, SIDE, memory=1e6 * megabytes - 1e5)


@pytest.mark.parametrize("left", ["pillow_heif", ""])
def test_without_libheif_the_row_says_what_to_install(
    left: str, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = coded(photo, "heic")
    for package in {"pi_heif", "pillow_heif"} - {left}:
        monkeypatch.setitem(sys.modules, package, None)
    if left:
        assert off(content, photo) < 2
        return
    with pytest.raises(ImageError, match="try `pip install pillow-heif`, or save it as JPEG"):
        load(io.BytesIO(content), SIDE, SIDE)


def test_who_has_none_does_not_pay_for_it() -> None:
    program = (
        "import sys; from cifar_edge.photos.own_process import Reader; Reader(9, height=32, width=32)(sys.argv[1]); "
    )
    program += "print(*sys.modules)"
    for photo in (PHOTO, PHOTOS / "bird" / "pelican.png"):
        said = subprocess.run([sys.executable, "-c", program, photo], capture_output=True, text=True, check=True).stdout
        assert not {"pi_heif", "PIL.AvifImagePlugin", "cifar_edge.photos.heif", "cifar_edge.photos.boxes"} & {
            *said.split()
        }
