from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cifar_edge import EdgeModel
from cifar_edge.classify.watch import unit
from cifar_edge.classify.watch.hook import Hook
from cifar_edge.data import CLASSES
from cifar_edge.errors import UsageError
from tests.conftest import Outcome


def exec_start(unit: str) -> str:
    (line,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    return line.removeprefix("ExecStart=")


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever this Python is, the service's is in no home folder."""
    program = tmp_path / "opt" / "bin" / "cifar-edge"
    program.parent.mkdir(parents=True)
    program.symlink_to("/bin/true")
    for name in ("prefix", "base_prefix"):
        monkeypatch.setattr(sys, name, str(tmp_path / "opt"))


def test_the_unit_runs_what_was_asked_for(
    cifar_edge: Callable[..., Outcome], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(run / "cnn-int8.tflite", "mine.tflite")
    echo = shutil.which("echo")
    options = ["--model", "mine.tflite", "--on-label", "cat", "--on-label", "dog", "--run", 'echo "100% $HOME"']
    outcome = cifar_edge("watch", "my photos", "--output", "here.jsonl", *options, "--print-systemd-unit")
    command = exec_start(outcome.out)
    assert f'/bin/cifar-edge watch --quiet "{tmp_path}/my photos" --output /var/lib/cifar-edge/here.jsonl' in command
    assert f"--model {tmp_path}/mine.tflite" in command
    assert "--on-label cat --on-label dog" in command
    assert f"""--run "{echo} '100%% $$HOME'\"""" in command
    assert "ProtectHome=yes" in outcome.out
    assert f'RequiresMountsFor=/var/lib/cifar-edge "{tmp_path}/my photos"\n' in outcome.out
    options = ["--model", "mine.tflite", "--labels", "cifar10", "--print-systemd-unit"]
    at_home = cifar_edge("watch", "/home/pi/photos", *options).out
    assert "ProtectHome=read-only" in at_home
    assert "--labels cifar10" in exec_start(at_home)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--output", "results.csv"], "results.csv: the name must end in .jsonl"),
        (["--on-label", "cat"], "give both"),
        (["--on-label", "tiger", "--run", "echo"], "the model knows airplane"),
        (["--top-k", 11], "has 10 classes"),
        (["--on-label", "cat", "--run", "sh {home}/hook.sh"], "{home}/hook.sh: a service does not see home folders"),
        (["--model", "{home}/mine.tflite"], "{home}/mine.tflite: a service does not see home folders"),
        (["--labels", "{home}/labels.txt"], "{home}/labels.txt: a service does not see home folders"),
    ],
)
def test_a_unit_that_could_not_start_is_not_printed(
    arguments: list[str],
    reason: str,
    cifar_edge: Callable[..., Outcome],
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(run / "cnn-int8.tflite", home / "mine.tflite")
    (home / "labels.txt").write_text("\n".join(CLASSES))
    monkeypatch.setattr(unit, "HOMES", (str(home),))
    words = [str(word).format(home=home) for word in arguments]
    outcome = cifar_edge("watch", "--model", run / "cnn-int8.tflite", *words, "--print-systemd-unit")
    assert (outcome.code, outcome.out) == (2, "")
    assert reason.format(home=home) in outcome.err


@pytest.mark.parametrize("odd", ["\n", "\r", "\x1b", "\x85", "\u2028"])
@pytest.mark.parametrize("where", ["folder", "program", "label"])
def test_no_line_break_begins_another_setting(odd: str, where: str, run: Path, tmp_path: Path) -> None:
    text = f"/srv/a{odd}ExecStartPre=/bin/sh"
    given = EdgeModel(run / "cnn-int8.tflite", labels=[*CLASSES[:-1], text])
    hook = Hook(["cat"], f"echo {shlex.quote(text)}", given.labels) if where == "program" else None
    folders, label = [Path(text)] if where == "folder" else [], [text] if where == "label" else None
    with pytest.raises(UsageError, match="a unit holds no line break or other control character"):
        unit.systemd_unit(folders, Path("results.jsonl"), given, hook, on_label=label)


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
