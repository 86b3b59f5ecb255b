"""`cifar-edge bench`: models compared on this computer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_edge.cli.data import load_test
from cifar_edge.cli.models import say_note
from cifar_edge.cli.options import CardOptions
from cifar_edge.cli.terminal import progress_bar, results, say, table, warn
from cifar_edge.errors import UsageError

if TYPE_CHECKING:
    from cifar_edge.benchmarks.bench import Options
    from cifar_edge.benchmarks.compare import Change
    from cifar_edge.benchmarks.record import Record


more_option = partial(typer.Option, rich_help_panel="More to measure")
comparison_option = partial(typer.Option, rich_help_panel="Comparison")


@dataclass(frozen=True)
class MeasureOptions:
    """What to measure."""

    threads: Annotated[str, typer.Option(metavar="N,...", help="Threads for one image, such as 1,2,4.")] = "1"
    batch: Annotated[str, typer.Option(metavar="N,...", help="Images a call, such as 1,8.")] = "1"
    noise: Annotated[
        bool, more_option("--noise", help="Also measure accuracy under the 15 corruptions of CIFAR-10-C.")
    ] = False
    cifar10c: Annotated[Path | None, more_option(metavar="DIR", help="Use the published CIFAR-10-C in DIR.")] = None
    folder: Annotated[
        Path | None, more_option(metavar="DIR", help="Also measure photos a second on the photos in DIR.")
    ] = None
    runtime: Annotated[bool, more_option("--runtime", help="Also time TensorFlow and ONNX Runtime, if installed.")] = (
        False
    )
    profile: Annotated[bool, more_option("--profile", help="Also time each operation.")] = False
    baseline: Annotated[
        Path | None,
        comparison_option(metavar="MODEL", help="Compare latencies with this model.", show_default="the first one"),
    ] = None
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Rounds of measuring; fewer are faster and less exact.", show_default="40"),
    ] = None

    def of(self, models: list[Path]) -> Options:
        """Return what to measure of these models.

        Raises:
            UsageError: a number or the baseline makes no sense.
        """
        from cifar_edge.benchmarks.bench import Options
        from cifar_edge.benchmarks.measures.runtimes import OTHERS
        from cifar_edge.system.timing import ROUNDS

        return Options(
            threads=_counts("--threads", self.threads),
            batches=_counts("--batch", self.batch),
            baseline=_number(self.baseline, models) if self.baseline else 0,
            runtimes=OTHERS if self.runtime else (),
            profile=self.profile,
            corruptions=self.noise or self.cifar10c is not None,
            cifar10c=self.cifar10c,
            folder=self.folder,
            rounds=self.rounds or ROUNDS,
        )


def _counts(option: str, text: str) -> tuple[int, ...]:
    """Read "1,2,4"."""
    try:
        counts = tuple(dict.fromkeys(map(int, text.split(","))))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise UsageError(f"{option} {text}: give whole numbers from 1 on, as in 1,2,4")
    return counts


def _number(baseline: Path, models: list[Path]) -> int:
    """Find a model among those to be measured."""
    if baseline not in models:
        raise UsageError(f"--baseline {baseline}: not among the models; name it as one of them")
    return models.index(baseline)


def bench(
    *,
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL", help="nano, small, .tflite files, or names of exports in runs/."),
    ],
    what: MeasureOptions,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|ARCHIVE|sample",
            help="What to classify: a folder of photos with a sub-folder for each class, or CIFAR-10.",
            show_default="the cached copy of CIFAR-10",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.json", help="Write all figures to FILE.json.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw PNG pictures into DIR.")] = None,
    share: Annotated[bool, typer.Option("--share", help="Print Markdown, to compare computers.")] = False,
    compare: Annotated[
        Path | None, comparison_option(metavar="FILE.json", help="Show the changes since FILE.json.")
    ] = None,
    regression: Annotated[
        float | None,
        comparison_option(
            min=1,
            metavar="FACTOR",
            help="With --compare: exit with 4 if a figure is worse by more than this.",
            show_default="1.2",
        ),
    ] = None,
    card: CardOptions,
) -> None:
    """Compare models: size, latency (in turn), memory, accuracy on clean and on corrupted images."""
    from cifar_edge.benchmarks import compare as comparing
    from cifar_edge.benchmarks.bench import Outputs, measure, model_names
    from cifar_edge.benchmarks.record import as_json
    from cifar_edge.photos.class_folders import has_class_folders
    from cifar_edge.tflite.names import find_model
    from cifar_edge.training.evaluate import labelled_photos

    if regression and not compare:
        raise UsageError("--regression: of what? name an earlier bench.json with --compare")
    paths = [find_model(model) for model in models]
    options = what.of(models)
    outputs = Outputs(output, plot)
    outputs.check()
    old = comparing.read(compare, model_names(paths)) if compare else None
    loaded = [card.load(path) for path in paths]
    for model in loaded:
        say_note(model)
    test = labelled_photos(Path(data)) if data and has_class_folders(Path(data)) else load_test(data)
    with bench_progress() as progress:
        record = measure(loaded, test, options, progress)
    (print_shared if share else print_bench)(record)
    if pictures := outputs.write(record, test):
        say(f"pictures: {' '.join(map(str, pictures))}")
    if old:
        new = as_json(record)
        changes = comparing.compare(old, new)
        print_changes(changes, comparing.differences(old, new))
        comparing.check(changes, regression or comparing.REGRESSION)


def print_bench(record: Record) -> None:
    """Print what was measured of some models, and on what; warn of what makes it doubtful."""
    from cifar_edge.benchmarks.tables import machine_text, tables

    console = results()
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
    table(*changes_table(changes))


@contextlib.contextmanager
def bench_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show what is being measured and how far that is."""
    with progress_bar() as bar:
        task = bar.add_task("", total=None)

        def progress(what: str, done: int, total: int) -> None:
            if what != bar.tasks[task].description:
                bar.reset(task)
            bar.update(task, completed=done, total=total, description=what)

        yield progress
