"""Photos of other colour spaces than sRGB -> sRGB, by their ICC profile (ICC.1:2022).

A profile that is damaged, or of another kind of pixels, is ignored.
"""

from __future__ import annotations

import functools
import hashlib
import io
import struct
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.errors import ImageError

MOST_BYTES = 1 << 22  # of a profile; those of printers have two million
MOST_KEPT = 64  # profiles; nearly all photos share a few
SMALL = 1 << 16  # bytes of one that is its own key: to look it up is quicker than its digest

SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
"""Pillow's mode of pixels in a profile's colour space."""

GREY = ("1", "L", "LA", "La")
NOT_RGB = ("CMYK", "LAB")
"""Modes whose pixels have to be converted by their profile, not those of RGB that Pillow makes of them."""

SRGB = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139))
"""Red, green and blue of sRGB as XYZ under D50 (IEC 61966-2-1, adapted by Bradford's matrix)."""

ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
ADOBE_GAMMA = 563 / 256

ADOBE_IN_EXIF = {
    mark: (struct.pack(f"{order}HHI", 1, 2, 4) + b"R03\0", struct.pack(f"{order}HHIH", 0xA001, 3, 1, 2))
    for mark, order in ((b"II", "<"), (b"MM", ">"))
}
"""Entries by which a camera says Adobe RGB: InteroperabilityIndex (DCF 2.0, 4.2), or ColorSpace 2 of some."""

D50 = (63190, 65536, 54061)  # white, in 65536ths
STEPS = np.linspace(0, 1, 9)

NOCACHE = 0x40  # of Little CMS: several threads use a transform at once

_kept: dict[bytes, Any] = {}
_turn = threading.Lock()


def to_srgb(pixels: NDArray[np.uint8], mode: str, info: Mapping[Any, Any]) -> NDArray[np.uint8]:
    """Return a photo's pixels in sRGB.

    Args:
        pixels: uint8, (height, width, 3), RGB in the photo's own colour space.
        mode: Pillow's mode of the photo that they come from.
        info: Pillow's description of the photo.
    """
    if not info or mode in NOT_RGB or (transform := _transform(_profile(info), mode)) is None:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]) if mode in GREY else pixels)
    return np.asarray(transform.apply(image))


def ink_to_srgb(image: Image.Image, info: Mapping[Any, Any], wanted: tuple[int, int]) -> Image.Image:
    """Return an image in one of `NOT_RGB` as RGB, reduced to what still has the wanted (width, height).

    Raises:
        ImageError: it is in Lab, and this Pillow lacks Little CMS.
    """
    if image.mode == "LAB":
        transform = _from_lab()
    elif (transform := _transform(_profile(info), image.mode)) is None:
        return image.convert("RGB")
    factor = min(side // least for side, least in zip(image.size, wanted, strict=True))
    converted: Image.Image = transform.apply(image.reduce(factor) if factor > 1 else image)
    return converted


def _profile(info: Mapping[Any, Any]) -> bytes:
    """Return a photo's profile; b"" if it has none, or one that is no profile."""
    profile = info.get("icc_profile")
    if profile is None:
        exif = info.get("exif", b"")
        entries = ADOBE_IN_EXIF.get(exif.removeprefix(b"Exif\0\0")[:2], ())
        return _adobe_rgb() if any(entry in exif for entry in entries) else b""
    return profile if isinstance(profile, bytes) and len(profile) <= MOST_BYTES else b""


def _transform(profile: bytes, mode: str) -> Any:
    """Return what makes sRGB of pixels; None if they are sRGB, or the profile is of no use."""
    if SPACES.get(profile[16:20]) != ("L" if mode in GREY else mode if mode in NOT_RGB else "RGB"):
        return None
    key = profile if len(profile) <= SMALL else hashlib.sha256(profile).digest()
    with _turn:
        if key not in _kept:
            if len(_kept) >= MOST_KEPT:
                _kept.clear()
            _kept[key] = None if _is_srgb(profile) else _built(profile)
        return _kept[key]


def _built(profile: bytes) -> Any:
    try:
        from PIL import ImageCms  # few photos need it, and some builds of Pillow lack it

        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(source, target, SPACES[profile[16:20]], "RGB", flags=ImageCms.Flags(NOCACHE))
    except Exception:  # whatever is wrong with it, the photo is there
        return None


def _from_lab() -> Any:
    try:
        from PIL import ImageCms

        return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    except ImportError as error:
        raise ImageError("colours in Lab; save it as RGB") from error


def _is_srgb(profile: bytes) -> bool:
    """Tell whether a profile's matrix and curves are those of sRGB, whatever its name."""
    try:
        parts = {name: profile[start : start + size] for name, start, size in _tags(profile)}
        colours = [struct.unpack(">3i", parts[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        curves = [_curve(parts[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
    except (KeyError, ValueError, struct.error):  # no matrix, or damaged
        return False
    expected = np.where(STEPS <= 0.04045, STEPS / 12.92, ((STEPS + 0.055) / 1.055) ** 2.4)
    return np.allclose(np.array(colours) / 65536, SRGB, atol=0.003) and np.allclose(curves, expected, atol=0.001)


def _tags(profile: bytes) -> list[tuple[bytes, int, int]]:
    (count,) = struct.unpack_from(">I", profile, 128)
    return [struct.unpack_from(">4sII", profile, 132 + 12 * number) for number in range(min(count, 100))]


def _curve(part: bytes) -> NDArray[np.float64]:
    """Return a curve's values at `STEPS` (ICC.1:2022, 10.6 and 10.18); raise `ValueError` if it is of another type."""
    kind, (number,) = part[:4], struct.unpack_from(">I", part, 8)
    if kind == b"curv" and number > 1:
        table = np.frombuffer(part, ">u2", number, 12) / 65535
        return np.asarray(np.interp(STEPS * (number - 1), np.arange(number), table))
    if kind == b"para" and number >> 16 == 3:
        gamma, slope, offset, linear, border = np.frombuffer(part, ">i4", 5, 12) / 65536
        with np.errstate(all="ignore"):
            return np.asarray(np.where(border <= STEPS, (slope * STEPS + offset) ** gamma, linear * STEPS))
    raise ValueError("another type")


@functools.cache
def _adobe_rgb() -> bytes:
    """Return a profile of Adobe RGB: red, green and blue, and one curve for all."""
    parts = [struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * value) for value in colour)) for colour in ADOBE_RGB]
    parts.append(struct.pack(">4s4xIH2x", b"curv", 1, round(256 * ADOBE_GAMMA)))
    names = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
    first = 132 + 12 * len(names)
    directory = struct.pack(">I", len(names))
    for name, part in zip(names, (0, 1, 2, 3, 3, 3), strict=True):
        directory += struct.pack(">4sII", name, first + 20 * part, 14 if part == 3 else 20)
    kinds = b"\2\x10\0\0", b"mntr", b"RGB ", b"XYZ ", b"acsp"
    head = struct.pack(">I4x4s4s4s4s12x4s28x3i48x", first + sum(map(len, parts)), *kinds, *D50)
    return head + directory + b"".join(parts)
