from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PHOTOS, Outcome

Command = Callable[..., Outcome]


@pytest.fixture
def int8(run: Path) -> Path:
    return run / "cnn-int8.tflite"


def process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cifar_edge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def many_photos(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(800):
        (photos / f"{number}-{'x' * 100}.png").symlink_to(PHOTOS / "ship" / "yacht.png")
    return photos


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Let every file that this process writes in the block end after 50 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def sigint() -> Iterator[Callable[[Any], None]]:
    """Set what Ctrl-C does, until the test ends."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)
