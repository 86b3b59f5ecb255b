"""A few files out of a tar archive from a stranger, each of a size known beforehand."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Set
from pathlib import Path
from typing import IO, Any

from cifar_edge.errors import DataError

MOST_BYTES = 1 << 28
"""Of an archive, packed or not. CIFAR-10 has 186 million."""

MOST_IN_A_FILE = 40_000_000
"""A batch of CIFAR-10 has 31 million bytes in either layout."""

MOST_MEMBERS = 1_000
BLOCK = 1 << 20  # what is read at once: a header that claims to be longer is none


def read_members(archive: Path, wanted: Set[str]) -> dict[str, bytes]:
    """Return the content of the files in an archive, `.tar` or `.tar.gz`, that have the wanted names in any folder.

    Raises:
        DataError: it is damaged or larger than it may be, or what is wanted is a link, sparse or there twice.
    """
    found: dict[str, bytes] = {}
    try:
        with archive.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            with tarfile.open(fileobj=_Bounded(stream), mode="r:") as tar:  # type: ignore[call-overload] # read, seek, tell
                for number, member in enumerate(tar):
                    if number >= MOST_MEMBERS:
                        raise tarfile.ReadError(f"more than {MOST_MEMBERS:,} files")
                    name = Path(member.name).name
                    if name in wanted:
                        _check(member, again=name in found)
                        found[name] = _content(tar, member)
    except Exception as error:  # tarfile, gzip and zlib raise anything for a damaged file
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{archive}: not a whole tar archive ({reason}); fetch it again with `cifar-edge data fetch`"
        ) from error
    return found


def _check(member: tarfile.TarInfo, *, again: bool) -> None:
    if not member.isreg() or member.issparse():
        raise tarfile.ReadError(f"{member.name} is a link or sparse, not a file")
    if again:
        raise tarfile.ReadError(f"{member.name} is there twice")
    if member.size > MOST_IN_A_FILE:
        raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes, more than {MOST_IN_A_FILE:,}")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    content = b"".join(iter(lambda: file.read(BLOCK), b"")) if file else b""
    if len(content) != member.size:
        raise tarfile.ReadError(f"{member.name} is cut short")
    return content


class _Bounded:
    """A file that is read in pieces of at most `BLOCK` bytes, and no further than `MOST_BYTES`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.tell = file, file.tell

    def read(self, size: int) -> bytes:
        """Read `size` bytes."""
        if not 0 <= size <= BLOCK:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)

    def seek(self, position: int) -> int:
        """Move to a position, counted in unpacked bytes."""
        if not 0 <= position <= MOST_BYTES:
            raise tarfile.ReadError(f"more than {MOST_BYTES:,} bytes, more than CIFAR-10 has")
        return self._file.seek(position)
