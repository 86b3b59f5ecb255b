from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cifar_edge.errors import UsageError
from cifar_edge.results import Row, in_own_folder, save_csv

ROWS = [
    Row("photos/cat/a,b.jpg", "cat", 0.98765, ""),
    Row('photos/"quoted".png', "", None, "image file is truncated"),
    Row(os.fsdecode(b"photos/caf\xe9.jpg"), "dog", 1.0, ""),
]


def test_rows_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    assert list(save_csv(iter(ROWS), path)) == ROWS
    with path.open(newline="", errors="surrogateescape") as file:
        read = list(csv.DictReader(file))
    assert [row["path"] for row in read] == [row.path for row in ROWS]
    assert [row["confidence"] for row in read] == ["0.9877", "", "1.0000"]
    assert list(read[0]) == ["path", "label", "confidence", "error"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_stops_half_way_leaves_no_result_under_the_final_name(tmp_path: Path) -> None:
    def stopping() -> Iterator[Row]:
        yield from ROWS[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(save_csv(stopping(), tmp_path / "results.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv.partial"]
    assert len((tmp_path / "results.csv.partial").read_text().splitlines()) == 3


def test_places_where_no_file_can_be_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe", tmp_path / "missing" / "results.csv"):
        with pytest.raises(UsageError, match=str(place.parent)):
            list(save_csv(iter(ROWS), place))
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_link_keeps_pointing_to_the_results(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "results.csv")
    list(save_csv(iter(ROWS), tmp_path / "link.csv"))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "results.csv").is_file()


def test_labelled_folders() -> None:
    assert [in_own_folder(row) for row in ROWS] == [True, False, False]
