from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from cifar_edge.errors import ModelError, UsageError
from cifar_edge.tflite.interface import interface_of
from tests.conftest import PHOTOS


@pytest.mark.parametrize(
    ("takes", "gives", "size", "found"),
    [
        ([1, 32, 48, 3], [1, 10], None, (32, 48, False, False, 10)),
        ([None, 32, 48, 3], [None, 10], None, (32, 48, False, False, 10)),
        ([1, 28, 28, 1], [1, 10], None, (28, 28, True, False, 10)),
        ([1, 3, 32, 48], [1, 10], None, (32, 48, False, True, 10)),
        ([1, 1, 28, 28], [1, 10], None, (28, 28, True, True, 10)),
        ([1, 32, 48, 3], [1, 1, 1, 5], None, (32, 48, False, False, 5)),
        ([1, 32, 48, 3], [1, 1], None, (32, 48, False, False, 1)),
        ([1, None, None, 3], [1, 4], (64, 96), (64, 96, False, False, 4)),
        ([1, 64, None, 1], [1, 4], (64, 96), (64, 96, True, False, 4)),
    ],
)
def test_layouts(takes: list[Any], gives: list[Any], size: tuple[int, int] | None, found: tuple[Any, ...]) -> None:
    interface = interface_of("m.tflite", [takes], [gives], size)
    parts = interface.height, interface.width, interface.grey, interface.channels_first, interface.outputs
    assert parts == found
    assert interface.classes == max(2, found[-1])


@pytest.mark.parametrize(
    ("takes", "gives", "reason"),
    [
        ([[8, 32, 32, 3]], [[8, 10]], "takes 8 images at a time, and is given one"),
        ([[1, None, None, 3]], [[1, 10]], "takes images of any size; say which size"),
        ([[1, 32, 32, 4]], [[1, 10]], r"takes \[1, 32, 32, 4\]"),
        ([[1, 784]], [[1, 10]], r"takes \[1, 784\]"),
        ([[]], [[1, 10]], "not an image classifier"),
        ([[1, 32, 32, 3]], [[]], "not an image classifier"),
        ([[1, 32, 32, 3]], [[1, 8, 8, 10]], r"gives \[1, 8, 8, 10\]"),
        ([[1, 32, 32, 3], [1, 4]], [[1, 10]], "takes 2 tensors"),
        ([[1, 32, 32, 3]], [[1, 10], [1, 4]], "and gives 2,"),
    ],
)
def test_what_is_no_classifier_of_one_image_is_named(takes: Any, gives: Any, reason: str) -> None:
    with pytest.raises(ModelError, match=rf"^m\.tflite: .*{reason}"):
        interface_of("m.tflite", takes, gives)


def test_a_size_is_for_graphs_that_have_none() -> None:
    with pytest.raises(UsageError, match="has a size of its own; leave --image-size out"):
        interface_of("m.tflite", [[1, 32, 32, 3]], [[1, 10]], (64, 64))


def test_grey_is_that_of_pillow() -> None:
    photo = Image.open(next(PHOTOS.glob("*/*.jpg"))).convert("RGB").resize((40, 30))
    interface = interface_of("m.tflite", [[1, 1, 30, 40]], [[1, 2]])
    grey = interface.entering(np.asarray(photo)[None])
    np.testing.assert_array_equal(grey[0, 0], np.asarray(photo.convert("L")))
