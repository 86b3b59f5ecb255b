from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import process
from tests.conftest import PHOTOS


def test_a_pipe_gets_no_colours_and_whole_lines(int8: Path) -> None:
    result = process("classify", PHOTOS, "--model", int8, env={**os.environ, "COLUMNS": "20", "TERM": "xterm"})
    assert "\x1b" not in result.stdout + result.stderr
    assert f"{PHOTOS}/truck/garbage_truck.png\n" in result.stdout


def test_rows_go_into_the_pipe_while_progress_is_on_the_terminal(int8: Path) -> None:
    terminal, stderr = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-m", "cifar_edge", "classify", PHOTOS, "--model", int8],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
    ) as running:
        os.close(stderr)
        rows, _ = running.communicate()
    assert f"{PHOTOS}/truck/garbage_truck.png\n" in rows.decode()
    assert b"\x1b[?25l" in os.read(terminal, 1 << 16)  # the cursor is hidden: there is a bar
    os.close(terminal)
