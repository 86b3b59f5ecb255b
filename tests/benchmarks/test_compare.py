from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from cifar_edge.benchmarks.compare import Change, check, compare, differences, read
from cifar_edge.benchmarks.record import SCHEMA
from cifar_edge.errors import RegressionError, UsageError

Json = dict[str, Any]


@pytest.fixture
def record() -> Json:
    timing = {"runtime": "LiteRT", "threads": 1, "batch": 1, "latency": {"median": 50.0, "spread": 1.0}}
    return {
        "schema": SCHEMA,
        "machine": {
            "cpu": "A",
            "processors": 4,
            "governor": None,
            "system": "Linux",
            "python": "3.11",
            "versions": {"numpy": "2.4", "pillow": "12"},
        },
        "images": 1000,
        "photos": 30,
        "corruptions": {"source": "ours", "families": ["fog", "zoom_blur"], "severities": [1, 2]},
        "models": [
            {
                "name": "cnn/cnn-int8",
                "size": 98_000,
                "timings": [timing],
                "footprints": {"LiteRT": {"load": 0.001, "load_spread": 0.0002, "memory": 50_000_000}},
                "evaluation": {"accuracy": 0.9, "ece": 0.02, "confusion": [[450, 50], [50, 450]]},
                "throughput": {"photos": {"classify": 100.0, "naive loop": 10.0}},
                "robustness": {
                    "mean_corrupted_accuracy": 0.8,
                    "mean_corrupted_ece": 0.1,
                    "corrupted_accuracy": [[0.9, 0.7], [0.85, 0.75]],
                },
            }
        ],
    }


def changed(record: Json, *where: str | int, to: object) -> Json:
    """Return a copy with another value in one place."""
    new = copy.deepcopy(record)
    place: Any = new
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = to
    return new


@pytest.mark.parametrize(
    ("where", "within", "beyond"),
    [
        # Spreads and 1.5 % of both.
        (("timings", 0, "latency", "median"), 53.5, 53.7),
        (("timings", 0, "latency", "median"), 46.6, 46.4),
        # The ranges of both.
        (("footprints", "LiteRT", "load"), 0.0013, 0.0015),
        # 1 % of both.
        (("footprints", "LiteRT", "memory"), 51_000_000, 51_100_000),
        (("size",), 98_000, 98_001),
        # 5 % of both.
        (("throughput", "photos", "classify"), 91.0, 90.0),
        # Two standard errors of a difference: 1.34 points at 90 %, 1.79 at 80 %.
        (("evaluation", "accuracy"), 0.8725, 0.871),
        (("evaluation", "ece"), 0.0465, 0.047),
        (("robustness", "mean_corrupted_accuracy"), 0.764, 0.763),
        (("robustness", "mean_corrupted_ece"), 0.135, 0.136),
        (("robustness", "corrupted_accuracy", 1), [0.814, 0.714], [0.813, 0.713]),
    ],
)
def test_noise_has_its_limit(where: tuple[str | int, ...], within: object, beyond: object, record: Json) -> None:
    assert compare(record, record) == []
    assert compare(record, changed(record, "models", 0, *where, to=within)) == []
    assert len(compare(record, changed(record, "models", 0, *where, to=beyond))) == 1


@pytest.mark.parametrize(
    ("where", "value", "figure", "factor"),
    [
        (("timings", 0, "latency", "median"), 75.0, "latency, LiteRT, threads 1, batch 1, µs", 1.5),
        (("timings", 0, "latency", "median"), 25.0, "latency, LiteRT, threads 1, batch 1, µs", 0.5),
        (("size",), 98_098, "size, KB", 1.001),
        (("footprints", "LiteRT", "load"), 0.01, "load, LiteRT, ms", 10),
        (("footprints", "LiteRT", "memory"), 100_000_000, "memory, LiteRT, MB", 2),
        (("throughput", "photos", "classify"), 50.0, "a photo of the folder, ms", 2),
        (("evaluation", "accuracy"), 0.8, "wrong on clean images, %", 2),
        (("evaluation", "ece"), 0.08, "ECE on clean images, %", 4),
        (("robustness", "mean_corrupted_accuracy"), 0.7, "wrong on corrupted images, %", 1.5),
        (("robustness", "mean_corrupted_ece"), 0.2, "ECE on corrupted images, %", 2),
        (("robustness", "corrupted_accuracy", 1), [0.7, 0.7], "wrong under zoom blur, %", 1.5),
    ],
)
def test_a_change_is_found(
    where: tuple[str | int, ...], value: object, figure: str, factor: float, record: Json
) -> None:
    (change,) = compare(record, changed(record, "models", 0, *where, to=value))
    assert (change.model, change.figure) == ("cnn/cnn-int8", figure)
    assert change.factor == pytest.approx(factor)
    check([change], factor + 0.01)
    if factor > 1:
        with pytest.raises(RegressionError, match=r"1 figure is .*cnn/cnn-int8") as caught:
            check([change], (1 + factor) / 2)
        assert caught.value.exit_code == 4


