from __future__ import annotations

import copy
from typing import Any

import pytest

from cifar_edge.benchmarks.compare import check, compare, differences
from cifar_edge.errors import RegressionError, UsageError


@pytest.fixture
def record() -> dict[str, Any]:
    timing = {"runtime": "LiteRT", "threads": 1, "batch": 1, "latency": {"median": 50.0, "spread": 1.0}}
    return {
        "machine": {"cpu": "A", "governor": None, "system": "Linux", "versions": {"numpy": "2.4"}},
        "images": 1000,
        "models": [
            {
                "name": "cnn/cnn-int8",
                "size": 98_000,
                "timings": [timing],
                "footprints": {"LiteRT": {"load": 0.001, "load_spread": 0.0002, "memory": 50_000_000}},
                "evaluation": {"accuracy": 0.9, "confusion": [[450, 50], [50, 450]]},
                "robustness": {"mean_corrupted_accuracy": 0.8},
            }
        ],
    }


def test_nothing_changed_within_the_noise(record: dict[str, Any]) -> None:
    new = copy.deepcopy(record)
    (model,) = new["models"]
    model["timings"][0]["latency"]["median"] = 53.4
    model["footprints"]["LiteRT"]["load"] = 0.0013
    model["footprints"]["LiteRT"]["memory"] = 50_900_000
    model["evaluation"]["accuracy"] = 0.88
    assert compare(record, new) == []
    assert compare(record, record) == []
    assert differences(record, new) == []


@pytest.mark.parametrize(
    ("where", "value", "figure", "factor"),
    [
        (("timings", 0, "latency", "median"), 75.0, "latency, LiteRT, threads 1, batch 1, µs", 1.5),
        (("timings", 0, "latency", "median"), 25.0, "latency, LiteRT, threads 1, batch 1, µs", 0.5),
        (("size",), 98_098, "size, KB", 1.001),
        (("footprints", "LiteRT", "load"), 0.01, "load, LiteRT, ms", 10),
        (("footprints", "LiteRT", "memory"), 100_000_000, "memory, LiteRT, MB", 2),
        (("evaluation", "accuracy"), 0.8, "wrong on clean images, %", 2),
        (("robustness", "mean_corrupted_accuracy"), 0.7, "wrong on corrupted images, %", 1.5),
    ],
)
def test_a_change_is_found(
    where: tuple[str | int, ...], value: float, figure: str, factor: float, record: dict[str, Any]
) -> None:
    new = copy.deepcopy(record)
    place: Any = new["models"][0]
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value
    (change,) = compare(record, new)
    assert (change.model, change.figure) == ("cnn/cnn-int8", figure)
    assert change.factor == pytest.approx(factor)
    check([change], factor + 0.01)
    if factor > 1:
        with pytest.raises(RegressionError, match=r"1 figures? .*cnn/cnn-int8") as caught:
            check([change], (1 + factor) / 2)
        assert caught.value.exit_code == 4


def test_other_circumstances_are_told(record: dict[str, Any]) -> None:
    new = copy.deepcopy(record)
    new["machine"]["cpu"] = "B"
    new["images"] = 10_000
    assert differences(record, new) == ["another cpu: A, now B", "other test images: 1,000, now 10,000"]


def test_records_of_other_models_are_not_compared(record: dict[str, Any]) -> None:
    new = copy.deepcopy(record)
    new["models"][0]["name"] = "ann/ann-int8"
    with pytest.raises(UsageError, match="nothing to compare: the old record has cnn/cnn-int8"):
        compare(record, new)
