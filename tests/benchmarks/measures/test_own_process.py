from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cifar_edge.benchmarks.measures import memory
from cifar_edge.errors import CifarEdgeError


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "other.tflite").write_text("no model")
    with pytest.raises(CifarEdgeError, match=r"failed: .*not a TFLite model"):
        memory.measure("LiteRT", tmp_path / "other.tflite")


def test_a_process_that_is_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    with pytest.raises(CifarEdgeError, match=r"killed by signal 9; most likely memory ran out"):
        memory.measure("LiteRT", tmp_path / "m.tflite")
