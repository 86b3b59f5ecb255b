from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cifar_edge import EdgeModel
from cifar_edge.benchmarks.measures.graphs import matrix_product
from cifar_edge.errors import ModelError
from cifar_edge.tflite import trial
from cifar_edge.tflite.graph import pack, unpack
from cifar_edge.tflite.names import find_model
from tests.conftest import PHOTOS, Outcome
from tests.tflite.mutate import with_odd_graph

NANO = find_model("nano").read_bytes()


@pytest.fixture(autouse=True)
def tried() -> None:
    """Models are tried here."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the processes were given, in order."""
    given, run = [], subprocess.run

    def counted(*arguments: Any, **options: Any) -> Any:
        given.append(options["input"])
        return run(*arguments, **options)

    monkeypatch.setattr(subprocess, "run", counted)
    return given


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / os.fsdecode(b"na\xefve.tflite")
    path.write_bytes(NANO)
    return path


def without_subgraphs() -> bytes:
    graph = unpack(NANO)
    graph.subgraphs = graph.metadata = None
    return pack(graph).replace(b"cifar-edge card", b"other's content")


def with_input(side: int) -> bytes:
    """Return a graph whose first convolution gives 32 numbers for each pixel."""
    graph = unpack(find_model("nano-float32").read_bytes())
    graph.metadata = None
    graph.subgraphs[0].tensors[graph.subgraphs[0].inputs[0]].shape = [1, side, side, 3]
    return pack(graph).replace(b"cifar-edge card", b"other's content")


def test_a_model_that_crashes_litert_is_an_error(tmp_path: Path, cifar_edge: Callable[..., Outcome]) -> None:
    (tmp_path / "m.tflite").write_bytes(without_subgraphs())
    outcome = cifar_edge("classify", PHOTOS / "cat", "--model", tmp_path / "m.tflite")
    assert outcome.code == 1
    assert "m.tflite: this file crashes LiteRT (Segmentation fault)" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "core").exists()


def test_a_model_that_takes_too_much_memory_is_an_error(tmp_path: Path) -> None:
    """Seen from a process that has had no other children."""
    (tmp_path / "m.tflite").write_bytes(with_input(4096))
    script = """
import resource, sys
from cifar_edge import EdgeModel
from cifar_edge.errors import ModelError
try:
    EdgeModel(sys.argv[1])
except ModelError as error:
    assert "m.tflite: " in str(error)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "m.tflite"], capture_output=True, check=True)
    assert 1024 * int(done.stdout) < 1.5 * trial.MEMORY


def test_a_model_that_takes_too_long_is_an_error(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.01)
    with pytest.raises(ModelError, match=r"\.tflite: one image takes longer than 0\.01 s"):
        EdgeModel(model)


def test_what_is_wrong_in_the_other_process_is_said_in_this_one(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"na\xefve.tflite")
    path.write_bytes(matrix_product(1, 8, 8, "int8"))
    with pytest.raises(ModelError, match=r"na\udcefve\.tflite: not an image classifier: takes \[1, 8\]"):
        EdgeModel(path)


@pytest.mark.parametrize("seed", range(3))
def test_odd_graphs_are_errors_or_models(seed: int, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(with_odd_graph(NANO, random.Random(seed)))
    with contextlib.suppress(ModelError):
        EdgeModel(tmp_path / "m.tflite")


def test_a_model_that_passed_is_not_tried_again(model: Path, processes: list[Any], tmp_path: Path) -> None:
    for _ in range(2):
        EdgeModel(model)
        (tmp_path / "copy.tflite").write_bytes(NANO)
        EdgeModel(tmp_path / "copy.tflite")
    assert processes == [NANO]


def test_models_that_ship_and_bytes_are_not_tried(processes: list[Any]) -> None:
    EdgeModel("nano")
    EdgeModel(find_model("nano"))
    EdgeModel.from_bytes(NANO, "nano")
    assert not processes


def test_a_model_that_failed_is_tried_again(tmp_path: Path, processes: list[Any]) -> None:
    (tmp_path / "m.tflite").write_bytes(without_subgraphs())
    for _ in range(2):
        with pytest.raises(ModelError):
            EdgeModel(tmp_path / "m.tflite")
    assert len(processes) == 2


def test_without_a_writable_cache_each_call_tries(model: Path, cache: Path, processes: list[Any]) -> None:
    cache.write_text("no folder")
    EdgeModel(model)
    EdgeModel(model)
    assert len(processes) == 2


def emptied(mark: Path) -> None:
    mark.write_text("")


def of_another_model(mark: Path) -> None:
    mark.write_text(f"{'0' * 64}{mark.name[64:]}")


def linked(mark: Path) -> None:
    mark.rename(mark.with_name("elsewhere"))
    mark.symlink_to("elsewhere")


def piped(mark: Path) -> None:
    mark.unlink()
    os.mkfifo(mark)


def of_another_user(mark: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    os.chown(mark, 65534, -1)


@pytest.mark.parametrize("spoil", [emptied, of_another_model, linked, piped, of_another_user])
def test_only_ones_own_whole_marks_count(
    spoil: Callable[[Path], None], model: Path, cache: Path, processes: list[Any]
) -> None:
    EdgeModel(model)
    (mark,) = cache.rglob("tried/*")
    spoil(mark)
    EdgeModel(model)
    assert len(processes) == 2


def test_a_folder_of_photos_is_not_where_the_other_process_finds_packages(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model.parent / "numpy.py").write_text("raise SystemExit")
    monkeypatch.chdir(model.parent)
    EdgeModel(model)


def test_a_process_that_does_not_start_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ModelError, match=r"\.tflite: could not be tried in a process of its own \(No such file"):
        EdgeModel(model)
