"""Photos that may still be being written -> those that are complete."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cifar_edge.photos.find import order

SETTLED = 1.0  # seconds without a change after which a photo is taken for complete

GIVEN_UP = 60.0  # seconds without a change, from the first failure, after which one that cannot be read is damaged


@dataclass
class Look:
    """The last check of a photo; times are of a monotonic clock.

    Attributes:
        file: size and times of change, in nanoseconds.
        next: time of the next check.
        failed: time of the first failure to read it; None if there was none.
    """

    file: tuple[int, ...] = ()
    next: float = 0.0
    failed: float | None = None


class Waiting:
    """Photos that another program may still be writing."""

    def __init__(self) -> None:
        self._looks: dict[str, Look] = {}
        self._given_up: dict[str, tuple[int, ...]] = {}

    def add(self, paths: Iterable[str]) -> None:
        """Wait for photos."""
        for path in paths:
            self._looks.setdefault(path, Look())

    def put_back(self, path: str, look: Look) -> bool:
        """Wait again for a photo that could not be read; return False once it has failed for `GIVEN_UP` seconds."""
        now = time.monotonic()
        look.failed = look.failed or now
        if now - look.failed >= GIVEN_UP:
            self._given_up[path] = look.file
            return False
        self._looks[path] = look
        return True

    def is_another(self, path: str) -> bool:
        """Tell whether a photo that was given up has changed since."""
        if path not in self._given_up:
            return False
        with contextlib.suppress(OSError):
            return _file(path) != self._given_up[path]
        return False

    def take(self, most: int) -> dict[str, Look]:
        """Return at most `most` photos that seem complete, in the order of paths; forget those that are gone.

        A file is complete if it is unchanged since the last check, or if its own times are old enough. A wrong clock,
        as on a Raspberry Pi without one, costs one failed attempt.
        """
        complete: dict[str, Look] = {}
        now = time.monotonic()
        for path, look in list(self._looks.items()):
            if now < look.next:
                continue
            try:
                file = _file(path)
            except OSError:
                del self._looks[path]
                continue
            if file != look.file:
                look.file, look.failed = file, None
                settled = time.time() - max(file[1:]) / 1e9 >= SETTLED
            else:
                settled = look.failed is None or now - look.failed >= GIVEN_UP
            look.next = now + SETTLED
            if settled:
                complete[path] = self._looks.pop(path)
                if len(complete) == most:
                    break
        return dict(sorted(complete.items(), key=lambda one: order(one[0])))


def _file(path: str) -> tuple[int, int, int]:
    """Return a file's size and times of change, in nanoseconds."""
    about = Path(path).stat()
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns
