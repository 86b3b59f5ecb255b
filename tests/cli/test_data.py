from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command


def test_data_info(cifar_edge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-edge" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "data_batch_1.bin").write_bytes(b"half")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    outcome = cifar_edge("data", "info")
    assert "data_batch_2.bin is missing" in outcome.out
    assert "intact: 5,000 training and 1,000 test images" in outcome.out
