from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cifar_edge.cli.terminal import complain, say, table, warn
from cifar_edge.system.visible import visible
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


ODD = [
    "[red]cat[/]",
    "[/]",
    ":cat:",
    "cat\x1b[2J",
    "cat\x9b2J",
    "cat\n\rdog",
    "\u202etac",
    os.fsdecode(b"caf\xe9"),
    "cat\\",
]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("show", [say, warn, complain])
def test_messages_show_text_as_it_is(
    show: Callable[[str], None], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show(f"{text}: {text}")
    line = capsys.readouterr().err
    assert line.endswith(f"{visible(text)}: {visible(text)}\n")
    assert line[:-1].isprintable()


@pytest.mark.parametrize("text", ODD)
def test_tables_show_text_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table(text, (text, "photos"), [(text, 3)])
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert [line.split()[0] for line in lines if visible(text) in line] == [visible(text)] * 3


def on_a_terminal(code: str) -> str:
    """Return what a program writes on a terminal."""
    terminal, stdout = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stdout=stdout, check=True, env={**os.environ, "TERM": "xterm"})
    os.close(stdout)
    written = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    return written.replace("\r\n", "\n")


WRITE_CSV = """
import sys
from cifar_edge.cli.terminal import csv_stream, progress_bar
from cifar_edge.results.formats import write_csv
from cifar_edge.results.row import Row
sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
odd = "a\\x1b[2J\\nb\\udce9\\u202e"
list(write_csv([Row(odd, odd, 0.5, ((odd, 0.5),), "", 1.0, odd)], csv_stream(), 1))
"""


def test_csv_on_a_terminal_is_harmless_and_in_a_pipe_has_the_bytes() -> None:
    header, line, rest = on_a_terminal(WRITE_CSV).split("\n")
    assert (header.startswith("path,label"), rest) == (True, "")
    assert line.startswith(r'"a\x1b[2J\nb\udce9\u202e",')
    piped = subprocess.run([sys.executable, "-c", WRITE_CSV], capture_output=True, check=True).stdout
    assert piped.count(b"a\x1b[2J\nb" + b"\xe9" + "\u202e".encode()) == 4


def test_progress_shows_text_as_it_is() -> None:
    code = """
import sys
from rich.console import Console
from cifar_edge.cli import terminal
terminal.messages = lambda: Console(force_terminal=True, color_system=None)
with terminal.progress_bar() as bar:
    bar.add_task("[red]a\\x1b[2J\\nb", total=3)
"""
    assert r"[red]a\x1b[2J\nb" in on_a_terminal(code)
