"""Open files that others may have replaced or planted: nothing waits, and what was opened is what is checked."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cifar_edge.errors import UsageError

# Windows has none of these, and nothing there that they protect from.
NOFOLLOW, NONBLOCK, BINARY = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))

RENUMBERED = ("vfat", "msdos", "exfat", "fuseblk")
"""File systems of sticks and cards, which give a file another inode number from time to time. They have no links."""


class Identity(NamedTuple):
    """A file as it was at some time."""

    device: int
    inode: int
    size: int  # bytes
    modified: int  # nanoseconds


def look(path: str) -> Identity | None:
    """Return which file is at a path, behind links; None if there is none."""
    try:
        return _identity(os.stat(path))  # noqa: PTH116 - pathlib takes as long as reading a tiny photo
    except (OSError, ValueError):
        return None


def open_regular(path: str | Path, seen: Identity | None = None, flags: int = 0) -> int:
    """Open a regular file for reading, and return its descriptor. A pipe or a device is not even touched.

    Args:
        path: of the file; links are followed.
        seen: from `look`; it has to be that file, unchanged.
        flags: further ones of `os.open`.

    Raises:
        OSError: it is no regular file, or not the one that was seen.
    """
    _check(os.stat(path), seen, path)  # noqa: PTH116 - as above
    descriptor = os.open(path, os.O_RDONLY | NONBLOCK | BINARY | flags)
    try:
        _check(os.fstat(descriptor), seen, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def open_same(path: str | Path, seen: Identity | None) -> BinaryIO:
    """Open a photo that was looked at earlier; raise `OSError` if something else is there by now."""
    return os.fdopen(open_regular(path, seen), "rb")


def check_unchanged(file: BinaryIO, seen: os.stat_result) -> None:
    """Raise `OSError` if an open file is not as it was when `os.fstat` returned `seen`."""
    if _identity(os.fstat(file.fileno())) != _identity(seen):
        raise OSError(errno.ESTALE, "changed while it was read")


def open_ours(path: Path, flags: int) -> int:
    """Open a file that this program finds again under a fixed name, or make it; return its descriptor.

    Args:
        path: of the file.
        flags: of `os.open`, without `O_TRUNC`.

    Raises:
        UsageError: it is a link, not a regular file or another user's; or other names lead to a file to be written.
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, flags | NOFOLLOW | NONBLOCK | BINARY, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _planted(path, "a link" if error.errno == errno.ELOOP else "not a regular file") from error
        raise
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise _planted(path, "not a regular file")
        if about.st_nlink > 1 and flags & (os.O_WRONLY | os.O_RDWR):
            raise _planted(path, "a file that has other names too")
        if not _is_ours(about, path.parent):
            raise _planted(path, "another user's file")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def destination(path: Path) -> Path:
    """Return the absolute path of a file to be written; a link of yours leads to its target.

    Raises:
        UsageError: a link on the way there belongs to another user.
    """
    for _ in range(40):  # as many as Linux follows
        if not path.is_symlink():
            break
        if hasattr(os, "geteuid") and path.lstat().st_uid not in (0, os.geteuid()):
            raise _planted(path, "another user's link")
        path = path.parent / path.readlink()
    return Path(os.path.realpath(path.parent), path.name)


def _planted(path: Path, what: str) -> UsageError:
    return UsageError(f"{path}: {what}; move it away, or write to another folder")


def _is_ours(about: os.stat_result, folder: Path) -> bool:
    if not hasattr(os, "geteuid") or about.st_uid == os.geteuid():
        return True
    # All files of a stick may belong to one user, whoever makes them.
    with tempfile.TemporaryFile(dir=folder) as made:
        return os.fstat(made.fileno()).st_uid == about.st_uid


def _identity(about: os.stat_result) -> Identity:
    return Identity(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)


def _check(about: os.stat_result, seen: Identity | None, path: str | Path) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if seen is None or (now := _identity(about)) == seen:
        return
    if now._replace(inode=seen.inode) != seen or not _renumbers(seen.device):
        raise OSError(errno.ESTALE, "changed since it was classified", str(path))


def _renumbers(device: int) -> bool:
    """Tell whether a device has one of the file systems `RENUMBERED`."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.split()[2] == number and line.rpartition(" - ")[2].split()[0] in RENUMBERED for line in mounts)
