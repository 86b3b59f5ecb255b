"""What somebody else may have put where this program is about to read or write."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")

PLANTED = (
    "link",
    "dangling link",
    "pipe",
    "folder",
    "device",
    "socket",
    "hard link",
    pytest.param("other", marks=as_root),
)


def plant(kind: str, path: Path, target: Path) -> None:
    """Put something at a path; what is a link leads to a target, which is made."""
    target.write_bytes(b"precious")
    match kind:
        case "link":
            path.symlink_to(target)
        case "dangling link":
            path.symlink_to(target.with_name("made"))
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "socket":
            here = Path.cwd()
            os.chdir(path.parent)  # whose own path may be too long for a socket
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
            os.chdir(here)
        case "hard link":
            path.hardlink_to(target)
        case "other":
            path.write_bytes(b"")
            os.chown(path, NOBODY, NOBODY)


def untouched(target: Path) -> bool:
    """Tell whether what links led to is as it was, and nothing was made beside it."""
    return target.read_bytes() == b"precious" and not target.with_name("made").exists()
