"""Every command in the README is run, in its order, in one folder, as a user would."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cifar_edge import data
from cifar_edge.data import Cifar10
from cifar_edge.photos.decode import FORMATS, SUFFIXES
from cifar_edge.photos.find import UNREAD
from cifar_edge.training.networks import NETWORKS
from tests.conftest import PHOTOS, ROOT, Outcome
from tests.little import little_network
from tests.own_photos import write_class_folders

README = (ROOT / "README.md").read_text()

BUCKET = "cifar-edge classify s3://bucket/photos --output"

COPY = "scp cifar_edge-*.whl runs/*/quick-int8.tflite pi:"
ELSEWHERE = {
    "make demo": ".ci/run",
    "make test": ".ci/run",
    "make fuzz": ".ci/run",
    "make cluster": "its nodes would outlive the test; test_cluster.py has nodes of its own",
    "pip install '.[cluster]'": "the tests' own environment",
    f"{BUCKET} results.csv --resume": "test_remote.py",
    f"{BUCKET} s3://bucket/results --resume --cluster": "test_cluster.py, with an address or without a cluster",
    "make bench": "hours of training; its commands are those of this page",
    "make models": "hours of training; its commands are those of this page",
    ". .venv/bin/activate": "the tests' own environment",
    "python3 -m venv edge": "test_package.py",
    "edge/bin/pip install .": "test_package.py",
    "edge/bin/pip install '.[train]'": "the tests' own environment",
    "edge/bin/pip install ./cifar_edge-*.whl": "test_package.py",
    "pip wheel --no-deps .": "test_package.py",
    "edge/bin/cifar-edge watch ./photos --output results.jsonl": "test_watch.py",
    COPY: "needs a Raspberry Pi; here the model is copied into the folder",
}

# The whole set takes minutes; a tenth of the sample, one epoch and two rounds show that the command is right.
SHORTER = {
    "cifar-edge train ./my_photos": "--backbone nano --epochs 1",
    "cifar-edge train": "--data sample --epochs 1",
    "cifar-edge export": "--max-drop 100",
    "cifar-edge evaluate": "--data sample",
    "cifar-edge bench": "--data sample --rounds 2",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line.partition(" #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def test_every_command_works(
    tmp_path: Path, full: Path, tiny: Cifar10, monkeypatch: pytest.MonkeyPatch, cifar_edge: Callable[..., Outcome]
) -> None:
    load = data.load_cifar10
    monkeypatch.setattr(data, "load_cifar10", lambda source=None: tiny if source == "sample" else load(source))
    for name in ("quick", "cnn"):  # the commands are tried here, not the networks
        monkeypatch.setitem(NETWORKS, name, functools.partial(little_network, name))
    shutil.copytree(PHOTOS, tmp_path / "photos")
    write_class_folders(tmp_path / "my_photos", tiny.train, {"cat": 8, "ship": 8})
    write_class_folders(tmp_path / "new_photos", tiny.test, {"cat": 3})
    monkeypatch.chdir(tmp_path)
    for line in commands():
        if line == COPY:
            (exported,) = Path("runs").glob("*/quick-int8.tflite")
            shutil.copy(exported, tmp_path)
        elif line not in ELSEWHERE:
            command = line.removeprefix("edge/bin/")
            assert command.startswith("cifar-edge "), f"say in ELSEWHERE who runs {line!r}"
            shorter = next((options for start, options in SHORTER.items() if command.startswith(start)), "")
            _, *words = shlex.split(f"{command} {shorter}")
            outcome = cifar_edge(*(file for word in words for file in (Path().glob(word) if "*" in word else [word])))
            assert outcome.code == 0, f"{line}\n{outcome.err}"


def test_every_command_of_the_tool_is_shown() -> None:
    shown = {line.split()[1] for line in commands() if "cifar-edge " in line}
    assert shown == {"train", "export", "classify", "evaluate", "bench", "data", "doctor", "models", "watch"}


def test_the_python_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks("python")
    shutil.copy(PHOTOS / "cat" / "chelsea.jpg", tmp_path / "cat.jpg")
    shutil.copytree(PHOTOS, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    result = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True)
    assert len(result.stdout.splitlines()) == 28


def test_what_is_run_elsewhere_is_in_the_readme_still() -> None:
    assert set(ELSEWHERE) <= set(commands())


def test_what_is_read_and_what_is_not_stands_in_the_documents(cifar_edge: Callable[..., Outcome]) -> None:
    read, unread = (ROOT / "docs" / "photos.md").read_text().split("## What is not read")
    for text, suffixes in (
        (read, SUFFIXES),
        (unread, UNREAD),
        (README.partition("photos are known by their")[2].partition(";")[0], SUFFIXES),
    ):
        assert sorted(re.findall(r"`(\.[0-9a-z]+)`", text)) == sorted(suffixes)
    said = cifar_edge("classify", "--help").out.upper()
    assert all(name in said and name in read.upper() for name in FORMATS)


def test_every_file_the_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
