from __future__ import annotations

import numpy as np
import pytest

from cifar_edge.benchmarks.studies import outliers
from cifar_edge.benchmarks.studies.outliers import auroc, false_positive_rate, main, others
from cifar_edge.data import Cifar10


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    inside, outside = np.float32([0.9, 0.8, 0.4]), np.float32([0.5, 0.4])
    assert auroc(inside, outside) == pytest.approx((2 + 2 + 0.5) / 6)


def test_the_threshold_keeps_at_least_the_recall() -> None:
    inside, outside = np.linspace(0, 1, 101, dtype=np.float32), np.float32([0.02, 0.05, 0.5, 0.9])
    assert false_positive_rate(inside, outside) == 0.75
    assert false_positive_rate(inside, outside, recall=0.5) == 0.5


def test_others_are_parts_of_noise_textures_and_photos() -> None:
    kinds = others()
    assert {kind: images.shape[1:] for kind, images in kinds.items()} == dict.fromkeys(kinds, (32, 32, 3))
    assert kinds["photos"].std(axis=(1, 2)).max() > 30
    assert all(np.array_equal(images, again) for images, again in zip(kinds.values(), others().values(), strict=True))


def test_nano_is_surer_of_its_classes_than_of_other_things(
    sample: Cifar10, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outliers, "load_split", lambda split: sample.test)
    main(["nano"])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    areas = [float(row[2]) for row in rows if row and row[0] == "nano" and row[1].startswith("1,")]
    assert len(areas) == 2
    assert min(areas) > 0.6
