"""Training on your own photos: features, a last layer, fine-tuning as far as held-out photos say that it pays.

The last layer first, then all of them (LP-FT: Kumar et al., *Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution*, 2022); the model has weights between the two (WiSE-FT: Wortsman et al., *Robust
Fine-Tuning of Zero-Shot Models*, 2022). What is none of the classes has an output of its own; see `photo_views`.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cifar_edge.errors import Interrupted, UsageError
from cifar_edge.evaluation import Evaluation, evaluate, interval
from cifar_edge.photos.class_folders import TEST
from cifar_edge.system.files import atomic, only_process, remove_leftovers
from cifar_edge.system.machine import versions
from cifar_edge.system.opening import open_ours
from cifar_edge.training.backbones import PROBABILITIES, features_of, network_for
from cifar_edge.training.fine_tuning import COST, FIRST_VIEW, FineTuning, Work
from cifar_edge.training.head import DECAYS, Head, fit_head, log_loss
from cifar_edge.training.loop import Progress, save
from cifar_edge.training.photo_set import Photos
from cifar_edge.training.photo_views import Views
from cifar_edge.training.recipe import PhotoRecipe
from cifar_edge.training.run import Run
from cifar_edge.training.temperature import best_temperature, divide_logits
from cifar_edge.training.unknown import choose_threshold, confidences, unknown_figures

Array = NDArray[np.float32]
Indices = NDArray[np.int64]

BATCH = 32  # photos whose features are computed at once
CORNERS = 1000  # of photos, at most, that stand for other things
PHOTOS_FOR_VIEWS = 2000  # above so many in all views, photos have fewer of them
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How far the model's weights may be from those before fine-tuning to those after it."""

TIME_FOR_EPOCHS = 0.85  # the rest is for choices, the test and the report


