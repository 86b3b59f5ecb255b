"""Fine-tuning: all layers of a network learn from your photos, at low rates, epoch by epoch."""

from __future__ import annotations

import os
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cifar_edge.system.opening import open_ours
from cifar_edge.training.head import balanced
from cifar_edge.training.keras_file import load_checkpoint
from cifar_edge.training.loop import Progress, save
from cifar_edge.training.photo_views import Views
from cifar_edge.training.recipe import PhotoRecipe

Array = NDArray[np.float32]
Indices = NDArray[np.int64]

COST = 4  # of an image that is learned from, in images whose features are computed
SMOOTHING = 0.1  # of labels
WEIGHT_DECAY = 1e-2
FIRST_VIEW = 4  # earlier ones are those that the last layer has learned from
STEPS_TIMED = 3


class Work:
    """How much is done of all, counted in images whose features are computed."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self.done, self.total = progress, 0, 0

    def add(self, images: int, doing: str, logs: dict[str, float]) -> None:
        """Tell the progress that images are done."""
        self.done += images
        self._progress(min(self.done, self.total), self.total, doing, logs)


class FineTuning:
    """Tunes a network by a recipe; each epoch is kept in the checkpoint folder, so that it can go on from there."""

    def __init__(self, network: keras.Model, views: Views, recipe: PhotoRecipe, folder: Path, work: Work) -> None:
        self._network, self._views, self._recipe, self._folder, self._work = network, views, recipe, folder, work

    def images_in(self, learn: Indices) -> int:
        """Return how many images an epoch has: the photos, and of other things as many as a class has."""
        return len(learn) + self._others_beside(learn)

    def weights_after(
        self, name: str, learn: Indices, others: Indices, start: list[Array], epochs: int, doing: str = ""
    ) -> list[Array]:
        """Tune the network and return its weights.

        Args:
            name: of the checkpoints.
            learn: photos, by their numbers in the views.
            others: numbers of images of other things; each epoch takes some of them.
            start: the network's weights before.
            epochs: passes over the photos.
            doing: the beginning of what the progress says.
        """
        if not epochs:
            return start
        folder = self._folder
        done = max((int(path.stem[-4:]) for path in folder.glob(f"{name}-????.keras")), default=0)
        if done:
            os.close(open_ours(folder / f"{name}-{done:04}.keras", os.O_RDONLY))
            model = load_checkpoint(folder / f"{name}-{done:04}.keras")
            self._work.done += COST * done * self.images_in(learn)
        else:
            model = self._compiled
            model.set_weights(start)
            for variable in model.optimizer.variables:
                variable.assign(keras.ops.zeros_like(variable))
        for epoch in range(done, epochs):
            rates = 0.5 * self._recipe.learning_rate * (1 + np.cos(np.pi * np.linspace(epoch, epoch + 1, 100) / epochs))
            self._tune(model, learn, others, epoch, rates, f"{doing}epoch {epoch + 1} of {epochs}")
            save(model, folder / f"{name}-{epoch + 1:04}.keras")
            (folder / f"{name}-{epoch:04}.keras").unlink(missing_ok=True)
        return list(model.get_weights())

    def epochs_in(self, seconds: float, images: int) -> int:
        """Return how many epochs, each of so many images, fit into a time, by the time that a few steps take."""
        model, batch = self._compiled, np.arange(self._recipe.batch_size) % len(self._views.labels)
        pixels, truth = self._views.images(batch, FIRST_VIEW).astype(np.float32), self._one_hot(batch)
        model.train_on_batch(pixels, truth)  # compiles
        began = time.monotonic()
        for _ in range(STEPS_TIMED):
            model.train_on_batch(pixels, truth)
        each = (time.monotonic() - began) / STEPS_TIMED / len(batch)
        return int(seconds / (each * images))

    def forget(self, name: str) -> None:
        """Delete the checkpoints of a name."""
        for path in self._folder.glob(f"{name}-????.keras"):
            path.unlink()

    @cached_property
    def _compiled(self) -> Any:
        """The network, ready to be tuned; once, because a large one takes seconds to compile."""
        self._network.compile(
            optimizer=keras.optimizers.AdamW(self._recipe.learning_rate, weight_decay=WEIGHT_DECAY),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING),
            metrics=["accuracy"],
            jit_compile=keras.backend.backend() == "jax",  # as for CIFAR-10
        )
        self._network.optimizer.build(self._network.trainable_variables)
        return self._network

    def _tune(
        self, model: Any, learn: Indices, others: Indices, epoch: int, rates: NDArray[np.float64], doing: str
    ) -> None:
        """Tune for one epoch, counted from zero. Its images depend on the recipe and the epoch alone."""
        rng, size = np.random.default_rng([self._recipe.seed, epoch]), self._recipe.batch_size
        order = rng.permutation(np.concatenate([learn, rng.permutation(others)[: self._others_beside(learn)]]))
        weights = np.zeros(len(self._views.labels), np.float32)
        weights[order] = balanced(self._views.labels[order])
        batches = [np.resize(order[start : start + size], size) for start in range(0, len(order), size)]
        means = {"loss": 0.0, "accuracy": 0.0}
        for step, (batch, images) in enumerate(self._views.batches(batches, FIRST_VIEW + epoch), 1):
            model.optimizer.learning_rate = rates[len(rates) * (step - 1) // len(batches)]
            logs = model.train_on_batch(images, self._one_hot(batch), sample_weight=weights[batch], return_dict=True)
            means = {name: mean + (float(logs[name]) - mean) / step for name, mean in means.items()}
            self._work.add(COST * size, doing, means)

    def _one_hot(self, numbers: Indices) -> Array:
        return np.asarray(np.eye(len(self._views.classes), dtype=np.float32)[self._views.labels[numbers]])

    def _others_beside(self, learn: Indices) -> int:
        return len(learn) // self._views.known
