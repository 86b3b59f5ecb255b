from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cifar_edge.errors import UsageError
from cifar_edge.results.rotating_log import RotatingLog
from cifar_edge.results.row import Row, to_line
from tests.planted import PLANTED, plant, untouched

ROWS = [Row(f"{number}.jpg", "cat", 0.9, (("cat", 0.9),), "", 1.0, "m") for number in range(10)]


def write(path: Path, rows: list[Row], rotate: int = 500) -> None:
    with RotatingLog(path, rotate) as log:
        assert list(log.add(rows)) == rows


@pytest.mark.parametrize("suffix", ["jsonl", "JSONL"])
def test_full_files_get_numbers_and_all_rows_are_known(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"results.{suffix}"
    write(path, ROWS[:6])
    write(path, ROWS[6:])
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == [f"results.1.{suffix}", f"results.2.{suffix}", f"results.{suffix}"]
    assert b"".join((tmp_path / name).read_bytes() for name in names) == b"".join(map(to_line, ROWS))
    with RotatingLog(path, 500) as log:
        assert all(log.has(row.path) for row in ROWS)
        assert not log.has("new.jpg")
        with pytest.raises(UsageError, match="another process is working on it"):
            RotatingLog(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == names


def test_a_torn_last_line_is_cut_off_and_any_other_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(to_line(ROWS[0]) + to_line(ROWS[1])[:30] + bytes(7))
    write(path, ROWS[1:2])
    assert path.read_bytes() == to_line(ROWS[0]) + to_line(ROWS[1])
    path.write_bytes(b"no row\n" + to_line(ROWS[0]))
    with pytest.raises(UsageError, match=r"results\.jsonl, line 1: not a row"):
        RotatingLog(path)


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    path.with_name("new").write_bytes(to_line(ROWS[7]) + to_line(ROWS[8])[:20])  # as an editor saves, and is killed
    path.with_name("new").rename(path)


def rotate(path: Path) -> None:
    path.rename(path.with_name("old"))  # as logrotate does
    path.touch()


@pytest.mark.parametrize("change", [delete, replace, rotate])
@pytest.mark.parametrize("noticed", ["while it waits", "by the next row"])
def test_a_log_that_is_deleted_or_replaced_is_said_and_goes_on(
    change: Callable[[Path], None], noticed: str, tmp_path: Path
) -> None:
    path, said = tmp_path / "results.jsonl", list[str]()
    with RotatingLog(path, warn=said.append) as log:
        list(log.add(ROWS[:3]))
        log.keep()
        assert not said
        change(path)
        if noticed == "while it waits":
            log.keep()
            assert len(said) == 1
        list(log.add(ROWS[3:5]))
        assert all(log.has(row.path) for row in ROWS[:5])
        assert log.has(ROWS[7].path) == (change is replace)
    assert said == [f"{path}: was deleted or replaced; rows go to a new file of this name, without the earlier ones"]
    taken_over = to_line(ROWS[7]) if change is replace else b""
    assert path.read_bytes() == taken_over + b"".join(map(to_line, ROWS[3:5]))


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("name", ["results.jsonl", "results.1.jsonl"])
def test_a_planted_log_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    if (kind, name) == ("folder", "results.jsonl") or (kind, name) == ("hard link", "results.1.jsonl"):
        return
    plant(kind, tmp_path / name, tmp_path / "target")
    with pytest.raises(UsageError, match=name):
        RotatingLog(tmp_path / "results.jsonl")
    assert untouched(tmp_path / "target")


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_a_log_that_is_replaced_by_something_planted_ends_the_watch(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with RotatingLog(path) as log:
        list(log.add(ROWS[:3]))
        path.unlink()
        plant(kind, path, tmp_path / "target")
        with pytest.raises(UsageError, match=r"results\.jsonl: (a link|not a regular file); move it away"):
            log.keep()
    assert untouched(tmp_path / "target")
