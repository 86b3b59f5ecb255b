"""Keep the chatter of native libraries away from the user's terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

# Descriptors are the whole process's: a second thread would save the first one's silence, and restore that for good.
# Blocks may be nested, so the lock is one that a thread may take again.
_TURN = threading.RLock()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Send everything written to file descriptors 1 and 2 in the block nowhere.

    TensorFlow and LiteRT log to the descriptors themselves, below `sys.stderr`, and not all of it
    can be turned off by their own settings. Threads take turns; what others write meanwhile is lost, too.
    """
    with _TURN, Path(os.devnull).open("wb") as nowhere:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        for descriptor in (1, 2):
            os.dup2(nowhere.fileno(), descriptor)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
