"""The systemd unit of `cifar-edge watch`."""

from __future__ import annotations

import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from string import Template

from cifar_edge.classify.options import MIN_CONFIDENCE, set_up
from cifar_edge.classify.watch.hook import Hook
from cifar_edge.errors import UsageError
from cifar_edge.results.rotating_log import check_name
from cifar_edge.system.machine import total_memory
from cifar_edge.tflite.model import EdgeModel

STATE = Path("/var/lib/cifar-edge")  # the unit's StateDirectory=

PHOTOS = Path("/srv/photos")
HOMES = ("/home", "/root", "/run/user")  # hidden by ProtectHome=
DATA, DATA_SHARE = 300_000_000, 0.6  # the limit of its memory: at least these bytes, or this share of the computer's


def systemd_unit(
    folders: Sequence[Path],
    output: Path,
    model: EdgeModel,
    hook: Hook | None = None,
    *,
    top_k: int = 1,
    min_confidence: float | str = MIN_CONFIDENCE,
    **options: object,
) -> str:
    """Return a hardened systemd unit that watches.

    Args:
        folders: to watch; `PHOTOS` if there are none.
        output: its name counts: the unit can write to `STATE` only.
        model: to classify with.
        hook: program to run.
        top_k: as of `watch`.
        min_confidence: as of `watch`.
        options: further ones of `cifar-edge watch`, with `_` for `-`; what is None is left out, a list is repeated.

    Raises:
        UsageError: the unit could not start: an argument is out of range, or in a home folder.
    """
    check_name(output)
    set_up(model, top_k=top_k, min_confidence=min_confidence)
    program = hook.command if hook else []
    files = [Path(each) for each in (sys.base_prefix, sys.prefix, *program) if Path(each).is_absolute()]
    for path in (*files, model.path, *(value for value in options.values() if isinstance(value, Path))):
        if _at_home(path):
            raise UsageError(f"{path}: a service does not see home folders; put it elsewhere, as into /opt/cifar-edge")
    folders = [folder.absolute() for folder in folders] or [PHOTOS]
    command = [Path(sys.prefix) / "bin" / "cifar-edge", "watch", "--quiet", *folders, "--output", STATE / output.name]
    shown = {"model": model.path, "top_k": top_k, "min_confidence": min_confidence, "run": shlex.join(program) or None}
    for name, value in (shown | options).items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                command += [f"--{name.replace('_', '-')}", each.absolute() if isinstance(each, Path) else each]
    template = Template(Path(__file__).with_name("cifar-edge-watch.service").read_text())
    return template.substitute(
        command=" ".join(map(_quoted, command)).replace("$", "$$"),
        home="read-only" if any(map(_at_home, folders)) else "yes",
        mounts=" ".join(map(_quoted, folders)),
        data=max(DATA, int(DATA_SHARE * (total_memory() or 0))),
    )


def _at_home(path: Path) -> bool:
    return any(Path(os.path.realpath(path)).is_relative_to(home) for home in HOMES)


def _quoted(argument: object) -> str:
    """Return an argument as systemd.syntax(7) has it in a list of words.

    Raises:
        UsageError: it has a line break, which would begin another setting, or another control character.
    """
    text = str(argument)
    if any(unicodedata.category(one) in ("Cc", "Zl", "Zp") for one in text):
        raise UsageError(f"{text}: a unit holds no line break or other control character; rename it")
    escaped = text.replace("\\", "\\\\").replace('"', r"\"").replace("%", "%%")
    return text if re.fullmatch(r"[\w./=:,+-]+", text) else f'"{escaped}"'
