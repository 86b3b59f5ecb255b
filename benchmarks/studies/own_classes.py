"""What a few photos of your own are worth: `python -m cifar_edge.benchmarks.studies.own_classes PHOTOS OUTPUT`.

PHOTOS has `train` and `test` with a sub-folder for each class. Trains Lite0 on all photos at several image sizes:
float32 and int8, latency, and photos a second of 12-megapixel JPEGs. Then trains on 10, 20, 50 and 100 photos of each
class: Lite0, the features of `small`, from scratch, and by the recipe of Model Maker and Teachable Machine (frozen
backbone, dense layers, no more). Prints tables, and keeps results and a picture in OUTPUT; what is there is not done
again.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import typer
from keras import layers
from matplotlib.figure import Figure

from cifar_edge.benchmarks.measures.throughput import measure as measure_throughput
from cifar_edge.benchmarks.studies.throughput import make_large
from cifar_edge.benchmarks.tables import markdown
from cifar_edge.cli.program import run_program
from cifar_edge.cli.terminal import say
from cifar_edge.cli.training_progress import training_progress
from cifar_edge.export.source import load_source
from cifar_edge.export.write import export
from cifar_edge.photos.class_folders import TEST, TRAIN, list_class_folders
from cifar_edge.system.files import atomic
from cifar_edge.system.timing import measure as measure_latency
from cifar_edge.tflite.interpreter import litert
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.tflite.names import find_model
from cifar_edge.training import own_classes
from cifar_edge.training.backbones import features_of, network_for
from cifar_edge.training.photo_set import Photos
from cifar_edge.training.photo_views import sizes_for
from cifar_edge.training.recipe import PhotoRecipe, photo_recipe_for

COUNTS = (10, 20, 50, 100)
SEEDS = 2
SIZES = (96, 128, 160, 224)


def choose(photos: Path, count: int, seed: int, folder: Path) -> None:
    """Link some training photos of each class, and all test photos, into a new folder of class folders."""
    listing = list_class_folders(photos)
    for label, name in enumerate(listing.classes):
        for side in (TRAIN, TEST):
            own = [
                path
                for path, of, given in zip(listing.paths, listing.labels, listing.sides, strict=True)
                if of == label and given == side
            ]
            if side == TRAIN:
                own = np.random.default_rng([seed, label]).permutation(own)[:count].tolist()
            (folder / side / name).mkdir(parents=True)
            for path in own:
                (folder / side / name / Path(path).name).symlink_to(Path(path).resolve())


def ours(backbone: str) -> Callable[[Path, int, Path], float]:
    """Return what trains with a backbone, at its defaults, and returns top-1 of the test photos."""

    def train(folder: Path, seed: int, run: Path) -> float:
        recipe = photo_recipe_for(backbone, seed=seed)
        with training_progress() as progress:
            return own_classes.train(recipe, _photos(folder, recipe), run, progress).accuracy

    return train


def peers(folder: Path, seed: int, run: Path) -> float:
    """Train dense layers on the features of a frozen Lite0, as Teachable Machine does; return top-1 of the test photos.

    A dense layer of 100 units and one of the classes, Adam at 0.001, 50 epochs of batches of 16; no augmentation.
    """
    recipe = photo_recipe_for("lite0", seed=seed)
    photos = _photos(folder, recipe)
    pixels, network = photos.pixels(recipe.image_size), features_of(network_for(recipe, len(photos.classes)))
    learned, tested = (np.flatnonzero([given == side for given in photos.survey.given]) for side in (TRAIN, TEST))
    features = [network.predict(pixels[side], verbose=0) for side in (learned, tested)]
    head = keras.Sequential([layers.Dense(100, "relu"), layers.Dense(len(photos.classes), "softmax")])
    head.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    head.fit(features[0], photos.labels[learned], batch_size=16, epochs=50, verbose=0)
    return float((head.predict(features[1], verbose=0).argmax(axis=1) == photos.labels[tested]).mean())


METHODS: dict[str, Callable[[Path, int, Path], float]] = {
    "lite0": ours("lite0"),
    "peers' recipe": peers,
    "small": ours("small"),
    "from scratch": ours("none"),
}


def at_size(photos: Path, size: int, folder: Path) -> dict[str, float]:
    """Train Lite0 at an image size and export it; return its accuracies, latencies and throughput."""
    recipe = photo_recipe_for("lite0", image_size=size)
    data = _photos(photos, recipe)
    with training_progress() as progress:
        own_classes.train(recipe, data, folder / "run", progress)
    float32, int8 = export(load_source(folder / "run" / "model.keras"), data, ("float32", "int8"))
    small = find_model("small").read_bytes()
    latency = measure_latency([litert(path) for path in (int8.path.read_bytes(), small)])
    make_large(folder, grain=3)
    speed = measure_throughput(folder, EdgeModel(int8.path), rounds=3)
    return {
        "float32": float32.accuracy or 0.0,
        "int8": int8.accuracy or 0.0,
        "bytes": int8.size,
        "latency": latency[0].median,
        "times small": latency[0].median / latency[1].median,
    } | speed


def _photos(folder: Path, recipe: PhotoRecipe) -> Photos:
    return Photos.of(folder, recipe.fit, sizes_for(recipe), recipe.seed)


def picture(accuracies: dict[str, dict[int, list[float]]], path: Path) -> None:
    """Draw top-1 by the number of photos of each class: the mean, and all trainings as dots."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, by_count) in enumerate(accuracies.items()):
        colour = f"C{number}"
        axes.plot(list(by_count), [100 * statistics.mean(some) for some in by_count.values()], color=colour, label=name)
        for count, some in by_count.items():
            axes.plot([count] * len(some), [100 * one for one in some], ".", color=colour, alpha=0.5)
    axes.set_xscale("log")
    axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
    axes.set_xlabel("photos of each class")
    axes.set_ylabel("top-1 of the test photos, %")
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic(path) as partial:
        figure.savefig(partial, dpi=120)


