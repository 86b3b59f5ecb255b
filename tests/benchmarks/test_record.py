from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cifar_edge.benchmarks.compare import compare
from cifar_edge.benchmarks.record import Record, as_json, read_json, write_json
from cifar_edge.errors import UsageError


def test_json_holds_it_all(record: Record, tmp_path: Path) -> None:
    content = as_json(record)
    write_json(content, tmp_path / "bench.json")
    assert read_json(tmp_path / "bench.json") == content
    model = content["models"][0]
    assert len(content["corruptions"]["families"]) == len(model["robustness"]["corrupted_accuracy"]) == 15
    assert model["robustness"]["mean_corrupted_accuracy"] < model["evaluation"]["accuracy"]
    assert sum(map(sum, model["evaluation"]["confusion"])) == record.images == 20
    assert compare(content, content) == []


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 0}'])
def test_other_files_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(UsageError, match=r"other\.json: not a bench\.json"):
        read_json(tmp_path / "other.json")


def test_json_has_no_nan(record: Record) -> None:
    evaluation = record.models[0].evaluation
    assert evaluation is not None
    some = dataclasses.replace(evaluation, per_class=np.array([0.5, np.nan]))
    model = dataclasses.replace(record.models[0], evaluation=some)
    content = as_json(dataclasses.replace(record, models=[model], corruptions=None))
    assert content["models"][0]["evaluation"]["per_class"] == [0.5, None]
    assert content["corruptions"] is None
