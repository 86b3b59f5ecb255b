"""`cifar-edge data`: fetch CIFAR-10, or see what is there; and the loading of it by other commands."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_edge.cli.terminal import progress_bar, say, table
from cifar_edge.errors import CifarEdgeError, Interrupted

if TYPE_CHECKING:
    from cifar_edge.data import Cifar10, Split


def fetch(*, url: Annotated[str | None, typer.Option(help="A mirror of the official archive.")] = None) -> None:
    """Fetch CIFAR-10 (170 MB) into the cache; an interrupted download is continued."""
    typer.echo(_fetched(url))


def info() -> None:
    """Say which copies of CIFAR-10 are cached, and whether they are intact."""
    from cifar_edge.data import cifar10

    copies: list[str | Path] = [*cifar10.cached_copies(), cifar10.SAMPLE]
    table("CIFAR-10 on this computer", ("copy", "state"), [(copy, _state(copy)) for copy in copies])


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
