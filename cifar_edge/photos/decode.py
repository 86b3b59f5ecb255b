"""One image file -> a small uint8 array."""

from __future__ import annotations

import errno
import io
import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from cifar_edge.errors import ImageError, UsageError
from cifar_edge.photos.colour import NOT_RGB, ink_to_srgb, to_srgb
from cifar_edge.photos.cost import SMALL, ContainerPhoto, cost_of, may_take_long_to_open
from cifar_edge.photos.repair import MOST_REPAIRED, repaired
from cifar_edge.photos.samples import decode_samples
from cifar_edge.photos.whole import is_cut_off
from cifar_edge.system.machine import MOST_FOR_A_PHOTO
from cifar_edge.system.opening import Identity, open_regular

PILLOW = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""Formats that Pillow opens; those in a container are opened by `photos.heif`."""

FORMATS = (*PILLOW, "HEIC", "AVIF")

SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".png"),
    *(".tif", ".tiff", ".webp"),
)

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that makes a photo upright, by EXIF orientation (JEITA CP-3451, 4.6.4); 1 is upright."""

FITS = ("crop", "pad", "stretch")

FIT = "stretch"
"""The default: the best on real photos of CIFAR-10's classes; `benchmarks/README.md` compares them."""

# Pixels of the reduced image for one of the result. Fewer would change what the network says of some
# photos, and save little: 1/8 is the smallest scale there is, and 12 megapixels get it.
REDUCED = 8

# Pillow judges a photo by its size in pixels, before it is known at which scale it will be decoded: it would refuse a
# JPEG of 200 megapixels, which is cheap, and accept a PNG of 170, which takes 2.7 GB. `cost_of` judges instead.
Image.MAX_IMAGE_PIXELS = None

WHITE = 255


class SlowPhotoError(ImageError):
    """To decode a photo may take longer than the caller can wait; nothing has been decoded."""


def load(
    path: str | Path | BinaryIO,
    height: int,
    width: int,
    fit: str = FIT,
    exif_thumbnails: bool = False,
    reduced: int = REDUCED,
    memory: float = MOST_FOR_A_PHOTO,
    work: float = math.inf,
    seen: Identity | None = None,
) -> NDArray[np.uint8]:
    """Read a photo for a network: upright, resized, sRGB.

    Each pixel is the average of its area. JPEGs are decoded at the smallest DCT scale that still
    has `reduced` times the wanted size. A photo without a readable
    orientation is taken as upright. Transparent parts become white. Of several pictures in a file, the first counts.

    Args:
        path: a file in one of `FORMATS`, its suffix does not matter; or an open file.
        height: wanted, in pixels.
        width: wanted, in pixels.
        fit: what to do with another aspect ratio: "crop" takes the centre, "pad" adds white on two
            sides, "stretch" distorts.
        exif_thumbnails: take the camera's thumbnail, if its aspect ratio is the photo's and it is large enough; then
            only the head of the file is read.
        reduced: smaller values are faster; fewer than `REDUCED` are good enough for eyes.
        memory: bytes that decoding may take.
        work: that decoding may take, see `Cost`; for those who cannot stop it.
        seen: from `system.opening.look`; the path has to lead to that file, unchanged.

    Returns:
        uint8, (height, width, 3), sRGB; of a photo in another colour space by its ICC profile.

    Raises:
        ImageError: the file is no image, damaged, or too large to decode.
        SlowPhotoError: it may take more than `work`.
        UsageError: there is no such fit.
    """
    check_fit(fit)

    def pixels(file: BinaryIO) -> NDArray[np.uint8]:
        with open_photo(file) as photo:
            wanted = reduced * width, reduced * height
            decoded = partial(decode, wanted=wanted, memory=memory, work=work)
            image = _thumbnail(photo, height, width, decoded) if exif_thumbnails else None
            if image is None:
                image = _whole(photo, file, decoded)
            image = _upright(image, photo)
            rgb = ink_to_srgb(image, photo.info, wanted) if image.mode in NOT_RGB else _to_rgb(image)
            return to_srgb(_fit(rgb, height, width, fit), image.mode, photo.info)

    try:
        with _open(path, work, seen) as file:
            try:
                return pixels(file)
            except ImageError:
                raise
            except Exception as error:  # something beside the pixels may be all that is damaged
                if (whole := _repaired(file, pixels)) is not None:
                    return whole
                if isinstance(error, UnidentifiedImageError):
                    raise ImageError(_what_it_is(file)) from error
                raise
    except ImageError:
        raise
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise ImageError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from error


