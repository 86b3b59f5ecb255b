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
from cifar_edge.images import is_photo
from cifar_edge.machine import storage
from cifar_edge.results import order

SETTLED = 1.0  # seconds without a change after which a photo is taken for complete
GIVEN_UP = 60.0  # seconds without a change, from the first failure, after which one that cannot be read is damaged
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
        self.__exit__()
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


@dataclass
class Look:
    """A photo as it was when it was looked at; times are by a clock that does not jump.

    Attributes:
        file: size and times of change, in nanoseconds.
        next: when it is looked at again.
        failed: when it could not be read for the first time; None if that was not tried yet.
    """

    file: tuple[int, ...] = ()
    next: float = 0.0
    failed: float | None = None


class Waiting:
    """Photos that may still be being written."""

    def __init__(self) -> None:
        self._looks: dict[str, Look] = {}

    def add(self, paths: Iterable[str]) -> None:
        """Wait for photos."""
        for path in paths:
            self._looks.setdefault(path, Look())

    def put_back(self, path: str, look: Look) -> bool:
        """Wait longer for a photo that could not be read, unless that has been so for long enough; tell which."""
        now = time.monotonic()
        look.failed = look.failed or now
        if now - look.failed >= GIVEN_UP:
            return False
        self._looks[path] = look
        return True

    def take(self, most: int) -> dict[str, Look]:
        """Return at most so many that seem complete, in the order of paths; those that are gone are forgotten.

        A file is complete that is the same as at the look before, or as old by its own times: to be wrong about those,
        as a Raspberry Pi is, which has no clock of its own, costs a failure.
        """
        complete: dict[str, Look] = {}
        now = time.monotonic()
        for path, look in list(self._looks.items()):
            if now < look.next:
                continue
            try:
                about = Path(path).stat()
            except OSError:
                del self._looks[path]
                continue
            file = (about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            if file != look.file:
                look.file, look.failed = file, None
                settled = time.time() - max(about.st_mtime, about.st_ctime) >= SETTLED
            else:
                settled = look.failed is None or now - look.failed >= GIVEN_UP
            look.next = now + SETTLED
            if settled:
                complete[path] = self._looks.pop(path)
                if len(complete) == most:
                    break
        return dict(sorted(complete.items(), key=lambda one: order(one[0])))
