from __future__ import annotations

import csv
import os
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cifar_edge import EdgeModel, classify_folder
from cifar_edge.classify import pipeline
from cifar_edge.classify.report import Report
from cifar_edge.errors import ResultsError, UsageError
from cifar_edge.photos import decode
from cifar_edge.photos.find import order
from cifar_edge.results.journal import Journal
from cifar_edge.results.row import Row, to_line
from tests.planted import PLANTED, plant, untouched
from tests.tflite.test_card import foreign

Classify = Callable[..., list[Row]]


@pytest.fixture(scope="module")
def model(run: Path) -> EdgeModel:
    return EdgeModel(run / "cnn-int8.tflite")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the photos 00.png to 19.png, and a clock that stands still."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "perf_counter", lambda: 0.0)
    Path("photos").mkdir()
    for number in range(20):
        Image.new("RGB", (32, 32), (number, 50, 200)).save(f"photos/{number:02}.png")


def classify(model: EdgeModel, output: str = "out.csv", **options: Any) -> list[Row]:
    return list(classify_folder("photos", model, output=output, **options))


def stop_after(count: int, model: EdgeModel, output: str = "out.csv", **options: Any) -> None:
    """Leave behind what a run leaves that is stopped after so many rows."""
    rows = classify_folder("photos", model, output=output, **options)
    assert len(list(islice(rows, count))) == count
    rows.close()


def paths(output: str = "out.csv") -> list[str]:
    with Path(output).open(newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


def test_a_finished_run_leaves_its_results_and_nothing_else(model: EdgeModel) -> None:
    rows = classify(model)
    assert [row.path for row in rows] == paths() == [f"photos/{number:02}.png" for number in range(20)]
    assert {path.name for path in Path().iterdir()} == {"out.csv", "photos"}
    assert classify(model) == rows  # replaces the results
    assert classify(model, resume=True) == rows  # nothing to go on with


def test_rows_are_on_the_disk_within_a_second_even_if_the_next_photo_takes_long(
    model: EdgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "perf_counter", time.perf_counter)
    release, load, synced = threading.Event(), decode.load, []

    def slow(path: Path, **options: Any) -> Any:
        if path.endswith("15.png"):
            release.wait(30)
        time.sleep(0.06)  # for faster ones go through in batches
        return load(path, **options)

    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor).st_size), sync(descriptor)))
    monkeypatch.setattr(decode, "load", slow)
    running = threading.Thread(target=classify, args=(model,))
    running.start()
    deadline = time.monotonic() + 30
    journal = Path("out.csv.partial")
    while not (synced and journal.read_bytes().count(b"\n") == 16 and synced[-1] == journal.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    release.set()
    running.join()
    assert len(paths()) == 20


@pytest.mark.parametrize("output", ["out.csv", "out.jsonl", "out.parquet"])
def test_torn_anywhere_a_run_is_resumed_to_the_same_bytes(model: EdgeModel, output: str) -> None:
    rows = classify(model, output)
    whole = Path(output).read_bytes()
    stop_after(7, model, output)
    journal = Path(f"{output}.partial")
    left = journal.read_bytes()
    request, *lines = left.splitlines(keepends=True)
    last = len(left) - len(lines[-1])
    cuts = (0, 1, len(request) - 1, *range(len(request), last, 97), *range(last, len(left), 17))
    no_rows = (b"{}\n", b"7\n", b"[]\n", b"null\n", lines[0].replace(b"path", b"pith"), b'{"path": 1, "top": []}\n')
    ends = (bytes(500), *no_rows)
    for torn in (*(left[:cut] for cut in cuts), left[:-40] + bytes(40), *(left[:last] + end for end in ends), left):
        journal.write_bytes(torn)
        assert classify(model, output, resume=True) == rows
        assert Path(output).read_bytes() == whole
        assert not journal.exists()


def test_photos_that_come_and_go_between_two_runs(model: EdgeModel) -> None:
    stop_after(10, model)
    Path("photos/05.png").unlink()
    Path("photos/15.png").unlink()
    for name in ("00a.png", "04/deep.png", "12a.png"):
        Path("photos", name).parent.mkdir(exist_ok=True)
        Path("photos", name).hardlink_to("photos/00.png")
    stop_after(12, model, resume=True)
    Path("photos/03a.png").hardlink_to("photos/00.png")
    rows = classify(model, resume=True)
    numbers = {f"{number:02}.png" for number in range(20)} - {"15.png"}  # what was classified stays
    expected = sorted(numbers | {"00a.png", "03a.png", "04/deep.png", "12a.png"}, key=order)
    assert [row.path for row in rows] == paths() == [f"photos/{name}" for name in expected]


def test_nothing_is_classified_twice(model: EdgeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(10, model)
    recorded = Path("out.csv.partial").read_bytes().count(b"\n") - 1
    load, loaded = decode.load, []
    monkeypatch.setattr(decode, "load", lambda path, **options: (loaded.append(path), load(path, **options))[1])
    classify(model, resume=True)
    assert len(loaded) == 20 - recorded == 10


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"resume": False}, "go on with --resume, or delete it"),
        ({"top_k": 3}, r"another top-k \(2; now 3\)"),
        ({"fit": "crop"}, r"another fit \(stretch; now crop\)"),
        ({"exif_thumbnails": True}, r"another use of thumbnails \(False; now True\)"),
        ({"min_confidence": 0.5}, r"another min-confidence \(0.0; now 0.5\)"),
        ({"sort_into": None}, r"another folder to sort into \(.*/sorted; now None\)"),
        ({"link": True}, "another kind of copies"),
    ],
)
def test_a_run_is_not_resumed_as_another(model: EdgeModel, options: dict[str, Any], reason: str) -> None:
    asked: dict[str, Any] = {"top_k": 2, "sort_into": "sorted"}
    stop_after(5, model, **asked)
    left = Path("out.csv.partial").read_bytes()
    with pytest.raises(UsageError, match=reason):
        classify(model, **asked | {"resume": True} | options)
    assert Path("out.csv.partial").read_bytes() == left
    assert len(classify(model, resume=True, **asked)) == 20


