"""The paths that have a row already, in 16 bytes each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

DIGEST = 16  # bytes of a path's; at ten million paths, two are the same with a probability of 1e-25
MERGED = 10_000  # new paths that are kept apart, for to insert each into a large array takes long


class PathSet:
    """A set of paths: ten million take 160 MB, and hardly more while it is made.

    Args:
        paths: with surrogates for bytes that are not UTF-8, or with Python's escapes for them, as in Parquet.

    Attributes:
        repeated: how many of `paths` came more than once.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._sorted = np.fromiter(map(_digest, paths), f"S{DIGEST}")
        self._sorted.sort()
        self._new: set[bytes] = set()
        self.repeated = int((self._sorted[1:] == self._sorted[:-1]).sum())

    def __contains__(self, path: str) -> bool:
        digest = _digest(path)
        return digest in self._new or bool(
            self._sorted.searchsorted(digest) < self._sorted.searchsorted(digest, "right")
        )

    def __len__(self) -> int:
        return len(self._sorted) + len(self._new)

    def add(self, path: str) -> None:
        """Add a path."""
        self._new.add(_digest(path))
        if len(self._new) == MERGED:
            self._sorted = np.union1d(self._sorted, np.fromiter(self._new, self._sorted.dtype))
            self._new = set()

    def index(self, path: str) -> int:
        """Return a number below the length; each of the paths it was made of has its own."""
        return int(self._sorted.searchsorted(_digest(path)))


def _digest(path: str) -> bytes:
    return hashlib.blake2b(path.encode(errors="backslashreplace"), digest_size=DIGEST).digest()
