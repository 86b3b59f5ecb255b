from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from cifar_edge.benchmarks.measures import memory
from tests.benchmarks.measures.conftest import Calls


def test_a_footprint_is_of_three_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([(0.5, 0.010, 50), (0.2, 0.014, 70), (0.3, 0.011, 60)])
    requests: list[dict[str, Any]] = []

    def in_fresh_process(module: str, request: dict[str, Any], what: str) -> Any:
        assert module == "memory"
        requests.append(request)
        return next(answers)

    monkeypatch.setattr(memory, "in_fresh_process", in_fresh_process)
    found = memory.measure("LiteRT", Path("m.tflite"), threads=2)
    assert (found.start, found.load, found.memory) == (0.3, 0.011, 60)
    assert found.load_spread == pytest.approx(0.004)
    assert requests == [{"runtime": "LiteRT", "file": "m.tflite", "threads": 2}] * 3


def test_a_footprint_is_with_as_many_threads(
    loaded: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"runtime": "fake", "file": "a", "threads": 3}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request)))
    memory.main()
    first, second, peak = json.loads(capsys.readouterr().out)
    assert loaded == [("a", 3, 1)] * 2
    assert min(first, second) > 0
    assert peak > 10e6
