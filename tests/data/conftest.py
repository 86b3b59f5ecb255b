from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.data.cifar10 import DIGESTS, SAMPLE_DIGESTS


@pytest.fixture
def sample_is_official(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sample's pixels pass for the whole CIFAR-10: layouts and downloads are then a tenth of the work."""
    for split, digest in SAMPLE_DIGESTS.items():
        monkeypatch.setitem(DIGESTS, split, digest)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "cifar-edge"
