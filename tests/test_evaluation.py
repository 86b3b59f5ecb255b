from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.data import CLASSES
from cifar_edge.evaluation import tells_cifar10
from cifar_edge.graph import pack, unpack
from cifar_edge.model import EdgeModel


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
