from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cifar_edge import EdgeModel
from cifar_edge.classify.watch import settling, watch
from cifar_edge.errors import UsageError
from cifar_edge.results.row import to_line
from tests.classify.watch.conftest import KITTEN, PATIENCE
from tests.classify.watch.test_hook import made
from tests.conftest import PHOTOS, Outcome
from tests.photos.hostile import run_length_bmp


@pytest.fixture(scope="module")
def model(run: Path) -> EdgeModel:
    return EdgeModel(run / "cnn-int8.tflite")


class Watched(list[str]):
    """The names of photos that have a row, as they come."""

    def wait(self, count: int) -> None:
        began = time.monotonic()
        while len(self) < count:
            assert time.monotonic() - began < PATIENCE, self
            time.sleep(0.05)


@contextmanager
def watching(photos: Path, model: EdgeModel, **options: float) -> Iterator[Watched]:
    names, stop, failures = Watched(), threading.Event(), []

    def work() -> None:
        try:
            rows = watch.watch(photos, model, photos.parent / "results.jsonl", 2, stop=stop, **options)
            names.extend(Path(row.path).name for row in rows)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield names
    finally:
        stop.set()
        thread.join()
    assert not failures


def rows(folder: Path) -> list[dict[str, str]]:
    files = folder.glob("results*.jsonl")
    return [json.loads(line) for file in sorted(files) for line in file.read_text().splitlines()]


@pytest.mark.usefixtures("only_told")
@pytest.mark.parametrize("options", [{}, {"poll": 0.2}], ids=["told", "searched"])
def test_what_is_there_and_what_arrives_is_classified_once(
    options: dict[str, float], photos: Path, model: EdgeModel
) -> None:
    with watching(photos, model, **options) as names:
        names.wait(1)
        shutil.copy(KITTEN, photos)
        shutil.copytree(PHOTOS / "bird", photos / "new" / "birds")
        (photos / "notes.txt").write_text("no photo")
        names.wait(6)
        (photos / "first.png").touch()
        shutil.copy(PHOTOS / "ship" / "yacht.png", photos / "last.png")
        names.wait(7)
    written = rows(photos.parent)
    assert sorted(row["path"] for row in written) == sorted(str(path) for path in photos.rglob("*.*g"))
    assert all(row["label"] for row in written)


def test_it_goes_on_over_many_files_of_results(photos: Path, model: EdgeModel) -> None:
    for number in range(10):
        shutil.copy(photos / "first.png", photos / f"{number}.png")
    with watching(photos, model, rotate=300) as names:
        names.wait(11)
    with (photos.parent / "results.jsonl").open("ab") as file:
        file.write(b'{"path": "torn by a pulled pl')
    shutil.copy(KITTEN, photos / "later.jpg")
    with watching(photos, model, rotate=300) as names:
        names.wait(1)
        time.sleep(2 * watch.TICK)
    assert list(names) == ["later.jpg"]
    assert len({row["path"] for row in rows(photos.parent)}) == len(rows(photos.parent)) == 12
    assert (photos.parent / "results.4.jsonl").exists()


def test_a_file_that_cannot_get_its_number_is_named(photos: Path, model: EdgeModel) -> None:
    output = photos.parent / "results.jsonl"
    found = watch.watch(photos, model, output, rotate=1)
    next(found)
    (photos.parent / "results.1.jsonl").mkdir()
    shutil.copy(KITTEN, photos)
    with pytest.raises(OSError, match="results") as failure:
        next(found)
    assert failure.value.filename == str(output)
    assert [Path(row["path"]).name for row in map(json.loads, output.read_text().splitlines())] == ["first.png"]


