"""A few files out of a tar archive from a stranger, each of a size known beforehand."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator, Set
from pathlib import Path, PurePosixPath
from typing import IO, Any

from cifar_edge.errors import DataError, first_line

MOST_BYTES = 1 << 28
"""Of an archive, packed or not. CIFAR-10 has 186 million."""

MOST_IN_A_FILE = 40_000_000
"""A batch of CIFAR-10 has 31 million bytes in either layout."""

MOST_MEMBERS = 1_000
BLOCK = tarfile.BLOCKSIZE

FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
WITHOUT_CONTENT = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)
EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


def read_members(archive: Path, wanted: Set[str]) -> dict[str, bytes]:
    """Return the content of the files in an archive, `.tar` or `.tar.gz`, that have the wanted names in any folder.

    Extensions of the format (pax, long names, sparse files) are skipped: short names need none of them.

    Raises:
        DataError: it is damaged or larger than it may be, or what is wanted is a link, sparse or there twice.
    """
    found: dict[str, bytes] = {}
    try:
        with archive.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            for member in _members(stream):
                name = PurePosixPath(member.name).name
                if name in wanted and member.type not in EXTENSIONS:
                    _check(member, again=name in found)
                    found[name] = _content(stream, member)
    except Exception as error:  # tarfile, gzip and zlib raise anything for a damaged file
        raise DataError(
            f"{archive}: not a whole tar archive ({first_line(error)}); fetch it again with `cifar-edge data fetch`"
        ) from error
    return found


def _members(stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield each header; the stream stands behind it.

    `tarfile` reads their fields only: walking, it follows negative sizes back, and can take minutes for a pax header.
    """
    position = 0
    for _ in range(MOST_MEMBERS):
        stream.seek(position)
        header = stream.read(BLOCK)
        if header == bytes(BLOCK):
            return
        if len(header) < BLOCK:
            raise tarfile.ReadError("cut short")
        member = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
        position += BLOCK
        if member.type not in WITHOUT_CONTENT:
            position += -(-member.size // BLOCK) * BLOCK
        if member.size < 0 or position > MOST_BYTES:
            raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes; CIFAR-10 has less than {MOST_BYTES:,}")
        yield member
    raise tarfile.ReadError(f"more than {MOST_MEMBERS:,} files")


def _check(member: tarfile.TarInfo, *, again: bool) -> None:
    if member.type not in FILES:
        raise tarfile.ReadError(f"{member.name} is a link or sparse, not a file")
    if again:
        raise tarfile.ReadError(f"{member.name} is there twice")
    if member.size > MOST_IN_A_FILE:
        raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes, more than {MOST_IN_A_FILE:,}")


def _content(stream: IO[bytes], member: tarfile.TarInfo) -> bytes:
    content = stream.read(member.size)
    if len(content) != member.size:
        raise tarfile.ReadError(f"{member.name} is cut short")
    return content
