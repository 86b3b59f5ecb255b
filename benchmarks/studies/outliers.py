"""Does the network know what it does not know?

`python -m cifar_edge.benchmarks.studies.outliers MODEL...` prints two tables.

A photo of none of the ten classes still gets one of their labels; only its confidence can show that. Here confidence
is compared between CIFAR-10's test images and images that show something else: noise, and random parts of
textures and photos that come with scikit-image.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.benchmarks.tables import markdown
from cifar_edge.cli.program import run_program
from cifar_edge.data import load_split
from cifar_edge.tflite.cifar10 import load_cifar10_model, predict_cifar10

TEXTURES = ("brick.png", "grass.png", "gravel.png")

PHOTOS = (
    "astronaut.png",
    "camera.png",
    "cell.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "page.png",
    "retina.jpg",
    "text.png",
)
"""Photos of scikit-image that show none of the ten classes."""

PARTS = 100  # of each

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def auroc(inside: NDArray[np.float32], outside: NDArray[np.float32]) -> float:
    """Return how often a score from `inside` is above one from `outside`; equals count half."""
    ordered = np.sort(outside)
    below, not_above = (np.searchsorted(ordered, inside, side) for side in ("left", "right"))
    return float((below + not_above).mean() / 2 / len(outside))


def false_positive_rate(inside: NDArray[np.float32], outside: NDArray[np.float32], recall: float = 0.95) -> float:
    """Return the share of `outside` that is at least as high as the threshold which `recall` of `inside` reaches."""
    threshold = np.quantile(inside, 1 - recall, method="lower")
    return float((outside >= threshold).mean())


def others() -> dict[str, NDArray[np.uint8]]:
    """Make images that show none of the classes: uint8, (N, 32, 32, 3), by kind."""
    random = np.random.default_rng(0)
    coarse = (Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)) for _ in range(500))
    smooth = np.stack([np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC)) for image in coarse])
    return {
        "noise": np.concatenate([random.integers(0, 256, (500, 32, 32, 3), np.uint8), smooth]),
        "textures": np.stack([part for name in TEXTURES for part in _parts(name, random)]),
        "photos": np.stack([part for name in PHOTOS for part in _parts(name, random)]),
    }


def _parts(name: str, random: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Yield random squares of a photo, a third of its shorter side or larger, as the network would get them."""
    found = find_spec("skimage")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("scikit-image, which has the photos", name="skimage")
    with Image.open(Path(found.origin).parent / "data" / name) as opened:
        photo = opened.convert("RGB")
    for side in random.integers(min(photo.size) // 3, min(photo.size), PARTS):
        left, top = random.integers(0, np.array(photo.size) - side + 1)
        box = (left, top, left + side, top + side)
        yield np.asarray(photo.resize((32, 32), Image.Resampling.BOX, box))


def main(models: list[str]) -> None:
    """Print the tables, as Markdown."""
    loaded = {name: load_cifar10_model(name) for name in models}
    test, outside = load_split("test"), others()
    clean = {name: predict_cifar10(model, test.images) for name, model in loaded.items()}
    confidence = {
        (name, kind): predict_cifar10(model, images).max(axis=1)
        for name, model in loaded.items()
        for kind, images in outside.items()
    }
    told_apart = []
    for (name, kind), scores in confidence.items():
        inside = clean[name].max(axis=1)
        rate = false_positive_rate(inside, scores)
        told_apart.append((name, f"{len(scores):,} of {kind}", f"{auroc(inside, scores):.3f}", f"{rate:.0%}"))
    print(markdown(("model", "other images", "AUROC", "false positives at 95 % recall"), told_apart))
    kept_rows = []
    for name, probabilities in clean.items():
        right = probabilities.argmax(axis=1) == test.labels
        for threshold in THRESHOLDS:
            kept = probabilities.max(axis=1) >= threshold
            shares = (f"{(confidence[name, kind] >= threshold).mean():.0%}" for kind in outside)
            kept_rows.append((name, threshold, f"{kept.mean():.1%}", f"{right[kept].mean():.1%}", *shares))
    kinds = (f"{kind} kept" for kind in outside)
    columns = ("model", "`--min-confidence`", "test images kept", "right of those", *kinds)
    print(f"\n{markdown(columns, kept_rows)}")


if __name__ == "__main__":
    run_program(main)
