from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cifar_edge.benchmarks.measures.corruptions import FAMILIES
from cifar_edge.benchmarks.measures.robustness import Robustness, measure
from cifar_edge.data import Split
from cifar_edge.errors import CifarEdgeError, DataError, UsageError
from cifar_edge.evaluation import evaluate
from cifar_edge.tflite.cifar10 import predict_cifar10
from cifar_edge.tflite.model import EdgeModel


@pytest.fixture(scope="module")
def models(run: Path) -> list[EdgeModel]:
    return [EdgeModel(run / f"cnn-{name}.tflite") for name in ("float32", "int8")]


@pytest.fixture
def cifar10c(few: Split, tmp_path: Path) -> Path:
    """CIFAR-10-C as published, but of fewer images; severity s shows them turned round s times by 8 rows."""
    np.save(tmp_path / "labels.npy", np.tile(few.labels, 5))
    turned = np.concatenate([np.roll(few.images, 8 * severity, axis=1) for severity in range(1, 6)])
    for family in FAMILIES:
        np.save(tmp_path / f"{family}.npy", turned)
    return tmp_path


def test_every_model_is_measured_on_every_condition(models: list[EdgeModel], few: Split) -> None:
    steps: list[tuple[int, int]] = []
    results = measure(models, few, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(done, 76) for done in range(1, 77)]
    for model, result in zip(models, results, strict=True):
        clean = evaluate(predict_cifar10(model, few.images), few.labels)
        assert (result.accuracy, result.ece) == (clean.accuracy, clean.ece)
        assert result.corrupted_accuracy.shape == result.corrupted_ece.shape == (15, 5)
        assert result.corrupted_accuracy[FAMILIES.index("contrast"), 4] < result.accuracy - 0.1
        assert 0.15 < result.mean_corrupted_accuracy < result.accuracy
        assert 0 < result.mean_corrupted_ece < 1


def test_means_by_hand() -> None:
    result = Robustness(0.9, 0.1, np.linspace(0, 1, 75).reshape(15, 5), np.full((15, 5), 0.25))
    assert np.isclose(result.mean_corrupted_accuracy, 0.5)
    assert result.mean_corrupted_ece == 0.25


def test_the_published_arrays_are_used_when_given(models: list[EdgeModel], few: Split, cifar10c: Path) -> None:
    (result,) = measure(models[:1], few, cifar10c)
    for column in range(5):
        turned = np.roll(few.images, 8 * (column + 1), axis=1)
        expected = evaluate(predict_cifar10(models[0], turned), few.labels)
        assert (result.corrupted_accuracy[:, column] == expected.accuracy).all()
        assert (result.corrupted_ece[:, column] == expected.ece).all()
    assert result.corrupted_accuracy[0, 3] == result.accuracy  # four times 8 rows are once round


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda folder, few: (folder / "fog.npy").unlink(), DataError, r"fog\.npy: cannot be read"),
        (lambda folder, few: (folder / "labels.npy").unlink(), DataError, r"labels\.npy: cannot be read"),
        (lambda folder, few: (folder / "fog.npy").write_bytes(b""), DataError, r"fog\.npy: cannot be read"),
        (lambda folder, few: (folder / "fog.npy").write_bytes(b"x" * 999), DataError, r"fog\.npy: cannot be read"),
        (
            lambda folder, few: np.save(folder / "fog.npy", few.images),
            DataError,
            r"fog\.npy: uint8 \(20, 32, 32, 3\), but CIFAR-10-C has uint8 \(100, 32, 32, 3\)",
        ),
        (
            lambda folder, few: np.save(folder / "labels.npy", np.zeros(50_000, np.uint8)),
            UsageError,
            r"labels of other images than these 20; .*\(--data\)",
        ),
    ],
)
def test_arrays_that_are_not_cifar10c(
    damage: object, error: type[CifarEdgeError], message: str, few: Split, cifar10c: Path
) -> None:
    assert callable(damage)
    damage(cifar10c, few)
    with pytest.raises(error, match=message) as caught:
        measure([], few, cifar10c)
    assert "\n" not in str(caught.value)
