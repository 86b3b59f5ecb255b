"""Keep the chatter of native libraries away from the user's terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

# Descriptors belong to the whole process: a second thread would save the silenced ones and restore those for good.
# Blocks may be nested, so the lock is reentrant.
_TURN = threading.RLock()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Discard everything that the block writes to file descriptors 1 and 2.

    TensorFlow and LiteRT log to the descriptors themselves, below `sys.stderr`, and their own settings do not turn
    all of it off. Threads take turns. Output of other threads is lost meanwhile.
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
