from __future__ import annotations

from typing import Any

import pytest

from cifar_edge.tflite.shapes import objection


@pytest.mark.parametrize(
    ("takes", "gives", "reason"),
    [
        ((None, 32, 32, 3), (None, 10), ""),
        ([1, 224, 160, 3], [1, 2], ""),
        ((None, None, None, 3), (None, 10), "any size"),
        ((None, 224, None, 3), (None, 10), "any size"),
        ((None, 28, 28, 1), (None, 10), "grey"),
        ((None, 3, 224, 224), (None, 10), "channels first"),
        ((None, 28, 28), (None, 10), "takes (None, 28, 28)"),
        ((None, 784), (None, 10), "takes (None, 784)"),
        ((None, 32, 32, 4), (None, 10), "takes (None, 32, 32, 4)"),
        ((None, 32, 32, 3), (None, 1), "no probability"),
        ((None, 32, 32, 3), (None, 8, 8, 10), "gives (None, 8, 8, 10)"),
        ((None, 32, 32, 3), (None, None), "gives (None, None)"),
        ([(None, 32, 32, 3), (None, 5)], (None, 10), "several"),
        ((None, 32, 32, 3), [(None, 10), (None, 4)], "several"),
    ],
)
def test_what_classifies_images(takes: Any, gives: Any, reason: str) -> None:
    found = objection(takes, gives)
    assert reason in found
    assert bool(found) == bool(reason)
