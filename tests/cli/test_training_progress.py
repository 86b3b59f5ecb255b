from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from cifar_edge.cli.training_progress import training_progress


def test_a_ctrl_c_that_a_library_loses_ends_the_training_at_its_next_step(sigint: Callable[[Any], None]) -> None:
    sigint(signal.default_int_handler)
    with training_progress() as progress:
        progress(1, 3, "epoch 1 of 3", {"loss": 1.0, "accuracy": 0.5})
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            progress(2, 3, "epoch 2 of 3", {"loss": 1.0, "accuracy": 0.5})
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
    with training_progress() as progress:
        Pressed()
        Faulty()
        with pytest.raises(KeyboardInterrupt):
            progress(1, 3, "epoch 1 of 3", {"loss": 1.0, "accuracy": 0.5})
    Faulty()
    assert shown == [ValueError, ValueError]


def test_a_training_in_the_background_goes_on_ignoring_ctrl_c(sigint: Callable[[Any], None]) -> None:
    sigint(signal.SIG_IGN)
    with training_progress() as progress:
        signal.raise_signal(signal.SIGINT)
        progress(1, 3, "epoch 1 of 3", {"loss": 1.0, "accuracy": 0.5})


def test_without_a_terminal_each_epoch_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress() as progress:
        progress(1, 4, "epoch 1 of 2", {"loss": 2.0, "accuracy": 0.25})
        progress(2, 4, "epoch 1 of 2", {"loss": 1.5, "accuracy": 0.5})
        progress(3, 4, "epoch 2 of 2", {"loss": 1.0, "accuracy": 0.75})
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1 of 2 loss 1.500 accuracy 50.0%",
        "epoch 2 of 2 loss 1.000 accuracy 75.0%",
    ]


def test_the_end_is_foretold_after_the_first_steps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cifar_edge.cli.training_progress.MEASURED", 0.01)
    with training_progress() as progress:
        for step in range(1, 5):
            progress(step, 1_000, "epoch 1 of 2", {})
            time.sleep(0.011)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if " left, until " in line]
    assert line.startswith("about ")
