"""What the user sees: results on stdout, messages and progress on stderr."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from cifar_edge.benchmarks.compare import Change
    from cifar_edge.benchmarks.record import Record
    from cifar_edge.classify.doctor import Finding
    from cifar_edge.evaluation import Evaluation
    from cifar_edge.export.write import Exported
    from cifar_edge.results.row import Row
    from cifar_edge.results.summary import Summary


WIDE = 10_000  # columns of a table in a pipe, where nobody folds lines

MATRIX = 20  # classes of a confusion matrix that fits on a screen

messages = Console(stderr=True, highlight=False)


def results_console() -> Console:
    """Return a console on stdout; it has colours and the screen's width only on a terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDE)


def say(message: str) -> None:
    """Print a message for the user, unless `--quiet`."""
    messages.print(escape(message), soft_wrap=True)


def warn(message: str) -> None:
    """Print what makes results doubtful, in any case."""
    quiet, messages.quiet = messages.quiet, False
    messages.print(f"[bold yellow]warning:[/] {escape(message)}", soft_wrap=True)
    messages.quiet = quiet


def complain(message: str) -> None:
    """Print an error, in any case."""
    messages.quiet = False
    messages.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], console: Console) -> None:
    """Print a table: the first column to the left, the others to the right."""
    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        grid.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(escape(str(cell)) for cell in row))
    console.print(grid)


def print_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Print a line for each photo on stdout and pass its row on."""
    for row in rows:
        cells = [f"{label} {confidence:.0%}" for label, confidence in row.top] or [row.error]
        if row.top and row.label != row.top[0][0]:
            cells[0] = f"{row.label}: {cells[0]}"
        verdict = " ".join(f"{_harmless(cell):<16}" for cell in cells)
        print(verdict, _harmless(row.path), flush=True)
        yield row


def _harmless(text: str) -> str:
    """Return a text from somebody's files as it is, or as Python writes it if it could do harm on a terminal."""
    return text if text.isprintable() else ascii(text)


def print_summary(summary: Summary, console: Console) -> None:
    """Print how many photos have which label and, if they lie in labelled folders, how good that is."""
    if not summary.photos:
        return
    table("photos by class", ("class", "photos"), summary.by_label.most_common(), console)
    if summary.confusion and not summary.labelled:
        console.print("no accuracy: not every photo lies in a folder that is named as its class")
    if not summary.labelled:
        return
    matrix = summary.confusion
    console.print(f"accuracy {summary.accuracy:.2%} of {matrix.total():,} photos whose folders say their classes")
    classes, answers = (sorted(set(names)) for names in zip(*matrix, strict=True))
    if len(answers) <= MATRIX:
        rows = [(truth, *(matrix[truth, label] for label in answers)) for truth in classes]
        table("photos by folder (rows) and predicted class", ("folder", *answers), rows, console)
    else:
        mistakes = [(*pair, count) for pair, count in matrix.most_common() if pair[0] != pair[1]]
        table("most frequent mistakes", ("folder", "predicted class", "photos"), mistakes[:MATRIX], console)


def print_exports(files: Sequence[Exported]) -> None:
    """Print a line for each exported file."""
    rows = [
        (
            file.format,
            f"{file.path.stat().st_size / 1000:.1f} KB",
            file.operations,
            "-" if file.accuracy is None else f"{file.accuracy:.2%} of {file.test_images:,}",
            f"{file.from_keras.difference:.2g}",
            f"{file.from_keras.agreement:.2%} of {file.from_keras.images:,}",
            f"{file.latency.median:.1f} µs",
            f"{file.latency.median / files[0].latency.median:.2f}",
            file.path,
        )
        for file in files
    ]
    columns = (
        "format",
        "size",
        "operations",
        "top-1",
        "largest difference",
        "agreement",
        "latency here",
        f"to {files[0].format}",
        "file",
    )
    table("top-1 on test images; difference and agreement with Keras", columns, rows, results_console())
    for file in files:
        if file.worst_layers:
            say(f"{file.format} disturbs most: {file.worst_layers}")


def print_bench(record: Record) -> None:
    """Print what was measured of some models, and on what; warn of what makes it doubtful."""
    from cifar_edge.benchmarks.tables import machine_text, tables

    console = results_console()
    console.print(machine_text(record.machine, record.before, record.after))
    for each in tables(record):
        table(*each, console)
    for note in record.notes:
        warn(note)


def print_shared(record: Record) -> None:
    """Print what was measured as Markdown, to be pasted where computers are compared."""
    from cifar_edge.benchmarks.tables import share

    print(share(record), end="")


