"""HEIC and AVIF photos, opened as Pillow opens others; imported when the first such file is seen."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from PIL import AvifImagePlugin, ExifTags, Image

from cifar_edge.errors import ImageError
from cifar_edge.photos.boxes import HEAD, Container, Turn, brands
from cifar_edge.photos.cost import ContainerPhoto

HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
AVIF_BRANDS = {b"avif", b"avis"}
"""Codecs, as ISO/IEC 23008-12 (annex B) and the AVIF specification name them."""

SAMPLES = {420: 1.5, 422: 2.0, 444: 3.0}
"""Samples for each pixel, by chroma subsampling; a grey picture has 1."""

AVIF_PIXEL = 13
"""Bytes that decoding takes for a pixel of an AVIF, as measured: transparent, without subsampling."""

BAND = 1 << 20
"""Bytes of decoded pixels that are reduced at once."""


class _Photo(ContainerPhoto):
    """A photo whose container says what is up and what is cropped: its EXIF orientation does not count."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content, self._container = content, Container(content)
        self._block, self._is_loaded = 1, False
        self._open()

    def _open(self) -> None:
        """Find out size, mode, metadata and memory."""
        raise NotImplementedError

    def _decoded(self) -> Image.Image:
        """Return the pixels, reduced by `_block`."""
        raise NotImplementedError

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> None:
        """Have it reduced by 1, 2, 4 or 8, as a JPEG, so that it is at least `size`, (width, height)."""
        del mode
        if size:
            across, down = self.size
            most = min(across // size[0], down // size[1])
            self._block = next((block for block in (8, 4, 2) if block <= most), 1)
            self._size = (-(-across // self._block), -(-down // self._block))

    def load(self) -> Any:
        """Decode the photo, unless that is done."""
        if not self._is_loaded:
            self.im, self._is_loaded = self._decoded().im, True
        return super().load()

    def getexif(self) -> Image.Exif:
        """Return the EXIF data without the orientation."""
        exif = super().getexif()
        exif.pop(ExifTags.Base.Orientation, None)
        return exif

    def thumbnails(self) -> Iterator[Image.Image]:
        """Yield the container's own thumbnails, opened, the smallest first."""
        return map(type(self), self._container.thumbnails(self._content))


class HeicPhoto(_Photo):
    """A photo that libheif decodes, turned and cropped by it."""

    format = "HEIC"

    def _open(self) -> None:
        self._container.check_whole(self._content)
        self._heif = heif = _libheif().open_heif(self._content)
        if not len(heif) or not heif.info["primary"]:  # what is left is another picture of the file, such as a tile
            raise ImageError("damaged, or of no kind of HEIC that libheif can read")
        self.info = {key: value for key, value in heif.info.items() if value is not None}
        self._size, self._mode = heif.size, heif.mode
        chroma, deep = self.info.get("chroma", 0), 1 + (self.info["bit_depth"] > 8)
        planes = deep * (SAMPLES.get(chroma, 1.0) + heif.has_alpha)
        more = len(heif.mode) + (3 * deep if chroma == 422 else 0)  # which alone is made 4:4:4 on the way
        # What is decoded at once, the photo or a tile, is held twice: by the decoder and by libheif.
        area, tiles = self.width * self.height, self._container.tiles()
        tile = max((across * down for across, down in tiles), default=area)
        self.memory = planes * ((area if tiles else 0) + 2 * tile) + more * area + len(self._content)

    def _decoded(self) -> Image.Image:
        pixels, stride, (width, height) = self._heif.data, self._heif.stride, self._heif.size
        if (-(-width // self._block), -(-height // self._block)) != self.size:
            raise ImageError("damaged: its pixels are more or fewer than it says")
        # Band by band: as a whole, Pillow's pixels would nearly double the memory.
        reduced = Image.new(self.mode, self.size)
        rows = self._block * max(1, BAND // (stride * self._block))
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            part = bytes(pixels[top * stride : bottom * stride])
            band = Image.frombuffer(self.mode, (width, bottom - top), part, "raw", self.mode, stride, 1)
            reduced.paste(band.reduce(self._block), (0, top // self._block))
        del pixels, self._heif  # in this order: they are libheif's memory
        return reduced


class AvifPhoto(_Photo):
    """A photo that Pillow decodes, but neither turns nor crops."""

    format = "AVIF"

    def _open(self) -> None:
        self._container.check_whole(self._content)
        self._photo = photo = AvifImagePlugin.AvifImageFile(io.BytesIO(self._content))
        self._turn = turn = self._container.photo.turn
        self._box = left, top, right, bottom = turn.crop or (0, 0, *photo.size)
        size = (right - left, bottom - top)
        self.info, self._size, self._mode = photo.info, size[::-1] if turn.quarters % 2 else size, photo.mode
        self.memory = AVIF_PIXEL * photo.width * photo.height + len(self._content)

    def _decoded(self) -> Image.Image:
        self._photo.load()
        return _turned(self._photo.reduce(self._block, self._box), self._turn)


def opened(file: BinaryIO) -> Image.Image | None:
    """Open a HEIC or AVIF photo; return None if such a container holds something else, as that of a video.

    Raises:
        ImageError: it is damaged, or nothing here can read HEIC.
    """
    file.seek(0)
    codecs = brands(file.read(HEAD))
    file.seek(0)
    if not codecs & (HEIC_BRANDS | AVIF_BRANDS):
        return None
    if codecs & AVIF_BRANDS:
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # as many photos are decoded as there are processors
        return AvifPhoto(file.read())
    return HeicPhoto(file.read())


def _libheif() -> Any:
    try:
        import pi_heif as library
    except ImportError:
        try:
            import pillow_heif as library  # the same, with an encoder that is under the GPL
        except ImportError:
            raise ImageError(
                "HEIC, which needs a package that has no wheel for this computer: try `pip install pillow-heif`, or "
                "save it as JPEG"
            ) from None
    options = library.options
    options.DECODE_THREADS = 0  # as for AVIF; 0 is the calling thread
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    return library


def _turned(image: Image.Image, turn: Turn) -> Image.Image:
    quarters = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    if turn.quarters:
        image = image.transpose(quarters[turn.quarters - 1])
    if turn.mirror is None:
        return image
    return image.transpose((Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_LEFT_RIGHT)[turn.mirror])