def train(
    recipe: PhotoRecipe,
    photos: Photos,
    folder: Path,
    progress: Progress = lambda *_: None,
    minutes: float | None = None,
) -> Evaluation:
    """Train on your own photos into the new folder `folder`.

    Held-out photos choose the last layer's weight decay, how far fine-tuning goes, the temperature and the threshold
    below which a photo is unknown. Then the test photos are used, once. Where classes have few photos, each photo is
    held out once (cross-validation).

    Args:
        recipe: see `photo_recipe_for`.
        photos: decoded at `photo_views.sizes_for(recipe)`.
        folder: where the run goes; must not hold one yet.
        progress: called after every step.
        minutes: the time that it may take; there are fewer epochs of fine-tuning if need be.

    Returns:
        Figures on the test photos; without any, those of cross-validation.

    Raises:
        UsageError: `folder` is in use.
        ModelError: the backbone's weights cannot be had.
        Interrupted: Ctrl-C; `resume` goes on.
    """
    run = Run(folder)
    run.check_unused()
    run.checkpoint.mkdir(parents=True)
    backend = keras.backend.backend()
    run.write_record(
        recipe=asdict(recipe),
        classes=Views.classes_of(photos),
        data={"source": str(photos.directory.resolve()), "photos": len(photos), "sha256": photos.digest},
        versions=versions("cifar-edge", "keras", backend, "numpy", "scikit-learn")
        | {"backend": backend, "python": platform.python_version()},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return _train(run, photos, progress, minutes)


def resume(folder: Path, photos: Photos, progress: Progress = lambda *_: None) -> Evaluation:
    """Continue an interrupted run with the photos it was started with; otherwise as `train`."""
    run = Run(folder)
    if run.model.exists():
        raise UsageError(f"{folder}: this run is finished; nothing to resume")
    if run.record["data"]["sha256"] != photos.digest:
        raise UsageError(
            f"{folder}: the photos in {photos.directory} have changed since this run was started; "
            "put them back as they were, or start a new run"
        )
    run.checkpoint.mkdir(exist_ok=True)
    return _train(run, photos, progress)


def summary(folder: Path) -> str:
    """Return what a finished run's model is worth, in a line."""
    result = Run(folder).record["result"]
    if result["test_photos"]:
        what, accuracy, count = "test", result["test_accuracy"], result["test_photos"]
    else:
        what, accuracy, count = "cross-validated", result["held_out_accuracy"], result["held_out_photos"]
    low, high = interval(accuracy, count)
    return f"{what} accuracy {accuracy:.1%} of {count:,} photos (95 % interval {low:.1%} to {high:.1%}): {folder}"


def _train(run: Run, photos: Photos, progress: Progress, minutes: float | None = None) -> Evaluation:
    try:
        with only_process(run.checkpoint):
            remove_leftovers(run.checkpoint)
            return _Training(run, photos, progress, minutes).finish()
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; go on with `cifar-edge train --resume --run {run.folder}`") from None


class _Training:
    """The parts of a training, each kept in the checkpoint folder as soon as it is done."""

    def __init__(self, run: Run, photos: Photos, progress: Progress, minutes: float | None) -> None:
        self.run, self.photos, self.recipe = run, photos, run.photo_recipe
        self.views = Views(photos, self.recipe)
        self.network = network_for(self.recipe, len(self.views.classes))
        self.before = self.network.get_weights()
        self.rounds = photos.rounds()
        self.used = np.sort(np.concatenate(self.rounds[0]))
        self.strange = self.views.strange[::2]
        self.corners = self.used[:: -(-len(self.used) // CORNERS)]  # photos whose corners are learned from
        self.minutes, self.started = minutes, time.monotonic()
        self.work = Work(progress)
        self.tuning = FineTuning(self.network, self.views, self.recipe, run.checkpoint, self.work)
        self.features: list[Array] = []
        self.decay, self.with_corners = 0.0, False

    @property
    def pretrained(self) -> bool:
        return self.recipe.backbone != "none"

    def finish(self) -> Evaluation:
        """Do what is missing, test once, and put the run's files in place, the model last."""
        self._expect(self.recipe.epochs)
        if self.pretrained:
            self.features = [self._features(str(view), self.used, view) for view in range(self._number_of_views)]
            self.features += [self._features("strange", self.strange), self._features("corners", self._corners)]
            self._choose_head()
        epochs = self._epochs()
        self._expect(epochs)
        shares = (SHARES if epochs else SHARES[:1]) if self.pretrained else SHARES[-1:]
        pooled = np.concatenate([self._round(number, epochs, shares) for number in range(len(self.rounds))], axis=1)
        held_out = np.concatenate([held for _, held in self.rounds])
        labels = self.photos.labels[held_out]
        best = int(np.argmin([log_loss(answers, labels) for answers in pooled]))
        self.network.set_weights(self._final_weights(epochs, shares[best]))
        temperature = best_temperature(pooled[best], labels, smoothing=1 / (1 + len(labels)))
        divide_logits(self.network, temperature)
        facts = {"epochs": epochs, "share": shares[best], "temperature": temperature}
        return self._write(held_out, _tempered(pooled[best], temperature), facts)

    @cached_property
    def _number_of_views(self) -> int:
        return int(np.clip(PHOTOS_FOR_VIEWS // len(self.used), 1, FIRST_VIEW))

    @cached_property
    def _featuring(self) -> Any:
        return features_of(self.network)

    @property
    def _corners(self) -> Indices:
        return self.views.corners_of(self.corners)

    def _expect(self, epochs: int) -> None:
        """Say how much there is to do."""
        features = self._number_of_views * len(self.used) + len(self.strange) + len(self.corners)
        self.work.total = features * self.pretrained + COST * epochs * self._images_an_epoch

    def _features(self, name: str, numbers: Indices, view: int = 0) -> Array:
        """Return the features of images, (n, width), from the checkpoint folder if they are there."""
        path = self.run.checkpoint / f"features-{name}.npy"
        if path.exists():
            self.work.done += len(numbers)
        else:
            _save_array(path, self._predictions(self._featuring, numbers, view, "features"))
        return _read_array(path)

    def _choose_head(self) -> None:
        """Choose the last layer's weight decay, and whether it learns from corners, by held-out photos.

        Where classes are materials or places, a corner shows the class too: then accuracy falls by more than its
        standard error.
        """

        def answers(decay: float, corners: bool) -> Array:
            self.decay, self.with_corners = decay, corners
            return np.concatenate(
                [self._head(learn).probabilities(self.features[0][self._places(held)]) for learn, held in self.rounds]
            )

        labels = self.photos.labels[np.concatenate([held for _, held in self.rounds])]
        by_decay = {decay: answers(decay, corners=True) for decay in DECAYS}
        decay = min(DECAYS, key=lambda decay: log_loss(by_decay[decay], labels))
        with_corners, without = (evaluate(one, labels).accuracy for one in (by_decay[decay], answers(decay, False)))
        error = np.sqrt(max(without * (1 - without), 1 / len(labels)) / len(labels))
        self.decay, self.with_corners = decay, bool(with_corners >= without - error)

    def _head(self, learn: Indices) -> Head:
        """Fit the last layer to all views of some photos, and to other things."""
        *views, strange, corners = self.features
        places, others = self._places(learn), [strange]
        if self.with_corners:
            others.append(corners[np.isin(self.corners, learn)])
        labels = np.tile(self.photos.labels[learn], len(views))
        unknown = np.full(sum(map(len, others)), self.views.unknown)
        stacked = np.concatenate([*(view[places] for view in views), *others])
        return fit_head(stacked, np.concatenate([labels, unknown]), len(self.views.classes), self.decay)

    def _round(self, number: int, epochs: int, shares: Sequence[float]) -> Array:
        """Return the probabilities of a round's held-out photos, (shares, n, C)."""
        path, name = self.run.checkpoint / f"round-{number}.npy", f"round-{number}"
        learn, held = self.rounds[number]
        if path.exists():
            self.work.done += COST * epochs * len(learn)
        else:
            start = self._start(learn)
            tuned = self._tuned(name, learn, start, epochs)
            answers = []
            for share in shares:
                self.network.set_weights(_between(start, tuned, share))
                answers.append(self._predictions(self.network, held))
            _save_array(path, np.stack(answers))
            if self.photos.folds is not None:
                self.tuning.forget(name)
        return _read_array(path)

    def _final_weights(self, epochs: int, share: float) -> list[Array]:
        """Return the model's weights before the temperature: of the only round, or learned from all photos."""
        name, learn = ("round-0", self.rounds[0][0]) if self.photos.folds is None else ("all", self.used)
        start = self._start(learn)
        return _between(start, self._tuned(name, learn, start, epochs), share) if share else start

    def _start(self, learn: Indices) -> list[Array]:
        """Return the network's weights with a last layer fitted to some photos."""
        self.network.set_weights(self.before)
        if self.pretrained:
            self.network.get_layer(PROBABILITIES).set_weights([*self._head(learn)])
        return list(self.network.get_weights())

    def _tuned(self, name: str, learn: Indices, start: list[Array], epochs: int) -> list[Array]:
        """Return the weights after all layers were tuned."""
        others, doing = self.strange, ""
        if self.with_corners:
            others = np.concatenate([others, self.views.corners_of(np.intersect1d(self.corners, learn))])
        if self.photos.folds is not None:
            fold = name.rpartition("-")[2]
            doing = f"fold {int(fold) + 1} of {len(self.rounds)}, " if fold.isdigit() else "all photos, "
        return self.tuning.weights_after(name, learn, others, start, epochs, doing)

    def _predictions(self, network: Any, numbers: Indices, view: int = 0, doing: str = "") -> Array:
        """Return what a network gives for a view of images, (n, width)."""
        results = []
        # Batches of one size: another would be compiled anew.
        batches = [np.resize(numbers[start : start + BATCH], BATCH) for start in range(0, len(numbers), BATCH)]
        for _, images in self.views.batches(batches, view):
            results.append(np.asarray(network.predict_on_batch(images)))
            if doing:
                self.work.add(BATCH, doing, {})
        return np.concatenate(results)[: len(numbers)]

    @property
    def _images_an_epoch(self) -> int:
        """How many images are learned from in an epoch, over all rounds."""
        again = self.tuning.images_in(self.used) if self.photos.folds is not None else 0
        return sum(self.tuning.images_in(learn) for learn, _ in self.rounds) + again

    def _epochs(self) -> int:
        """Return how many epochs are tuned: the recipe's, or as many as fit into `minutes`."""
        record = self.run.record
        if "epochs" not in record:
            record["epochs"] = self.recipe.epochs
            if self.minutes is not None:
                left = (60 * self.minutes - (time.monotonic() - self.started)) * TIME_FOR_EPOCHS
                fitting = self.tuning.epochs_in(left, self._images_an_epoch)
                record["epochs"] = int(np.clip(fitting, 0 if self.pretrained else 1, self.recipe.epochs))
            self.run.write_record(**record)
        return int(record["epochs"])

    def _places(self, indices: Indices) -> Indices:
        """Return where photos stand among those that are used."""
        return np.searchsorted(self.used, indices)

    def _write(self, held_out: Indices, answers: Array, facts: dict[str, Any]) -> Evaluation:
        """Fit the threshold, test, and write the run's files, the model last."""
        photos, unknown, labels = self.photos, self.views.unknown, self.photos.labels[held_out]
        strange = self._predictions(self.network, self.views.strange[1::2])  # [1::4] fit the threshold
        others = np.concatenate([answers[labels == unknown], strange[::2]])
        threshold = choose_threshold(confidences(answers[labels != unknown], unknown), confidences(others, unknown))
        tested = photos.on(TEST)
        judged, truth = (
            (self._predictions(self.network, tested), photos.labels[tested]) if len(tested) else (answers, labels)
        )
        result = evaluate(judged, truth)
        record = self.run.record
        record["result"] = facts | {
            "parameters": self.network.count_params(),
            "weight_decay": self.decay,
            "corners": self.with_corners,
            "held_out_photos": len(held_out),
            "held_out_accuracy": evaluate(answers, labels).accuracy,
            "cross_validation": photos.folds is not None,
            "test_photos": len(tested),
            "test_accuracy": result.accuracy if len(tested) else None,
            "test_loss": result.loss if len(tested) else None,
            "threshold": threshold,
            "unknown": unknown_figures(judged, truth, strange[1::2], threshold, unknown) if len(tested) else None,
            "training_seconds": time.monotonic() - self.started,
        }
        self.run.write_record(**record)
        save(self.network, self.run.model)
        shutil.rmtree(self.run.checkpoint)
        return result


def _save_array(path: Path, array: Array) -> None:
    with atomic(path) as partial, partial.open("wb") as file:
        np.save(file, array)


def _read_array(path: Path) -> Array:
    with os.fdopen(open_ours(path, os.O_RDONLY), "rb") as file:
        return np.asarray(np.load(file))


def _between(start: list[Array], tuned: list[Array], share: float) -> list[Array]:
    return [one + np.float32(share) * (other - one) for one, other in zip(start, tuned, strict=True)]


def _tempered(probabilities: Array, temperature: float) -> Array:
    """Return probabilities as they are when logits are divided by a temperature."""
    powers = np.maximum(probabilities, 1e-7) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
