"""`cifar-edge doctor`: is this computer fit to classify photos?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_edge.cli.terminal import results
from cifar_edge.system.visible import visible

if TYPE_CHECKING:
    from cifar_edge.classify.doctor import Finding


def doctor(
    *,
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help=".tflite files, or names.", show_default="those that ship, as int8"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check whether this computer is fit to classify photos; say what is wrong and what to do.

    Exit code 0: nothing is wrong. 1: something is.
    """
    from cifar_edge.classify.doctor import examine

    findings = examine(models)
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=1))
    else:
        print_findings(findings)
    if any(finding.wrong for finding in findings):
        raise typer.Exit(1)


def print_findings(findings: Sequence[Finding]) -> None:
    """Print what was looked at, and below each what is wrong with it."""
    from rich.markup import escape

    console = results()
    for finding in findings:
        mark = "[bold red]wrong[/]" if finding.wrong else "[green]ok[/]   "
        console.print(f"{mark} {finding.what:<12} {escape(visible(finding.found))}", soft_wrap=True)
        if finding.wrong:
            console.print(f"{'':<18} {escape(visible(finding.wrong))}", soft_wrap=True)
