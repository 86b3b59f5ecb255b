from __future__ import annotations

import io
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from cifar_edge.benchmarks.measures import latency
from cifar_edge.benchmarks.measures.graphs import PRECISIONS
from cifar_edge.system.timing import Latency
from tests.benchmarks.measures.conftest import Calls


def made(best: float) -> Latency:
    return Latency(median=3 * best, best=best, p95=4 * best, p99=5 * best, spread=1.0, ratio=1.0)


def test_networks_and_peak(loaded: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict[str, Any] = {"products": []}

    def interpreter(graph: bytes, threads: int) -> Any:
        seen["products"].append(threads)
        return SimpleNamespace(invoke=None)

    def measure(calls: list[Any], baseline: int | None, rounds: int, progress: object) -> list[Latency]:
        seen.update(calls=len(calls), baseline=baseline, rounds=rounds)
        return [made(best) for best in (7, 8, 100, 400, 500, 1000)]  # networks; products as int8, as float32

    monkeypatch.setattr(latency, "load_interpreter", interpreter)
    monkeypatch.setattr(latency, "measure", measure)
    networks = [("fake", name) for name in ("a", "broken", "b")]
    request = {"networks": networks, "threads": 3, "batch": 4, "baseline": 2, "rounds": 5}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request)))
    latency.main()
    answer = json.loads(capsys.readouterr().out)
    assert loaded == [("a", 3, 4), ("broken", 3, 4), ("b", 3, 4)]
    assert seen == {"products": [3] * 4, "calls": 6, "baseline": 1, "rounds": 5}
    assert [each and each["best"] for each in answer["latencies"]] == [7, None, 8]
    assert answer["reasons"] == {"1": "broken: no such operation"}
    small, large = (math.prod(product) for product in latency.PRODUCTS)
    assert answer["peaks"] == {"int8": pytest.approx(small / 100e-6), "float32": pytest.approx(large / 1000e-6)}
    assert PRECISIONS == ("int8", "float32")