def test_the_worst_is_named() -> None:
    with pytest.raises(RegressionError, match=r"2 figures are more than 1\.2 times as much as before, .* b, size"):
        check([Change("a", "size", 1, 2), Change("b", "size", 1, 3), Change("c", "size", 1, 1.1)])


@pytest.mark.parametrize(("field", "value"), [("cpu", "B"), ("processors", 8)])
def test_of_another_computer_only_size_and_accuracy_are_compared(field: str, value: object, record: Json) -> None:
    new = changed(record, "machine", field, to=value)
    (model,) = new["models"]
    model["timings"][0]["latency"]["median"] = 500.0
    model["footprints"]["LiteRT"] |= {"load": 1.0, "memory": 10**9}
    model["throughput"]["photos"]["classify"] = 1.0
    assert compare(record, new) == []
    (said,) = differences(record, new)
    assert said.startswith("another computer (A, 4 processors; now ")
    assert said.endswith("times and memory are not compared, only size and accuracy")
    model["size"] *= 2
    model["evaluation"]["accuracy"] = 0.5
    assert [change.figure for change in compare(record, new)] == ["size, KB", "wrong on clean images, %"]


def test_other_circumstances_are_told(record: Json) -> None:
    new = changed(record, "machine", "versions", to={"numpy": "2.5", "pillow": "12", "tensorflow": "2.21"})
    new["images"] = 10_000
    assert differences(record, record) == []
    assert differences(record, new) == [
        "another numpy: 2.4, now 2.5",
        "another tensorflow: none, now 2.21",
        "other test images: 1,000, now 10,000",
    ]


def test_corruptions_of_another_source_are_not_compared(record: Json) -> None:
    new = changed(record, "corruptions", "source", to="CIFAR-10-C")
    new["models"][0]["robustness"]["mean_corrupted_accuracy"] = 0.1
    assert compare(record, new) == []
    assert differences(record, new) == ["other corrupted images (ours, now CIFAR-10-C): not compared"]
    new = changed(new, "corruptions", to=None)
    assert differences(record, new) == ["other corrupted images (ours, now none): not compared"]


def test_another_folder_is_not_compared(record: Json) -> None:
    new = changed(record, "photos", to=4)
    new["models"][0]["throughput"]["photos"]["classify"] = 1.0
    assert compare(record, new) == []
    assert differences(record, new) == ["another folder, of 4 photos instead of 30: not compared"]


def test_what_is_no_longer_measured_is_told(record: Json) -> None:
    record["models"].append(record["models"][0] | {"name": "ann/ann-int8"})
    new = changed(record, "models", 0, "timings", 0, "threads", to=2)
    del new["models"][1]
    assert differences(record, new) == [
        "ann/ann-int8: no longer measured",
        "cnn/cnn-int8: no longer measured: latency, LiteRT, threads 1, batch 1, µs",
    ]


def test_an_old_record_is_looked_at_before_anything_is_measured(record: Json, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(record))
    assert read(file, ["cnn/cnn-int8", "new"]) == record
    with pytest.raises(UsageError, match=r"bench\.json: nothing to compare: it has cnn/cnn-int8, not ann, resnet8"):
        read(file, ["ann", "resnet8"])


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"models": 1},
        {"models": [{}]},
        {"models": [], "machine": {"cpu": "A"}},
        {"models": [{"name": "cnn"}], "machine": None},
    ],
)
def test_half_a_record_is_one_line(content: Json, record: Json, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"schema": SCHEMA} | content))
    with pytest.raises(UsageError, match=r"bench\.json: not a whole bench\.json \(\w+: .*; measure again") as caught:
        read(file, ["cnn"])
    assert "\n" not in str(caught.value)
