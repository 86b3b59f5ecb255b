from __future__ import annotations

import numpy as np
import pytest

from cifar_edge.benchmarks.measures.corruptions import FAMILIES
from cifar_edge.benchmarks.measures.robustness import Robustness
from cifar_edge.benchmarks.studies import fidelity
from cifar_edge.benchmarks.studies.fidelity import PUBLISHED, TOLERANCE


def test_a_family_that_is_far_off_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    published = np.array([[PUBLISHED[family] / 100] * 5 for family in FAMILIES])
    measured = published + 0.9 * TOLERANCE / 100
    monkeypatch.setattr(fidelity, "load_split", lambda split: None)
    monkeypatch.setattr(fidelity, "measure", lambda models, test: [Robustness(0.87, 0.0, measured, published)])
    fidelity.main("nano")
    assert "gaussian noise" in capsys.readouterr().out
    measured[FAMILIES.index("fog")] += 0.01
    with pytest.raises(SystemExit, match=r"more than 2 points from the published arrays: fog$"):
        fidelity.main("nano")
