"""What the user sees: results on stdout, messages and progress on stderr.

Rich is imported when something is printed: a command's file costs the start-up of the others nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn


WIDE = 10_000  # columns of a table in a pipe, where nobody folds lines


@cache
def messages() -> Console:
    """Return the console on stderr; `--quiet` makes it quiet."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def results() -> Console:
    """Return a console on stdout; it has colours and the screen's width only on a terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDE)


def say(message: str) -> None:
    """Print a message for the user, unless `--quiet`."""
    _print("", message)


def warn(message: str) -> None:
    """Print what makes results doubtful, in any case."""
    console = messages()
    quiet, console.quiet = console.quiet, False
    _print("[bold yellow]warning:[/] ", message)
    console.quiet = quiet


def complain(message: str) -> None:
    """Print an error, in any case."""
    messages().quiet = False
    _print("[bold red]error:[/] ", message)


def _print(mark: str, message: str) -> None:
    from rich.markup import escape

    messages().print(f"{mark}{escape(message)}", soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], console: Console | None = None) -> None:
    """Print a table, on stdout by default: the first column to the left, the others to the right."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        grid.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(escape(str(cell)) for cell in row))
    (console or results()).print(grid)


def progress_bar(*columns: ProgressColumn, visible: bool = True) -> Progress:
    """Return a bar on stderr, shown on a terminal only; without `columns` it counts steps."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = messages()
    return Progress(
        TextColumn("{task.description}"),
        *(columns or (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())),
        console=console,
        transient=True,
        redirect_stdout=False,  # which may be a pipe, whose rows would go to the terminal
        disable=console.quiet or not console.is_terminal or not visible,
    )
