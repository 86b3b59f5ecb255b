"""Atomic files, locks, and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from cifar_edge.errors import UsageError
from cifar_edge.system.opening import BINARY, NOFOLLOW, NONBLOCK, open_ours

LONGEST = 50  # characters of a name; four bytes each, they leave room in the 255 that a file system has

LONGEST_NAME = 255  # bytes of a name, on most file systems

RANDOM = 8  # bytes of a temporary name


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path beside `path`, and rename it to `path` if the block succeeds.

    The temporary path has the same suffix and a random name, and there is an empty file: write into that. Its content
    is on the disk before the rename, so a pulled plug leaves the old file or the new one. If the block raises, the
    temporary file is removed. An `OSError` that names no other file names `path`.
    """
    partial = _beside(path)
    try:
        with _new(partial) as made:
            yield partial
            if not os.path.samestat(partial.lstat(), os.fstat(made.fileno())):
                raise OSError(errno.ESTALE, "another program has replaced it while it was written", str(path))
            os.fsync(made.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if error.filename in (None, str(partial)):
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files of one folder. They get their names when all are on the disk; if one fails, none does."""
    path, partials = Path(), {path: _beside(path) for path in contents}
    try:
        for path, content in contents.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a folder; move it away", str(path))
            with _new(partials[path]) as file:
                file.write(content)
                os.fsync(file.fileno())
        for path, partial in partials.items():
            partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what writers that were killed have left of a file in a folder, or of all files there.

    Hold the lock of that file or folder.
    """
    stem, suffix = ("*", "*") if name is None else map(glob.escape, (Path(name).stem[:LONGEST], Path(name).suffix))
    for left in folder.glob(f".{stem}.{2 * RANDOM * '[0-9a-f]'}.partial{suffix}"):
        with contextlib.suppress(OSError):
            left.unlink()


def check_writable(folder: Path) -> None:
    """Raise `UsageError` unless files can be made in a folder. Call it before long work."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise UsageError(f"{folder}: nothing can be written there ({error.strerror}); choose another folder") from error


def check_replaceable(path: Path) -> None:
    """Raise `UsageError` unless `atomic` can give this name to a file. Call it before long work."""
    check_writable(path.parent)
    try:
        about, folder = path.lstat(), path.parent.stat()
        if not stat.S_ISREG(about.st_mode):
            raise UsageError(f"{path}: not a file; write elsewhere")
        if folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, about.st_uid, folder.st_uid):
            raise UsageError(f"{path}: another user's, whom this folder protects from you; write elsewhere")
        if os.path.ismount(path):
            raise UsageError(f"{path}: is mounted, so nothing can replace it; mount its folder, or write elsewhere")
        os.close(os.open(path, os.O_WRONLY | NOFOLLOW | NONBLOCK))
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.EPERM:  # whoever asks; other reasons do not keep a file from being replaced
            raise UsageError(f"{path}: must not be changed (see `lsattr`); write elsewhere") from error


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.stem[:LONGEST]}.{secrets.token_hex(RANDOM)}.partial{path.suffix}")


def _new(partial: Path) -> BinaryIO:
    """Make a file that is not there yet, with the rights that the user's umask and the folder give to new files."""
    return os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | NOFOLLOW | BINARY, 0o666), "r+b")


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
        UsageError: another process holds it, or something else is in its place.
    """
    from filelock import FileLock, Timeout  # slow to import, and most commands lock nothing

    place = path / ".lock" if path.is_dir() else _lock_beside(path)
    # A generator may be closed by another thread than began it.
    lock = FileLock(place, timeout=0, thread_local=False)
    try:
        os.close(open_ours(place, os.O_RDWR | os.O_CREAT))
        lock.acquire()
    except Timeout:
        raise UsageError(f"{path}: another process is working on it; wait for it, or write elsewhere") from None
    except (OSError, NotImplementedError) as error:  # as on some network drives
        if isinstance(error, PermissionError) and os.path.lexists(place):
            raise UsageError(
                f"{place}: another user's run holds it; wait for that run, or delete it if there is none"
            ) from error
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes it itself, and a folder may be gone
            place.unlink()
        lock.release()


def _lock_beside(path: Path) -> Path:
    name = os.fsencode(path.name)
    if len(name) > LONGEST_NAME - len("..lock"):
        return path.with_name(f".{hashlib.sha256(name).hexdigest()}.lock")
    return path.with_name(f".{path.name}.lock")


def cache_dir() -> Path:
    """Return the folder for what can be fetched or made again: on Linux `$XDG_CACHE_HOME/cifar-edge`."""
    from platformdirs import user_cache_path

    return user_cache_path("cifar-edge", appauthor=False)
