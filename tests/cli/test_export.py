from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command, full_disk
from tests.conftest import PHOTOS


def test_export_without_names_in_another_process_gives_the_same_bytes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cifar_edge: Command
) -> None:
    copy = shutil.copytree(run, tmp_path / "runs" / run.name, ignore=shutil.ignore_patterns("*.tflite", "export*"))
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "cifar_edge", "export", "--quantize", "--licence", "MIT"]
    exported = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "agreement" in exported.stdout
    for name in ("cnn-float32.tflite", "cnn-int8.tflite"):
        assert (copy / name).read_bytes() == (run / name).read_bytes()
    records = [json.loads((folder / "export.json").read_text()) for folder in (run, copy)]
    for file in (*records[0]["files"], *records[1]["files"]):
        assert file.pop("latency")["median"] > 1
    assert records[0] == records[1]
    classified = cifar_edge("classify", PHOTOS / "ship", "--model", "cnn-int8")
    assert "cnn/cnn-int8.tflite" in classified.err


def test_a_full_disk_while_exporting(run: Path, tmp_path: Path, cifar_edge: Command) -> None:
    shutil.copy(run / "model.keras", tmp_path / "model.keras")
    with full_disk():
        outcome = cifar_edge("export", tmp_path / "model.keras", "--data", "sample")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert not list(tmp_path.glob("*.tflite"))
