"""What the user sees: results on stdout, messages and progress on stderr.

Text from outside, such as a file's name, a label or a server's answer, is shown as it is: it is no markup, and what
could do harm on a terminal is escaped.

Rich is imported when something is printed: a command's file costs the start-up of the others nothing.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, TextIO, cast

from cifar_edge.system.visible import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, Task
    from rich.text import Text


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
    _print("warning: ", message, "bold yellow")
    console.quiet = quiet


def complain(message: str) -> None:
    """Print an error, in any case."""
    messages().quiet = False
    _print("error: ", message, "bold red")


def _print(mark: str, message: str, style: str = "") -> None:
    from rich.text import Text

    messages().print(Text.assemble((mark, style), shown(message)), soft_wrap=True)


def shown(text: str) -> Text:
    """Return a text for Rich that shows as it is."""
    from rich.text import Text

    return Text(visible(text))


def csv_stream() -> TextIO:
    """Return stdout for CSV: a pipe gets the bytes as they are, a terminal a line for each row, without escapes."""
    return cast(TextIO, _Terminal(sys.stdout)) if sys.stdout.isatty() else sys.stdout


class _Terminal(io.TextIOBase):
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(visible(line.removesuffix("\n")) + "\n")

    def flush(self) -> None:
        self._file.flush()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], console: Console | None = None) -> None:
    """Print a table, on stdout by default: the first column to the left, the others to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=Text(visible(title), "table.title"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        grid.add_column(shown(column), justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(shown(str(cell)) for cell in row))
    (console or results()).print(grid)


def progress_bar(*columns: ProgressColumn, visible: bool = True) -> Progress:
    """Return a bar on stderr, shown on a terminal only; without `columns` it counts steps."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    class Description(TextColumn):
        def render(self, task: Task) -> Text:
            return shown(task.description)

    console = messages()
    return Progress(
        Description(""),
        *(columns or (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())),
        console=console,
        transient=True,
        redirect_stdout=False,  # which may be a pipe, whose rows would go to the terminal
        disable=console.quiet or not console.is_terminal or not visible,
    )
