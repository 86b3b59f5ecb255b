"""Native libraries: their chatter kept away from the user's terminal, and TensorFlow's settings."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def set_up_tensorflow() -> None:
    """Set what TensorFlow reads as it is imported; what the environment says already stands."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow's own choice is Eigen on processors without int8 instructions, where oneDNN trains a quarter faster.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Send everything written to file descriptors 1 and 2 in the block nowhere.

    TensorFlow and LiteRT log to the descriptors themselves, below `sys.stderr`, and not all of it
    can be turned off by their own settings.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
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
