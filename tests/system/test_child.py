from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cifar_edge.system.child import command_of, environment

PROGRAM = """
from cifar_edge.system.child import limit_memory
limit_memory(50_000_000)
print(len(bytearray(10_000_000)), flush=True)
bytearray(200_000_000)
"""


def test_it_finds_modules_where_this_process_does_and_none_in_its_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "json.py").write_text("raise AssertionError('a file beside photos was run')")
    (tmp_path / "there" / "other.py").write_text("import json, sys; print(sys.argv[1])")
    monkeypatch.setattr(sys, "path", [*sys.path, "", str(tmp_path / "there")])
    command = command_of("other", "said")
    done = subprocess.run(command, cwd=tmp_path / "here", env=environment(), capture_output=True, check=True)
    assert done.stdout == b"said\n"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says how much memory a process has")
def test_more_memory_than_it_may_take_is_an_error() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout == "10000000\n"
    assert "MemoryError" in done.stderr
