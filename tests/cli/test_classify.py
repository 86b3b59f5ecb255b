from __future__ import annotations

import csv
import functools
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from cifar_edge.cli import classify, terminal
from tests.cli.conftest import Command, full_disk, process
from tests.conftest import PHOTOS
from tests.photos.containers import FORMATS, coded
from tests.photos.hostile import run_length_bmp

COUNT = 27


def test_classify_prints_rows_and_counts(int8: Path, cifar_edge: Command) -> None:
    outcome = cifar_edge("classify", PHOTOS, "--model", int8)
    assert outcome.code == 0
    assert str(PHOTOS / "cat" / "chelsea.jpg") in outcome.out
    assert "photos by class" in outcome.out
    assert f"of {COUNT} photos whose folders say their classes" in outcome.out
    assert "photos by folder (rows) and predicted class" in outcome.out
    assert str(int8) in outcome.err


def test_what_other_programs_keep_beside_photos_is_left_out_and_counted(
    int8: Path, tmp_path: Path, cifar_edge: Command
) -> None:
    folder = tmp_path / "cat"
    (folder / "@eaDir" / "a.jpg").mkdir(parents=True)
    for name in ("a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg"):
        shutil.copy(PHOTOS / "cat" / "chelsea.jpg", folder / name)
    (folder / "._a.jpg").write_bytes(b"\0\5\26\7")
    outcome = cifar_edge("classify", tmp_path, "--model", int8)
    assert outcome.code == 0
    assert "of 1 photos whose folders say their classes" in outcome.out
    assert "left out 2 (@eaDir 1, ._* 1)" in outcome.out or "left out 2 (._* 1, @eaDir 1)" in outcome.out
    assert "left out" not in cifar_edge("classify", folder / "@eaDir", "--model", int8).out
    (folder / "a.jpg").unlink()
    empty = cifar_edge("classify", tmp_path, "--model", int8)
    assert (empty.code, "left out 2" in empty.err) == (2, True)


