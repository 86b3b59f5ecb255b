from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from cifar_edge.benchmarks.studies.photos import area_average, camera_jpeg, exif_with
from cifar_edge.errors import ImageError, UsageError
from cifar_edge.photos.decode import SUFFIXES, load
from tests.conftest import PHOTOS

PHOTO = PHOTOS / "bird" / "kingfisher.jpg"


def average(image: Image.Image) -> np.ndarray:
    return area_average(image, 32, 32)


@pytest.mark.parametrize("photo", sorted(PHOTOS.glob("*/*.jpg")), ids=lambda path: path.stem)
def test_a_photo_is_averaged_exactly(photo: Path) -> None:
    difference = np.abs(load(photo, 32, 32, "stretch") - average(Image.open(photo)))
    assert difference.max() < 0.51  # which is rounding


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("size", [(1600, 1200), (2048, 1536)])
def test_reduced_by_blocks_first_it_is_as_good_as_exact(size: tuple[int, int], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.open(io.BytesIO(camera_jpeg(Image.open(PHOTO), size, seed=0))).save(path, quality=90, compress_level=1)
    difference = np.abs(load(path, 32, 32, "stretch") - average(Image.open(path)))
    assert difference.mean() < 0.4  # of which rounding makes 0.25
    assert difference.max() < 4


def test_fits(tmp_path: Path) -> None:
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 20:60] = 200
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels.swapaxes(0, 1)).save(tmp_path / "tall.png")
    lines = {"crop": [200] * 8, "pad": [0] * 2 + [200] * 4 + [0] * 2, "stretch": [0] * 2 + [200] * 4 + [0] * 2}
    for fit, line in lines.items():
        wide = load(tmp_path / "wide.png", 8, 8, fit)[..., 0]
        assert wide[4].tolist() == line
        assert wide[:, 4].tolist() == ([255] * 2 + [200] * 4 + [255] * 2 if fit == "pad" else [200] * 8)
        assert np.array_equal(load(tmp_path / "tall.png", 8, 8, fit)[..., 0], wide.T)
    with pytest.raises(UsageError, match="'zoom': must be one of crop, pad, stretch"):
        load(tmp_path / "wide.png", 8, 8, "zoom")


