from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from cifar_edge.system.append_only import AppendOnlyFile


def test_a_disk_that_fails_after_the_last_row_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system says once of what is lost, and says it to whoever asks first."""
    failed = threading.Event()

    def fails_once(descriptor: int) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails_once)

    def write_one_line() -> None:
        with AppendOnlyFile(tmp_path / "rows", sync_seconds=0.01) as lines:
            lines.append(b"a row\n")
            assert failed.wait(20)

    with pytest.raises(OSError, match="Input/output error"):
        write_one_line()