def test_a_run_is_not_resumed_with_another_model_or_other_photos(
    model: EdgeModel, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = foreign(model.path, Path("foreign.tflite").absolute())
    model = EdgeModel(path)
    stop_after(5, model)
    for other, reason in (
        (EdgeModel(run / "cnn-float32.tflite"), "another model"),
        (EdgeModel(path, labels="abcdefghij"), "another choice of labels"),
        (EdgeModel(path, pixel_range=(0, 1)), "another pixel range"),
    ):
        with pytest.raises(UsageError, match=reason):
            classify(other, resume=True)
    with pytest.raises(UsageError, match="another choice of paths"):
        classify_folder("photos/00.png", model, output="out.csv", resume=True)
    output = Path("out.csv").absolute()
    Path("elsewhere").mkdir()
    Path("photos").rename("elsewhere/photos")
    monkeypatch.chdir("elsewhere")
    with pytest.raises(UsageError, match="another working folder"):
        classify_folder("photos", model, output=output, resume=True)
    photos, output = Path("photos").absolute(), output.with_suffix(".jsonl")
    rows = classify_folder(photos, model, output=output)
    next(rows)
    rows.close()
    monkeypatch.chdir(photos)
    assert len(list(classify_folder(photos, model, output=output, resume=True))) == 20


def test_somebody_else_s_file_is_not_touched(model: EdgeModel) -> None:
    for content in ("a,b\n1,2\n", "[]\n", "no end of line", "7\n"):
        Path("out.csv.partial").write_text(content)
        with pytest.raises(UsageError, match="move it away"):
            classify(model, resume=True)
        with pytest.raises(UsageError, match="has left it"):
            classify(model)
        assert Path("out.csv.partial").read_text() == content


def test_two_runs_do_not_write_to_one_file(model: EdgeModel) -> None:
    first = classify_folder("photos", model, output="out.csv")
    next(first)
    with pytest.raises(UsageError, match="another process is working on it"):
        classify(model, resume=True)
    assert len(list(first)) == 19
    assert len(paths()) == 20


def test_a_disk_that_fails_late_is_noticed(model: EdgeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = classify_folder("photos", model, output="out.csv")
    next(rows)

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    time.sleep(0.7)
    with pytest.raises(ResultsError, match=r"Input/output error; .* the rows so far are in .*out\.csv\.partial"):
        list(rows)
    monkeypatch.undo()


def test_what_fails_at_the_end_is_all_that_is_left_to_do(model: EdgeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        assert len(paths()) == 20
        raise OSError(28, "No space left on device", "report.html")

    with monkeypatch.context() as patch:
        patch.setattr(Report, "write", fail)
        with pytest.raises(ResultsError, match=r"report\.html: No space left on device; .* --resume"):
            classify(model, report="report.html")
    monkeypatch.setattr(decode, "load", pytest.fail)
    monkeypatch.setattr("cifar_edge.classify.report._thumbnails", lambda rows, *_: ["" for _ in rows])
    assert len(classify(model, resume=True, report="report.html")) == 20
    assert Path("report.html").exists()
    assert not Path("out.csv.partial").exists()


def test_a_full_disk_keeps_the_rows_so_far(model: EdgeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("cifar_edge.results.journal.save", full)
        with pytest.raises(ResultsError, match=r"No space left on device; .*put that right and go on with"):
            classify(model)
    assert len(classify(model, resume=True)) == 20
    assert len(paths()) == 20


def test_arguments_are_checked_before_anything_is_written(model: EdgeModel) -> None:
    for options, reason in (
        ({"top_k": 0}, "has 10 classes"),
        ({"top_k": 11}, "has 10 classes"),
        ({"min_confidence": 1.5}, "from 0 to 1"),
        ({"output": "out.txt"}, "the suffix says the format"),
        ({"output": "photos/../photos"}, "is what is read"),
        ({"output": None, "resume": True}, "nothing can be resumed"),
        ({"sort_into": "photos/sorted"}, "sort into a folder elsewhere"),
        ({"link": True}, "name a folder to sort them into"),
        ({"workers": 0}, "give 1 or more"),
    ):
        with pytest.raises(UsageError, match=reason):
            classify(model, **options)
    assert [path.name for path in Path().iterdir()] == ["photos"]


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("resume", [False, True])
def test_a_planted_journal_is_refused(kind: str, resume: bool, tmp_path: Path) -> None:
    plant(kind, tmp_path / "out.csv.partial", tmp_path / "target")
    with pytest.raises(UsageError, match=r"out\.csv\.partial: .*; move it away"):
        Journal(tmp_path / "out.csv", b"{}", resume=resume)
    assert untouched(tmp_path / "target")


@pytest.mark.parametrize("change", ["deleted", "link", "pipe"])
def test_a_journal_that_goes_meanwhile_costs_no_row(change: str, tmp_path: Path) -> None:
    rows = [Row(f"{number}.jpg", "cat", 0.9, (("cat", 0.9),), "", 1.0, "m") for number in range(3)]
    with Journal(tmp_path / "out.jsonl", b"{}", resume=False) as journal:
        list(journal.add(rows[:1]))
        journal.path.unlink()
        if change != "deleted":
            plant(change, journal.path, tmp_path / "target")
        list(journal.add(rows[1:]))
        journal.finish()
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(map(to_line, rows))
    assert not journal.path.exists()
