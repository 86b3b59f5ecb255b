"""Files that are complete under their name, or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path with the same suffix beside `path`; rename it to `path` if the block succeeds.

    The content is on the disk before the rename, so a pulled plug leaves the old file or the new
    one. If the block raises, what it wrote is removed; an `OSError` without a file name gets that
    of `path`.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)