def test_heic_and_avif_are_classified_sorted_and_shown_and_raw_files_are_counted(
    int8: Path, tmp_path: Path, cifar_edge: Command
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    with Image.open(PHOTOS / "cat" / "chelsea.jpg") as image:
        heic, avif = (coded(image.resize((96, 64)), suffix) for suffix in FORMATS)
    for name, content in {"IMG_1.HEIC": heic, "b.avif": avif, "c.jpg": heic}.items():
        (photos / name).write_bytes(content)
    for name in ("IMG_1.CR2", "d.nef", "e.NEF"):
        (photos / name).touch()
    output, report, sorted_into = tmp_path / "out.csv", tmp_path / "report.html", tmp_path / "sorted"
    options = ["--model", int8, "--output", output, "--report", report, "--sort-into", sorted_into]
    outcome = cifar_edge("classify", photos, *options)
    assert outcome.code == 0
    assert "cannot read 3 (.nef 2, .cr2 1): to classify them, save them as JPEG" in outcome.out
    with output.open(newline="") as file:
        assert [Path(row["path"]).name for row in csv.DictReader(file) if row["label"]] == [
            "IMG_1.HEIC",
            "b.avif",
            "c.jpg",
        ]
    assert sorted(path.name for path in sorted_into.glob("*/*")) == ["IMG_1.HEIC", "b.avif", "c.jpg"]
    assert report.read_text().count('"UklGR') == 3  # WebP
    shutil.rmtree(sorted_into)
    for name in ("IMG_1.HEIC", "b.avif", "c.jpg"):
        (photos / name).unlink()
    none = cifar_edge("classify", photos, "--model", int8)
    assert none.code == 2
    assert "no photos in there" in none.err
    assert "cannot read 3 (.nef 2, .cr2 1)" in none.err


def test_a_photo_that_cannot_be_read_gives_another_exit_code(int8: Path, tmp_path: Path, cifar_edge: Command) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(PHOTOS / "cat" / "chelsea.jpg", tmp_path / "photos" / "a.jpg")
    (tmp_path / "photos" / "b.jpg").write_text("not a photo")
    outcome = cifar_edge("classify", tmp_path / "photos", "--model", int8, "--output", tmp_path / "results.csv")
    assert outcome.code == 3
    assert outcome.err.endswith("error: 1 of 2 photos could not be read; see their rows\n")
    assert "(unreadable)" in outcome.out
    with (tmp_path / "results.csv").open(newline="") as file:
        good, bad = csv.DictReader(file)
    assert (good["error"], bad["label"]) == ("", "")
    assert "not an image" in bad["error"]


def test_of_many_classes_the_mistakes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from cifar_edge.cli.classify import print_summary
    from cifar_edge.cli.terminal import results
    from cifar_edge.results.row import Row
    from cifar_edge.results.summary import Summary

    summary = Summary(labels := [f"class{number}" for number in range(100)])
    for label in labels:
        summary.add(Row(f"{label}/1.jpg", label, 0.5, ((label, 0.5),), "", 1.0, "m.tflite"))
    for number in range(3):
        summary.add(Row(f"class7/{number}.jpg", "class9", 0.5, (("class9", 0.5),), "", 1.0, "m.tflite"))
    print_summary(summary, results())
    out = capsys.readouterr().out
    assert "accuracy 97.09% of 103 photos" in out
    assert re.search(r"class7 +class9 +3 ", out)
    assert len(out.splitlines()) < 120


def test_classify_sorts_and_ranks(int8: Path, tmp_path: Path, cifar_edge: Command) -> None:
    options = ("--top-k", 2, "--min-confidence", 0.999, "--sort-into", tmp_path / "sorted", "--link")
    outcome = cifar_edge("classify", PHOTOS, "--model", int8, *options)
    assert outcome.code == 0
    assert "unknown: " in outcome.out
    links = list((tmp_path / "sorted").glob("*/*"))
    assert len(links) == COUNT
    assert {link.readlink().name for link in links if link.parent.name == "unknown"}


def test_classify_pipes_csv_and_nothing_else(int8: Path, cifar_edge: Command) -> None:
    outcome = cifar_edge("classify", PHOTOS, "--model", int8, "-o", "-")
    assert len(list(csv.DictReader(io.StringIO(outcome.out)))) == COUNT
    assert "photos by class" in outcome.err


def test_names_that_are_no_text(int8: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9 [red].jpg"
    shutil.copy(PHOTOS / "cat" / "chelsea.jpg", name)
    command = [sys.executable, "-m", "cifar_edge", "classify", tmp_path, "--model", int8]
    assert name in subprocess.run([*command, "--output", "-"], capture_output=True, check=True).stdout
    # On a terminal an odd name could do harm.
    assert rb"caf\udce9 [red].jpg" in subprocess.run(command, capture_output=True, check=True).stdout


def test_a_full_disk_while_classifying(int8: Path, many_photos: Path, tmp_path: Path, cifar_edge: Command) -> None:
    arguments = ("classify", many_photos, "--model", int8, "-o", tmp_path / "out.csv")
    with full_disk():
        outcome = cifar_edge(*arguments)
    assert outcome.code == 1
    assert "File too large; put that right and go on with the same command and --resume" in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out.csv").exists()
    assert (tmp_path / "out.csv.partial").stat().st_size > 40_000
    assert cifar_edge(*arguments, "--resume").code == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 801


def test_ctrl_c_while_classifying(int8: Path, many_photos: Path, tmp_path: Path) -> None:
    """The last photo takes its decoder a minute, which does not wait for anything."""
    (many_photos / "last.bmp").write_bytes(run_length_bmp(12_000))
    arguments = ["classify", many_photos, "--model", int8, "-o", tmp_path / "out.csv"]
    command = [sys.executable, "-m", "cifar_edge", *arguments]
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed) as running:
        journal = tmp_path / "out.csv.partial"
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 800):
            assert running.poll() is None
            time.sleep(0.1)
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=15)  # a second or two, if nothing else runs
    assert running.returncode == 130
    assert re.search(r"stopped after \d+ photos; go on with the same command and --resume", err)
    assert "Traceback" not in err
    assert "photos by class" in out
    resumed = process(*arguments, "--resume", "--timeout", 0.5)
    assert resumed.returncode == 3
    *rows, last = (tmp_path / "out.csv").read_text().splitlines()
    assert len(rows) == 801
    assert "takes longer than 0.5 s to decode (--timeout)" in last


def test_the_time_left_is_right_soon_after_a_computer_gets_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2000):
        (tmp_path / f"{number}.png").symlink_to(PHOTOS / "ship" / "yacht.png")
    now, bars, make = 0.0, list[Progress](), terminal.progress_bar
    monkeypatch.setattr(classify, "progress_bar", lambda **how: (bars.append(make(**how)), bars[-1])[1])
    screen = Console(file=io.StringIO(), force_terminal=True, get_time=lambda: now)
    monkeypatch.setattr(terminal, "messages", lambda: screen)
    with classify.photo_progress([str(tmp_path)], visible=True) as advance:
        while bars[0].tasks[0].total is None:  # counted by another thread
            time.sleep(0.01)
        for number in range(1000):
            now += 0.1 if number < 900 else 1.0  # throttled to a tenth
            advance()
    assert bars[0].tasks[0].time_remaining == pytest.approx(1000, rel=0.05)
