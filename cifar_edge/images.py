"""One image file -> a small uint8 array."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from cifar_edge.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))

# Less is not faster for photos of a megapixel or more (1/8 is the smallest scale there is), and coarser.
REDUCED = 4


def load(path: str | Path, height: int, width: int) -> NDArray[np.uint8]:
    """Read a photo as the network wants it: upright, cropped to the centre, scaled, RGB.

    JPEGs are decoded at the smallest DCT scale that still has `REDUCED` times the wanted size.
    Transparent parts become white; of an animation or a document the first picture counts.

    Args:
        path: a file in one of `FORMATS`, whatever its name.
        height: wanted, in pixels.
        width: wanted, in pixels.

    Returns:
        uint8, (height, width, 3), RGB.

    Raises:
        ImageError: it is no such file, or damaged.
    """
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
            raise ImageError("a folder that cannot be listed" if stat.S_ISDIR(mode) else "not a regular file")
        with Image.open(path, formats=FORMATS) as image:
            image.draft("RGB", (REDUCED * width, REDUCED * height))
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(_flatten(_fit(_to_8_bit(image), height, width)))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"not an image ({', '.join(FORMATS)})") from None
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise ImageError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from error


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Return an image of 8-bit channels that can be averaged: RGB, or RGBA if parts are transparent."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageError("pixels of 32 bits, whose black and white are unknown; save it with 8 or 16")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _fit(image: Image.Image, height: int, width: int) -> Image.Image:
    """Crop the centre to the wanted aspect ratio and average it down (or interpolate it up)."""
    scale = min(image.width / width, image.height / height)
    crop_width, crop_height = width * scale, height * scale
    left, top = (image.width - crop_width) / 2, (image.height - crop_height) / 2
    resample = Image.Resampling.BOX if scale > 1 else Image.Resampling.BILINEAR
    return image.resize((width, height), resample, (left, top, left + crop_width, top + crop_height))


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    white: Any = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
