"""`cifar-edge models`: the models that ship, and what a model's file says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cifar_edge.cli.terminal import say, table

if TYPE_CHECKING:
    from cifar_edge.tflite.model import EdgeModel


def models(ctx: typer.Context) -> None:
    """List the models that come with this package, or look into any model's file."""
    from cifar_edge.tflite.describe import FIGURES, shipped

    if ctx.invoked_subcommand is None:
        table("Models that ship", FIGURES, shipped())


def show(*, file: Annotated[str, typer.Argument(metavar="FILE|NAME", help="As for `classify --model`.")]) -> None:
    """Print what a model's card says, or what its graph says where there is none."""
    from cifar_edge.tflite.describe import describe
    from cifar_edge.tflite.model import EdgeModel

    model = EdgeModel(file)
    table(str(model.path), ("", ""), describe(model))
    say_note(model)


def say_note(model: EdgeModel) -> None:
    """Say what was assumed of a model, or which option does not count."""
    if model.note:
        say(f"{model.path}: {model.note}")


def say_model(model: EdgeModel, min_confidence: float | str) -> None:
    """Say which model classifies, from which confidence on, and what was assumed of it."""
    from cifar_edge.classify.options import AUTO, confidence_for

    own = min_confidence == AUTO
    threshold = f"; below {confidence_for(model, AUTO):.0%} a photo is unknown (its own threshold)" if own else ""
    say(f"model: {model.path}{threshold}")
    say_note(model)