def with_thumbnail(path: Path, size: tuple[int, int], orientation: int = 1, cut: int | None = None) -> None:
    """Write a grey photo of 800x600 whose thumbnail is red on the left and blue on the right."""
    thumbnail, content = Image.new("RGB", size, "blue"), io.BytesIO()
    thumbnail.paste("red", (0, 0, size[0] // 2, size[1]))
    thumbnail.save(content, "JPEG")
    exif = exif_with(content.getvalue()[:cut], orientation)
    Image.effect_noise((800, 600), 50).save(path, exif=exif, quality=95)


def test_a_camera_s_thumbnail_is_taken_if_asked_for(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    with_thumbnail(photo, (160, 120))
    assert np.ptp(load(photo, 32, 32).mean((0, 1))) < 10
    taken = load(photo, 32, 32, exif_thumbnails=True)
    assert np.abs(taken[:, :15] - (254.0, 0, 0)).max() < 20
    assert np.abs(taken[:, 17:] - (0, 0, 254.0)).max() < 20
    with_thumbnail(photo, (160, 120), orientation=3)
    assert np.abs(load(photo, 32, 32, exif_thumbnails=True)[:, :15] - (0, 0, 254.0)).max() < 20


@pytest.mark.parametrize(
    ("size", "cut", "wanted"),
    [((160, 90), None, 32), ((160, 120), None, 128), ((160, 120), 300, 32), ((1600, 1200), None, 32)],
)
def test_a_thumbnail_that_will_not_do(size: tuple[int, int], cut: int | None, wanted: int, tmp_path: Path) -> None:
    with_thumbnail(tmp_path / "photo.jpg", size, cut=cut)
    taken = load(tmp_path / "photo.jpg", wanted, wanted, exif_thumbnails=True)
    assert np.array_equal(taken, load(tmp_path / "photo.jpg", wanted, wanted))


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts the bytes that a process reads")
def test_for_a_thumbnail_only_the_head_is_read(tmp_path: Path) -> None:
    def read_by(exif_thumbnails: bool) -> int:
        before = bytes_read()
        load(tmp_path / "photo.jpg", 32, 32, exif_thumbnails=exif_thumbnails)
        return bytes_read() - before

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    with_thumbnail(tmp_path / "photo.jpg", (160, 120))
    size = (tmp_path / "photo.jpg").stat().st_size
    assert size > 300_000
    assert read_by(exif_thumbnails=False) >= size
    assert read_by(exif_thumbnails=True) < 40_000


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow remarks on them
def test_damaged_metadata_do_not_cost_a_photo(tmp_path: Path) -> None:
    photo, exif, chance = tmp_path / "photo.jpg", Image.Exif(), np.random.default_rng(0)
    exif[0x010F], exif[0x0112], exif[0x011A], exif[0x0132] = "Camera", 6, 72.0, "2026:11:22 12:00:00"
    exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    Image.effect_noise((64, 64), 50).save(photo, exif=exif)
    whole, upright = photo.read_bytes(), load(photo, 32, 32)
    start, end = whole.index(b"Exif\0\0") + 14, whole.index(b"\xff\xdb")
    for _ in range(300):
        damaged = bytearray(whole)
        for place in chance.integers(start, end, 4):
            damaged[place] = chance.integers(256)
        photo.write_bytes(damaged)
        pixels = load(photo, 32, 32)
        assert any(
            np.array_equal(np.rot90(each, turns), upright)
            for each in (pixels, pixels.swapaxes(0, 1))
            for turns in range(4)
        )


def test_a_large_jpeg_is_never_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[tuple[int, int]] = []
    decode = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda image: (decode(image), decoded.append(image.size))[0])
    Image.new("RGB", (4000, 3000)).save(tmp_path / "photo.jpg")
    load(tmp_path / "photo.jpg", 32, 32)
    assert set(decoded) == {(500, 375)}


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_format(suffix: str, tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()
    image = Image.open(PHOTO).resize((96, 64))
    image.save(tmp_path / f"photo{suffix}")
    assert np.abs(load(tmp_path / f"photo{suffix}", 32, 32) - average(image)).mean() < 6


def test_the_wanted_size_and_the_centre(tmp_path: Path) -> None:
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, 30:70] = 200
    Image.fromarray(pixels).save(tmp_path / "stripe.png")
    square = load(tmp_path / "stripe.png", 32, 32, "crop")
    assert (square.shape, square.dtype, square.min(), square.max()) == ((32, 32, 3), np.uint8, 200, 200)
    wide = load(tmp_path / "stripe.png", 20, 40, "crop")
    assert wide.shape == (20, 40, 3)
    assert wide[0, :, 0].tolist() == [0] * 10 + [200] * 20 + [0] * 10


def test_images_of_the_wanted_size_keep_every_byte(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    assert np.array_equal(load(tmp_path / "noise.png", 32, 32), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, tmp_path: Path) -> None:
    upright = Image.open(PHOTO).convert("RGB")
    # How a camera stores the picture so that a viewer who obeys the tag sees it upright.
    stored = {
        1: lambda image: image,
        2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
        4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
        6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
        7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
        8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    assert np.abs(load(tmp_path / "photo.jpg", 32, 32) - average(upright)).mean() < 2


def test_unusual_pixels(tmp_path: Path) -> None:
    grey = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    expected = average(Image.fromarray(grey))
    sixteen = Image.fromarray((grey.astype(np.uint16) << 8) + 17)
    with_alpha = Image.merge("LA", (Image.fromarray(grey), Image.new("L", (64, 64), 255)))
    for name, image in {
        "sixteen.png": sixteen,
        "sixteen.tif": sixteen,
        "palette.png": Image.fromarray(grey).convert("P"),
        "bilevel.png": Image.fromarray((grey > 127) * np.uint8(255)).convert("1"),
        "alpha.png": with_alpha,
        "cmyk.jpg": Image.fromarray(grey).convert("RGB").convert("CMYK"),
        "cmyk.tif": Image.fromarray(grey).convert("RGB").convert("CMYK"),
    }.items():
        image.save(tmp_path / name)
        pixels = load(tmp_path / name, 32, 32)
        if name != "bilevel.png":
            assert np.abs(pixels - expected).mean() < 3, name


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    Image.new("RGBA", (50, 50), (0, 0, 0, 0)).save(tmp_path / "nothing.png")
    assert load(tmp_path / "nothing.png", 32, 32).min() == 255


def test_of_an_animation_the_first_picture_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    for name in ("moving.gif", "moving.webp", "pages.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert np.abs(load(tmp_path / name, 32, 32) - (255.0, 0, 0)).max() < 6


@pytest.mark.parametrize("size", [(1, 1), (20000, 1), (1, 3), (33, 31)])
def test_odd_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, (10, 20, 30)).save(tmp_path / "odd.png")
    assert np.array_equal(load(tmp_path / "odd.png", 32, 32), np.full((32, 32, 3), (10, 20, 30)))


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.open(PHOTO).save(buffer, "JPEG")
    (tmp_path / "photo.png").write_bytes(buffer.getvalue())
    assert load(tmp_path / "photo.png", 32, 32).shape == (32, 32, 3)


def test_what_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    whole = PHOTO.read_bytes()
    for name, content in {"text.jpg": b"hello", "empty.jpg": b"", "cut.jpg": whole[: len(whole) // 2]}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    (tmp_path / "folder.jpg").symlink_to(".")
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.jpg"))
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    Image.new("LA", (8_000, 8_000)).save(tmp_path / "transparent.png")
    Image.new("F", (40, 40)).save(tmp_path / "float.tif")
    for name, reason in {
        "text.jpg": "not an image",
        "empty.jpg": "not an image",
        "cut.jpg": "truncated",
        "dangling.jpg": "No such file",
        "folder.jpg": "a link to a folder, which is not followed",
        "pipe.jpg": "not a regular file",
        "socket.jpg": "not a regular file",
        "bomb.png": "to decode it takes 2,400 MB, a photo may take 1,000 MB here",
        "transparent.png": "to decode it takes 1,024 MB",
        "float.tif": "pixels of 32 bits",
    }.items():
        with pytest.raises(ImageError, match=reason):
            load(tmp_path / name, 32, 32)


def test_what_a_photo_may_take_is_judged_at_the_scale_at_which_it_is_decoded(tmp_path: Path) -> None:
    photo = Image.new("RGB", (4_000, 3_000), "red")
    photo.save(tmp_path / "baseline.jpg")
    photo.save(tmp_path / "progressive.jpg", progressive=True)
    photo.save(tmp_path / "progressive-444.jpg", progressive=True, subsampling=0)
    photo.save(tmp_path / "photo.png")
    photo.convert("L").save(tmp_path / "grey.png")
    photo.convert("CMYK").save(tmp_path / "print.tif")
    photo.save(tmp_path / "photo.webp", lossless=True, method=0)
    takes = {
        "baseline.jpg": 1,
        "progressive.jpg": 37,
        "progressive-444.jpg": 73,
        "photo.png": 48,
        "grey.png": 72,
        "print.tif": 108,
        "photo.webp": 312,
    }
    for name, megabytes in takes.items():
        assert load(tmp_path / name, 32, 32, memory=megabytes * 1e6 + 1e6).shape == (32, 32, 3)
        with pytest.raises(ImageError, match="fewer --workers leave more for each"):
            load(tmp_path / name, 32, 32, memory=megabytes * 1e6 - 1e6)


def test_a_jpeg_of_a_thousand_scans_is_refused_and_one_with_a_video_behind_it_is_not(tmp_path: Path) -> None:
    with io.BytesIO() as file:
        Image.open(PHOTO).save(file, "JPEG", progressive=True)
        content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    (tmp_path / "video.jpg").write_bytes(content + content[last:-2] * 1_000)
    assert np.array_equal(load(tmp_path / "video.jpg", 32, 32), load(io.BytesIO(content), 32, 32))
    (tmp_path / "scans.jpg").write_bytes(content[:-2] + content[last:-2] * 1_000 + content[-2:])
    with pytest.raises(ImageError, match=r"of more than 100 scans, .* save it again"):
        load(tmp_path / "scans.jpg", 32, 32)