def main(
    photos: Annotated[Path, typer.Argument(help="Folder with train/CLASS and test/CLASS.")],
    output: Annotated[Path, typer.Argument(help="Folder for results and the picture.")],
) -> None:
    """Measure what a few photos of your own are worth."""
    output.mkdir(parents=True, exist_ok=True)
    done = output / "own-classes.json"
    results: dict[str, Any] = json.loads(done.read_text()) if done.exists() else {}

    def once(name: str, act: Callable[[Path], Any]) -> Any:
        if name not in results:
            say(name)
            with tempfile.TemporaryDirectory() as folder:
                results[name] = act(Path(folder))
            with atomic(done) as partial:
                partial.write_text(json.dumps(results, indent=2) + "\n")
        return results[name]

    def trial(method: str, count: int, seed: int) -> float:
        def act(folder: Path) -> float:
            choose(photos, count, seed, folder / "photos")
            return METHODS[method](folder / "photos", seed, folder / "run")

        return float(once(f"{method}, {count} photos a class, seed {seed}", act))

    sizes = {size: once(f"lite0 at {size}", partial(at_size, photos, size)) for size in SIZES}
    accuracies: dict[str, dict[int, list[float]]] = {method: {count: [] for count in COUNTS} for method in METHODS}
    for seed, count, method in product(range(SEEDS), COUNTS, METHODS):
        accuracies[method][count].append(trial(method, count, seed))
    rows = [(name, *map(_summary, by_count.values())) for name, by_count in accuracies.items()]
    print(markdown(("photos of each class", *COUNTS), rows))
    print()
    figures = [(size, *(f"{figure:.4g}" for figure in sizes[size].values())) for size in SIZES]
    print(markdown(("image size", *sizes[SIZES[0]]), figures))
    picture(accuracies, output / "own-classes.png")


def _summary(accuracies: Sequence[float]) -> str:
    low, high = min(accuracies), max(accuracies)
    return f"{100 * statistics.mean(accuracies):.1f} ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    run_program(main)
