from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.errors import UsageError
from cifar_edge.results.rotating_log import RotatingLog
from cifar_edge.results.row import Row, to_line

ROWS = [Row(f"{number}.jpg", "cat", 0.9, (("cat", 0.9),), "", 1.0, "m") for number in range(10)]


def write(path: Path, rows: list[Row], rotate: int = 500) -> None:
    with RotatingLog(path, rotate) as log:
        assert list(log.add(rows)) == rows


def test_full_files_get_numbers_and_all_rows_are_known(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write(path, ROWS[:6])
    write(path, ROWS[6:])
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["results.1.jsonl", "results.2.jsonl", "results.jsonl"]
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
