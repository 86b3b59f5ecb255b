from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cifar_edge.errors import UsageError
from cifar_edge.system.files import atomic, check_replaceable, only_process, remove_leftovers, write_together
from tests.planted import NOBODY, PLANTED, as_root, plant, untouched


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_text("old")
    with atomic(path) as partial:
        assert partial.suffix == ".keras"
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_a_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    with atomic(path) as one, atomic(path) as two:
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_system_names_the_file(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic(tmp_path / "new.png"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"new\.png"):
        fill()


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic(tmp_path / "new.png") as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_files_get_their_names_together_or_not_at_all(tmp_path: Path) -> None:
    first, second = tmp_path / "model.tflite", tmp_path / "export.json"
    write_together({first: b"old", second: b"old"})
    second.unlink()
    second.mkdir()
    with pytest.raises(OSError, match=r"export\.json"):
        write_together({first: b"new", second: b"new"})
    assert (first.read_bytes(), sorted(tmp_path.iterdir())) == (b"old", [second, first])


def test_long_names_that_begin_alike_do_not_meet(tmp_path: Path) -> None:
    names = [tmp_path / f"{60 * 'a'}-{day}.csv" for day in ("monday", "tuesday")]
    with atomic(names[0]) as first, atomic(names[1]) as second:
        first.write_text("monday")
        second.write_text("tuesday")
    assert [name.read_text() for name in names] == ["monday", "tuesday"]


def write_one(path: Path) -> None:
    with atomic(path) as partial:
        partial.write_bytes(b"rows")


def write_several(path: Path) -> None:
    write_together({path: b"rows"})


@pytest.mark.parametrize("kind", [kind for kind in PLANTED if kind != "folder"])
@pytest.mark.parametrize("write", [write_one, write_several])
def test_temporary_names_cannot_be_planted(
    kind: str, write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: 2 * size * "0")  # as if it were guessed
    plant(kind, tmp_path / f".out.{16 * '0'}.partial.csv", tmp_path / "target")
    with pytest.raises(FileExistsError, match=r"out\.csv"):
        write(tmp_path / "out.csv")
    assert untouched(tmp_path / "target")


def test_temporary_names_differ_and_leave_what_older_versions_used(tmp_path: Path) -> None:
    target = tmp_path / "target"
    plant("link", tmp_path / ".out.partial.csv", target)
    names = set()
    for _ in range(3):
        with atomic(tmp_path / "out.csv") as partial:
            names.add(partial.name)
            partial.write_bytes(b"rows")
    assert len(names) == 3
    assert untouched(target)


@pytest.mark.parametrize("kind", ["link", "device", "pipe", "hard link"])
def test_what_is_replaced_while_it_is_written_does_not_get_the_name(kind: str, tmp_path: Path) -> None:
    def write() -> None:
        with atomic(tmp_path / "out.csv") as partial:
            partial.unlink()
            plant(kind, partial, tmp_path / "target")

    with pytest.raises(OSError, match=r"another program has replaced it .*out\.csv"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_rights_that_the_umask_gives(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        with atomic(tmp_path / "out.csv") as partial:
            partial.write_bytes(b"rows")
        write_together({tmp_path / "model.tflite": b"model"})
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o666 & ~mask}


def test_what_killed_writers_have_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = {f".{name}.{16 * '0'}.partial{suffix}" for name, suffix in (("out", ".csv"), ("a[1]", ".jpg"), ("b", ""))}
    others = {".out.partial.csv", "out.csv.partial", f".out.{15 * '0'}x.partial.csv", f"out.{16 * '0'}.partial.csv"}
    for name in left | others:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "a[1].jpg")
    assert {path.name for path in tmp_path.iterdir()} == others | left - {f".a[1].{16 * '0'}.partial.jpg"}
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == others


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket", "link"])
def test_what_cannot_be_replaced_is_noticed_before(kind: str, tmp_path: Path) -> None:
    plant(kind, tmp_path / "out.csv", tmp_path / "target")
    with pytest.raises(UsageError, match=r"out\.csv: not a file"):
        check_replaceable(tmp_path / "out.csv")
    check_replaceable(tmp_path / "target")
    check_replaceable(tmp_path / "new.csv")
    with pytest.raises(UsageError, match="nothing can be written there"):
        check_replaceable(tmp_path / "nowhere" / "new.csv")
    assert untouched(tmp_path / "target")


@as_root
@pytest.mark.parametrize("owner", [NOBODY, 0])
def test_another_user_s_file_in_a_folder_that_protects_it(
    owner: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "out.csv").touch()
    os.chown(tmp_path / "out.csv", 1, 1)
    os.chown(tmp_path, owner, owner)
    check_replaceable(tmp_path / "out.csv")  # root may
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    if owner == NOBODY:
        check_replaceable(tmp_path / "out.csv")
    else:
        with pytest.raises(UsageError, match=r"out\.csv: another user's"):
            check_replaceable(tmp_path / "out.csv")


@pytest.mark.parametrize("why", ["mounted", "immutable"])
def test_a_file_that_the_system_keeps(why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any, flags: int, *how: Any) -> int:
        if flags & os.O_WRONLY:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
        return really(path, flags, *how)

    (tmp_path / "out.csv").touch()
    really = os.open
    if why == "mounted":
        monkeypatch.setattr("os.path.ismount", lambda path: Path(path).name == "out.csv")
    else:
        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UsageError, match=r"out\.csv: (is mounted|must not be changed)"):
        check_replaceable(tmp_path / "out.csv")


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("of", ["file", "folder"])
def test_locks_cannot_be_planted(kind: str, of: str, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    if of == "folder":
        locked.mkdir()
    lock = locked / ".lock" if of == "folder" else tmp_path / ".locked.lock"
    plant(kind, lock, tmp_path / "target")
    with pytest.raises(UsageError, match=re.escape(lock.name)), only_process(locked):
        pass
    assert untouched(tmp_path / "target")


@pytest.mark.parametrize("name", ["r.csv.partial", f"{'x' * 249}", f"{'x' * 250}", f"{'x' * 255}", f"{'ä' * 127}"])
def test_a_file_of_any_name_is_one_process_s(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with only_process(path), pytest.raises(UsageError, match="another process"), only_process(path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("of", ["folder", "file"])
def test_a_lock_that_another_user_holds_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    def refuse(path: Path, flags: int) -> int:  # to root nothing is forbidden
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("cifar_edge.system.files.open_ours", refuse)
    locked = tmp_path / "locked"
    if of == "folder":
        locked.mkdir()
    lock = locked / ".lock" if of == "folder" else tmp_path / ".locked.lock"
    lock.touch()
    with pytest.raises(UsageError, match="another user"), only_process(locked):
        pass
    assert lock.exists()
