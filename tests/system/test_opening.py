from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cifar_edge.errors import UsageError
from cifar_edge.system import opening
from cifar_edge.system.opening import check_unchanged, destination, look, open_ours, open_regular, open_same
from tests.planted import NOBODY, PLANTED, as_root, plant, untouched


def grow(photo: Path) -> None:
    with photo.open("ab") as file:
        file.write(b"more")


def touch(photo: Path) -> None:
    os.utime(photo, (1, 1))


def replace_by(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def replace(photo: Path) -> None:
        photo.unlink()
        make(photo)

    return replace


def copy_with_its_times(photo: Path) -> None:
    copy = photo.with_name("copy")
    shutil.copy2(photo, copy)
    copy.replace(photo)


def link_to_a_secret(photo: Path) -> None:
    secret = photo.with_name("secret")
    secret.write_bytes(b"secret")
    os.utime(secret, ns=(photo.stat().st_mtime_ns,) * 2)
    photo.unlink()
    photo.symlink_to(secret)


CHANGES = {
    "grown": grow,
    "touched": touch,
    "a copy": copy_with_its_times,
    "a link": link_to_a_secret,
    "a pipe": replace_by(os.mkfifo),
    "a device": replace_by(lambda photo: photo.symlink_to("/dev/zero")),
    "a folder": replace_by(Path.mkdir),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("linked", [False, True])
def test_only_what_was_seen_is_opened(change: Callable[[Path], None], linked: bool, tmp_path: Path) -> None:
    photo, path = tmp_path / "photo", tmp_path / ("link" if linked else "photo")
    photo.write_bytes(b"photos")
    if linked:
        path.symlink_to(photo)
    seen = look(str(path))
    with open_same(path, seen) as file:
        assert file.read() == b"photos"
    change(photo)
    with pytest.raises(OSError, match=r"changed since|not a regular file|No such file"):
        open_same(path, seen)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_replaced_at_the_last_moment_neither_blocks_nor_is_read(
    change: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, really = tmp_path / "photo", os.open
    photo.write_bytes(b"photos")
    seen = look(str(photo))

    def late(path: Any, *how: Any) -> int:
        if path == photo:
            monkeypatch.setattr(os, "open", really)
            change(photo)
        return really(path, *how)

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(OSError, match=r"changed since|not a regular file|No such file"):
        open_same(photo, seen)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "socket"])
def test_nothing_but_regular_files_is_read(kind: str, tmp_path: Path) -> None:
    plant(kind, tmp_path / "photo", tmp_path / "target")
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "photo")


def test_a_change_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    photo = tmp_path / "photo"
    photo.write_bytes(b"photo")
    with open_same(photo, None) as file:
        about = os.fstat(file.fileno())
        check_unchanged(file, about)
        grow(photo)
        with pytest.raises(OSError, match="changed while it was read"):
            check_unchanged(file, about)


def test_a_stick_may_number_its_files_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = tmp_path / "photo"
    photo.write_bytes(b"photo")
    seen = look(str(photo))
    assert seen
    before = seen._replace(inode=1)
    with pytest.raises(OSError, match="changed since"):
        open_same(photo, before)
    number = f"{os.major(seen.device)}:{os.minor(seen.device)}"
    found = re.search(rf"^\S+ \S+ {number} .* - (\S+)", Path("/proc/self/mountinfo").read_text(), re.MULTILINE)
    if not found:
        pytest.skip("the file system here has other device numbers than its mount")
    monkeypatch.setattr(opening, "RENUMBERED", (found[1],))
    open_same(photo, before).close()
    with pytest.raises(OSError, match="changed since"):
        open_same(photo, before._replace(size=4))


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_found_again_is_a_file_of_ours(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out.csv.partial"
    plant(kind, path, tmp_path / "target")
    with pytest.raises(UsageError, match=r"out\.csv\.partial: .*; move it away"):
        open_ours(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    assert untouched(tmp_path / "target")


def test_what_is_ours_is_opened_or_made(tmp_path: Path) -> None:
    for _ in range(2):
        with os.fdopen(open_ours(tmp_path / "log", os.O_RDWR | os.O_APPEND | os.O_CREAT), "ab") as file:
            file.write(b"x")
    assert (tmp_path / "log").read_bytes() == b"xx"
    with pytest.raises(FileNotFoundError):
        open_ours(tmp_path / "none", os.O_RDONLY)


def test_links_of_ours_lead_to_the_results(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out.csv").symlink_to("second.csv")
    (tmp_path / "second.csv").symlink_to("disk/results.csv")
    assert destination(tmp_path / "out.csv") == tmp_path.resolve() / "disk" / "results.csv"
    assert destination(tmp_path / "new.csv") == tmp_path.resolve() / "new.csv"


@as_root
@pytest.mark.parametrize("name", ["out.csv", "second.csv"])
def test_links_of_others_lead_nowhere(name: str, tmp_path: Path) -> None:
    (tmp_path / "out.csv").symlink_to("second.csv")
    (tmp_path / "second.csv").symlink_to("results.csv")
    os.lchown(tmp_path / name, NOBODY, NOBODY)
    with pytest.raises(UsageError, match=f"{name}: another user's link"):
        destination(tmp_path / "out.csv")
