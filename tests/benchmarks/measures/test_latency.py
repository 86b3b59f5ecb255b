from __future__ import annotations

import io
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cifar_edge.benchmarks.measures import latency, memory, runtimes
from cifar_edge.benchmarks.measures.graphs import PRECISIONS
from cifar_edge.benchmarks.measures.runtimes import OTHERS, Runtime
from cifar_edge.system.timing import Latency
from cifar_edge.tflite.interpreter import litert

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


class Asked(Exception):  # noqa: N818 - ends what is not looked at
    pass


def test_litert_gets_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def interpreter(model: bytes, threads: int, name: str) -> Any:
        raise Asked(threads)

    monkeypatch.setattr("cifar_edge.tflite.interpreter.load_interpreter", interpreter)
    with pytest.raises(Asked, match="3"):
        litert(b"", threads=3)


def test_others_get_their_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def session(file: str, options: Any, providers: list[str]) -> Any:
        raise Asked(options.intra_op_num_threads, options.inter_op_num_threads)

    tensorflow, onnx = OTHERS
    monkeypatch.setattr("onnxruntime.InferenceSession", session)
    with pytest.raises(Asked, match=r"\(3, 1\)"):
        onnx.load(tmp_path / "m.onnx", 3, 1)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    with pytest.raises(ValueError, match=r"m\.keras"):
        tensorflow.load(tmp_path / "m.keras", 3, 1)
    assert runtimes.os.environ["TF_NUM_INTRAOP_THREADS"] == "3"
