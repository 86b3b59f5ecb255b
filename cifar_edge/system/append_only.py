"""A file that only grows: what is appended survives the process at once, and a pulled plug within a second."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from cifar_edge.system.opening import open_ours

SYNC_SECONDS = 0.5
PIECE = 1 << 16  # bytes read at once


class AppendOnlyFile:
    """A file to append to. Close it, or use it as a context: then all of it is on the disk.

    Args:
        path: of the file; made if it is not there.
        sync_seconds: how often new content is flushed to the disk. Rarer wears an SD card less.

    Attributes:
        path: of the file.
        end: its length in bytes.

    Raises:
        UsageError: it is a link, or otherwise none of this user's own files.
    """

    def __init__(self, path: Path, sync_seconds: float = SYNC_SECONDS) -> None:
        self.path = path
        # What is written survives the process, if not yet the plug.
        self._file = os.fdopen(open_ours(path, os.O_RDWR | os.O_APPEND | os.O_CREAT), "a+b", buffering=0)
        self.end = os.fstat(self._file.fileno()).st_size
        self._sync_seconds = sync_seconds
        self._closing = threading.Event()
        self._failure: OSError | None = None
        self._syncing = threading.Thread(target=self._sync_now_and_then, daemon=True)
        self._syncing.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Bring all of it to the disk and give it up; raise what kept an earlier part from the disk."""
        self._closing.set()
        self._syncing.join()
        with self._file:
            self.sync()
        if self._failure:  # the system reports lost pages once only
            raise self._failure

    def cut(self, end: int) -> None:
        """Forget everything behind `end`, such as a line that a pulled plug has torn."""
        self._file.truncate(end)
        self.end = end

    def append(self, line: bytes) -> None:
        """Append a line; raise what kept an earlier one from the disk."""
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

    def lines(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the lines from `start` to `end`, by default all there are; the last one may have no line break.

        They are read from the file that is open, whatever has its name by now.
        """
        rest, end = bytearray(), self.end if end is None else end
        while start < end:
            self._file.seek(start)  # what is appended goes to the end in any case
            piece = self._file.read(min(PIECE, end - start))
            if not piece:
                break
            start += len(piece)
            *lines, last = piece.split(b"\n")
            for line in lines:
                yield bytes(rest + line + b"\n")
                rest.clear()
            rest += last
        if rest:
            yield bytes(rest)

    def is_there(self) -> bool:
        """Tell whether the file still has its name."""
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False
        except OSError:  # the next line to be appended says what is wrong
            return True

    def sync(self) -> None:
        """Return when everything appended so far is on the disk."""
        os.fsync(self._file.fileno())

    def _sync_now_and_then(self) -> None:
        """Flush in the background, so that a row is safe even while the next photo takes its time."""
        synced = 0
        try:
            while not self._closing.wait(self._sync_seconds):
                if synced < self.end:
                    synced = self.end
                    self.sync()
        except OSError as error:
            self._failure = error
