from __future__ import annotations

import numpy as np
import pytest

from cifar_edge.benchmarks.studies import held_out
from cifar_edge.data import Cifar10, hold_out
from cifar_edge.tflite.cifar10 import predict_cifar10
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.training.augment import DAMAGES


def test_damage_costs_accuracy(
    sample: Cifar10, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(held_out, "load_split", lambda split: sample.train)
    held_out.main(["nano"])
    _, _, row = ([cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines())
    plain, damaged, *each = (float(top1.rstrip("%")) for top1 in row[1:])
    assert row[0] == "nano"
    assert len(each) == len(DAMAGES)
    assert damaged == pytest.approx(np.mean(each), abs=0.11)
    assert 75 < min(each) < max(each) < plain
    _, select = hold_out(sample.train)
    right = predict_cifar10(EdgeModel("nano"), select.images).argmax(axis=1) == select.labels
    assert plain == pytest.approx(100 * right.mean(), abs=0.06)
