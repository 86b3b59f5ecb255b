"""Evaluate a model in any kind of file: a run, a `.keras` or a `.tflite` file, on CIFAR-10 or on your own photos."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cifar_edge.classify.options import readers_for, set_up
from cifar_edge.classify.pipeline import classifier, classify_files
from cifar_edge.data import CLASSES, Split
from cifar_edge.errors import DataError, UsageError
from cifar_edge.evaluation import Evaluation, evaluate
from cifar_edge.photos.class_folders import HELD_OUT, RESERVED, TEST, is_unknown, list_class_folders
from cifar_edge.tflite.cifar10 import load_cifar10_model, predict_cifar10, tells_cifar10
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.training.photo_set import Photos, Progress
from cifar_edge.training.run import Run

BATCH = 32  # photos that a Keras network gets at once


@dataclass(frozen=True)
class Labelled:
    """Photos whose folders say their classes.

    Attributes:
        paths: of the photos.
        names: the class of each.
        side: "test" or "held-out" where the folders, or the run, are split; or "".
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    side: str


Evaluated = tuple[tuple[str, ...], Evaluation | None]
"""Classes, and the evaluation in their order; None for a model of other classes."""


@dataclass(frozen=True)
class OnPhotos:
    """A model's figures on labelled photos.

    Attributes:
        labels: class names, in the order of the model's outputs.
        evaluation: on the photos of these classes; its labels are indices into `labels`.
        unreadable: reasons, by path.
        left_out: folders of no class of the model, and how many photos they hold.
        unknown: how many photos of none of the classes there are, and how many of them are called unknown; or None.
    """

    labels: tuple[str, ...]
    evaluation: Evaluation
    unreadable: dict[str, str]
    left_out: dict[str, int]
    unknown: tuple[int, int] | None


def evaluate_file(path: Path, split: Split) -> Evaluation:
    """Classify the images of `split` with the model in `path` and compare.

    Args:
        path: the folder of a run, a `.keras` file (both need the extra `train`) or a `.tflite` file.
        split: CIFAR-10 images.

    Raises:
        UsageError: no such file.
        ModelError: it is no classifier of 32x32 images into CIFAR-10's classes.
    """
    if path.is_dir() or path.suffix == ".keras":
        from cifar_edge.training.keras_file import load_model, predict

        network = load_model(path / "model.keras" if path.is_dir() else path)
        return evaluate(predict(network, split.images), split.labels)
    return evaluate(predict_cifar10(load_cifar10_model(path), split.images), split.labels)


def number_in(test: Split | Labelled) -> int:
    """Return how many images, or photos, there are."""
    return len(test.labels if isinstance(test, Split) else test.paths)


def evaluate_on(model: EdgeModel, test: Split | Labelled) -> Evaluated:
    """Return the classes of an evaluation, and the evaluation: None if the model tells other classes apart."""
    if isinstance(test, Split):
        if not tells_cifar10(model):
            return CLASSES, None
        return CLASSES, evaluate(predict_cifar10(model, test.images), test.labels)
    fits = not set(model.labels).isdisjoint(test.names)
    return model.labels, evaluate_model(model, test).evaluation if fits else None


def labelled_photos(directory: Path, validation: bool = False) -> Labelled:
    """List the photos of class folders; where they are split, those of the test side, or of the held-out one.

    Raises:
        UsageError: the folders are no class folders, or that side is not there.
    """
    listing = list_class_folders(directory)
    side = (HELD_OUT if validation else TEST) if validation or TEST in listing.sides else ""
    chosen = [number for number, given in enumerate(listing.sides) if given == side or not side]
    if not chosen:
        raise UsageError(f"{directory}: has no {side} photos; leave --validation out, or name another folder")
    names = tuple(listing.classes[listing.labels[number]] for number in chosen)
    return Labelled(tuple(listing.paths[number] for number in chosen), names, side)


def photos_of_run(run: Run, validation: bool = False, progress: Progress = lambda *_: None) -> Labelled:
    """List the photos that a run on your own photos did not learn from: to test on, or held out.

    Raises:
        UsageError: there are none: each has been held out once (cross-validation).
    """
    photos = _photos(run, progress)
    side = HELD_OUT if validation else TEST
    chosen = photos.on(side)
    if not len(chosen):
        raise UsageError(
            f"{run.folder}: learned from all its photos (cross-validation); its own report says how good it is, "
            "or name a folder of other photos"
        )
    names = tuple(photos.classes[photos.labels[number]] for number in chosen)
    return Labelled(tuple(photos.paths[number] for number in chosen), names, side)


