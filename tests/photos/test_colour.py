from __future__ import annotations

import io
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL._util import DeferredError

from cifar_edge.errors import ImageError
from cifar_edge.photos.decode import load
from tests.photos.profiles import PRIMARIES, grey_profile, in_srgb, printer_profile, profile

DOWN, ACROSS = np.mgrid[:32, :32]
PIXELS = np.stack([60 + ACROSS * 5, 70 + DOWN * 5, 255 - ACROSS * 2 - DOWN * 3], -1).astype(np.uint8)
OTHERS = [space for space in PRIMARIES if space != "sRGB"]
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}


def saved(picture: np.ndarray | Image.Image, kind: str = "PNG", **how: Any) -> io.BytesIO:
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, kind, **how)
    return file


def loaded(*arguments: Any, **how: Any) -> np.ndarray:
    return load(saved(*arguments, **how), 32, 32).astype(float)


@pytest.mark.parametrize("space", OTHERS)
@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_photo_becomes_srgb_by_its_profile(kind: str, space: str) -> None:
    pixels = loaded(PIXELS, kind, icc_profile=profile(space), **LOSSLESS[kind])
    assert np.abs(pixels - in_srgb(PIXELS, space)).max() < 2.5
    assert np.abs(pixels - PIXELS).mean() > 4


@pytest.mark.parametrize("space", OTHERS)
def test_a_jpeg_too_also_without_its_end(space: str) -> None:
    content = saved(PIXELS, "JPEG", icc_profile=profile(space), quality=98, subsampling=0).getvalue()
    for each in (content, content[:-2]):
        assert np.abs(load(io.BytesIO(each), 32, 32) - in_srgb(PIXELS, space)).mean() < 2


def test_a_png_too_if_something_beside_its_pixels_is_damaged() -> None:
    content = saved(PIXELS, icc_profile=profile("ProPhoto")).getvalue()
    damaged = content[:33] + struct.pack(">I4s3sI", 3, b"tEXt", b"a\0b", 1) + content[33:]
    assert np.abs(load(io.BytesIO(damaged), 32, 32) - in_srgb(PIXELS, "ProPhoto")).max() < 2.5


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_with_alpha_or_a_palette_too(mode: str) -> None:
    picture = Image.fromarray(PIXELS).convert(mode)
    expected = in_srgb(np.asarray(picture.convert("RGB")), "ProPhoto")
    assert np.abs(loaded(picture, icc_profile=profile("ProPhoto")) - expected).max() < 2.5
    nothing = Image.new("RGBA", (32, 32))
    assert loaded(nothing, icc_profile=profile("ProPhoto")).min() == 255


@pytest.mark.parametrize("table", [0, 1024, 4096])
def test_srgb_is_left_alone_whatever_it_is_called(table: int) -> None:
    assert np.array_equal(loaded(PIXELS, icc_profile=profile("sRGB", table)), PIXELS)


def test_little_cms_s_own_srgb_is_left_alone() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(loaded(PIXELS, icc_profile=own), PIXELS)


def test_little_cms_is_loaded_only_for_other_profiles() -> None:
    program = (
        "import io, sys; from cifar_edge.photos.decode import load; load(io.BytesIO(sys.stdin.buffer.read()), 32, 32); "
        "print('PIL.ImageCms' in sys.modules)"
    )
    for space, expected in (("sRGB", "False"), ("Display P3", "True")):
        content = saved(PIXELS, icc_profile=profile(space)).getvalue()
        found = subprocess.run([sys.executable, "-c", program], input=content, capture_output=True, check=True)
        assert found.stdout.decode().strip() == expected


def broken() -> dict[str, bytes]:
    whole = profile("Display P3")
    return {
        "empty": b"",
        "short": whole[:100],
        "no tags": whole[:140],
        "cut off": whole[:-20],
        "of grey": grey_profile(1.0),
        "of ink": printer_profile(),
        "of nothing": whole[:16] + b"ABCD" + whole[20:],
        "tags beyond its end": whole[:136] + struct.pack(">I", 1 << 31) + whole[140:],
        "many tags": whole[:128] + b"\xff\xff\xff\xff" + whole[132:],
        "no signature": whole[:36] + b"abcd" + whole[40:],
        "zeros": whole[:128] + bytes(len(whole) - 128),
        "noise": whole[:128] + np.random.default_rng(0).bytes(500),
        "huge": whole + bytes(5_000_000),
    }