def open_photo(file: BinaryIO) -> Image.Image:
    """Open a photo in one of `FORMATS`, without its pixels; its suffix does not matter."""
    photo = None
    if _is_container(file):
        from cifar_edge.photos import heif  # few folders need it

        photo = heif.opened(file)
    return photo or Image.open(file, formats=PILLOW)


def _is_container(file: BinaryIO) -> bool:
    """Tell whether a file is a container of ISO/IEC 14496-12, as HEIC, AVIF and videos are."""
    file.seek(0)
    start = file.read(8)
    file.seek(0)
    return start.endswith(b"ftyp")


def is_photo(name: str) -> bool:
    """Tell from its suffix whether a file in a folder, or an object in a bucket, is a photo."""
    return name.lower().endswith(SUFFIXES)


def check_fit(fit: str) -> None:
    """Raise `UsageError` if there is no such fit."""
    if fit not in FITS:
        raise UsageError(f"fit {fit!r}: must be one of {', '.join(FITS)}")


def _open(path: str | Path | BinaryIO, work: float, seen: Identity | None) -> BinaryIO:
    if not isinstance(path, str | Path):
        return _if_quick_to_open(path, path.seek(0, os.SEEK_END), work)
    try:
        descriptor = open_regular(path, seen)
    except OSError as error:
        if error.errno != errno.EINVAL or not os.path.isdir(path):  # noqa: PTH112 - as quick as can be
            raise
        link = os.path.islink(path)  # noqa: PTH114
        raise ImageError(
            "a link to a folder, which is not followed" if link else "a folder that cannot be listed"
        ) from error
    size = os.fstat(descriptor).st_size
    if size > SMALL:
        return _if_quick_to_open(os.fdopen(descriptor, "rb"), size, work)
    # Without a file object too, whose making and closing ask for Python's lock again and again.
    try:
        return _if_quick_to_open(io.BytesIO(os.read(descriptor, size)), size, work)
    finally:
        os.close(descriptor)


def _repaired(file: BinaryIO, pixels: Callable[[BinaryIO], NDArray[np.uint8]]) -> NDArray[np.uint8] | None:
    """Return the pixels of a file that is damaged beside them; None if they are damaged too."""
    file.seek(0)
    content = file.read(MOST_REPAIRED + 1)
    if len(content) > MOST_REPAIRED:
        return None
    try:
        versions = [pixels(io.BytesIO(version)) for version in repaired(content)]
    except SlowPhotoError:
        raise
    except Exception:  # as in `load`
        return None
    return versions[0] if versions and all(np.array_equal(versions[0], other) for other in versions) else None


def _whole(photo: Image.Image, file: BinaryIO, decoded: Callable[..., Image.Image]) -> Image.Image:
    """Return a photo decoded; raise `OSError` if pixels are missing."""
    if isinstance(photo, ContainerPhoto):
        return decoded(photo)
    if is_cut_off(photo, file):
        raise OSError("truncated: ends in zeros where pixels belong; copy it again")
    return decode_samples(photo, file, decoded)


def _what_it_is(file: BinaryIO) -> str:
    """Return why Pillow does not open a file."""
    file.seek(0)
    if file.read(4) in (b"II*\0", b"MM\0*"):
        return "a TIFF that is damaged or of an unusual kind; save it again, as RGB of 8 bits"
    return f"not an image ({', '.join(FORMATS)})"


def _if_quick_to_open(file: BinaryIO, size: int, work: float) -> BinaryIO:
    file.seek(0)
    # A container may say anything of its pixels, and crash their decoder: always a matter for a process of its own.
    if work < math.inf and (_is_container(file) or may_take_long_to_open(file, size)):
        file.close()
        raise SlowPhotoError("may take long to decode")
    return file


def decode(
    image: Image.Image,
    wanted: tuple[int, int],
    memory: float = MOST_FOR_A_PHOTO,
    work: float = math.inf,
    copies: int = 1,
) -> Image.Image:
    """Return an image with its pixels, of a JPEG at the smallest scale that still has the wanted (width, height).

    Args:
        image: opened.
        wanted: width and height, in pixels.
        memory: bytes that decoding may take.
        work: that it may take, see `Cost`.
        copies: of the pixels that are in memory at a time.

    Raises:
        ImageError: that takes more bytes than `memory`, or it is a JPEG of too many scans.
        SlowPhotoError: that takes more than `work`.
    """
    pixels = image.width * image.height
    image.draft("RGB", wanted)
    cost = cost_of(image, pixels)
    if (needed := copies * cost.memory) > memory:
        raise ImageError(
            f"too large: to decode it takes {needed / 1e6:,.0f} MB, a photo may take {memory / 1e6:,.0f} MB here; "
            "fewer --workers leave more for each, or make it smaller"
        )
    if cost.work > work:
        raise SlowPhotoError("may take long to decode")
    image.load()
    return image


