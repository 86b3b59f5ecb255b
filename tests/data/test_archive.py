from __future__ import annotations

import gzip
import io
import itertools
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cifar_edge.data import archive
from cifar_edge.data.archive import read_members
from cifar_edge.errors import DataError

WANTED = {"test_batch"}


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def header_of(size: int, kind: bytes = tarfile.REGTYPE, name: str = "test_batch") -> bytes:
    """A member's header alone: what it announces does not follow."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tar.gz"])
def test_a_file_in_any_folder_is_read(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    content = tar_of(
        member("a/readme", b"no"), member("b/../../c/test_batch", b"yes"), member("x", type=tarfile.DIRTYPE)
    )
    (tmp_path / "a.tar.gz").write_bytes(pack(content))
    assert read_members(tmp_path / "a.tar.gz", WANTED) == {"test_batch": b"yes"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tar_of(member("test_batch", type=tarfile.SYMTYPE, linkname="test_batch")), "is a link"),
        (tar_of(member("test_batch", type=tarfile.LNKTYPE, linkname="nowhere")), "is a link"),
        (tar_of(member("test_batch", type=tarfile.FIFOTYPE)), "not a file"),
        (tar_of(member("a/test_batch", b"1"), member("b/test_batch", b"2")), "there twice"),
        (header_of(8 << 30, tarfile.GNUTYPE_SPARSE) + bytes(2048), "8,589,934,592 bytes"),
        (header_of(8 << 30) + bytes(2048), "8,589,934,592 bytes"),
        (header_of(1000) + bytes(100), "cut short"),
        (header_of(8 << 30, name="other") + bytes(2048), "8,589,934,592 bytes; CIFAR-10 has less"),
        (header_of(3 << 30, tarfile.XHDTYPE, "pax") + bytes(2048), "3,221,225,472 bytes"),
        (header_of(3 << 30, tarfile.GNUTYPE_LONGNAME, "long") + bytes(2048), "3,221,225,472 bytes"),
        (b"".join(header_of(1, tarfile.GNUTYPE_LONGNAME, "x") + bytes(512) for _ in range(3000)), "more than 1,000"),
        (header_of(-5), "-5 bytes"),
        (header_of(0, name="a") + header_of(-1024, name="b") + bytes(1024), "-1,024 bytes"),
        (header_of(0, tarfile.CHRTYPE) + bytes(1024), "not a file"),
        (header_of(0, tarfile.DIRTYPE) + bytes(1024), "not a file"),
        (header_of(4) + b"abcd" + bytes(508), "cut short"),
        (tar_of(*(member(str(number)) for number in range(1_500))), "more than 1,000 files"),
        (b"\x1f\x8b" + bytes(100), "."),
        (gzip.compress(tar_of(member("test_batch", b"x" * 9000)))[:-30], "."),
        (b"no archive", "."),
        (b"", "."),
    ],
    ids=itertools.count(),
)
def test_what_is_no_whole_archive_is_said(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(
        DataError, match=rf"a\.tar\.gz: not a whole tar archive \(.*{reason}.*\); fetch it again"
    ) as caught:
        read_members(tmp_path / "a.tar.gz", WANTED)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "extension",
    [
        (tarfile.XHDTYPE, b"1" * 200_000),  # takes a regular expression of tarfile a minute
        (tarfile.XHDTYPE, b"15 size=-1024\n"),
        (tarfile.XGLTYPE, b"18 path=elsewhere\n"),
        (tarfile.GNUTYPE_LONGNAME, b"elsewhere\0"),
        (tarfile.GNUTYPE_SPARSE, b""),
    ],
    ids=["digits", "size", "path", "name", "sparse"],
)
def test_extensions_are_skipped(extension: tuple[bytes, bytes], tmp_path: Path) -> None:
    kind, said = extension
    content = header_of(len(said), kind, "x") + said + bytes(-len(said) % 512)
    (tmp_path / "a.tar").write_bytes(content + tar_of(member("test_batch", b"yes")))
    assert read_members(tmp_path / "a.tar", WANTED) == {"test_batch": b"yes"}


def test_no_more_is_unpacked_than_there_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 20_000)
    content = tar_of(member("other", bytes(50_000)), member("test_batch", b"x"))
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match="50,000 bytes; CIFAR-10 has less than 20,000"):
        read_members(tmp_path / "a.tar.gz", WANTED)
