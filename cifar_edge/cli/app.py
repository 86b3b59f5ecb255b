"""The command `cifar-edge`: each command is a thin skin over a call that Python users can make themselves."""

from __future__ import annotations

from typing import Annotated, Any

import typer.core

from cifar_edge import __version__
from cifar_edge.cli.bench import bench
from cifar_edge.cli.classify import ClusterHere, classify
from cifar_edge.cli.data import check, fetch, info
from cifar_edge.cli.doctor import doctor
from cifar_edge.cli.evaluate import evaluate
from cifar_edge.cli.export import export
from cifar_edge.cli.models import models, show
from cifar_edge.cli.options import flattened
from cifar_edge.cli.program import HELP, run
from cifar_edge.cli.train import train
from cifar_edge.cli.watch import watch
from cifar_edge.errors import Interrupted


class Commands(typer.core.TyperGroup):
    """Makes Ctrl-C an error like others; commands that know more to say about it do so themselves."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("stopped; nothing is left half-written, run the same command again") from None


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cifar-edge {__version__}")
        raise typer.Exit


def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


app = typer.Typer(
    cls=Commands,
    help="Train a CNN on CIFAR-10, export it to int8 TFLite, classify folders of photos.",
    context_settings=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    callback=top,
)
data_app = typer.Typer(help="Fetch CIFAR-10, see what is there, or check your own photos.", no_args_is_help=True)
models_app = typer.Typer(invoke_without_command=True, callback=models)

app.command()(flattened(train))
app.command()(flattened(export))
app.command(cls=ClusterHere)(flattened(classify))
app.command()(flattened(watch))
app.command()(flattened(evaluate))
app.command()(flattened(bench))
app.command()(flattened(doctor))
app.add_typer(data_app, name="data")
app.add_typer(models_app, name="models")
data_app.command()(flattened(fetch))
data_app.command()(flattened(info))
data_app.command()(flattened(check))
models_app.command()(flattened(show))


def main() -> None:
    """Run the command line."""
    run(app, prog_name="cifar-edge")
