"""Folders -> the photos that arrive in them, each when it is complete."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

from cifar_edge.photos.decode import is_photo
from cifar_edge.photos.find import find
from cifar_edge.system.machine import storage

POLL = 5.0  # seconds between searches where nobody tells of new photos

SEARCH = 600.0  # and where somebody does, for what was not told


class Arrivals:
    """Photos that may be new: those that are there, then those that the system tells of, and all again now and then.

    The system tells where the package watchdog is installed (extra `watch`), but not of what another computer does on
    a network share, and of nothing beyond the limit of `fs.inotify.max_user_watches`.
    """

    def __init__(self, folders: Sequence[Path], poll: float | None) -> None:
        self._folders, self._poll = folders, poll
        self._told: deque[str] = deque()  # by another thread
        self._observer: Any = None
        self._known: list[tuple[int, int] | None] = []
        self._every = self._next = 0.0
        self._search: Iterator[str] = iter(())

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._observer:
            self._observer.stop()
            self._observer.join()

    def dispatch(self, event: Any) -> None:
        """Take note of a change, called by watchdog."""
        if event.event_type in ("created", "closed", "moved"):
            self._told.append(os.fsdecode(event.dest_path or event.src_path))

    def take(self, most: int) -> list[str]:
        """Return at most so many; fewer if these are all for now."""
        if self._observer and self._replaced():
            self._begin()
        taken: list[str] = []
        while self._told and len(taken) < most:
            path = self._told.popleft()
            if os.path.isdir(path):  # noqa: PTH112 - raises nothing; what came with a folder may not be told
                self._next = time.monotonic()
            elif is_photo(path):
                taken.append(path)
        taken += islice(self._search, most - len(taken))
        if len(taken) < most and time.monotonic() >= self._next:
            self._search, self._next = find(self._there()), time.monotonic() + self._every
            taken += islice(self._search, most - len(taken))
        return taken

    def _begin(self) -> None:
        """Search the folders that are there now and ask to be told of them, where that can be."""
        self._stop()
        self._known = [*map(_identity, self._folders)]
        self._observer = None if self._poll else _observer(self._there(), self)
        self._every = SEARCH if self._observer else self._poll or POLL
        self._next = time.monotonic()

    def _replaced(self) -> bool:
        """Tell whether there is another folder in the place of one that is told of."""
        if self._known != [*map(_identity, self._folders)]:
            return True
        return not all(emitter.is_alive() for emitter in self._observer.emitters)  # a new one may have the old inode

    def _there(self) -> list[Path]:
        return [folder for folder in self._folders if _identity(folder)]


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what another folder in the same place has not, as where a stick was mounted; None if there is none."""
    try:
        about = folder.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _observer(folders: Sequence[Path], handler: Any) -> Any:
    """Return what tells a handler of changes in folders; None where there is no such thing."""
    try:
        from watchdog.observers.inotify import InotifyObserver

        if any(storage(folder).kind == "network" for folder in folders):
            return None
        observer = InotifyObserver()
        for folder in folders:
            observer.schedule(handler, str(folder), recursive=True)
        observer.start()
    except (ImportError, OSError):  # not installed; no more watches
        return None
    return observer
