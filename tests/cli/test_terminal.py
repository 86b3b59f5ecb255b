from __future__ import annotations

import contextlib
import io
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from cifar_edge.cli import terminal
from tests.conftest import PHOTOS


def test_the_time_left_is_right_soon_after_a_computer_gets_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2000):
        (tmp_path / f"{number}.png").symlink_to(PHOTOS / "ship" / "yacht.png")
    now, bars, make = 0.0, list[Progress](), terminal._bar
    monkeypatch.setattr(terminal, "_bar", lambda *columns, **how: (bars.append(make(*columns, **how)), bars[-1])[1])
    screen = Console(file=io.StringIO(), force_terminal=True, get_time=lambda: now)
    monkeypatch.setattr(terminal, "messages", screen)
    with terminal.photo_progress([tmp_path], visible=True) as advance:
        while bars[0].tasks[0].total is None:  # counted by another thread
            time.sleep(0.01)
        for number in range(1000):
            now += 0.1 if number < 900 else 1.0  # throttled to a tenth
            advance()
    assert bars[0].tasks[0].time_remaining == pytest.approx(1000, rel=0.05)


@pytest.fixture
def sigint() -> Iterator[Callable[[Any], None]]:
    """Set what Ctrl-C does, until the test ends."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)


def test_a_ctrl_c_that_a_library_loses_ends_the_training_at_its_next_step(sigint: Callable[[Any], None]) -> None:
    sigint(signal.default_int_handler)
    with terminal.training_progress() as progress:
        progress(1, 3, {"loss": 1.0, "accuracy": 0.5})
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            progress(2, 3, {"loss": 1.0, "accuracy": 0.5})
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_ctrl_c_that_python_drops_ends_the_training_without_a_traceback(
    sigint: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pressed:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    class Faulty:
        def __del__(self) -> None:
            raise ValueError

    shown: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: shown.append(dropped.exc_type))
    sigint(signal.default_int_handler)
    with terminal.training_progress() as progress:
        Pressed()
        Faulty()
        with pytest.raises(KeyboardInterrupt):
            progress(1, 3, {"loss": 1.0, "accuracy": 0.5})
    Faulty()
    assert shown == [ValueError, ValueError]


def test_a_training_in_the_background_goes_on_ignoring_ctrl_c(sigint: Callable[[Any], None]) -> None:
    sigint(signal.SIG_IGN)
    with terminal.training_progress() as progress:
        signal.raise_signal(signal.SIGINT)
        progress(1, 3, {"loss": 1.0, "accuracy": 0.5})
