from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pyarrow.parquet
import pytest

from cifar_edge.errors import UsageError
from cifar_edge.results.formats import FORMATS, check_output, save, write_csv
from cifar_edge.results.row import Row, from_record, to_record

ROWS = [
    Row("photos/cat/a,b.jpg", "cat", 0.98765, (("cat", 0.98765), ("dog", 0.01)), "", 1.5, "cnn.tflite"),
    Row('photos/"quoted"\n.png', "", None, (), "image file is truncated", 0.25, "cnn.tflite"),
    Row(os.fsdecode(b"photos/caf\xe9.jpg"), "unknown", 0.5, (("dog", 0.5), ("cat", 0.5)), "", 2.0, "cnn.tflite"),
]


def saved(tmp_path: Path, suffix: str) -> Path:
    path = tmp_path / f"results{suffix}"
    save(iter(ROWS), path, 2)
    assert list(tmp_path.iterdir()) == [path]
    return path


def test_csv_has_a_column_for_each_rank(tmp_path: Path) -> None:
    with saved(tmp_path, ".csv").open(newline="", errors="surrogateescape") as file:
        header, *lines = csv.reader(file)
    assert header == [
        *("path", "label", "confidence", "top_1", "confidence_1", "top_2", "confidence_2"),
        *("error", "milliseconds", "model"),
    ]
    assert lines == [
        [ROWS[0].path, "cat", "0.98765", "cat", "0.98765", "dog", "0.01", "", "1.5", "cnn.tflite"],
        [ROWS[1].path, "", "", "", "", "", "", "image file is truncated", "0.25", "cnn.tflite"],
        [ROWS[2].path, "unknown", "0.5", "dog", "0.5", "cat", "0.5", "", "2.0", "cnn.tflite"],
    ]


def test_csv_keeps_the_bytes_of_names(tmp_path: Path) -> None:
    assert b"photos/caf\xe9.jpg" in saved(tmp_path, ".csv").read_bytes()


@pytest.mark.parametrize("text", ["cr\rx", "cr\r\nlf", "end\r\n", "a\nb", 'a"b', "a,b"])
def test_csv_has_one_line_for_each_row_whatever_the_texts(text: str) -> None:
    file = io.StringIO(newline="")
    row = Row(text, text, 0.5, ((text, 0.5),), text, 1.0, text)
    list(write_csv([row, row], file, 1))
    _, *lines = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert lines == [[text, text, "0.5", text, "0.5", text, "1.0", text]] * 2
    assert "\r" not in file.getvalue().replace(text, "")


def test_a_reader_of_a_pipe_gets_each_row_at_once() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)  # fails rather than waits
    with os.fdopen(reading, "rb") as end, os.fdopen(writing, "w", errors="surrogateescape") as file:
        for row in write_csv(ROWS, file, 2):
            assert end.read().endswith(b"cnn.tflite\n"), row


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff20sum"]
)
def test_no_spreadsheet_takes_a_text_for_a_formula(text: str) -> None:
    file = io.StringIO()
    list(write_csv([Row(text, text, 0.5, ((text, 0.5),), text, 1.0, text)], file, 1))
    (row,) = csv.DictReader(io.StringIO(file.getvalue(), newline=""))
    assert row.pop("path") == f"./{text}"  # the same file
    assert [value for value in row.values() if text in value] == [f"'{text}"] * 4
    assert (row["confidence"], row["milliseconds"]) == ("0.5", "1.0")


def test_json_lines_can_be_read_back(tmp_path: Path) -> None:
    records = [json.loads(line) for line in saved(tmp_path, ".jsonl").read_text("ascii").splitlines()]
    assert [from_record(record) for record in records] == ROWS
    assert records[0]["top"] == [{"label": "cat", "confidence": 0.98765}, {"label": "dog", "confidence": 0.01}]
    assert list(records[0]) == ["path", "label", "confidence", "top", "error", "milliseconds", "model"]


def test_parquet_can_be_read_back(tmp_path: Path) -> None:
    records = pyarrow.parquet.read_table(saved(tmp_path, ".parquet")).to_pylist()
    assert records[:2] == [to_record(row) for row in ROWS[:2]]
    assert records[2]["path"] == r"photos/caf\udce9.jpg"  # text in Parquet is UTF-8


def test_a_large_parquet_file_has_groups_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cifar_edge.results.formats.ROW_GROUP", 2)
    file = pyarrow.parquet.ParquetFile(saved(tmp_path, ".parquet"))
    assert (file.num_row_groups, file.metadata.num_rows) == (2, 3)


@pytest.mark.parametrize("suffix", [".CSV", ".Csv", ".JSONL", ".Parquet"])
def test_capital_letters_in_a_suffix_make_no_difference(suffix: str, tmp_path: Path) -> None:
    check_output(tmp_path / f"results{suffix}")
    capital = saved(tmp_path, suffix).read_bytes()
    (tmp_path / f"results{suffix}").unlink()
    assert capital == saved(tmp_path, suffix.lower()).read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_fails_leaves_the_old_results(suffix: str, tmp_path: Path) -> None:
    path = saved(tmp_path, suffix)
    before = path.read_bytes()

    def failing() -> object:
        yield ROWS[0]
        raise OSError

    with pytest.raises(OSError, match="results"):
        save(failing(), path, 2)  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_places_where_no_file_can_be_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for place in (tmp_path, tmp_path / "pipe.csv", tmp_path / "missing" / "results.csv", tmp_path / "results.txt"):
        with pytest.raises(UsageError, match=str(place.parent)):
            check_output(place)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.csv"]
