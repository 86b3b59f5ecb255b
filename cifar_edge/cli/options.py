"""Options that several commands share, and commands whose options are dataclasses."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from cifar_edge.cli.terminal import messages
from cifar_edge.errors import UsageError

if TYPE_CHECKING:
    from cifar_edge.tflite.model import EdgeModel


CIFAR10 = Path("cifar10")  # the labels of that name, not a file's

Data = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|ARCHIVE|sample",
        help="CIFAR-10: a folder or .tar.gz in an official layout, or 'sample'.",
        show_default="the cached copy",
    ),
]

Model = Annotated[
    str,
    typer.Option(metavar="FILE|NAME", help="A .tflite file, nano or small, or an export in runs/ such as cnn-int8."),
]

Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Decoding threads.", show_default="one a processor, if memory allows", rich_help_panel="Speed"
    ),
]


def _be_quiet(quiet: bool) -> bool:
    if quiet:
        messages().quiet = True
    return quiet


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=_be_quiet, help="Print results and errors, nothing else.")
]


@dataclass(frozen=True)
class CardOptions:
    """What a model's card says, for models without one."""

    label_file: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE|cifar10",
            help="Class names, one a line.",
            rich_help_panel="Models without a card",
        ),
    ] = None
    pixel_range: Annotated[
        str | None,
        typer.Option(
            metavar="LOW,HIGH",
            help="The input's values for black and white.",
            rich_help_panel="Models without a card",
        ),
    ] = None

    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHT,WIDTH",
            help="For a network that takes images of any size.",
            show_default="its own",
            rich_help_panel="Models without a card",
        ),
    ] = None

    @functools.cached_property  # read once: it may be a pipe
    def labels(self) -> tuple[str, ...] | None:
        """Class names; None if they are not given."""
        if self.label_file is None:
            return None
        from cifar_edge.data import CLASSES
        from cifar_edge.tflite.labels import read_labels

        return CLASSES if self.label_file == CIFAR10 else read_labels(self.label_file)

    @property
    def black_and_white(self) -> tuple[float, float] | None:
        """Input values for black and white; None if they are not given."""
        if self.pixel_range is None:
            return None
        try:
            low, high = map(float, self.pixel_range.split(","))
        except ValueError:
            low = high = math.nan
        if not math.isfinite(high - low) or low == high:
            raise UsageError(f"--pixel-range {self.pixel_range}: give two different numbers, as in 0,1")
        return low, high

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width in pixels, of which one number is both; None if they are not given."""
        if self.image_size is None:
            return None
        text = self.image_size
        try:
            height, width = map(int, text.split(",")) if "," in text else (int(text), int(text))
        except ValueError:
            height = width = 0
        if min(height, width) < 1:
            raise UsageError(f"--image-size {text}: give height and width in pixels, as in 224,224")
        return height, width

    def load(self, model: str | Path) -> EdgeModel:
        """Load a model."""
        from cifar_edge.tflite.model import EdgeModel

        return EdgeModel(model, labels=self.labels, pixel_range=self.black_and_white, image_size=self.size)


def _confidence(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # "auto", or an error that names it


@dataclass(frozen=True)
class RowOptions:
    """The content of a row."""

    top_k: Annotated[int, typer.Option(help="Classes in a row, the most probable first.")] = 1
    min_confidence: Annotated[
        Any,
        typer.Option(
            parser=_confidence, metavar="0-1|auto", help="Below it the label is 'unknown'; auto: the model's threshold."
        ),
    ] = 0.0
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="The longest that decoding one photo may take; then its row is an error.",
            rich_help_panel="Speed",
        ),
    ] = 60


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command as Typer takes it.

    Each field of a parameter that is a dataclass becomes an option. Every command has `--quiet`.
    """
    groups: dict[str, Any] = {}
    parameters: list[Parameter] = []
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            groups[name] = hints[name]
            parameters += _parameters(groups[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name]))
    quiet = Parameter("quiet", Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)

    @functools.wraps(command, assigned=("__module__", "__name__", "__doc__"))
    def call(*, quiet: bool, **given: Any) -> None:
        options = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **options)

    call.__signature__ = inspect.Signature([*parameters, quiet])  # type: ignore[attr-defined]
    call.__annotations__ = {}  # Typer would evaluate them a second time
    return call


def _parameters(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
