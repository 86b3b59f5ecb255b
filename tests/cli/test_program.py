from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command, process
from tests.conftest import PHOTOS


@pytest.mark.parametrize(
    "program", ["cluster", "device", "fidelity", "held_out", "outliers", f"photos {PHOTOS}", "throughput"]
)
def test_programs_fail_as_the_command_does(
    program: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, *arguments = program.split(maxsplit=1)  # the folder may have spaces
    module = f"cifar_edge.benchmarks.studies.{name}"
    monkeypatch.delitem(sys.modules, module, raising=False)  # runpy warns of modules that are already there
    for more, message in (([], "Usage: "), (["nosuch"], "error: nosuch: no such model")):
        monkeypatch.setattr(sys, "argv", [name, *arguments, *more])
        with pytest.raises(SystemExit) as stop:
            runpy.run_module(module, run_name="__main__")
        printed = capsys.readouterr()
        assert (stop.value.code, printed.out, printed.err.startswith(message)) == (2, "", True)


def test_32_bit_arm_is_told_that_it_has_no_litert(int8: Path) -> None:
    code = (
        "import sys, cifar_edge.tflite.model; from cifar_edge.cli import app; sys.modules['ai_edge_litert'] = None; "
        f"sys.argv[1:] = ['bench', {str(int8)!r}]; app.main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "error: this needs LiteRT, which 32-bit ARM lacks" in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_pyarrow_is_named(
    int8: Path, tmp_path: Path, cifar_edge: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    outcome = cifar_edge("classify", PHOTOS, "--model", int8, "-o", tmp_path / "out.parquet")
    assert (outcome.code, "pip install '.[parquet]'" in outcome.err) == (1, True)


def test_missing_tensorflow_is_named(cifar_edge: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    outcome = cifar_edge("train", "--data", "sample")
    assert (outcome.code, "pip install '.[train]'" in outcome.err) == (1, True)


def test_a_missing_backend_is_named(tmp_path: Path) -> None:
    result = process("train", "--data", "sample", cwd=tmp_path, env={**os.environ, "KERAS_BACKEND": "torch"})
    assert result.returncode == 2
    assert result.stderr == "error: KERAS_BACKEND is torch, which is not installed: install it or unset KERAS_BACKEND\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(closed: str, int8: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m cifar_edge classify {PHOTOS / 'ship'} --model {int8} -o {tmp_path / 'out.csv'}"
    assert subprocess.run(f"{command} {closed}", shell=True).returncode == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + len([*(PHOTOS / "ship").glob("*.*g")])


def test_any_name_can_be_printed(int8: Path, tmp_path: Path) -> None:
    shutil.copy(PHOTOS / "cat" / "chelsea.jpg", tmp_path / "猫.jpg")
    result = process("classify", tmp_path, "--model", int8, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert "猫.jpg" in result.stdout


def test_a_reader_that_stops_gets_no_complaint(int8: Path) -> None:
    command = f"{sys.executable} -m cifar_edge classify {PHOTOS} --model {int8} -q | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert len(result.stdout.splitlines()) == 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("busy", ["commands", "cleaning up", "saying so"])
def test_a_second_ctrl_c_ends_it_at_once_without_a_traceback(busy: str) -> None:
    code = f"""
import signal, time
from cifar_edge.cli import program
from cifar_edge.errors import Interrupted

def main():
    try:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            {busy == "cleaning up"} and signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        {busy == "commands"} and signal.raise_signal(signal.SIGINT)
        raise Interrupted("stopped") from None

complain = program.complain
program.complain = lambda message: ({busy == "saying so"} and signal.raise_signal(signal.SIGINT), complain(message))
signal.signal(signal.SIGINT, signal.default_int_handler)
program.run_program(main)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "error: stopped at once\n")


def test_a_first_ctrl_c_is_as_ever() -> None:
    code = """
import signal
from cifar_edge.cli import program
from cifar_edge.errors import Interrupted

def main():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise Interrupted("stopped; go on with --resume") from None

signal.signal(signal.SIGINT, signal.default_int_handler)
program.run_program(main)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (130, "error: stopped; go on with --resume\n")