@pytest.mark.parametrize("fault", broken())
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP"])
def test_a_profile_of_no_use_is_ignored(kind: str, fault: str) -> None:
    how = {"JPEG": {"quality": 98}} | LOSSLESS
    pixels = loaded(PIXELS, kind, icc_profile=broken()[fault], **how[kind])
    assert np.array_equal(pixels, loaded(PIXELS, kind, **how[kind]))


def exif(index: str | None, space: int | None) -> Image.Exif:
    made = Image.Exif()
    made[0x010F] = "Camera"
    made[0x8769] = {} if space is None else {0xA001: space}
    if index:
        made[0x8769][0xA005] = {1: index}
    return made


@pytest.mark.parametrize(
    ("index", "space", "is_adobe"),
    [("R03", 0xFFFF, True), (None, 2, True), ("R98", 1, False), (None, 0xFFFF, False), (None, None, False)],
)
@pytest.mark.parametrize("order", "<>")
def test_a_camera_may_say_adobe_rgb_in_its_exif_data(
    order: str, index: str | None, space: int | None, is_adobe: bool
) -> None:
    data = exif(index, space)
    data.endian = order
    pixels = loaded(PIXELS, exif=data)
    assert np.abs(pixels - (in_srgb(PIXELS, "Adobe RGB") if is_adobe else PIXELS)).max() < 2.5


def test_a_profile_counts_for_more_than_exif_data() -> None:
    pixels = loaded(PIXELS, exif=exif("R03", 0xFFFF), icc_profile=profile("sRGB"))
    assert np.array_equal(pixels, PIXELS)


def test_grey_has_profiles_too() -> None:
    grey = PIXELS[..., 0]
    linear = grey / 255
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    for picture in (grey, Image.merge("LA", [Image.fromarray(grey), Image.new("L", (32, 32), 255)])):
        pixels = loaded(picture, icc_profile=grey_profile(1.0))
        assert np.abs(pixels - expected[..., None]).max() < 2
    assert np.array_equal(loaded(grey, icc_profile=profile("Display P3"))[..., 0], grey)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_ink_is_converted_by_its_profile(kind: str) -> None:
    cyan = Image.new("CMYK", (600, 600), (255, 0, 0, 0))
    assert np.abs(loaded(cyan, kind) - (0, 255, 255)).max() < 3
    red = loaded(cyan, kind, icc_profile=printer_profile())
    assert red[..., 0].min() > 200 > 60 > red[..., 1:].max()
    assert np.abs(loaded(cyan, kind, icc_profile=profile("Display P3")) - (0, 255, 255)).max() < 3


def test_lab() -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.fromarray(PIXELS), to_lab)
    assert lab is not None
    assert np.abs(loaded(lab, "TIFF") - PIXELS).mean() < 2  # it has 8 bits


def test_without_little_cms_a_photo_is_taken_as_srgb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageCms, "core", DeferredError(ImportError("not built")))
    assert np.array_equal(loaded(PIXELS, icc_profile=profile("ProPhoto", table=77)), PIXELS)
    with pytest.raises(ImageError, match="Lab; save it as RGB"):
        loaded(Image.new("LAB", (32, 32)), "TIFF")


def test_threads_share_what_converts() -> None:
    names = 20 * [*OTHERS, "sRGB"]
    files = {space: saved(PIXELS, icc_profile=profile(space)).getvalue() for space in PRIMARIES}
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda space: load(io.BytesIO(files[space]), 32, 32), names))
    for space, pixels in zip(names, together, strict=True):
        assert np.array_equal(pixels, load(io.BytesIO(files[space]), 32, 32))
