from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cifar_edge.training.networks import NETWORKS
from tests.cli.conftest import Command, full_disk
from tests.conftest import ROOT
from tests.little import little_network


def test_help_names_every_choice(cifar_edge: Command) -> None:
    from cifar_edge.training.recipe import AUGMENTATIONS, OPTIMIZERS, RECIPES, SCHEDULES

    assert NETWORKS.keys() == RECIPES.keys()
    text = cifar_edge("train", "--help").out
    for name in (*RECIPES, *OPTIMIZERS, *SCHEDULES, *AUGMENTATIONS):
        assert name in text


def test_a_stopped_and_a_killed_training_are_resumed(
    tmp_path: Path, cifar_edge: Command, monkeypatch: pytest.MonkeyPatch, sigint: Callable[[Any], None]
) -> None:
    sigint(signal.default_int_handler)  # a shell's background job, as CI may be, ignores Ctrl-C
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(NETWORKS, "ann", functools.partial(little_network, "ann"))
    presser = threading.Thread(target=press_ctrl_c_after_epoch, args=(tmp_path, 1))
    presser.start()
    stopped = cifar_edge("train", "--data", "sample", "--model", "ann", "--epochs", 3)
    presser.join()
    assert stopped.code == 130
    assert "of 3 epochs; go on with `cifar-edge train --resume" in stopped.err
    assert "Traceback" not in stopped.err
    refused = cifar_edge("train", "--resume", "--epochs", 7)
    assert (refused.code, "cannot go on with 7" in refused.err) == (2, True)
    script = f"""
import functools, sys
sys.path.insert(0, {str(ROOT)!r})
from cifar_edge.cli.app import main
from cifar_edge.training.networks import NETWORKS
from tests.conftest import ROOT
from tests.little import little_network
NETWORKS["ann"] = functools.partial(little_network, "ann")
main()
"""
    with subprocess.Popen([sys.executable, "-c", script, "train", "--resume", "--quiet"]) as training:
        while not has_epoch(tmp_path, 2):
            assert training.poll() is None
            time.sleep(0.05)
        training.kill()
    resumed = cifar_edge("train", "--resume")
    assert resumed.code == 0
    assert "test accuracy" in resumed.out
    (run,) = tmp_path.glob("runs/*")
    assert len((run / "history.csv").read_text().splitlines()) == 4


def press_ctrl_c_after_epoch(folder: Path, epoch: int) -> None:
    while not has_epoch(folder, epoch):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def has_epoch(folder: Path, epoch: int) -> bool:
    return any(len(history.read_text().splitlines()) > epoch for history in folder.glob("runs/*/history.csv"))


def test_a_full_disk_while_training(tmp_path: Path, cifar_edge: Command) -> None:
    with full_disk():
        outcome = cifar_edge("train", "--data", "sample", "--model", "ann", "--run", tmp_path / "run")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "run" / "model.keras").exists()
