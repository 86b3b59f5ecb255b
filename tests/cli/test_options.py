from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer import Argument
from typer.testing import CliRunner, Result

from cifar_edge.cli.options import flattened
from tests.cli.conftest import Command
from tests.conftest import PHOTOS


def test_quiet(int8: Path, cifar_edge: Command) -> None:
    assert cifar_edge("classify", PHOTOS, "--model", int8, "--quiet", "-o", "-").err == ""
    assert "no such file" in cifar_edge("classify", "nowhere", "--model", int8, "-q").err


@dataclass(frozen=True)
class Colours:
    """Options that travel together."""

    red: Annotated[int, typer.Option(help="How red.", rich_help_panel="Colours")] = 1
    names: Annotated[list[str] | None, typer.Option("--name", metavar="NAME")] = None


@pytest.fixture
def paint() -> Callable[..., Result]:
    """Run `paint ARGUMENTS`, a command that prints what it is given."""

    def paint(
        *, shade: Annotated[str, typer.Option()] = "dark", colours: Colours, walls: Annotated[list[str], Argument()]
    ) -> None:
        """Paint walls."""
        typer.echo(f"{walls} {shade} {colours}")

    app = typer.Typer()
    app.command()(flattened(paint))
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_a_dataclass_is_an_option_for_each_field(paint: Callable[..., Result]) -> None:
    assert paint("north").stdout == "['north'] dark Colours(red=1, names=None)\n"
    given = paint("north", "--red", "2", "south", "--name", "a", "--name", "b", "--shade", "light")
    assert given.stdout == "['north', 'south'] light Colours(red=2, names=['a', 'b'])\n"
    assert paint().exit_code == 2
    assert paint("north", "--red", "very").exit_code == 2
    assert paint("north", "--colours", "2").exit_code == 2


def test_help_shows_the_fields_in_their_groups(paint: Callable[..., Result]) -> None:
    text = paint("--help").stdout
    assert "Paint walls." in text
    ours, group = text.split(" Colours ")
    assert "--shade" in ours
    assert "--quiet" in ours
    assert "--red" in group
    assert "[default: 1]" in group
