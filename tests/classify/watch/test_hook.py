from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cifar_edge import EdgeModel
from cifar_edge.classify.watch import hook
from cifar_edge.classify.watch.hook import Hook
from cifar_edge.results.row import Row
from cifar_edge.system.opening import look
from tests.system.test_opening import CHANGES


def made(label: str, path: str = "a b; $HOME.jpg", error: str = "") -> Row:
    return Row(path, label, 0.5, ((label, 0.5),), error, 1.0, "cnn-int8.tflite")


def test_a_program_is_run_for_a_label_without_a_shell(tmp_path: Path, model: EdgeModel) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> {tmp_path / 'arguments'}\n")
    program.chmod(0o755)
    run = Hook(["cat", "unknown"], f"{program} 'one argument'", model.labels)
    assert [run(row) for row in (made("cat"), made("dog"), made("unknown"), made("", error="torn"))] == [""] * 4
    assert (tmp_path / "arguments").read_text().splitlines() == [
        *("one argument", "a b; $HOME.jpg", "cat", "0.5"),
        *("one argument", "a b; $HOME.jpg", "unknown", "0.5"),
    ]
    assert "ended with 1" in Hook(["cat"], "false", model.labels)(made("cat"))
    program.unlink()
    assert "No such file" in run(made("cat"))


def test_a_label_may_be_spelled_as_a_mac_does() -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    for given, known in ((composed, apart), (apart, composed)):
        assert "ended with 1" in Hook([given], "false", [known])(made(known))


def children_of(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def gone(pid: int) -> bool:
    """Tell whether a process ends within seconds; one that nobody has waited for counts as ended."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def program(folder: Path, lines: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("lines", ["sleep 60", "sleep 60 & sleep 60", "trap '' TERM INT HUP; sleep 60 & wait"])
@pytest.mark.parametrize("why", ["it takes too long", "the watch is to stop", "Ctrl-C"])
def test_a_program_that_is_given_up_ends_with_all_it_has_started(
    why: str, lines: str, tmp_path: Path, model: EdgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Hook(["cat"], program(tmp_path, f"echo $$ > {tmp_path}/pid\n{lines}"), model.labels)
    stop, pids = threading.Event(), list[int]()

    def note(process: Any, timeout: float) -> int:
        """Wait for the program until its children are there, and then have no patience."""
        while not (children := children_of(process.pid).split()):
            time.sleep(0.01)
        pids.extend(map(int, (process.pid, *children)))
        monkeypatch.undo()
        monkeypatch.setattr(hook, "HOOK_SECONDS" if why == "it takes too long" else "STOP_SECONDS", 0.1)
        if why == "Ctrl-C":
            raise KeyboardInterrupt
        raise subprocess.TimeoutExpired(process.args, timeout)

    if why == "it takes too long":
        monkeypatch.setattr(hook, "HOOK_SECONDS", 0.5)
    if why == "the watch is to stop":
        stop.set()
        monkeypatch.setattr(hook, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(subprocess.Popen, "wait", note)
    if why == "Ctrl-C":
        with pytest.raises(KeyboardInterrupt):
            run(made("cat"), stop)
    else:
        assert "did not end in time and was killed" in run(made("cat"), stop)
    assert len(pids) > 1
    assert all(map(gone, pids))


def test_a_program_may_end_while_the_watch_stops(tmp_path: Path, model: EdgeModel) -> None:
    stop = threading.Event()
    stop.set()
    assert Hook(["cat"], program(tmp_path, f"sleep 0.2; touch {tmp_path}/done"), model.labels)(made("cat"), stop) == ""
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_is_not_run_for_what_has_taken_the_photo_s_place(
    change: Callable[[Path], None], tmp_path: Path, model: EdgeModel
) -> None:
    photo, ran = tmp_path / "photo.jpg", tmp_path / "ran"
    photo.write_bytes(b"photo")
    row = replace(made("cat", str(photo)), file=look(str(photo)))
    run = Hook(["cat"], program(tmp_path, f"touch {ran}"), model.labels)
    change(photo)
    said = run(row)
    if change is Path.unlink:  # by somebody who was faster
        assert (said, ran.exists()) == ("", True)
    else:
        assert f"for {photo}: " in said
        assert not ran.exists()
