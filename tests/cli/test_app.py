from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from cifar_edge import __version__
from tests.cli.conftest import Command
from tests.conftest import PHOTOS

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
    "errors",
    "system",
    "photos",
    "data",
    "tflite",
    "evaluation",
    "results",
    "classify",
    "cli",
    "benchmarks.bench",
    "benchmarks.compare",
    "benchmarks.tables",
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


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from cifar_edge.cli import app; sys.argv[1:] = ['-h']\n"
    code += "try: app.main()\nfinally: print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert "typer" in modules
    assert not {"numpy", "PIL", "ai_edge_litert", "tensorflow", "keras", "matplotlib"} & set(modules)


@pytest.mark.parametrize("layer", DEVICE_SIDE)
def test_the_device_side_never_imports_tensorflow(layer: str) -> None:
    top = importlib.import_module(f"cifar_edge.{layer}")
    inside = pkgutil.walk_packages(getattr(top, "__path__", ()), f"{top.__name__}.")
    names = ", ".join([top.__name__, *(module.name for module in inside)])
    code = f"import sys, {names}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "keras", "matplotlib", "ray", "jax", "pyarrow", "fsspec"} & set(modules)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "--model", "vgg"], 2, "unknown model 'vgg'"),
        (["train", "--data", "nowhere"], 2, "nowhere: no such folder or archive"),
        (["train", "--resume"], 2, "no unfinished run in there"),
        (["train", "--epochs", "many"], 2, "Invalid value for '--epochs'"),
        (["export"], 2, "no finished run in there"),
        (["export", "nowhere.keras"], 2, "nowhere.keras: no such model file"),
        (["classify"], 2, "Missing argument"),
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
