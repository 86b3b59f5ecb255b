from __future__ import annotations

import csv
import functools
import io
import json
import os
import pty
import re
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cifar_edge import __version__
from tests.conftest import PHOTOS, Outcome

Command = Callable[..., Outcome]
COUNT = 27


@pytest.fixture
def int8(run: Path) -> Path:
    return run / "cnn-int8.tflite"


def process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cifar_edge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload, no-any-return]


COMMANDS = (
    "",
    "train",
    "export",
    "classify",
    "evaluate",
    "bench",
    "watch",
    "doctor",
    "data",
    "data fetch",
    "data info",
    "models",
    "models show",
)
DEVICE_SIDE = (
    "images",
    "model",
    "folder",
    "results",
    "report",
    "journal",
    "sorting",
    "summary",
    "cli",
    "terminal",
    "evaluation",
    "benchmarks.bench",
    "benchmarks.compare",
    "benchmarks.tables",
    "data",
    "description",
    "doctor",
    "lines",
    "machine",
    "watch",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, cifar_edge: Command) -> None:
    for flag in ("--help", "-h"):
        outcome = cifar_edge(*command.split(), flag)
        assert outcome.code == 0
        assert f"cifar-edge {command}".strip() in outcome.out
        assert outcome.err == ""


def test_version(cifar_edge: Command) -> None:
    assert cifar_edge("--version").out == f"cifar-edge {__version__}\n"


def test_help_names_every_choice(cifar_edge: Command) -> None:
    from cifar_edge.training.networks import NETWORKS
    from cifar_edge.training.recipe import AUGMENTATIONS, OPTIMIZERS, RECIPES, SCHEDULES

    assert NETWORKS.keys() == RECIPES.keys()
    text = cifar_edge("train", "--help").out
    for name in (*RECIPES, *OPTIMIZERS, *SCHEDULES, *AUGMENTATIONS):
        assert name in text


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, cifar_edge.cli as cli; sys.argv[1:] = ['-h']\ntry: cli.main()\nfinally: print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert "typer" in modules
    assert not {"numpy", "PIL", "ai_edge_litert", "tensorflow", "keras", "matplotlib"} & set(modules)


@pytest.mark.parametrize("module", DEVICE_SIDE)
def test_the_device_side_never_imports_tensorflow(module: str) -> None:
    code = f"import sys, cifar_edge.{module}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "keras", "matplotlib", "ray", "jax", "pyarrow"} & set(modules)


def test_classify_prints_rows_and_counts(int8: Path, cifar_edge: Command) -> None:
    outcome = cifar_edge("classify", PHOTOS, "--model", int8)
    assert outcome.code == 0
    assert str(PHOTOS / "cat" / "chelsea.jpg") in outcome.out
    assert "photos by class" in outcome.out
    assert f"of {COUNT} photos whose folders say their classes" in outcome.out
    assert "photos by folder (rows) and predicted class" in outcome.out
    assert str(int8) in outcome.err


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
    from cifar_edge.cli.terminal import print_summary, results_console
    from cifar_edge.results.row import Row
    from cifar_edge.results.summary import Summary

    summary = Summary(labels := [f"class{number}" for number in range(100)])
    for label in labels:
        summary.add(Row(f"{label}/1.jpg", label, 0.5, ((label, 0.5),), "", 1.0, "m.tflite"))
    for number in range(3):
        summary.add(Row(f"class7/{number}.jpg", "class9", 0.5, (("class9", 0.5),), "", 1.0, "m.tflite"))
    print_summary(summary, results_console())
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


def test_quiet(int8: Path, cifar_edge: Command) -> None:
    assert cifar_edge("classify", PHOTOS, "--model", int8, "--quiet", "-o", "-").err == ""
    assert "no such file" in cifar_edge("classify", "nowhere", "--model", int8, "-q").err


