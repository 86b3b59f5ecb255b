from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Command, full_disk
from tests.conftest import PHOTOS


def test_export_without_names(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cifar_edge: Command) -> None:
    shutil.copytree(run, tmp_path / "runs" / "newest", ignore=shutil.ignore_patterns("*.tflite"))
    monkeypatch.chdir(tmp_path)
    exported = cifar_edge("export", "--quantize", "--calibration-images", 50, "--max-drop", 100)
    assert exported.code == 0
    assert "agreement" in exported.out
    classified = cifar_edge("classify", PHOTOS / "ship", "--model", "cnn-int8")
    assert "newest/cnn-int8.tflite" in classified.err


def test_a_full_disk_while_exporting(run: Path, tmp_path: Path, cifar_edge: Command) -> None:
    shutil.copy(run / "model.keras", tmp_path / "model.keras")
    with full_disk():
        outcome = cifar_edge("export", tmp_path / "model.keras", "--data", "sample")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert not list(tmp_path.glob("*.tflite"))
