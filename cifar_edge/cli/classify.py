"""`cifar-edge classify`: photos -> rows, on this computer or on a cluster."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer.core

from cifar_edge.cli.models import say_model
from cifar_edge.cli.options import CardOptions, Model, RowOptions, Workers
from cifar_edge.cli.terminal import csv_stream, messages, progress_bar, results, say, table
from cifar_edge.errors import CifarEdgeError, Interrupted, UnreadablePhotos, UsageError
from cifar_edge.system.visible import visible

if TYPE_CHECKING:
    from rich.console import Console

    from cifar_edge.results.row import Row
    from cifar_edge.results.summary import Summary
    from cifar_edge.tflite.model import EdgeModel


MATRIX = 20  # classes of a confusion matrix that fits on a screen

output_option = partial(typer.Option, rich_help_panel="More output")
photo_option = partial(typer.Option, rich_help_panel="Photos")


class ClusterHere(typer.core.TyperCommand):
    """Lets `--cluster` stand alone, also before a path, which Typer has no words for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take a `--cluster` that no HOST:PORT follows for one with an empty address; a port may be forgotten."""
        address = re.compile(r"[^/]+:\d+|localhost|\d+(\.\d+){3}")
        alone = [one == "--cluster" and not address.fullmatch(after) for one, after in pairwise([*args, ""])]
        return super().parse_args(ctx, [f"{one}=" if is_ else one for one, is_ in zip(args, alone, strict=True)])


@dataclass(frozen=True)
class OutputOptions:
    """Where rows go."""

    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE|URI", help="Write .csv, .jsonl or .parquet; '-' is CSV on stdout."
        ),
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped run stopped, if there was one.")] = (
        False
    )


@dataclass(frozen=True)
class PhotoRowOptions(RowOptions):
    """The content of a row, and how its photo is read."""

    fit: Annotated[
        str | None,
        photo_option(
            help="How to fit a photo to the network's shape: crop, pad or stretch.", show_default="the card's"
        ),
    ] = None
    exif_thumbnails: Annotated[
        bool,
        photo_option("--exif-thumbnails", help="Read only cameras' thumbnails where they fit: faster, less exact."),
    ] = False


@dataclass(frozen=True)
class LocalOptions:
    """What a cluster cannot do."""

    report: Annotated[
        Path | None, output_option(metavar="FILE.html", help="Also write a page with charts and thumbnails.")
    ] = None
    sort_into: Annotated[Path | None, output_option(metavar="DIR", help="Copy each photo into DIR/LABEL.")] = None
    link: Annotated[bool, output_option("--link", help="With --sort-into: link instead of copying.")] = False
    workers: Workers = None


def classify(
    *,
    paths: Annotated[list[str], typer.Argument(metavar="PATH|URI", help="Photos and folders of photos.")],
    model: Model = "small",
    output: OutputOptions,
    rows: PhotoRowOptions,
    local: LocalOptions,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:PORT]",
            help="Use a Ray cluster. Without an address: this machine's cluster, or a new one on its processors.",
            rich_help_panel="Speed",
        ),
    ] = None,
    card: CardOptions,
) -> None:
    """Classify photos and whole folders of them (JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC, AVIF).

    Exit code 0: all photos are classified. 3: some could not be read; their rows say why. Raw files have no row: the
    summary counts them.
    """
    if cluster is not None:
        if unusable := [f"--{name.replace('_', '-')}" for name, given in vars(local).items() if given]:
            raise UsageError(f"{' and '.join(unusable)}: not on a cluster")
        if output.output in (None, "-"):
            raise UsageError("a cluster writes many files: name a folder or URI for them (--output)")
    chosen = card.load(model)
    say_model(chosen, rows.min_confidence)
    if cluster is None:
        summary = _classify_here(paths, chosen, output, rows, local)
    else:
        summary = _classify_on_cluster(paths, chosen, cluster or None, **vars(output), **vars(rows))
    if summary.unreadable:
        raise UnreadablePhotos(f"{summary.unreadable:,} of {summary.photos:,} photos could not be read; see their rows")


def _classify_here(
    paths: list[str], model: EdgeModel, output: OutputOptions, rows: PhotoRowOptions, local: LocalOptions
) -> Summary:
    from cifar_edge.classify.folder import classify_folder
    from cifar_edge.results.formats import write_csv
    from cifar_edge.results.summary import Summary

    piped = output.output == "-"
    file = None if piped else output.output
    options = {**vars(output), "output": file, **vars(rows), **vars(local)}
    summary = Summary(model.labels)
    classified: Iterator[Row] = classify_folder(paths, model, **options, left_out=summary.left_out, say=say)
    if piped:
        classified = write_csv(classified, csv_stream(), rows.top_k)
    elif file is None:
        classified = print_rows(classified)
    try:
        with photo_progress(paths, visible=bool(file) or not sys.stdout.isatty()) as advance:
            for row in classified:
                summary.add(row)
                advance()
    except KeyboardInterrupt:
        how = "; go on with the same command and --resume" if file else ""
        raise Interrupted(f"stopped after {summary.photos:,} photos{how}") from None
    finally:
        print_summary(summary, messages() if piped else results())
    return summary


def _classify_on_cluster(paths: list[str], model: EdgeModel, address: str | None, **options: Any) -> Summary:
    from cifar_edge.classify.cluster.run import classify_on_cluster

    try:
        with photo_progress(paths, visible=True) as advance:
            summary = classify_on_cluster(paths, model, address, **options, say=say, advance=advance)
    except KeyboardInterrupt:
        raise Interrupted("stopped; what is done is kept, go on with the same command and --resume") from None
    print_summary(summary, results())
    return summary


def print_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Print a line for each photo on stdout and pass its row on."""
    for row in rows:
        cells = [f"{label} {confidence:.0%}" for label, confidence in row.top] or [row.error]
        if row.top and row.label != row.top[0][0]:
            cells[0] = f"{row.label}: {cells[0]}"
        verdict = " ".join(f"{visible(cell):<16}" for cell in cells)
        print(verdict, visible(row.path), flush=True)
        yield row


def print_summary(summary: Summary, console: Console) -> None:
    """Print how many photos have which label and, if they lie in labelled folders, how good that is."""
    from cifar_edge.photos.find import count_left_out

    if not summary.photos:
        return
    table("photos by class", ("class", "photos"), summary.by_label.most_common(), console)
    for part, advice in count_left_out(summary.left_out):
        console.print(f"{part}: {advice}")
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


@contextlib.contextmanager
def photo_progress(paths: Sequence[str], *, visible: bool) -> Iterator[Callable[..., None]]:
    """Show how many photos are done. They are counted in the background, so that the first row does not wait.

    Photos behind URIs are not counted: listing them twice costs money.
    """
    from cifar_edge.photos.find import find
    from cifar_edge.system.uris import is_uri

    with progress_bar(visible=visible) as bar:
        task = bar.add_task("photos", total=None)

        def count() -> None:
            with contextlib.suppress(CifarEdgeError, OSError):  # who reads them says it
                bar.update(task, total=sum(1 for _ in find(paths)))

        if not bar.disable and not any(map(is_uri, paths)):
            threading.Thread(target=count, daemon=True).start()
        yield lambda photos=1: bar.advance(task, photos)