def test_a_pipe_gets_no_colours_and_whole_lines(int8: Path) -> None:
    result = process("classify", PHOTOS, "--model", int8, env={**os.environ, "COLUMNS": "20", "TERM": "xterm"})
    assert "\x1b" not in result.stdout + result.stderr
    assert f"{PHOTOS}/truck/garbage_truck.png\n" in result.stdout


def test_rows_go_into_the_pipe_while_progress_is_on_the_terminal(int8: Path) -> None:
    terminal, stderr = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-m", "cifar_edge", "classify", PHOTOS, "--model", int8],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
    ) as process:
        os.close(stderr)
        rows, _ = process.communicate()
    assert f"{PHOTOS}/truck/garbage_truck.png\n" in rows.decode()
    assert b"\x1b[?25l" in os.read(terminal, 1 << 16)  # the cursor is hidden: there is a bar
    os.close(terminal)


def test_any_name_can_be_printed(int8: Path, tmp_path: Path) -> None:
    shutil.copy(PHOTOS / "cat" / "chelsea.jpg", tmp_path / "猫.jpg")
    result = process("classify", tmp_path, "--model", int8, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert "猫.jpg" in result.stdout


def test_a_reader_that_stops_gets_no_complaint(int8: Path) -> None:
    command = f"{sys.executable} -m cifar_edge classify {PHOTOS} --model {int8} -q | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert len(result.stdout.splitlines()) == 1
    assert "Traceback" not in result.stderr


def test_names_that_are_no_text(int8: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9 [red].jpg"
    shutil.copy(PHOTOS / "cat" / "chelsea.jpg", name)
    command = [sys.executable, "-m", "cifar_edge", "classify", tmp_path, "--model", int8]
    assert name in subprocess.run([*command, "--output", "-"], capture_output=True, check=True).stdout
    # On a terminal an odd name could do harm.
    assert rb"caf\udce9 [red].jpg" in subprocess.run(command, capture_output=True, check=True).stdout


def test_evaluate_agrees_for_run_keras_and_tflite(run: Path, cifar_edge: Command) -> None:
    models = (run, run / "model.keras", run / "cnn-float32.tflite")
    texts = [cifar_edge("evaluate", model, "--data", "sample").out for model in models]
    assert len({text.split(",")[0] for text in texts}) == 1
    assert "on 1,000 images" in texts[0]
    assert "automobile" in texts[0]
    assert "on 500 images" in cifar_edge("evaluate", run, "--data", "sample", "--validation").out


def test_bench_compares_models(run: Path, tmp_path: Path, cifar_edge: Command) -> None:
    models = (run / "cnn-float32.tflite", run / "cnn-int8.tflite")
    record, pictures = tmp_path / "bench.json", tmp_path / "pictures"
    outcome = cifar_edge(
        *("bench", *models, "--data", "sample", "--threads", "2", "--baseline", models[1]),
        *("--output", record, "--plot", pictures, "--folder", PHOTOS / "cat"),
    )
    assert outcome.code == 0
    for expected in (
        "2 threads",
        "cnn/cnn-float32",
        "cnn/cnn-int8",
        "of peak",
        "µs",
        "KB",
        "1,000 test images",
        "naive loop",
    ):
        assert expected in outcome.out
    assert (pictures / "accuracy-latency.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads(record.read_text())
    assert content["baseline"] == "cnn/cnn-int8"
    content["models"][1]["size"] /= 1000
    record.write_text(json.dumps(content))
    compared = cifar_edge("bench", models[1], "--data", "sample", "--threads", "2", "--compare", record, "-q")
    assert compared.code == 4
    assert "cnn/cnn-int8, size, KB" in compared.err
    assert "warning: cnn/cnn-float32: no longer measured" in compared.err
    assert "changed beyond the noise" in compared.out


def test_data_info(cifar_edge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-edge" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "data_batch_1.bin").write_bytes(b"half")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    outcome = cifar_edge("data", "info")
    assert "data_batch_2.bin is missing" in outcome.out
    assert "intact: 5,000 training and 1,000 test images" in outcome.out


def test_train_and_export_without_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cifar_edge: Command) -> None:
    monkeypatch.chdir(tmp_path)
    trained = cifar_edge("train", "--data", "sample", "--model", "ann", "--epochs", 1)
    assert trained.code == 0
    assert "test accuracy" in trained.out
    exported = cifar_edge("export", "--quantize")
    assert exported.code == 0
    assert "agreement" in exported.out
    classified = cifar_edge("classify", PHOTOS / "ship", "--model", "ann-int8")
    assert "ann-int8.tflite" in classified.err


def test_a_stopped_and_a_killed_training_are_resumed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cifar_edge", "train"]
    new = ["--data", "sample", "--model", "ann", "--epochs", "5"]
    # A shell's background job, as CI may be, passes on that it ignores Ctrl-C.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        [*command, *new], cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    ) as training:
        wait_for_epoch(training, tmp_path, 1)
        training.send_signal(signal.SIGINT)
        assert training.stderr is not None
        said = training.stderr.read()
    assert training.returncode == 130
    assert "of 5 epochs; go on with `cifar-edge train --resume" in said
    assert "Traceback" not in said
    refused = process("train", "--resume", "--epochs", 7, cwd=tmp_path)
    assert (refused.returncode, "cannot go on with 7" in refused.stderr) == (2, True)
    with subprocess.Popen([*command, "--resume", "--quiet"], cwd=tmp_path) as training:
        wait_for_epoch(training, tmp_path, 3)
        training.kill()
    resumed = process("train", "--resume", cwd=tmp_path)
    assert resumed.returncode == 0
    (run,) = tmp_path.glob("runs/*")
    assert len((run / "history.csv").read_text().splitlines()) == 6


def wait_for_epoch(training: subprocess.Popen[Any], folder: Path, epoch: int) -> None:
    while not any(len(history.read_text().splitlines()) > epoch for history in folder.glob("runs/*/history.csv")):
        assert training.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "--model", "vgg"], 2, "unknown model 'vgg'"),
        (["train", "--data", "nowhere"], 2, "nowhere: no such folder or archive"),
        (["train", "--resume"], 2, "no unfinished run in there"),
        (["train", "--epochs", "many"], 2, "Invalid value for '--epochs'"),
        (["export"], 2, "no finished run in there"),
        (["export", "nowhere.keras"], 2, "nowhere.keras: no such model file"),
        (["classify", "photos"], 2, "photos: no such file or folder"),
        (["classify", "nowhere", "--model", "{int8}"], 2, "nowhere: no such file or folder"),
        (["classify", "empty", "--model", "{int8}"], 2, "empty: no photos in there"),
        (["classify", "empty", "--model", "broken.tflite"], 1, "broken.tflite: not a TFLite model"),
        (["classify", "empty", "--model", "gone.tflite"], 2, "gone.tflite: no such model file"),
        (["classify", "{photos}", "--model", "{int8}", "-o", "nowhere/results.csv"], 2, "nowhere does not exist"),
        (["classify", "{photos}", "--model", "{int8}", "-o", "empty"], 2, "empty: not a file"),
        (["classify", "{photos}", "--model", "{int8}", "-o", ""], 2, "not a file"),
        (["classify", "{photos}", "--model", "{int8}", "-o", "{int8}"], 2, "is what is read"),
        (["classify", "{photos}", "--model", "{int8}", "-o", "results.txt"], 2, "the suffix says the format"),
        (["classify", "{photos}", "--model", "{int8}", "--resume"], 2, "nothing can be resumed"),
        (["classify", "{photos}", "--model", "{int8}", "--link"], 2, "name a folder to sort them into"),
        (["classify", "{photos}", "--model", "{int8}", "--top-k", "11"], 2, "has 10 classes"),
        (["classify", "{photos}", "--model", "{int8}", "--sort-into", "{photos}/x"], 2, "sort into a folder elsewhere"),
        (["train", "--run", "empty/.."], 2, "already in use"),
        (["train", "--seed", "-1"], 2, "seed -1 is out of range"),
        (["bench", "{int8}", "--output", "bench.txt"], 2, "must end in .json"),
        (["bench", "{int8}", "--output", "nowhere/bench.json"], 2, "stand in a folder that exists"),
        (["bench", "{int8}", "--threads", "1,none"], 2, "--threads 1,none: give whole numbers"),
        (["bench", "{int8}", "--batch", "0"], 2, "--batch 0: give whole numbers"),
        (["bench", "{int8}", "--baseline", "gone.tflite"], 2, "gone.tflite: not among the models"),
        (["bench", "{int8}", "--folder", "nowhere"], 2, "nowhere: no such folder of photos"),
        (["bench", "{int8}", "--compare", "gone.json"], 2, "gone.json: not a bench.json"),
        (["bench", "{int8}", "--compare", "half.json"], 2, "half.json: not a whole bench.json"),
        (["bench", "{int8}", "--regression", "2"], 2, "name an earlier bench.json with --compare"),
        (["bench", "{int8}", "--folder", "empty"], 2, "empty: no photos in there"),
        (["bench", "{int8}", "--output", "folder.json"], 2, "must end in .json"),
        (["bench", "{int8}", "--output", "/proc/bench.json"], 2, "/proc: nothing can be written there"),
        (["bench", "{int8}", "--plot", "/proc/pictures"], 2, "/proc: nothing can be written there"),
        (["bench", "gone-int8"], 2, "gone-int8: no such model file, none that ships"),
        (["bench", "{int8}", "{int8}", "--data", "sample"], 2, "is there already"),
        (["bench", "{int8}", "--cifar10c", "empty", "--data", "sample"], 1, "labels.npy: cannot be read"),
        (["bench", "{int8}", "--plot", "broken.tflite"], 2, "broken.tflite: not a folder"),
        (["evaluate", "broken.keras", "--data", "sample"], 1, "broken.keras: not a Keras model"),
        (["evaluate", "empty", "--data", "sample"], 2, "model.keras: no such model file"),
        (["bench", "broken.tflite"], 1, "broken.tflite: not a TFLite model"),
        (["data", "fetch", "--url", "no-url"], 2, "no-url is not a URL"),
        (["nonsense"], 2, "No such command"),
        (["bench", "gone.tflite"], 2, "gone.tflite: no such model file"),
        (["classify", "{photos}", "--model", "{int8}", "--pixel-range", "nan,1"], 2, "give two different numbers"),
        (["classify", "{photos}", "--model", "{int8}", "--pixel-range", "0,0"], 2, "give two different numbers"),
    ],
)
def test_bad_input(
    arguments: list[str],
    code: int,
    message: str,
    int8: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cifar_edge: Command,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("empty").mkdir()
    Path("broken.tflite").write_text("broken")
    Path("broken.keras").write_text("broken")
    Path("half.json").write_text('{"schema": 2}')
    Path("folder.json").mkdir()
    outcome = cifar_edge(*(argument.format(int8=int8, photos=PHOTOS) for argument in arguments))
    assert outcome.code == code
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    ours = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(ours) == (0 if "Usage:" in outcome.err else 1)
    assert not Path("results.csv").exists()


@pytest.mark.parametrize(
    "program", ["cluster", "device", "fidelity", "held_out", "outliers", f"photos {PHOTOS}", "throughput"]
)
def test_programs_fail_as_the_command_does(
    program: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, *arguments = program.split(maxsplit=1)  # the folder may have spaces
    module = f"cifar_edge.benchmarks.{name}"
    monkeypatch.delitem(sys.modules, module, raising=False)  # runpy warns of modules that are already there
    for more, message in (([], "Usage: "), (["nosuch"], "error: nosuch: no such model")):
        monkeypatch.setattr(sys, "argv", [name, *arguments, *more])
        with pytest.raises(SystemExit) as stop:
            runpy.run_module(module, run_name="__main__")
        printed = capsys.readouterr()
        assert (stop.value.code, printed.out, printed.err.startswith(message)) == (2, "", True)


def test_32_bit_arm_is_told_that_it_has_no_litert(int8: Path) -> None:
    code = (
        "import sys; from cifar_edge import cli, model; sys.modules['ai_edge_litert'] = None; "
        f"sys.argv[1:] = ['bench', {str(int8)!r}]; cli.main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "error: this needs LiteRT, which 32-bit ARM lacks" in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_pyarrow_is_named(
    int8: Path, tmp_path: Path, cifar_edge: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    outcome = cifar_edge("classify", PHOTOS, "--model", int8, "-o", tmp_path / "out.parquet")
    assert (outcome.code, "pip install '.[parquet]'" in outcome.err) == (1, True)


def test_missing_tensorflow_is_named(cifar_edge: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    outcome = cifar_edge("train", "--data", "sample")
    assert (outcome.code, "pip install '.[train]'" in outcome.err) == (1, True)


def test_a_missing_backend_is_named(tmp_path: Path) -> None:
    result = process("train", "--data", "sample", cwd=tmp_path, env={**os.environ, "KERAS_BACKEND": "torch"})
    assert result.returncode == 2
    assert result.stderr == "error: KERAS_BACKEND is torch, which is not installed: install it or unset KERAS_BACKEND\n"


def limit_file_size() -> None:
    """Let every file end after 50 kB, as if the disk were full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))


@pytest.fixture
def many_photos(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(800):
        (photos / f"{number}-{'x' * 100}.png").symlink_to(PHOTOS / "ship" / "yacht.png")
    return photos


def test_a_full_disk_while_classifying(int8: Path, many_photos: Path, tmp_path: Path) -> None:
    arguments = ("classify", many_photos, "--model", int8, "-o", tmp_path / "out.csv")
    result = process(*arguments, preexec_fn=limit_file_size)
    assert result.returncode == 1
    assert "File too large; put that right and go on with the same command and --resume" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out.csv").exists()
    assert (tmp_path / "out.csv.partial").stat().st_size > 40_000
    assert process(*arguments, "--resume").returncode == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 801


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(closed: str, int8: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m cifar_edge classify {PHOTOS / 'ship'} --model {int8} -o {tmp_path / 'out.csv'}"
    assert subprocess.run(f"{command} {closed}", shell=True).returncode == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + len([*(PHOTOS / "ship").glob("*.*g")])


def test_ctrl_c_while_classifying(int8: Path, many_photos: Path, tmp_path: Path) -> None:
    arguments = ["classify", many_photos, "--model", int8, "-o", tmp_path / "out.csv"]
    command = [sys.executable, "-m", "cifar_edge", *arguments]
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed) as running:
        journal = tmp_path / "out.csv.partial"
        while not (journal.exists() and journal.stat().st_size > 10_000):
            assert running.poll() is None
            time.sleep(0.005)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
    assert running.returncode == 130
    assert re.search(r"stopped after \d+ photos; go on with the same command and --resume", err)
    assert "Traceback" not in err
    assert "photos by class" in out
    assert process(*arguments, "--resume").returncode == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 801


def test_a_full_disk_while_exporting_and_training(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "model.keras", tmp_path / "model.keras")
    result = process("export", tmp_path / "model.keras", "--data", "sample", preexec_fn=limit_file_size)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("*.tflite"))
    folder = tmp_path / "run"
    result = process("train", "--data", "sample", "--model", "ann", "--run", folder, preexec_fn=limit_file_size)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert not (folder / "model.keras").exists()
