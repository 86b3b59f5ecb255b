"""A folder of small files, on this machine or behind a URI, with the same calls for either."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

from cifar_edge.system import uris
from cifar_edge.system.files import atomic, only_process
from cifar_edge.system.opening import NOFOLLOW, open_regular
from cifar_edge.system.uris import Uri


class Folder(Protocol):
    """A folder; each call raises `StorageError` or `OSError` if it fails."""

    def make(self) -> None:
        """Make the folder and those above it."""

    def names(self) -> list[str]:
        """Return the names in the folder, which need not exist."""

    def read(self, name: str) -> bytes:
        """Return the content of a file."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all, in place of an older one."""

    def remove(self, name: str) -> None:
        """Remove a file."""

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Hold the folder against other processes, where that is possible: a bucket has no locks."""


def folder_at(place: Path | Uri) -> Folder:
    """Return the folder at a path or a URI."""
    return _LocalFolder(place) if isinstance(place, Path) else _RemoteFolder(place)


class _LocalFolder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self) -> None:
        self._path.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        return [path.name for path in self._path.iterdir()] if self._path.exists() else []

    def read(self, name: str) -> bytes:
        with os.fdopen(open_regular(self._path / name, flags=NOFOLLOW), "rb") as file:
            return file.read()

    def write(self, name: str, content: bytes) -> None:
        with atomic(self._path / name) as partial:
            partial.write_bytes(content)

    def remove(self, name: str) -> None:
        (self._path / name).unlink()

    def alone(self) -> contextlib.AbstractContextManager[None]:
        return only_process(self._path)


class _RemoteFolder:
    def __init__(self, uri: Uri) -> None:
        self._uri = uri.rstrip("/")

    def make(self) -> None:
        uris.make_folder(self._uri)

    def names(self) -> list[str]:
        return uris.names(self._uri)

    def read(self, name: str) -> bytes:
        return uris.read_whole(f"{self._uri}/{name}")

    def write(self, name: str, content: bytes) -> None:
        uris.write(f"{self._uri}/{name}", content)

    def remove(self, name: str) -> None:
        uris.remove(f"{self._uri}/{name}")

    def alone(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()
