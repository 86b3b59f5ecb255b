"""One image file -> a small uint8 array."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from cifar_edge.errors import ImageError, UsageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))

FITS = ("crop", "pad", "stretch")

# Less is not faster for photos of a megapixel or more (1/8 is the smallest scale there is), and coarser.
REDUCED = 4

SMALL = 1 << 16  # bytes; to read such a file at once is cheaper than to seek in it
PADDING = "white"  # as transparent parts


def load(
    path: str | Path, height: int, width: int, fit: str = "crop", exif_thumbnails: bool = False
) -> NDArray[np.uint8]:
    """Read a photo as the network wants it: upright, of its size, RGB.

    JPEGs are decoded at the smallest DCT scale that still has `REDUCED` times the wanted size.
    Transparent parts become white; of an animation or a document the first picture counts.

    Args:
        path: a file in one of `FORMATS`, whatever its name.
        height: wanted, in pixels.
        width: wanted, in pixels.
        fit: what to do with another aspect ratio: "crop" takes the centre, "pad" adds white on two
            sides, "stretch" distorts.
        exif_thumbnails: take the thumbnail that a camera puts into a photo's head, if its aspect ratio
            is the photo's and it is no smaller than wanted; then only the head of the file is read.

    Returns:
        uint8, (height, width, 3), RGB.

    Raises:
        ImageError: it is no such file, or damaged.
        UsageError: there is no such fit.
    """
    if fit not in FITS:
        raise UsageError(f"fit {fit!r}: must be one of {', '.join(FITS)}")
    try:
        with _open(path) as file, Image.open(file, formats=FORMATS) as photo:
            image = exif_thumbnails and _thumbnail(photo, height, width) or photo
            image.draft("RGB", (REDUCED * width, REDUCED * height))
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(_fit(_to_8_bit(image), height, width, fit))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"not an image ({', '.join(FORMATS)})") from None
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise ImageError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from error


def _open(path: str | Path) -> BinaryIO:
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):  # opening a pipe would wait for ever
        raise ImageError("a folder that cannot be listed" if stat.S_ISDIR(about.st_mode) else "not a regular file")
    if about.st_size > SMALL:
        return open(path, "rb")
    with open(path, "rb", buffering=0) as file:
        return io.BytesIO(file.read(SMALL))


def _thumbnail(photo: Image.Image, height: int, width: int) -> Image.Image | None:
    """Return the thumbnail in a photo's EXIF data (JEITA CP-3451, 4.5.4), decoded; None if it will not do."""
    exif = photo.getexif()
    place = exif.get_ifd(ExifTags.IFD.IFD1)
    try:
        start, size = (int(place[tag]) for tag in (ExifTags.Base.JpegIFOffset, ExifTags.Base.JpegIFByteCount))
        content = photo.info["exif"].removeprefix(b"Exif\0\0")[start : start + size]
        thumbnail = Image.open(io.BytesIO(content), formats=["JPEG"])
        # Of a picture with bars at two sides, or from before an edit, the aspect ratio is off by more than a pixel.
        skew = abs(thumbnail.width * photo.height - thumbnail.height * photo.width)
        if skew > max(photo.size) or thumbnail.width < width or thumbnail.height < height:
            return None
        thumbnail.load()
    except Exception:  # what is wrong with it does not matter, the photo itself is there
        return None
    thumbnail.getexif()[ExifTags.Base.Orientation] = exif.get(ExifTags.Base.Orientation, 1)
    return thumbnail


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Return an image of 8-bit channels that can be averaged: RGB, or RGBA if parts are transparent."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageError("pixels of 32 bits, whose black and white are unknown; save it with 8 or 16")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _fit(image: Image.Image, height: int, width: int, fit: str) -> Image.Image:
    """Bring an image to the wanted size, averaging it down (or interpolating it up), and make it RGB."""
    if image.size == (width, height):
        return _flatten(image)
    scales = image.width / width, image.height / height
    scale = max(scales) if fit == "pad" else min(scales)
    resample = Image.Resampling.BOX if scale > 1 else Image.Resampling.BILINEAR
    if fit == "pad":
        size = max(1, round(image.width / scale)), max(1, round(image.height / scale))
        padded = Image.new("RGB", (width, height), PADDING)
        padded.paste(_flatten(image.resize(size, resample)), ((width - size[0]) // 2, (height - size[1]) // 2))
        return padded
    across, down = (image.width, image.height) if fit == "stretch" else (width * scale, height * scale)
    left, top = (image.width - across) / 2, (image.height - down) / 2
    return _flatten(image.resize((width, height), resample, (left, top, left + across, top + down)))


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
