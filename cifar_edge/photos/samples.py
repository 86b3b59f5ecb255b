"""Samples that Pillow takes for something else: of 16 bits, white-is-zero, signed, in planes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import reduce
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageChops, ImagePalette

from cifar_edge.errors import ImageError

PLAIN = ("RGB", ("RGB", ""), ("L", ""))
"""What Pillow calls the samples of most PNGs and JPEGs."""

BITS = (8, 10, 12, 14, 16)
"""Of cameras, scanners and microscopes; a file of 16 bits holds them in its low ones."""

OTHER_END = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
"""The byte order in which Pillow takes the low byte of a sample where it took the high one."""

GREY_STEP = {"L;2": 85, "L;4": 17}
"""Between two neighbouring grey values of a PNG of 2 or 4 bits, in 8 bits."""

COPIES = 5  # of a picture that are in memory while two of 8 bits become one

BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR_CONFIGURATION, COLOUR_MAP, SAMPLE_FORMAT = 258, 262, 284, 320, 339
"""Tags of a TIFF (TIFF 6.0, sections 8 and 19)."""


def decode_samples(photo: Any, file: BinaryIO, decode: Callable[..., Image.Image]) -> Image.Image:
    """Return a photo decoded, with samples of 8 bits from black to white.

    Samples of 16 bits lose the low ones. If the brightest fits into 14, 12, 10 or 8 bits, that is their range.

    Args:
        photo: opened, and not loaded yet.
        file: it was opened from.
        decode: loads an opened photo, as `photos.decode.decode`; with `copies`, of which so many are in memory.

    Raises:
        ImageError: nobody knows what is black, or Pillow cannot take the samples apart; or as of `decode`.
    """
    if photo.tile and photo.tile[0][3] in PLAIN:
        return decode(photo)
    rawmode = _prepare(photo)
    if photo.mode.startswith("I;16"):
        return _grey(photo, decode, 12 if rawmode == "I;12" else 16)
    if rawmode == "LA;16B":
        _set_rawmode(photo, "RGBA")  # both bytes of both samples
        grey, grey_low, alpha, alpha_low = decode(photo).split()
        return Image.merge("LA", [_joined(grey, grey_low, _bits(grey)), _joined(alpha, alpha_low, _bits(alpha))])
    if ";16" not in rawmode or "a" in rawmode:
        return decode(photo)
    transparent = photo.info.pop("transparency", None)
    high = decode(photo)
    bits = max(_bits(high, band) for band in range(4 if high.mode == "CMYK" else 3))
    if bits == 16 and transparent is None:
        return high
    low = _low_bytes(photo, file, decode)
    pairs = list(zip(high.split(), low.split(), strict=True))
    bands = [_joined(*pair, bits) for pair in pairs]
    if high.mode == "RGBA":
        bands[3] = _joined(*pairs[3], _bits(high, 3))
    joined = Image.merge(high.mode, bands)
    if transparent is not None:
        joined.paste((255, 255, 255), mask=_equal(high, low, transparent))
    return joined


def _prepare(photo: Any) -> str:
    """Mend what Pillow makes of a photo's header; return how its samples lie in the file, "" if that is not known."""
    tags: Any = getattr(photo, "tag_v2", {})
    if photo.mode == "I" and 2 in _numbers(tags.get(SAMPLE_FORMAT)):
        raise ImageError("signed pixels, whose black and white are unknown; save it with 8 bits, unsigned")
    if not photo.tile:
        return ""
    rawmode = _rawmode(photo)
    if photo.format == "PNG" and rawmode in GREY_STEP and "transparency" in photo.info:
        photo.info["transparency"] *= GREY_STEP[rawmode]
    if photo.mode == "P" and tags and max(tags[COLOUR_MAP]) < 256:  # it should have 16 bits
        photo.palette = ImagePalette.raw("RGB;L", bytes(tags[COLOUR_MAP]))
    if tags.get(PLANAR_CONFIGURATION) == 2 and len(rawmode) == 1 and 16 in _numbers(tags.get(BITS_PER_SAMPLE)):
        if photo.mode not in ("RGB", "RGBA"):
            raise ImageError(f"{photo.mode} of 16 bits in separate planes; save it with 8 bits")
        rawmode = f";16{'L' if tags.prefix == b'II' else 'B'}"
        _set_rawmode(photo, rawmode)
    return rawmode


def _rawmode(photo: Any) -> str:
    arguments = photo.tile[0][3]
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _set_rawmode(photo: Any, rawmode: str) -> None:
    """Change how Pillow takes the samples apart; that of a plane keeps its band's letter."""
    for number, (codec, extents, offset, arguments) in enumerate(photo.tile):
        if isinstance(arguments, tuple):
            band = arguments[0][0] if rawmode.startswith(";") else ""
            arguments = (band + rawmode, *arguments[1:])
        else:
            arguments = rawmode
        photo.tile[number] = type(photo.tile[number])(codec, extents, offset, arguments)


def _low_bytes(photo: Any, file: BinaryIO, decode: Callable[..., Image.Image]) -> Image.Image:
    """Return the same picture of the low bytes of its samples."""
    file.seek(0)
    again: Any
    with Image.open(file, formats=[photo.format]) as again:
        again.info.pop("transparency", None)
        rawmode = _prepare(again)
        if again.tile[0][0] == "libtiff" and again.tag_v2.get(PLANAR_CONFIGURATION) == 2:
            raise ImageError("of 16 bits in separate planes, and nearly black; save it with 8 bits")
        _set_rawmode(again, rawmode[:-1] + OTHER_END[rawmode[-1]])
        return decode(again, copies=COPIES)


def _grey(photo: Any, decode: Callable[..., Image.Image], bits: int) -> Image.Image:
    transparent = photo.info.get("transparency")
    values = np.asarray(decode(photo))
    if bits == 16:
        bits = next(fewer for fewer in BITS if values.max() < 1 << fewer)
    grey = (values >> (bits - 8)).astype(np.uint8)
    if getattr(photo, "tag_v2", {}).get(PHOTOMETRIC) == 0:  # white
        grey = ~grey
    if transparent is not None:
        grey[values == transparent] = 255
    return Image.fromarray(grey)


def _bits(high: Image.Image, band: int = 0) -> int:
    """Return the bits of a band's samples, of which these are the high bytes."""
    most = np.asarray(high.getchannel(band)).max()
    return next(bits for bits in BITS if most < 1 << bits - 8)


def _joined(high: Image.Image, low: Image.Image, bits: int) -> Image.Image:
    """Return a band of 8 bits, of its high and low bytes."""
    shifted = high.point([min(255, value << 16 - bits) for value in range(256)])
    return ImageChops.add(shifted, low.point([value >> bits - 8 for value in range(256)]))


def _equal(high: Image.Image, low: Image.Image, colour: tuple[int, ...]) -> Image.Image:
    """Return a mask of the pixels that have a colour of 16 bits."""
    wanted = [value >> 8 for value in colour] + [value & 255 for value in colour]
    bands = zip((*high.split(), *low.split()), wanted, strict=True)
    return reduce(ImageChops.darker, (band.point([255 * (byte == one) for byte in range(256)]) for band, one in bands))


def _numbers(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