def print_changes(changes: Sequence[Change], differences: Sequence[str]) -> None:
    """Print what changed between two records of `bench`, and warn of what cannot be compared."""
    from cifar_edge.benchmarks.tables import changes_table

    for difference in differences:
        warn(difference)
    table(*changes_table(changes), results_console())


def print_findings(findings: Sequence[Finding]) -> None:
    """Print what was looked at, and below each what is wrong with it."""
    console = results_console()
    for finding in findings:
        mark = "[bold red]wrong[/]" if finding.wrong else "[green]ok[/]   "
        console.print(f"{mark} {finding.what:<12} {escape(finding.found)}", soft_wrap=True)
        if finding.wrong:
            console.print(f"{'':<18} {escape(finding.wrong)}", soft_wrap=True)


def print_evaluation(result: Evaluation) -> None:
    """Print accuracy and loss, and the confusion matrix with each class's accuracy."""
    from cifar_edge.data import CLASSES

    console = results_console()
    count = result.confusion.sum()
    console.print(f"accuracy {result.accuracy:.2%}, loss {result.loss:.4f} on {count:,} images")
    rows = [
        (name, f"{accuracy:.1%}", *counts)
        for name, accuracy, counts in zip(CLASSES, result.per_class, result.confusion, strict=True)
    ]
    table("images by true class (rows) and predicted class", ("class", "accuracy", *CLASSES), rows, console)


@contextlib.contextmanager
def training_progress() -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """Show how far a training is, with loss, accuracy and the time left; a Ctrl-C that was lost ends it at a step."""
    with _bar(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar, _remembered_interrupt() as interrupted:
        task = bar.add_task("step", total=None)

        def progress(done: int, total: int, logs: dict[str, float]) -> None:
            if interrupted():
                raise KeyboardInterrupt
            if bar.tasks[task].total is None:  # resumed: what was done before says nothing of the speed
                bar.reset(task, total=total, completed=done)
            note = f"loss {logs['loss']:.3f} accuracy {logs['accuracy']:.1%}"
            bar.update(task, completed=done, description=note)

        yield progress


@contextlib.contextmanager
def _remembered_interrupt() -> Iterator[Callable[[], bool]]:
    """Tell whether Ctrl-C was pressed: one KeyboardInterrupt in a hundred or two is dropped while Keras saves."""
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def show(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            show_any(dropped)

    default = signal.getsignal(signal.SIGINT)
    if default is not signal.default_int_handler:  # ignored, as in a shell's background job
        yield lambda: False
        return
    signal.signal(signal.SIGINT, press)
    show_any, sys.unraisablehook = sys.unraisablehook, show
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, default)
        sys.unraisablehook = show_any


@contextlib.contextmanager
def photo_progress(paths: Sequence[str], *, visible: bool) -> Iterator[Callable[..., None]]:
    """Show how many photos are done; they are counted in the background, so that the first need not wait.

    Those behind URIs are not: to list them twice costs money.
    """
    from cifar_edge.errors import CifarEdgeError
    from cifar_edge.photos.find import find
    from cifar_edge.system.uris import is_uri

    with _bar(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), visible=visible) as bar:
        task = bar.add_task("photos", total=None)

        def count() -> None:
            with contextlib.suppress(CifarEdgeError, OSError):  # who reads them says it
                bar.update(task, total=sum(1 for _ in find(paths)))

        if not bar.disable and not any(map(is_uri, paths)):
            threading.Thread(target=count, daemon=True).start()
        yield lambda photos=1: bar.advance(task, photos)


@contextlib.contextmanager
def download_progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show how far a download is; a change of what is done is a message of its own."""
    with _bar(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=None)
        doing = ""

        def progress(what: str, done: int, total: int | None) -> None:
            nonlocal doing
            if what != doing:
                say(what)
                doing = what
            bar.update(task, completed=done, total=total)

        yield progress


@contextlib.contextmanager
def bench_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show what is being measured and how far that is."""
    with _bar(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=None)

        def progress(what: str, done: int, total: int) -> None:
            if what != bar.tasks[task].description:
                bar.reset(task)
            bar.update(task, completed=done, total=total, description=what)

        yield progress


def _bar(*columns: Any, visible: bool = True) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        *columns,
        console=messages,
        transient=True,
        redirect_stdout=False,  # which may be a pipe, whose rows would go to the terminal
        disable=messages.quiet or not messages.is_terminal or not visible,
    )
