"""Training on your own photos: features, a last layer, fine-tuning as far as held-out photos say that it pays.

The last layer first, then all of them (LP-FT: Kumar et al., *Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution*, 2022); the model has weights between the two (WiSE-FT: Wortsman et al., *Robust
Fine-Tuning of Zero-Shot Models*, 2022).
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
from cifar_edge.training.augment_photos import augmented
from cifar_edge.training.backbones import PROBABILITIES, features_of, network_for
from cifar_edge.training.head import DECAYS, Head, fit_head, log_loss
from cifar_edge.training.keras_file import load_checkpoint, predict
from cifar_edge.training.loop import Progress, save
from cifar_edge.training.photo_set import Photos
from cifar_edge.training.recipe import PhotoRecipe
from cifar_edge.training.run import Run
from cifar_edge.training.temperature import best_temperature, divide_logits
from cifar_edge.training.unknown import choose_threshold, confidences, other_things, unknown_figures

Array = NDArray[np.float32]
Indices = NDArray[np.int64]

BATCH = 32  # photos whose features are computed at once
VIEWS = 4  # of each photo: as it is, mirrored, and framed anew
PHOTOS_FOR_VIEWS = 2000  # above so many in all views, photos have fewer of them
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How far the model's weights may be from those before fine-tuning to those after it."""

TUNED_COST = 4  # of a photo that is learned from, in photos whose features are computed
STEPS_TIMED = 3
TIME_FOR_EPOCHS = 0.85  # the rest is for choices, the test and the report
SMOOTHING = 0.1  # of labels while all layers are tuned


