from __future__ import annotations

import pytest

from cifar_edge.errors import UsageError
from cifar_edge.training.recipe import recipe_for


def test_options_that_are_not_given_come_from_the_network_s_recipe() -> None:
    recipe = recipe_for("cnn", epochs=3, augment=None)
    assert (recipe.epochs, recipe.augment, recipe.optimizer) == (3, "standard", "adam")


def test_another_optimizer_brings_its_own_learning_rate() -> None:
    assert recipe_for("cnn", optimizer="sgd").learning_rate == 0.1
    assert recipe_for("cnn", optimizer="sgd", learning_rate=0.3).learning_rate == 0.3
    assert recipe_for("resnet8", optimizer="adam").weight_decay == 0.0
    assert recipe_for("cnn", optimizer="adamw").weight_decay > 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adma"}, "unknown optimizer 'adma': choose one of sgd, adam"),
        ({"augment": "some"}, "unknown augment 'some': choose one of none, standard"),
        ({"schedule": "steps"}, "unknown schedule 'steps'"),
        ({"precision": "int8"}, "unknown precision 'int8': choose one of float32, mixed_bfloat16"),
        ({"epochs": 0}, "epochs 0 is out of range: give 1 to 9999"),
        ({"learning_rate": float("nan")}, "learning-rate nan is out of range"),
        ({"weight_decay": float("inf")}, "weight-decay inf is out of range"),
        ({"label_smoothing": 1.5}, "label-smoothing 1.5 is out of range: give 0 to 1"),
        ({"seed": -1}, "seed -1 is out of range"),
    ],
)
def test_wrong_options_are_named(changes: dict[str, float | str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe_for("cnn", **changes)


def test_unknown_network_is_named() -> None:
    with pytest.raises(UsageError, match="unknown model 'vgg': choose one of ann, cnn, resnet8, quick, nano, small"):
        recipe_for("vgg")
