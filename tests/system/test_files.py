from __future__ import annotations

import errno
from pathlib import Path

import pytest

from cifar_edge.system.files import atomic, write_together


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
    with atomic(path, "one") as one, atomic(path, "two") as two:
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
