"""Decoded photos on the disk, so that each is decoded once."""

from __future__ import annotations

import calendar
import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import ExifTags, Image

from cifar_edge import __version__
from cifar_edge.errors import DataError, ImageError
from cifar_edge.photos.cost import may_take_long_to_open
from cifar_edge.photos.decode import REDUCED, open_photo
from cifar_edge.photos.own_process import TIMEOUT, Reader
from cifar_edge.system.files import atomic, cache_dir, only_process, remove_leftovers
from cifar_edge.system.machine import photo_memory
from cifar_edge.system.opening import Identity, look, open_ours, open_same

DIGEST = 64  # hexadecimal digits of SHA-256
PIECE = 1 << 20  # bytes read at once
AHEAD = 4  # photos that each thread may be ahead of what is written
DURABLE = 1.0  # seconds after which decoded photos are on the disk

INDEX = "files.json"


class File(NamedTuple):
    """A photo's file as it was read.

    Attributes:
        seen: tells whether it has changed since.
        digest: SHA-256 of its content, in hexadecimal.
        width: of the upright photo, in pixels; 0 if it is not known.
        height: of the upright photo, in pixels; 0 if it is not known.
        taken: by its EXIF data, in seconds of the camera's clock; None if it is not known.
    """

    seen: Identity
    digest: str
    width: int
    height: int
    taken: float | None


class Frame(NamedTuple):
    """How photos are decoded: `size` by `size` pixels; for `fit` and `reduced` see `photos.decode.load`."""

    size: int
    fit: str
    reduced: int = REDUCED


class Store:
    """Decoded photos of one frame in a file, each under the digest of its photo's content.

    Whatever is added is at the end. A digest is written when its pixels are on the disk, so what a killed process
    leaves is either whole or not counted.
    """

    def __init__(self, folder: Path, frame: Frame) -> None:
        self.frame = frame
        name = "-".join(map(str, frame))
        self._paths = folder / f"{name}.pixels", folder / f"{name}.digests"
        self._shape = (frame.size, frame.size, 3)
        self.bytes_each = 3 * frame.size**2
        self._new: list[tuple[str, bytes]] = []
        with self._open() as (pixels, digests):
            whole = min(_size(pixels) // self.bytes_each, _size(digests) // (DIGEST + 1))
            lines = digests.read(whole * (DIGEST + 1)).decode().split()
            pixels.truncate(whole * self.bytes_each)
            digests.truncate(whole * (DIGEST + 1))
        self._slots = {digest: slot for slot, digest in enumerate(lines)}

    def __contains__(self, digest: str) -> bool:
        """Tell whether a photo's pixels are here."""
        return digest in self._slots

    def add(self, digest: str, pixels: NDArray[np.uint8]) -> None:
        """Add a photo; it is on the disk after `flush`."""
        if digest not in self._slots:
            self._slots[digest] = len(self._slots)
            self._new.append((digest, pixels.tobytes()))

    def flush(self) -> None:
        """Write what was added to the disk."""
        if not self._new:
            return
        new, self._new = self._new, []
        names, contents = zip(*new, strict=True)
        with self._open() as files:
            added = (b"".join(contents), "".join(f"{name}\n" for name in names).encode())
            for file, path, content in zip(files, self._paths, added, strict=True):
                try:
                    file.seek(0, os.SEEK_END)
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError as error:
                    error.filename = str(path)
                    raise

    def images(self, digests: Sequence[str]) -> Images:
        """Return the pixels of photos, in this order, as they lie on the disk."""
        if not digests:
            return Images(np.zeros((0, *self._shape), np.uint8), np.zeros(0, np.int64))
        count = self._paths[0].stat().st_size // self.bytes_each
        pixels = np.memmap(self._paths[0], np.uint8, mode="r", shape=(count, *self._shape))
        return Images(pixels, np.array([self._slots[digest] for digest in digests], np.int64))

    @contextlib.contextmanager
    def _open(self) -> Iterator[list[BinaryIO]]:
        with contextlib.ExitStack() as both:
            descriptors = [open_ours(path, os.O_RDWR | os.O_CREAT) for path in self._paths]
            yield [both.enter_context(os.fdopen(descriptor, "r+b")) for descriptor in descriptors]


class Images:
    """Pixels of photos on the disk: uint8, (N, size, size, 3), RGB. Only what is asked for is in memory.

    images[[0, 5]]  # (2, size, size, 3)
    """

    def __init__(self, pixels: NDArray[np.uint8], slots: NDArray[np.int64]) -> None:
        self._pixels, self._slots = pixels, slots
        self.shape = (len(slots), *pixels.shape[1:])

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self._slots)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """Return a copy of the pixels of several photos."""
        chosen: NDArray[np.uint8] = np.asarray(self._pixels[self._slots[indices]])
        return chosen


def cache_for(directory: Path) -> Path:
    """Return the folder for what is decoded of a directory's photos, by this version of the decoder."""
    key = "\0".join([os.path.realpath(directory), __version__, PIL.__version__])
    return cache_dir() / "photos" / hashlib.sha256(os.fsencode(key)).hexdigest()[:16]


