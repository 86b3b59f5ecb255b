from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cifar_edge.benchmarks.measures import latency, runtimes
from cifar_edge.benchmarks.measures.runtimes import Runtime

Calls = list[tuple[Any, ...]]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What a runtime was asked to load; it cannot load "broken"."""
    asked: Calls = []

    def load(file: Path, threads: int, batch: int) -> Any:
        asked.append((file.name, threads, batch))
        if file.name == "broken":
            raise RuntimeError("no such operation\nand more")
        return lambda: None

    stands_in = {"fake": Runtime("fake", (), lambda file, batch, folder: file, load)}
    monkeypatch.setattr(latency, "RUNTIMES", stands_in)
    monkeypatch.setattr(runtimes, "RUNTIMES", stands_in)
    return asked
