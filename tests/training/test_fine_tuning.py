from __future__ import annotations

from pathlib import Path

import numpy as np

from cifar_edge.data import Cifar10
from cifar_edge.training.backbones import network_for
from cifar_edge.training.fine_tuning import FineTuning, Work
from cifar_edge.training.photo_set import Photos
from cifar_edge.training.photo_views import Views, sizes_for
from cifar_edge.training.recipe import photo_recipe_for
from tests.own_photos import write_class_folders


def test_tuning_begins_anew_each_time_and_counts_its_images(tmp_path: Path, sample: Cifar10) -> None:
    recipe = photo_recipe_for("nano")
    folder = write_class_folders(tmp_path / "photos", sample.test, {"cat": 10, "ship": 10})
    views = Views(Photos.of(folder, sizes=sizes_for(recipe)), recipe)
    network, steps = network_for(recipe, 3), []
    work = Work(lambda done, total, doing, logs: steps.append((done, doing)))
    tuning = FineTuning(network, views, recipe, tmp_path, work)
    learn, start = np.arange(20), network.get_weights()
    assert tuning.images_in(learn) == 30
    one, other = (tuning.weights_after(name, learn, views.strange, start, 1, f"{name} ") for name in ("a", "b"))
    for first, second, before in zip(one, other, start, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)
        assert (first != before).any()
    assert [doing for _, doing in steps] == ["a epoch 1 of 1"] * 2 + ["b epoch 1 of 1"] * 2
    assert (tmp_path / "a-0001.keras").exists()
    tuning.forget("a")
    assert sorted(path.name for path in tmp_path.glob("*.keras")) == ["b-0001.keras"]
    assert tuning.weights_after("c", learn, views.strange, start, 0) is start
    assert tuning.epochs_in(1e9, 30) > tuning.epochs_in(1, 30)
