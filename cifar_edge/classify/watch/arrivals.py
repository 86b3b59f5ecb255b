"""Folders -> the photos that arrive in them, each when it is complete."""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

from cifar_edge.photos.decode import is_photo
from cifar_edge.photos.find import UNREAD, find, left_out, unread
from cifar_edge.system.machine import storage

POLL = 5.0  # seconds between searches where the system does not report new photos

SEARCH = 600.0  # seconds where it does, for photos that were not reported

IN_CREATE = 0x100  # of sys/inotify.h
ADVICE = (
    f"so all folders are searched every {POLL:g} seconds; `sysctl fs.inotify` shows the limits, raise max_user_watches "
    "or max_user_instances"
)


class Arrivals:
    """Photos that may be new: all that exist, then those that the system reports, and all again from time to time.

    The system reports new photos where the package watchdog is installed (extra `watch`). It reports neither what
    another computer does on a network share, nor anything beyond its limits on inotify; then the folders are searched
    every few seconds.
    """

    def __init__(
        self, folders: Sequence[Path], poll: float | None, warn: Callable[[str], None] = lambda message: None
    ) -> None:
        self._folders, self._poll, self._warn = folders, poll, warn
        self._reported: deque[str] = deque()  # by another thread
        self._rules: Counter[str] = Counter()
        self._said: set[str] = set()
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
            if self._left_out(path):
                continue
            if os.path.isdir(path):  # noqa: PTH112 - raises nothing; photos that come with a new folder may not be reported
                self._next = time.monotonic()
                self._poll_at_limit()
            elif is_photo(path):
                taken.append(path)
            else:
                self._rules[unread(path)] += 1
        taken += islice(self._search, most - len(taken))
        if len(taken) < most and time.monotonic() >= self._next:
            self._poll_at_limit()
            self._search, self._next = find(self._there(), self._rules), time.monotonic() + self._every
            taken += islice(self._search, most - len(taken))
        for suffix in (self._rules.keys() & UNREAD) - self._said:
            self._said.add(suffix)
            self._warn(f"{suffix} files cannot be read, and get no row: save them as JPEG")
        return taken

    def _left_out(self, path: str) -> bool:
        """Tell whether a search of each folder around a path would leave it out, as rsync's temporary names."""
        around = (f"{folder}{os.sep}" for folder in self._folders)
        return all(left_out(path.removeprefix(folder)) for folder in around if path.startswith(folder))

    def _begin(self) -> None:
        """Search the folders that exist now, and ask the system to report changes in them."""
        self._stop()
        self._known = [*map(_identity, self._folders)]
        try:
            self._observer = None if self._poll else _observer(self._there(), self)
        except OSError as error:
            self._observer = None
            self._warn(f"new photos are not reported ({error.strerror}), {ADVICE}")
        self._every = SEARCH if self._observer else self._poll or POLL
        self._next = time.monotonic()

    def _poll_at_limit(self) -> None:
        """Search often from now on if the system reports no more folders; the observer does not say so."""
        if self._observer and (there := self._there()) and at_limit(there[0]):
            self._stop()
            self._observer, self._every, self._next = None, POLL, time.monotonic()
            self._warn(f"new folders are not observed (inotify watch limit reached), {ADVICE}")

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
    """Start and return an observer that reports changes to a handler; None where that is not possible.

    Raises:
        OSError: a limit of the system is reached.
    """
    try:
        from watchdog.observers.inotify import InotifyObserver
    except ImportError:  # not installed, or not Linux
        return None
    if any(storage(folder).kind == "network" for folder in folders):
        return None
    observer = InotifyObserver()
    for folder in folders:
        observer.schedule(handler, str(folder), recursive=True)
    observer.start()
    return observer


def at_limit(folder: Path) -> bool:
    """Tell whether the system refuses to observe one more folder (inotify_add_watch(2))."""
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:  # of these there are few, and the observer has one already
        return False
    try:
        return library.inotify_add_watch(descriptor, os.fsencode(folder), IN_CREATE) < 0 and (
            ctypes.get_errno() == errno.ENOSPC
        )
    finally:
        os.close(descriptor)
