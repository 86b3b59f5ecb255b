"""A file that grows line by line and loses nothing: a torn line at its end is cut off, the rest is on the disk soon."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Self

from cifar_edge.errors import UsageError
from cifar_edge.system.files import lock

SYNC_SECONDS = 0.5


class Lines:
    """A file that this process alone appends to. Use it as a context: on leaving, all lines are on the disk.

    Args:
        path: of the file; made if it is not there.
        sync_seconds: how often what is new is brought to the disk. Rarer wears an SD card less.

    Attributes:
        path: of the file.
        end: its length in bytes.

    Raises:
        UsageError: another process is writing it.
    """

    def __init__(self, path: Path, sync_seconds: float = SYNC_SECONDS) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)  # what is written survives the process, if not yet the plug
        if not lock(self._file.fileno()):
            self._file.close()
            raise UsageError(f"{path}: another run is writing it; wait for it, or write elsewhere")
        self.end = os.fstat(self._file.fileno()).st_size
        self._sync_seconds = sync_seconds
        self._closing = threading.Event()
        self._failure: OSError | None = None
        self._syncing = threading.Thread(target=self._sync, daemon=True)

    def __enter__(self) -> Self:
        self._syncing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._syncing.join()
        with self._file:
            os.fsync(self._file.fileno())
        if self._failure:  # of pages that are lost the system tells once
            raise self._failure

    def close(self) -> None:
        """Give the file up before it was entered."""
        self._file.close()

    def cut(self, end: int) -> None:
        """Forget what is behind `end`, as a line that a pulled plug has torn."""
        self._file.truncate(end)
        self.end = end

    def append(self, line: bytes) -> None:
        """Append a line; raise what has kept earlier ones from the disk."""
        if self._failure:
            raise self._failure
        rest = memoryview(line)
        try:
            while rest:  # a disk that is nearly full takes a part before it refuses
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            error.filename = str(self.path)
            raise
        self.end += len(line)

    def sync(self) -> None:
        """Return when what is written is on the disk."""
        os.fsync(self._file.fileno())

    def _sync(self) -> None:
        """Bring to the disk what is written, also while the next line takes its time."""
        synced = 0
        try:
            while not self._closing.wait(self._sync_seconds):
                if synced < self.end:
                    synced = self.end
                    self.sync()
        except OSError as error:
            self._failure = error
