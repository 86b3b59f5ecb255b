"""The systemd unit of `cifar-edge watch`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template

from cifar_edge.machine import total_memory

STATE = Path("/var/lib/cifar-edge")  # what the unit's StateDirectory= makes
PHOTOS = Path("/srv/photos")
DATA, DATA_SHARE = 300_000_000, 0.6  # least bytes, and share of this computer's memory, that it may ask for


def systemd_unit(folders: Sequence[Path], output: Path, **options: object) -> str:
    """Return a hardened systemd unit that watches.

    Args:
        folders: to watch; `PHOTOS` if there are none.
        output: its name counts: the unit can write to `STATE` only.
        options: of `cifar-edge watch`, with `_` for `-`; what is None is left out, a list is repeated.
    """
    folders = [folder.absolute() for folder in folders] or [PHOTOS]
    command = [Path(sys.prefix) / "bin" / "cifar-edge", "watch", "--quiet", *folders, "--output", STATE / output.name]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                command += [f"--{name.replace('_', '-')}", each.absolute() if isinstance(each, Path) else each]
    at_home = any(folder.is_relative_to("/home") for folder in folders)
    template = Template(Path(__file__).with_name("cifar-edge-watch.service").read_text())
    return template.substitute(
        command=" ".join(map(_quoted, command)),
        home="read-only" if at_home else "yes",
        data=max(DATA, int(DATA_SHARE * (total_memory() or 0))),
    )


def _quoted(argument: object) -> str:
    """Return an argument as systemd.service(5) has it in a command line."""
    text = str(argument)
    escaped = text.replace("\\", "\\\\").replace('"', r"\"").replace("%", "%%").replace("$", "$$")
    return text if re.fullmatch(r"[\w./=:,+-]+", text) else f'"{escaped}"'
