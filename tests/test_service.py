from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Outcome


def exec_start(unit: str) -> str:
    (line,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    return line.removeprefix("ExecStart=")


def test_the_unit_runs_what_was_asked_for(
    cifar_edge: Callable[..., Outcome], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(run / "cnn-int8.tflite", "mine.tflite")
    options = ["--model", "mine.tflite", "--on-label", "cat", "--on-label", "dog", "--run", '/bin/echo "100% $HOME"']
    outcome = cifar_edge("watch", "my photos", "--output", "here.jsonl", *options, "--print-systemd-unit")
    command = exec_start(outcome.out)
    assert f'/bin/cifar-edge watch --quiet "{tmp_path}/my photos" --output /var/lib/cifar-edge/here.jsonl' in command
    assert f"--model {tmp_path}/mine.tflite --on-label cat --on-label dog" in command
    assert r'--run "/bin/echo \"100%% $$HOME\""' in command
    assert "ProtectHome=yes" in outcome.out
    at_home = cifar_edge("watch", "/home/pi/photos", "--model", "mine.tflite", "--print-systemd-unit").out
    assert "ProtectHome=read-only" in at_home


def test_systemd_accepts_the_unit_and_finds_it_safe(
    cifar_edge: Callable[..., Outcome], run: Path, tmp_path: Path
) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is missing: install systemd")
    unit = tmp_path / "cifar-edge-watch.service"
    unit.write_text(cifar_edge("watch", "--model", run / "cnn-int8.tflite", "--print-systemd-unit").out)
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=10", unit]
    judged = subprocess.run(command, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout
    assert re.search(r"exposure level for \S+: 0\.\d", judged.stdout)
