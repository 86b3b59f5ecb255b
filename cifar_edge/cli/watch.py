"""`cifar-edge watch`: a folder that photos arrive in -> rows, for as long as wanted."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cifar_edge.cli.classify import print_rows
from cifar_edge.cli.models import say_model
from cifar_edge.cli.options import CIFAR10, CardOptions, Model, RowOptions, Workers
from cifar_edge.cli.terminal import messages, say, warn
from cifar_edge.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from cifar_edge.classify.watch.hook import Hook
    from cifar_edge.tflite.model import EdgeModel


@dataclass(frozen=True)
class HookOptions:
    """A program that is run for some classes."""

    on_label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL", help="Run a program for photos of this class; may be repeated.", rich_help_panel="Action"
        ),
    ] = None
    run: Annotated[
        str | None,
        typer.Option(
            metavar="CMD", help="The program; it also gets path, label and confidence.", rich_help_panel="Action"
        ),
    ] = None

    def check(self) -> None:
        """Raise `UsageError` if one of them is missing."""
        if bool(self.on_label) != bool(self.run):
            raise UsageError("--on-label and --run belong together: give both")

    def hook(self, labels: tuple[str, ...]) -> Hook | None:
        """Return the program's hook for a model of these classes, if there is a program."""
        from cifar_edge.classify.watch.hook import Hook

        return Hook(self.on_label, self.run, labels) if self.on_label and self.run else None


@dataclass(frozen=True)
class LoopOptions:
    """How arrivals are noticed and kept."""

    poll: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            help="Search the folders this often, instead of waiting for the system to report new photos.",
            rich_help_panel="Speed",
        ),
    ] = None
    rotate: Annotated[float, typer.Option(min=0.001, metavar="MB", help="Start a new FILE at this size.")] = 10
    workers: Workers = None


def watch(
    *,
    folders: Annotated[list[Path] | None, typer.Argument(metavar="DIR", help="Folders to watch.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.jsonl", help="Append rows to FILE.jsonl.")
    ] = Path("results.jsonl"),
    model: Model = "small",
    rows: RowOptions,
    action: HookOptions,
    loop: LoopOptions,
    print_systemd_unit: Annotated[
        bool, typer.Option("--print-systemd-unit", help="Print a hardened systemd service that does this.")
    ] = False,
    card: CardOptions,
) -> None:
    """Classify the photos in folders, then each new photo, until SIGTERM or Ctrl-C.

    Each photo gets one row, when it is complete; started again, it goes on where it was.
    """
    action.check()
    chosen = card.load(model)
    hook = action.hook(chosen.labels)
    if print_systemd_unit:
        from cifar_edge.classify.watch.unit import systemd_unit

        labels = "cifar10" if card.label_file == CIFAR10 else card.label_file
        said = {"labels": labels, "pixel_range": card.pixel_range, "image_size": card.image_size}
        options = {**said, "on_label": action.on_label, **vars(loop)}
        typer.echo(systemd_unit(folders or [], output, chosen, hook, **options, **vars(rows)), nl=False)
        return
    if not folders:
        raise UsageError("which folder? name it, as in `cifar-edge watch ./photos`")
    say_model(chosen, rows.min_confidence)
    _watch(folders, chosen, output, hook, **{**vars(loop), "rotate": int(1e6 * loop.rotate)}, **vars(rows))


def _watch(folders: list[Path], model: EdgeModel, output: Path, hook: Hook | None, **options: Any) -> None:
    from cifar_edge.classify.watch.watch import watch as watch_folders

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    rows = watch_folders(folders, model, output, hook=hook, warn=warn, stop=stop, **options)
    say(f"watching {', '.join(map(str, folders))}; rows go to {output}")
    try:
        for _ in rows if messages().quiet else print_rows(rows):
            pass
    except KeyboardInterrupt:
        raise Interrupted("stopped; started again, it goes on from here") from None