def evaluate_model(model: EdgeModel, photos: Labelled, workers: int | None = None) -> OnPhotos:
    """Classify labelled photos with a `.tflite` model, as `classify` does, and compare.

    Raises:
        DataError: none can be read, or none is of a class of the model.
    """
    setup = set_up(model, workers, top_k=len(model.labels))
    places = [Path(path) for path in photos.paths]
    rows = classify_files(photos.paths, classifier(setup), readers_for(setup.workers, places))
    index = {label: number for number, label in enumerate(model.labels)}
    answers: dict[str, NDArray[np.float32]] = {}
    unreadable: dict[str, str] = {}
    for row in rows:
        if row.error:
            unreadable[row.path] = row.error
        else:
            answers[row.path] = np.zeros(len(index), np.float32)
            for label, share in row.top:
                answers[row.path][index[label]] = share
    threshold = model.card.threshold if model.card else None
    return _compared(model.labels, photos, answers, unreadable, threshold or 0.0)


def evaluate_run(run: Run, photos: Labelled, progress: Progress = lambda *_: None) -> OnPhotos:
    """Classify labelled photos with the network of a run on your own photos, and compare; otherwise as the other."""
    from cifar_edge.photos.decoded import Frame, cache_for, decode_all
    from cifar_edge.system.machine import default_workers
    from cifar_edge.training.keras_file import load_network

    network, recipe = load_network(run.model), run.photo_recipe
    size = network.input_shape[1]
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        progress(done, len(photos.paths))

    folder = cache_for(Path(photos.paths[0]).parents[1])
    (store,), files, unreadable = decode_all(
        photos.paths, [Frame(size, recipe.fit)], folder, default_workers(), advance
    )
    paths, answers = [*files], dict[str, NDArray[np.float32]]()
    pixels = store.images([file.digest for file in files.values()])
    for start in range(0, len(paths), BATCH):
        some = paths[start : start + BATCH]
        batch = pixels[np.arange(start, start + len(some))].astype(np.float32)
        answers |= zip(some, np.asarray(network.predict_on_batch(batch)), strict=True)
    return _compared(run.classes, photos, answers, unreadable, run.record["result"].get("threshold") or 0.0)


def _photos(run: Run, progress: Progress) -> Photos:
    recipe, directory = run.photo_recipe, run.photos
    if directory is None:
        raise UsageError(f"{run.folder}: no run on your own photos")
    return Photos.of(directory, recipe.fit, [recipe.image_size], recipe.seed, progress=progress)


def _compared(
    labels: Sequence[str],
    photos: Labelled,
    answers: dict[str, NDArray[np.float32]],
    unreadable: dict[str, str],
    threshold: float,
) -> OnPhotos:
    index = {unicodedata.normalize("NFC", label): number for number, label in enumerate(labels)}
    truth: dict[str, int] = {}
    left_out: dict[str, int] = {}
    strange: list[str] = []
    for path, name in zip(photos.paths, photos.names, strict=True):
        number = index.get(unicodedata.normalize("NFC", name))
        if path not in answers:
            continue
        if number is not None:
            truth[path] = number
        elif is_unknown(name):
            strange.append(path)
        else:
            left_out[name] = left_out.get(name, 0) + 1
    if not truth:
        why = f"none of {len(unreadable):,} can be read" if not answers else f"the model knows {', '.join(labels[:5])}"
        raise DataError(
            f"{photos.paths[0]}: no photo of a class of the model among {len(photos.paths):,} photos; {why}"
        )
    evaluation = evaluate(np.stack([answers[path] for path in truth]), np.array([*truth.values()]))
    unknown = None
    if strange:
        reserved = index.get(RESERVED, len(labels))  # the output for what is none of the classes, if there is one
        others = np.stack([answers[path] for path in strange])
        sure = others[:, np.arange(len(labels)) != reserved].max(axis=1) >= threshold
        unknown = len(strange), int(((others.argmax(axis=1) == reserved) | ~sure).sum())
    return OnPhotos(tuple(labels), evaluation, unreadable, left_out, unknown)