@pytest.mark.parametrize("left", ["{", '{"pa', '{"path": "/a.jp', '{"path": "/a.jp\0\0', "\0\0\0"])
@pytest.mark.parametrize("whole", [0, 2])
def test_what_a_crash_leaves_is_cut_off(
    left: str, whole: int, photos: Path, model: EdgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "SETTLED", 0)
    output = photos.parent / "results.jsonl"
    before = b"".join(to_line(made("cat", str(number))) for number in range(whole))
    output.write_bytes(before + left.encode())
    with closing(watch.watch(photos, model, output)) as found:
        next(found)
    assert output.read_bytes().startswith(before)
    assert len(rows(photos.parent)) == whole + 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"path": "mine", "label": "cat"}\n{"path": "yours", "label": "dog"}\n', 1),
        ("{}\n\n{}\n", 2),
        ("{}\n{}\n" + '{"path": "half a row\n' + "{}\n", 3),
        ("{}\nmy notes", 2),
    ],
    ids=["foreign", "blank", "torn in the middle", "added"],
)
def test_what_no_crash_leaves_is_left_alone(text: str, line: int, photos: Path, model: EdgeModel) -> None:
    output = photos.parent / "results.jsonl"
    content = text.encode().replace(b"{}\n", to_line(made("cat")))
    output.write_bytes(content)
    with pytest.raises(UsageError, match=rf"results.jsonl, line {line}: not a row"):
        next(watch.watch(photos, model, output))
    assert output.read_bytes() == content


def command(photos: Path, run: Path, *options: object) -> list[str]:
    output = photos.parent / "results.jsonl"
    arguments = [photos, "--output", output, "--model", run / "cnn-int8.tflite", *options]
    return [sys.executable, "-m", "cifar_edge", "watch", *map(str, arguments)]


def test_killed_again_and_again_it_loses_and_repeats_nothing(photos: Path, run: Path) -> None:
    for number in range(400):
        os.link(photos / "first.png", photos / f"{number}.png")
    for _ in range(3):
        process = subprocess.Popen(command(photos, run), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout
        for _ in range(random.randint(1, 100)):
            process.stdout.readline()
        process.kill()
        process.wait()
        process.stdout.close()
    with subprocess.Popen(command(photos, run, "--quiet"), stderr=subprocess.PIPE, text=True) as process:
        began = time.monotonic()
        while len(rows(photos.parent)) < 401 and time.monotonic() - began < PATIENCE:
            time.sleep(0.1)
        (photos / "endless.bmp").write_bytes(run_length_bmp(12_000))
        time.sleep(4)  # until it is being decoded, which takes a minute
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0  # a second or two, if nothing else runs
        assert process.stderr
        assert process.stderr.read() == ""
    paths = [row["path"] for row in rows(photos.parent)]
    assert len(paths) == len(set(paths)) == 401


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "which folder?"),
        (["nowhere"], "no such folder to watch"),
        (["photos", "--output", "results.csv"], "must end in .jsonl"),
        (["photos", "--output", "other.jsonl"], "other.jsonl, line 1: not a row"),
        (["photos", "--output", "nowhere/results.jsonl"], "nothing can be written there"),
        (["photos", "--on-label", "cat"], "give both"),
        (["photos", "--on-label", "tiger", "--run", "true"], "the model knows airplane"),
        (["photos", "--on-label", "cat", "--run", "no-such-program"], "no such program"),
        (["photos", "--on-label", "cat", "--run", "it's"], "No closing quotation"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    arguments: list[str],
    reason: str,
    photos: Path,
    run: Path,
    cifar_edge: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photos.parent)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    Path("other.jsonl").write_text('{"mine": 1}\n')
    outcome = cifar_edge("watch", *arguments, "--model", run / "cnn-int8.tflite", "--quiet")
    assert outcome.code == 2
    assert reason in outcome.err
    assert Path("other.jsonl").read_text() == '{"mine": 1}\n'


def test_two_cannot_write_the_same_results(photos: Path, model: EdgeModel) -> None:
    with watching(photos, model) as names:
        names.wait(1)
        with pytest.raises(UsageError, match="another process is working on it"):
            next(watch.watch(photos, model, photos.parent / "results.jsonl"))
