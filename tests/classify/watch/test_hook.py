from __future__ import annotations

from pathlib import Path

from cifar_edge import EdgeModel
from cifar_edge.classify.watch.hook import Hook
from cifar_edge.results.row import Row


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
