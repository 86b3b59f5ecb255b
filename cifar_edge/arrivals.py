"""Folders -> the photos that arrive in them, each when it is complete."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

from cifar_edge.folder import find
from cifar_edge.images import SUFFIXES
from cifar_edge.machine import storage
from cifar_edge.results import order

SETTLED = 1.0  # seconds without a change after which a photo is taken for complete
GIVEN_UP = 60.0  # seconds without a change after which one that cannot be read is taken for damaged
POLL = 5.0  # seconds between searches where nobody tells of new photos
SEARCH = 600.0  # and where somebody does, for what was not told


class Arrivals:
    """Photos that may be new: those that are there, then those that the system tells of, and all again now and then.

    The system tells where the package watchdog is installed (extra `watch`), but not of what another computer does on
    a network share, and of nothing beyond the limit of `fs.inotify.max_user_watches`.
    """

    def __init__(self, folders: Sequence[Path], poll: float | None) -> None:
        self._folders = folders
        self._told: deque[Path] = deque()  # by another thread
        self._observer = None if poll or any(storage(each).kind == "network" for each in folders) else _observer()
        self._every = poll or POLL
        self._search: Iterator[Path] = iter(())
        self._next = time.monotonic()

    def __enter__(self) -> Self:
        if self._observer:
            try:
                for folder in self._folders:
                    self._observer.schedule(self, str(folder), recursive=True)
                self._observer.start()
                self._every = SEARCH
            except OSError:  # no more watches
                self._observer = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._observer:
            self._observer.stop()
            self._observer.join()

    def dispatch(self, event: Any) -> None:
        """Take note of a change, called by watchdog."""
        if event.event_type in ("created", "closed", "moved"):
            self._told.append(Path(os.fsdecode(event.dest_path or event.src_path)))

    def take(self, most: int) -> list[Path]:
        """Return at most so many; fewer if these are all for now."""
        taken: list[Path] = []
        while self._told and len(taken) < most:
            path = self._told.popleft()
            if path.is_dir():  # what came with it may not be told
                self._next = time.monotonic()
            elif path.name.lower().endswith(SUFFIXES):
                taken.append(path)
        taken += islice(self._search, most - len(taken))
        if len(taken) < most and time.monotonic() >= self._next:
            self._search, self._next = find(self._folders), time.monotonic() + self._every
            taken += islice(self._search, most - len(taken))
        return taken


def _observer() -> Any:
    try:
        from watchdog.observers.inotify import InotifyObserver
    except ImportError:
        return None
    return InotifyObserver()


@dataclass
class Look:
    """What a file was when it was looked at.

    Attributes:
        file: size and times of change, in nanoseconds.
        since: when it was seen so first, by a clock that does not jump.
        unchanged: seconds it has been so.
        patience: seconds it has to be so.
    """

    file: tuple[int, ...] = ()
    since: float = 0.0
    unchanged: float = 0.0
    patience: float = 0.0


class Waiting:
    """Photos that may still be being written."""

    def __init__(self) -> None:
        self._looks: dict[Path, Look] = {}

    def add(self, paths: Iterable[Path]) -> None:
        """Wait for photos."""
        for path in paths:
            self._looks.setdefault(path, Look())

    def put_back(self, path: Path, look: Look) -> None:
        """Wait longer for a photo that could not be read, unless it changes."""
        look.patience = GIVEN_UP
        self._looks[path] = look

    def take(self, most: int) -> dict[Path, Look]:
        """Return at most so many that seem complete, in the order of paths; those that are gone are forgotten.

        A file is as old as its own times say, or as it has been seen unchanged: a Raspberry Pi has no clock of its
        own, so its time may jump.
        """
        complete: dict[Path, Look] = {}
        for path, look in list(self._looks.items()):
            try:
                about = path.stat()
            except OSError:
                del self._looks[path]
                continue
            file = (about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            if file != look.file:
                look.file, look.since = file, time.monotonic()
                look.patience = SETTLED if about.st_size else GIVEN_UP
            look.unchanged = max(time.monotonic() - look.since, time.time() - max(about.st_mtime, about.st_ctime))
            if look.unchanged >= look.patience:
                complete[path] = self._looks.pop(path)
                if len(complete) == most:
                    break
        return dict(sorted(complete.items(), key=lambda one: order(str(one[0]))))
