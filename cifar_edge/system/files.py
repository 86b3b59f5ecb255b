"""Atomic files, locks, and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from cifar_edge.errors import UsageError

LONGEST = 50  # characters of a name; four bytes each, they leave room in the 255 that a file system has


@contextlib.contextmanager
def atomic(path: Path, writer: str = "") -> Iterator[Path]:
    """Write a file atomically: yield a temporary path beside `path`, and rename it to `path` if the block succeeds.

    The temporary path has the same suffix. Its content is on the disk before the rename, so a pulled plug leaves the
    old file or the new one. If the block raises, the temporary file is removed. An `OSError` without a file name
    gets that of `path`. Give each of several concurrent writers of `path` its own `writer`.
    """
    partial = _partial(path, writer)
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files of one folder. They get their names when all are on the disk; if one fails, none does."""
    path = Path()
    try:
        for path, content in contents.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a folder; move it away", str(path))
            _partial(path).write_bytes(content)
            _sync(_partial(path))
        for path in contents:
            _partial(path).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        for path in contents:
            _partial(path).unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raise `UsageError` unless files can be made in a folder. Call it before long work."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise UsageError(f"{folder}: nothing can be written there ({error.strerror}); choose another folder") from error


def _partial(path: Path, writer: str = "") -> Path:
    name = path.stem
    if len(name) > LONGEST:
        name = f"{name[: LONGEST // 2]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
    return path.with_name(f".{name}{writer}.partial{path.suffix}")


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, as `os.fsync` flushes the content of a file."""
    if sys.platform == "win32":  # cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network drives do not support it
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def only_process(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder against other processes; it ends with this process, however that ends.

    The lock is a hidden file beside a file, or in a folder. Where a file system knows no locks, there is none.

    Raises:
        UsageError: another process holds it.
    """
    from filelock import FileLock, Timeout  # slow to import, and most commands lock nothing

    place = path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock")
    # A generator may be closed by another thread than began it.
    lock = FileLock(place, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"{path}: another process is working on it; wait for it, or write elsewhere") from None
    except (OSError, NotImplementedError):  # as on some network drives
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes it itself, and a folder may be gone
            place.unlink()
        lock.release()


def cache_dir() -> Path:
    """Return the folder for what can be fetched or made again: on Linux `$XDG_CACHE_HOME/cifar-edge`."""
    from platformdirs import user_cache_path

    return user_cache_path("cifar-edge", appauthor=False)
