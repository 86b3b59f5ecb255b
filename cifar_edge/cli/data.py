"""`cifar-edge data`: fetch CIFAR-10, see what is there, check your own photos; and what other commands load."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_edge.cli.options import Workers
from cifar_edge.cli.terminal import progress_bar, results, say, table, warn
from cifar_edge.errors import CifarEdgeError, Interrupted, UsageError

if TYPE_CHECKING:
    from cifar_edge.data import Cifar10, Split
    from cifar_edge.photos.decoded import File
    from cifar_edge.training.photo_set import Survey

SHEETS = Path("contact-sheets")


def fetch(*, url: Annotated[str | None, typer.Option(help="A mirror of the official archive.")] = None) -> None:
    """Fetch CIFAR-10 (170 MB) into the cache; an interrupted download is continued."""
    typer.echo(_fetched(url))


def info() -> None:
    """Say which copies of CIFAR-10 are cached, and whether they are intact."""
    from cifar_edge.data import cifar10

    copies: list[str | Path] = [*cifar10.cached_copies(), cifar10.SAMPLE]
    table("CIFAR-10 on this computer", ("copy", "state"), [(copy, _state(copy)) for copy in copies])


def check(
    *,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Has a sub-folder of photos for each class.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the contact sheets, a PNG for each class.")
    ] = SHEETS,
    workers: Workers = None,
) -> None:
    """Check your own photos before a training: counts, sizes, unreadable files, duplicates, contact sheets."""
    from cifar_edge.training.photo_set import Survey

    if output.resolve().is_relative_to(directory.resolve()):
        raise UsageError(f"{output}: contact sheets among the photos would be a class; name another folder (--output)")
    try:
        with photos_progress() as progress:
            survey = Survey.of(directory, workers=workers, progress=progress)
    except KeyboardInterrupt:
        raise Interrupted("stopped; what is decoded is kept, run the same command again") from None
    _print_survey(survey)
    _write_sheets(survey, output)
    survey.check()


def _print_survey(survey: Survey) -> None:
    listing, files = survey.listing, [*survey.files.values()]
    label_of = dict(zip(listing.paths, listing.labels, strict=True))
    unreadable = Counter(label_of[path] for path in survey.unreadable)
    copies = Counter(survey.labels[photo] for one in survey.copies() for photo in one[1:])
    rows = [
        (
            name + " (none of the classes)" * (label == listing.unknown),
            len(own),
            _sizes([files[index] for index in own]),
            unreadable[label],
            copies[label],
        )
        for label, (name, own) in enumerate(survey.by_class().items())
    ]
    console = results()
    table(f"photos in {survey.directory}", ("class", "photos", "pixels", "unreadable", "copies"), rows, console)
    groups = len(set(survey.alike.group.tolist()))
    console.print(f"{len(survey.files):,} photos; without copies, near-duplicates and bursts {groups:,}")
    sides = Counter(survey.given)
    if set(sides) != {""}:
        console.print("split by folders: " + ", ".join(f"{count:,} {side}" for side, count in sides.items()))
    for line in survey.warnings():
        warn(line)


def _sizes(files: Sequence[File]) -> str:
    sizes = sorted((file.width * file.height, file.width, file.height) for file in files if file.width)
    if not sizes:
        return "-"
    (_, *smallest), (_, *largest) = sizes[0], sizes[-1]
    texts = dict.fromkeys("x".join(map(str, size)) for size in (smallest, largest))
    return " to ".join(texts)


def _write_sheets(survey: Survey, folder: Path) -> None:
    from cifar_edge.photos.contact_sheet import write_contact_sheet

    folder.mkdir(parents=True, exist_ok=True)
    files = [*survey.files.values()]
    for name, own in survey.by_class().items():
        write_contact_sheet(folder / f"{name}.png", name, survey.thumbnails, files, own)
    say(f"contact sheets: {folder}")


@contextlib.contextmanager
def photos_progress() -> Iterator[Callable[[int, int], None]]:
    """Show how many photos are decoded."""
    with progress_bar() as bar:
        task = bar.add_task("photos", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def load_or_fetch(source: str | None) -> Cifar10:
    """Load CIFAR-10; fetch it first if nothing is said and nothing is there."""
    from cifar_edge.data import load_cifar10
    from cifar_edge.data.cifar10 import cached_copies

    return load_cifar10(source or (None if cached_copies() else _fetched()))


def load_test(source: str | None) -> Split:
    """Load the test images; those of the sample if nothing is said and nothing is there."""
    from cifar_edge.data import load_split
    from cifar_edge.data.cifar10 import SAMPLE, cached_copies

    if source is None and not cached_copies():
        say("CIFAR-10 is not on this computer (`cifar-edge data fetch`): using the sample's 1,000 test images")
        source = SAMPLE
    return load_split("test", source)


def _fetched(url: str | None = None) -> Path:
    from cifar_edge.data.fetch import fetch

    try:
        with download_progress() as progress:
            return fetch(url, progress)
    except KeyboardInterrupt:
        raise Interrupted("stopped; `cifar-edge data fetch` goes on from here") from None


def _state(copy: str | Path) -> str:
    from cifar_edge.data import load_cifar10

    try:
        data = load_cifar10(copy)
    except CifarEdgeError as error:
        return str(error)
    return f"intact: {len(data.train.labels):,} training and {len(data.test.labels):,} test images"


@contextlib.contextmanager
def download_progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show how far a download is; a change of what is done is a message of its own."""
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    with progress_bar(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=None)
        doing = ""

        def progress(what: str, done: int, total: int | None) -> None:
            nonlocal doing
            if what != doing:
                say(what)
                doing = what
            bar.update(task, completed=done, total=total)

        yield progress