def decode_all(
    paths: Sequence[str],
    frames: Sequence[Frame],
    folder: Path,
    workers: int,
    advance: Callable[[], None] = lambda: None,
) -> tuple[list[Store], dict[str, File], dict[str, str]]:
    """Decode the photos that are not in a cache yet, several at a time.

    A photo that has neither changed in size nor in time is not read again; one that has is decoded again if its
    content has changed too. If it is stopped, the next call goes on from there.

    Args:
        paths: of photos.
        frames: each has a store of its own.
        folder: of the cache.
        workers: threads that decode.
        advance: called after each photo.

    Returns:
        A store for each frame; the files of the readable photos; reasons why the others are not.

    Raises:
        DataError: there is no room for the cache.
        UsageError: another process is filling it.
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with only_process(folder):
        remove_leftovers(folder)
        stores = [Store(folder, frame) for frame in frames]
        known = _read_index(folder / INDEX)
        _check_room(folder, paths, stores, known)
        files: dict[str, File] = {}
        reasons: dict[str, str] = {}
        try:
            with contextlib.closing(_in_parallel(paths, _Decoder(stores, known, workers), workers)) as results:
                for path, result in results:
                    if isinstance(result, str):
                        reasons[path] = result
                    else:
                        files[path], pixels = result
                        for store, decoded in zip(stores, pixels, strict=True):
                            if decoded is not None:
                                store.add(files[path].digest, decoded)
                    advance()
        finally:
            _write_index(folder / INDEX, known | files)
    return stores, files, reasons


Decoding: TypeAlias = tuple[File, list[NDArray[np.uint8] | None]] | str
"""A file with its pixels for each store that lacks them; or the reason why it cannot be read."""


class _Decoder:
    """Reads a file, and decodes it for the stores that lack it."""

    def __init__(self, stores: Sequence[Store], known: Mapping[str, File], workers: int) -> None:
        self.stores, self._known = stores, known
        memory = photo_memory(workers)
        self._readers = [
            Reader(TIMEOUT, height=size, width=size, fit=fit, reduced=reduced, memory=memory)
            for size, fit, reduced in (store.frame for store in stores)
        ]

    def __call__(self, path: str) -> Decoding:
        try:
            seen = look(path)
            if seen is None:
                return os.strerror(errno.ENOENT)
            file = self._known.get(path)
            if file and file.seen != seen:
                file = None
            digest = file.digest if file else _digest(path, seen)
            pixels = [
                None if digest in store else read(path, seen=seen)
                for store, read in zip(self.stores, self._readers, strict=True)
            ]
            return file or File(seen, digest, *_about(path, seen)), pixels
        except ImageError as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


def _in_parallel(paths: Sequence[str], decoder: _Decoder, workers: int) -> Generator[tuple[str, Decoding], None, None]:
    """Yield paths and their results in order, and flush the stores every now and then."""
    waiting: deque[tuple[str, Future[Decoding]]] = deque()
    flushed = time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for path in (*paths, *[None] * (AHEAD * workers)):
                if path is not None:
                    waiting.append((path, pool.submit(decoder, path)))
                if waiting and (path is None or len(waiting) >= AHEAD * workers):
                    done, future = waiting.popleft()
                    yield done, future.result()
                if time.monotonic() - flushed > DURABLE:
                    for store in decoder.stores:
                        store.flush()
                    flushed = time.monotonic()
        finally:
            decoder.close()
            pool.shutdown(wait=True, cancel_futures=True)
            for store in decoder.stores:
                store.flush()


def _digest(path: str, seen: Identity) -> str:
    digest = hashlib.sha256()
    with open_same(path, seen) as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _about(path: str, seen: Identity) -> tuple[int, int, float | None]:
    """Return width and height of the upright photo in pixels, and when it was taken."""
    try:
        with open_same(path, seen) as file:
            if may_take_long_to_open(file, _size(file)):
                return 0, 0, None
            file.seek(0)
            with open_photo(file) as photo:
                width, height = photo.size
                exif = photo.getexif()
                if exif.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8):  # a quarter turn
                    width, height = height, width
                return width, height, _taken(exif)
    except Exception:  # a damaged head, though its pixels could be read
        return 0, 0, None


def _taken(exif: Image.Exif) -> float | None:
    """Return when a photo was taken, in seconds of the camera's clock (JEITA CP-3451, 4.6.5)."""
    text = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
    try:
        return float(calendar.timegm(time.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")))
    except ValueError:
        return None


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _check_room(folder: Path, paths: Sequence[str], stores: Sequence[Store], known: Mapping[str, File]) -> None:
    digests = [known[path].digest if path in known else "" for path in paths]
    needed = sum(store.bytes_each * sum(digest not in store for digest in digests) for store in stores)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder}: no room for the decoded photos, which take {needed / 1e6:,.0f} MB where {free / 1e6:,.0f} MB "
            "are free; make room, or set XDG_CACHE_HOME to a folder on a larger disk"
        )


def _read_index(path: Path) -> dict[str, File]:
    """Return what is known of files; nothing if there is no index, or none that can be read."""
    try:
        with os.fdopen(open_ours(path, os.O_RDONLY), "rb") as file:
            return {name: File(Identity(*seen), *rest) for name, (seen, *rest) in json.load(file).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_index(path: Path, files: Mapping[str, File]) -> None:
    with atomic(path) as partial:
        partial.write_text(json.dumps(files))
