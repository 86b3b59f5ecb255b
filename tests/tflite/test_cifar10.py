from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.data import CLASSES
from cifar_edge.errors import ModelError
from cifar_edge.tflite.cifar10 import load_cifar10_model, tells_cifar10
from cifar_edge.tflite.graph import pack, unpack
from cifar_edge.tflite.model import EdgeModel
from tests.tflite.test_card import rewrite


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (None, True),
        (CLASSES, True),
        (CLASSES[::-1], True),
        (tuple("abcdefghij"), False),
        (("cow", *CLASSES[1:]), False),
    ],
)
def test_a_model_of_other_classes_is_not_one_of_cifar10(
    labels: tuple[str, ...] | None, told: bool, run: Path, tmp_path: Path
) -> None:
    graph = unpack((run / "cnn-int8.tflite").read_bytes())
    graph.metadata, graph.buffers = None, graph.buffers[:-1]  # of the card nothing is left
    (tmp_path / "m.tflite").write_bytes(pack(graph))
    assert tells_cifar10(EdgeModel(tmp_path / "m.tflite", labels=labels)) == told


def test_a_model_of_other_classes_is_refused(run: Path, tmp_path: Path) -> None:
    other = rewrite(run / "cnn-int8.tflite", tmp_path / "cows.tflite", "\n".join(("cow", *CLASSES[1:])), sealed=True)
    with pytest.raises(ModelError, match=r"cows\.tflite: .* needs a model of CIFAR-10"):
        load_cifar10_model(other)