def sizes_for(recipe: PhotoRecipe) -> tuple[int, int]:
    """Return the image sizes that a training needs: the network's, and a larger one to choose frames from."""
    return recipe.image_size, max(recipe.image_size + 8, recipe.image_size * 8 // 7)


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
        photos: decoded at `sizes_for(recipe)`.
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
        classes=photos.classes,
        unknown=photos.unknown,
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
        self.network = network_for(self.recipe, len(photos.classes))
        self.before = self.network.get_weights()
        self.rounds = photos.rounds()
        self.used = np.sort(np.concatenate(self.rounds[0]))
        self.minutes, self.started = minutes, time.monotonic()
        self.work = _Work(progress)

    @property
    def pretrained(self) -> bool:
        return self.recipe.backbone != "none"

    @cached_property
    def views(self) -> int:
        """How many views of each photo the last layer learns from."""
        return int(np.clip(PHOTOS_FOR_VIEWS // len(self.used), 1, VIEWS)) if self.pretrained else 0

    def finish(self) -> Evaluation:
        """Do what is missing, test once, and put the run's files in place, the model last."""
        self.work.expect(self.views * len(self.used) + TUNED_COST * self.recipe.epochs * self._photos_an_epoch)
        features = self._features()
        decay = self._choose_decay(features) if self.pretrained else 0.0
        epochs = self._epochs()
        shares = (SHARES if epochs else SHARES[:1]) if self.pretrained else SHARES[-1:]
        answers = [self._round(number, features, decay, epochs, shares) for number in range(len(self.rounds))]
        held_out = np.concatenate([held for _, held in self.rounds])
        pooled = np.concatenate(answers, axis=1)
        labels, weights = self.photos.labels[held_out], self.photos.class_weights(held_out)
        losses = [log_loss(answer, labels, weights) for answer in pooled]
        best = int(np.argmin(losses))
        self.network.set_weights(self._final_weights(features, decay, epochs, shares[best]))
        temperature = best_temperature(pooled[best], labels)
        divide_logits(self.network, temperature)
        held_answers = _tempered(pooled[best], temperature)
        return self._write(held_out, held_answers, decay, epochs, shares[best], temperature)

    def _features(self) -> list[Array]:
        """Return the features of the photos that are used, for each view: (used, width)."""
        network, views = features_of(self.network), []
        for view in range(self.views):
            path = self.run.checkpoint / f"features-{view}.npy"
            if not path.exists():
                features = self._predictions(network, self.used, view)
                with atomic(path) as partial, partial.open("wb") as file:
                    np.save(file, features)
            else:
                self.work.skip(len(self.used))
            with os.fdopen(open_ours(path, os.O_RDONLY), "rb") as file:
                views.append(np.load(file))
        return views

    def _choose_decay(self, features: list[Array]) -> float:
        """Return the weight decay of the last layer that is best on held-out photos."""

        def loss(decay: float) -> float:
            total = 0.0
            for learn, held in self.rounds:
                answers = self._head(features, learn, decay).probabilities(features[0][self._places(held)])
                total += log_loss(answers, self.photos.labels[held], self.photos.class_weights(held)) * len(held)
            return total

        return min(DECAYS, key=loss)

    def _head(self, features: list[Array], learn: Indices, decay: float) -> Head:
        """Fit the last layer to all views of some photos."""
        places, labels = self._places(learn), np.tile(self.photos.labels[learn], self.views)
        stacked = np.concatenate([view[places] for view in features])
        return fit_head(stacked, labels, len(self.photos.classes), self.photos.class_weights(learn), decay)

    def _round(self, number: int, features: list[Array], decay: float, epochs: int, shares: tuple[float, ...]) -> Array:
        """Return the probabilities of a round's held-out photos, (shares, n, C)."""
        path = self.run.checkpoint / f"round-{number}.npy"
        learn, held = self.rounds[number]
        if path.exists():
            self.work.skip(TUNED_COST * epochs * len(learn))
        else:
            start = self._start(features, learn, decay)
            tuned = self._tuned(f"round-{number}", learn, start, epochs) if epochs else start
            answers = []
            for share in shares:
                self.network.set_weights(_between(start, tuned, share))
                answers.append(self._predictions(self.network, held))
            with atomic(path) as partial, partial.open("wb") as file:
                np.save(file, np.stack(answers))
            if self.photos.folds is not None:
                self._forget(f"round-{number}")
        with os.fdopen(open_ours(path, os.O_RDONLY), "rb") as file:
            return np.asarray(np.load(file))

    def _final_weights(self, features: list[Array], decay: float, epochs: int, share: float) -> list[Array]:
        """Return the model's weights before the temperature: of the only round, or learned from all photos."""
        folds = self.photos.folds is not None
        name, learn = ("all", self.used) if folds else ("round-0", self.rounds[0][0])
        start = self._start(features, learn, decay)
        return _between(start, self._tuned(name, learn, start, epochs), share) if share else start

    def _start(self, features: list[Array], learn: Indices, decay: float) -> list[Array]:
        """Return the network's weights with a last layer fitted to some photos."""
        self.network.set_weights(self.before)
        if self.pretrained:
            self.network.get_layer(PROBABILITIES).set_weights([*self._head(features, learn, decay)])
        return list(self.network.get_weights())

    def _tuned(self, name: str, learn: Indices, start: list[Array], epochs: int) -> list[Array]:
        """Return the weights after all layers were tuned."""
        folder, steps = self.run.checkpoint, -(-len(learn) // self.recipe.batch_size)
        done = max((int(path.stem[-4:]) for path in folder.glob(f"{name}-????.keras")), default=0)
        if done:
            os.close(open_ours(folder / f"{name}-{done:04}.keras", os.O_RDONLY))
            model = load_checkpoint(folder / f"{name}-{done:04}.keras")
            self.work.skip(TUNED_COST * done * len(learn))
        else:
            self.network.set_weights(start)
            model = self._compiled(steps * epochs)
        for epoch in range(done, epochs):
            self._tune(model, learn, epoch, f"{name.replace('-', ' ')}, epoch {epoch + 1} of {epochs}")
            save(model, folder / f"{name}-{epoch + 1:04}.keras")
            (folder / f"{name}-{epoch:04}.keras").unlink(missing_ok=True)
        return list(model.get_weights())

    def _compiled(self, steps: int) -> Any:
        """Return the network, ready to be tuned."""
        self.network.compile(
            optimizer=keras.optimizers.AdamW(
                keras.optimizers.schedules.CosineDecay(self.recipe.learning_rate, max(1, steps)), weight_decay=1e-2
            ),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING),
            metrics=["accuracy"],
            jit_compile=keras.backend.backend() == "jax",  # as for CIFAR-10
        )
        return self.network

    def _tune(self, model: Any, learn: Indices, epoch: int, doing: str) -> None:
        """Tune for one epoch, counted from zero. Its photos depend on the recipe and the epoch alone."""
        order = np.random.default_rng([self.recipe.seed, epoch]).permutation(learn)
        size, labels = self.recipe.batch_size, self.photos.labels
        batches = [np.resize(order[start : start + size], size) for start in range(0, len(order), size)]
        weights, one_hot = self.photos.class_weights(learn), np.eye(len(self.photos.classes), dtype=np.float32)
        means = {"loss": 0.0, "accuracy": 0.0}
        for step, (batch, images) in enumerate(_ahead(lambda batch: self._augmented(batch, VIEWS + epoch), batches), 1):
            truth = labels[batch]
            logs = model.train_on_batch(
                images.astype(np.float32), one_hot[truth], sample_weight=weights[truth], return_dict=True
            )
            means = {name: mean + (float(logs[name]) - mean) / step for name, mean in means.items()}
            self.work.done(TUNED_COST * size, doing, means)

    def _augmented(self, indices: Indices, view: int) -> NDArray[np.uint8]:
        """Return a view of photos, uint8 (n, size, size, 3): 0 as they are, 1 mirrored, others framed anew."""
        size, mirror = sizes_for(self.recipe)[0], self.recipe.mirror
        if view == 0 or (view == 1 and mirror):
            pixels = self.photos.pixels(size)[indices]
            return pixels[:, :, ::-1] if view else pixels
        larger = self.photos.pixels(sizes_for(self.recipe)[1])[indices]
        generators = (np.random.default_rng([self.recipe.seed, view, int(index)]) for index in indices)
        return np.stack([augmented(one, size, rng, mirror) for one, rng in zip(larger, generators, strict=True)])

    def _predictions(self, network: Any, indices: Indices, view: int = 0) -> Array:
        """Return what a network gives for a view of photos, (n, width)."""
        results = []
        batches = [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
        # Batches of one size: another would be compiled anew.
        for batch, images in _ahead(lambda batch: self._augmented(np.resize(batch, BATCH), view), batches):
            results.append(np.asarray(network.predict_on_batch(images.astype(np.float32)))[: len(batch)])
            if network is not self.network:
                self.work.done(len(batch), "features", {})
        return np.concatenate(results)

    @property
    def _photos_an_epoch(self) -> int:
        """How many photos are learned from in an epoch, over all rounds."""
        again = len(self.used) if self.photos.folds is not None else 0
        return sum(len(learn) for learn, _ in self.rounds) + again

    def _epochs(self) -> int:
        """Return how many epochs are tuned: the recipe's, or as many as fit into `minutes`."""
        record = self.run.record
        if "epochs" not in record:
            record["epochs"] = self.recipe.epochs if self.minutes is None else self._epochs_in(60 * self.minutes)
            self.run.write_record(**record)
        epochs = int(record["epochs"])
        self.work.expect(self.views * len(self.used) + TUNED_COST * epochs * self._photos_an_epoch)
        return epochs

    def _epochs_in(self, seconds: float) -> int:
        """Return how many epochs fit into a time, by the time that a few steps take."""
        model, batch = self._compiled(1), self.recipe.batch_size
        images = self._augmented(np.resize(self.used, batch), VIEWS).astype(np.float32)
        truth = np.eye(len(self.photos.classes), dtype=np.float32)[self.photos.labels[np.resize(self.used, batch)]]
        model.train_on_batch(images, truth)  # compiles
        began = time.monotonic()
        for _ in range(STEPS_TIMED):
            model.train_on_batch(images, truth)
        each = (time.monotonic() - began) / STEPS_TIMED / batch
        left = (seconds - (time.monotonic() - self.started)) * TIME_FOR_EPOCHS
        return int(np.clip(left / (each * self._photos_an_epoch), 0 if self.pretrained else 1, self.recipe.epochs))

    def _places(self, indices: Indices) -> Indices:
        """Return where photos stand among those that are used."""
        return np.searchsorted(self.used, indices)

    def _forget(self, name: str) -> None:
        for path in self.run.checkpoint.glob(f"{name}-????.keras"):
            path.unlink()

    def _write(
        self, held_out: Indices, answers: Array, decay: float, epochs: int, share: float, temperature: float
    ) -> Evaluation:
        """Fit the threshold, test, and write the run's files, the model last."""
        photos, network = self.photos, self.network
        others = other_things(photos.classes, self.recipe.image_size)
        strange = predict(network, others)
        is_known = photos.labels[held_out] != (-1 if photos.unknown is None else photos.unknown)
        sure, unsure = confidences(answers, photos.unknown), confidences(strange, photos.unknown)
        threshold = choose_threshold(sure[is_known], np.concatenate([sure[~is_known], unsure[::2]]))
        tested = photos.on(TEST)
        if len(tested):
            judged, truth = self._predictions(network, tested), photos.labels[tested]
        else:
            judged, truth = answers, photos.labels[held_out]
        result = evaluate(judged, truth)
        record = self.run.record
        record["result"] = {
            "parameters": network.count_params(),
            "weight_decay": decay,
            "epochs": epochs,
            "share": share,
            "held_out_photos": len(held_out),
            "held_out_accuracy": evaluate(answers, photos.labels[held_out]).accuracy,
            "test_photos": len(tested),
            "test_accuracy": result.accuracy if len(tested) else None,
            "cross_validation": photos.folds is not None,
            "temperature": temperature,
            "threshold": threshold,
            "unknown": unknown_figures(judged, truth, unsure[1::2], threshold, photos.unknown) if len(tested) else None,
            "training_seconds": time.monotonic() - self.started,
        }
        self.run.write_record(**record)
        save(network, self.run.model)
        shutil.rmtree(self.run.checkpoint)
        return result


class _Work:
    """How much is done of all, counted in photos whose features are computed."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._done, self._total = progress, 0, 0

    def expect(self, total: int) -> None:
        self._total = total

    def skip(self, photos: int) -> None:
        self._done += photos

    def done(self, photos: int, doing: str, logs: dict[str, float]) -> None:
        self._done += photos
        self._progress(min(self._done, self._total), self._total, doing, logs)


def _between(start: list[Array], tuned: list[Array], share: float) -> list[Array]:
    return [one + np.float32(share) * (other - one) for one, other in zip(start, tuned, strict=True)]


def _tempered(probabilities: Array, temperature: float) -> Array:
    """Return probabilities as they are when logits are divided by a temperature."""
    powers = np.maximum(probabilities, 1e-7) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _ahead(make: Callable[[Indices], Any], batches: list[Indices]) -> Iterator[tuple[Indices, Any]]:
    """Yield batches with what is made of each; the next one is made meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(make, batches[0])
        for number, batch in enumerate(batches):
            made = waiting.result()
            if number + 1 < len(batches):
                waiting = pool.submit(make, batches[number + 1])
            yield batch, made