def _thumbnail(
    photo: Image.Image, height: int, width: int, decoded: Callable[[Image.Image], Image.Image]
) -> Image.Image | None:
    """Return a thumbnail that a photo's file holds, decoded; None if none will do."""
    try:
        for thumbnail in _thumbnails(photo):
            # Of a picture with bars at two sides, or from before an edit, the aspect ratio is off by more than a pixel.
            skew = abs(thumbnail.width * photo.height - thumbnail.height * photo.width)
            fits = width <= thumbnail.width <= photo.width and height <= thumbnail.height <= photo.height
            if fits and skew <= max(photo.size):
                return decoded(thumbnail)
    except Exception:  # what is wrong with it does not matter, the photo itself is there
        return None
    return None


def _thumbnails(photo: Image.Image) -> Iterator[Image.Image]:
    """Return thumbnails, opened: those of a HEIC or AVIF, else the one in the EXIF data (JEITA CP-3451, 4.5.4)."""
    if isinstance(photo, ContainerPhoto):
        return photo.thumbnails()
    place = photo.getexif().get_ifd(ExifTags.IFD.IFD1)
    start, size = (int(place[tag]) for tag in (ExifTags.Base.JpegIFOffset, ExifTags.Base.JpegIFByteCount))
    content = photo.info["exif"].removeprefix(b"Exif\0\0")[start : start + size]
    return iter([Image.open(io.BytesIO(content), formats=["JPEG"])])


def _upright(image: Image.Image, photo: Image.Image) -> Image.Image:
    """Turn an image, which is a photo or its thumbnail, as the photo's metadata say."""
    if not photo.info:  # as in many tiny files, for which the rest of this takes long
        return image
    try:
        orientation = photo.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged metadata must not cost a photo
        return image
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ImageError("pixels of 32 bits, whose black and white are unknown; save it with 8 or 16")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _fit(image: Image.Image, height: int, width: int, fit: str) -> NDArray[np.uint8]:
    if image.size == (width, height):
        return np.asarray(image)
    scales = image.width / width, image.height / height
    if fit == "pad":
        inner_width, inner_height = (max(1, round(side / max(scales))) for side in image.size)
        x, y = (width - inner_width) // 2, (height - inner_height) // 2
        padded = np.full((height, width, 3), WHITE, np.uint8)
        inner = _resize(image, (0, 0, *image.size), inner_height, inner_width)
        padded[y : y + inner_height, x : x + inner_width] = inner
        return padded
    across, down = image.size if fit == "stretch" else (width * min(scales), height * min(scales))
    left, top = (image.width - across) / 2, (image.height - down) / 2
    return _resize(image, (left, top, left + across, top + down), height, width)


def _resize(image: Image.Image, box: tuple[float, float, float, float], height: int, width: int) -> NDArray[np.uint8]:
    """Average down what is in a box (left, top, right, bottom), or interpolate it up."""
    scale = min((box[2] - box[0]) / width, (box[3] - box[1]) / height)
    if scale <= 1:
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box))
    block = max(1, int(scale / REDUCED))
    pixels = np.asarray(image.reduce(block))
    left, top, right, bottom = (edge / block for edge in box)
    columns = np.ascontiguousarray(_means(pixels, top, bottom, height).swapaxes(0, 1))
    return np.rint(_means(columns, left, right, width).swapaxes(0, 1)).astype(np.uint8)


def _means(pixels: NDArray[Any], start: float, stop: float, count: int) -> NDArray[np.float32]:
    """Average along the first axis, from `start` to `stop`, to `count` values; a pixel on a border counts in part.

    Pillow's BOX takes each pixel whole or not at all, which is far off where a value stands for a few pixels.
    """
    borders = np.linspace(start, stop, count + 1)
    whole = np.minimum(borders.astype(int), len(pixels) - 1)
    parts = (borders - whole).astype(np.float32)[:, None, None] * pixels[whole]
    # Band by band: `np.add.reduceat` takes twice as long.
    sums = np.stack([pixels[first:last].sum(axis=0, dtype=np.float32) for first, last in pairwise(whole)])
    means: NDArray[np.float32] = (sums - parts[:-1] + parts[1:]) * np.float32(count / (stop - start))
    return means
