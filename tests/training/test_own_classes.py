from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge.data import Cifar10
from cifar_edge.errors import Interrupted, UsageError
from cifar_edge.training import own_classes
from cifar_edge.training.evaluate import evaluate_run, photos_of_run
from cifar_edge.training.keras_file import load_network
from cifar_edge.training.photo_set import Photos
from cifar_edge.training.photo_views import sizes_for
from cifar_edge.training.recipe import PhotoRecipe, photo_recipe_for
from cifar_edge.training.run import Run
from tests.own_photos import write_class_folders

RECIPE = photo_recipe_for("nano", epochs=2)


def photos_in(folder: Path, recipe: PhotoRecipe = RECIPE) -> Photos:
    return Photos.of(folder, recipe.fit, sizes_for(recipe), recipe.seed)


@pytest.fixture(scope="module")
def folder(sample: Cifar10, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_class_folders(tmp_path_factory.mktemp("own") / "pets", sample.train, {"cat": 56, "ship": 60})


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("runs") / "pets")
    own_classes.train(RECIPE, photos_in(folder), run.folder)
    return run


class Stop:
    """Presses Ctrl-C at a step, once."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, done: int, total: int, doing: str, logs: dict[str, float]) -> None:
        assert 0 < done <= total
        self.step -= 1
        if not self.step:
            raise KeyboardInterrupt


def test_a_finished_run_says_what_its_model_is_worth(finished: Run, folder: Path) -> None:
    result = finished.record["result"]
    photos = photos_in(folder)
    assert finished.classes == ("cat", "ship", "unknown")
    assert finished.photos == folder
    assert finished.photo_recipe == RECIPE
    assert result["test_photos"] == len(photos.on("test")) > 5
    assert result["test_accuracy"] > 0.8
    assert result["unknown"]["caught"] > 0.6
    assert 0 < result["threshold"] < 1
    assert not finished.checkpoint.exists()
    assert f"test accuracy {result['test_accuracy']:.1%} of" in own_classes.summary(finished.folder)
    answers = np.asarray(load_network(finished.model)(photos.pixels(32)[photos.on("test")].astype(np.float32)))
    right = answers.argmax(axis=1) == photos.labels[photos.on("test")]
    assert right.mean() == pytest.approx(result["test_accuracy"])


def test_an_interrupted_training_ends_as_an_uninterrupted_one(folder: Path, finished: Run, tmp_path: Path) -> None:
    run, photos = Run(tmp_path / "run"), photos_in(folder)
    with pytest.raises(Interrupted, match="stopped; go on with `cifar-edge train --resume --run"):
        own_classes.train(RECIPE, photos, run.folder, Stop(6))  # among the features
    for step in (15, 12):  # in the first and in the second epoch
        with pytest.raises(Interrupted):
            own_classes.resume(run.folder, photos, Stop(step))
    own_classes.resume(run.folder, photos)
    with pytest.raises(UsageError, match="finished"):
        own_classes.resume(run.folder, photos)
    results = [one.record["result"] | one.record["result"]["unknown"] for one in (run, finished)]
    for result in results:
        del result["unknown"], result["training_seconds"]
    assert results[0] == pytest.approx(results[1], rel=1e-4)


def test_a_run_whose_photos_changed_is_not_resumed(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "pets")
    with pytest.raises(Interrupted):
        own_classes.train(RECIPE, photos_in(copy), tmp_path / "run", Stop(2))
    Image.new("RGB", (40, 40), "red").save(copy / "cat" / "000.jpg")
    with pytest.raises(UsageError, match=rf"^{tmp_path}/run: the photos in {copy} have changed"):
        own_classes.resume(tmp_path / "run", photos_in(copy))


def test_few_photos_are_each_held_out_once(sample: Cifar10, tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "few", sample.train, {"cat": 10, "ship": 12, "none": 6})
    seen: list[str] = []
    recipe = photo_recipe_for("nano", epochs=1)
    own_classes.train(recipe, photos_in(folder), tmp_path / "run", lambda *step: seen.append(step[2]))
    result = Run(tmp_path / "run").record["result"]
    assert result["cross_validation"]
    assert (result["held_out_photos"], result["test_photos"]) == (28, 0)
    assert "fold 1 of 5, epoch 1 of 1" in seen
    assert own_classes.summary(tmp_path / "run").startswith("cross-validated accuracy")


def test_the_last_layer_is_trained_again_when_photos_are_added(
    finished: Run, folder: Path, sample: Cifar10, tmp_path: Path
) -> None:
    more = shutil.copytree(folder, tmp_path / "more")
    write_class_folders(more, sample.train, {"frog": 20})
    recipe = photo_recipe_for("nano", start=str(finished.folder), epochs=0)
    own_classes.train(recipe, photos_in(more), tmp_path / "run")
    again = Run(tmp_path / "run")
    assert again.classes == ("cat", "frog", "ship", "unknown")
    assert again.record["result"]["epochs"] == 0
    layers = [network.layers[1].get_weights()[0] for network in map(load_network, (again.model, finished.model))]
    np.testing.assert_array_equal(*layers)


def test_the_epochs_fit_into_the_minutes(folder: Path, tmp_path: Path) -> None:
    recipe = photo_recipe_for("nano", epochs=3)
    own_classes.train(recipe, photos_in(folder), tmp_path / "run", minutes=0.001)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["epochs"] == 0


def test_a_run_is_evaluated_on_its_own_test_photos(finished: Run) -> None:
    photos = photos_of_run(finished)
    found = evaluate_run(finished, photos)
    assert photos.side == "test"
    assert found.labels == finished.classes
    assert found.evaluation.accuracy == pytest.approx(finished.record["result"]["test_accuracy"])
    assert len(photos_of_run(finished, validation=True).paths) == finished.record["result"]["held_out_photos"]
