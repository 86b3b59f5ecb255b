"""Files that are complete under their name, or not there; files of one process alone."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path with the same suffix beside `path`; rename it to `path` if the block succeeds.

    The content is on the disk before the rename, so a pulled plug leaves the old file or the new
    one. If the block raises, what it wrote is removed; an `OSError` without a file name gets that
    of `path`.
    """
    partial = path.with_name(f".{path.stem[:50]}.partial{path.suffix}")  # a name may have 255 bytes
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk, as `os.fsync` does for the content of a file."""
    if sys.platform == "win32":  # cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(descriptor: int) -> bool:
    """Tell whether no other process holds this open file; it is ours until closed."""
    if sys.platform == "win32":  # has no such locks
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
