"""A program's errors -> one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING

import typer

from cifar_edge.cli.terminal import complain
from cifar_edge.errors import CifarEdgeError, Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


HELP = {"help_option_names": ["-h", "--help"]}

EXTRAS = {
    "tensorflow": "train",
    "keras": "train",
    "sklearn": "train",
    "matplotlib": "bench",
    "skimage": "bench",
    "pyarrow": "parquet",
    "fsspec": "remote",
    "ray": "cluster",
}
"""The extra that installs a package which some command or program needs."""

SHOW_CURSOR = b"\x1b[?25h"  # which a progress bar hides

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run_program(main: Callable[..., None]) -> None:
    """Run a module's `main` as a program of its own: its parameters are the options, its errors those of `run`."""
    program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    program.command(context_settings=HELP)(main)
    run(program)


@contextlib.contextmanager
def _ended_by_a_second_interrupt() -> Iterator[None]:
    """Let a second Ctrl-C end the program at once, wherever it is. What is durable by then stays."""

    def first(*_: object) -> None:
        signal.signal(signal.SIGINT, second)
        raise KeyboardInterrupt

    def second(*_: object) -> None:
        os.write(2, SHOW_CURSOR * os.isatty(2) + b"error: stopped at once\n")
        os._exit(Interrupted.exit_code)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, as in a shell's background job
        yield
        return
    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@_ended_by_a_second_interrupt()
def run(commands: typer.Typer, prog_name: str | None = None) -> None:
    """Run what is typed; every expected error is one line on stderr and an exit code."""
    warnings.simplefilter("ignore")  # libraries' remarks on odd photos: what counts becomes a row's error
    _open_closed_streams()
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr] # for any file's name
    try:
        commands(prog_name=prog_name)
    except CifarEdgeError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == os.environ.get("KERAS_BACKEND"):
            _fail(f"KERAS_BACKEND is {package}, which is not installed: install it or unset KERAS_BACKEND", 2)
        if package in ("ai_edge_litert", "flatbuffers"):
            _fail("this needs LiteRT, which 32-bit ARM lacks: do it on another computer; `classify` works here", 1)
        if package not in EXTRAS:
            raise
        extra = EXTRAS[package]
        _fail(f"this needs {package}: install the extra `{extra}`, in a clone by `pip install '.[{extra}]'`", 1)
    except OSError as error:
        hint = "; make room and run it again" if error.errno in FULL else ""
        _fail(f"{error.filename or 'cifar-edge'}: {error.strerror or error}{hint}", 1)


def _open_closed_streams() -> None:
    """Let lead nowhere what `>&-` has closed; otherwise the next files that are opened would be stdout and stderr."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w", errors="backslashreplace")


def _fail(message: str, code: int) -> None:
    complain(message)
    sys.exit(code)
