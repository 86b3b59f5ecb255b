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

POLL = 5.0  # seconds between searches where the system does not report new photos

SEARCH = 600.0  # seconds where it does, for photos that were not reported


class Arrivals:
    """Photos that may be new: all that exist, then those that the system reports, and all again from time to time.

    The system reports new photos where the package watchdog is installed (extra `watch`). It reports neither what
    another computer does on a network share, nor anything beyond the limit `fs.inotify.max_user_watches`.
    """

    def __init__(self, folders: Sequence[Path], poll: float | None) -> None:
        self._folders, self._poll = folders, poll
        self._reported: deque[str] = deque()  # by another thread
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
        """Remember a changed file; watchdog calls it."""
        if event.event_type in ("created", "closed", "moved"):
            self._reported.append(os.fsdecode(event.dest_path or event.src_path))

    def take(self, most: int) -> list[str]:
        """Return at most `most` photos; fewer if there are no more for now."""
        if self._observer and self._replaced():
            self._begin()
        taken: list[str] = []
        while self._reported and len(taken) < most:
            path = self._reported.popleft()
            if os.path.isdir(path):  # noqa: PTH112 - raises nothing; photos that come with a new folder may not be reported
                self._next = time.monotonic()
            elif is_photo(path):
                taken.append(path)
        taken += islice(self._search, most - len(taken))
        if len(taken) < most and time.monotonic() >= self._next:
            self._search, self._next = find(self._there()), time.monotonic() + self._every
            taken += islice(self._search, most - len(taken))
        return taken

    def _begin(self) -> None:
        """Search the folders that exist now, and ask the system to report changes in them."""
        self._stop()
        self._known = [*map(_identity, self._folders)]
        self._observer = None if self._poll else _observer(self._there(), self)
        self._every = SEARCH if self._observer else self._poll or POLL
        self._next = time.monotonic()

    def _replaced(self) -> bool:
        """Tell whether another folder has taken the place of an observed one."""
        if self._known != [*map(_identity, self._folders)]:
            return True
        return not all(emitter.is_alive() for emitter in self._observer.emitters)  # a new one may have the old inode

    def _there(self) -> list[Path]:
        return [folder for folder in self._folders if _identity(folder)]


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return a folder's identity, which changes when a stick is mounted over it; None if there is no folder."""
    try:
        about = folder.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _observer(folders: Sequence[Path], handler: Any) -> Any:
    """Start and return an observer that reports changes to a handler; None where that is not possible."""
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
