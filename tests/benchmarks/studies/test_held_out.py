from __future__ import annotations

import numpy as np
import pytest

from cifar_edge.benchmarks.studies.held_out import main
from cifar_edge.data import hold_out, load_split
from cifar_edge.tflite.cifar10 import predict_cifar10
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.training.augment import DAMAGES


def test_damage_costs_either_model_and_small_is_ahead_in_both(full: object, capsys: pytest.CaptureFixture[str]) -> None:
    main(["nano", "small"])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [name for name, *_ in rows] == ["nano", "small"]
    nano, small = ([float(top1.rstrip("%")) for top1 in top1s] for _, *top1s in rows)
    for plain, damaged, *each in (nano, small):
        assert len(each) == len(DAMAGES)
        assert damaged == pytest.approx(np.mean(each), abs=0.11)
        assert 75 < min(each) < max(each) < plain
    _, held_out = hold_out(load_split("train"))
    right = predict_cifar10(EdgeModel("nano"), held_out.images).argmax(axis=1) == held_out.labels
    assert nano[0] == pytest.approx(100 * right.mean(), abs=0.06)
    assert nano[0] < small[0]
    assert nano[1] < small[1]
