"""The training loop: from a recipe and data to a finished run, interrupted as often as you like."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cifar_edge.data import CLASSES, Cifar10, Split, hold_out
from cifar_edge.errors import Interrupted, UsageError
from cifar_edge.evaluation import Evaluation, evaluate
from cifar_edge.system.files import atomic, only_process, remove_leftovers
from cifar_edge.system.machine import versions
from cifar_edge.system.opening import open_ours
from cifar_edge.tflite.names import find_model
from cifar_edge.training import augment, plots
from cifar_edge.training.keras_file import load_checkpoint, load_model, predict
from cifar_edge.training.muon import Muon
from cifar_edge.training.networks import NETWORKS
from cifar_edge.training.recipe import MOST_EPOCHS, Recipe
from cifar_edge.training.run import Epoch, Run, best_epoch
from cifar_edge.training.teacher import Teacher
from cifar_edge.training.temperature import best_temperature, divide_logits

TIMED = 12  # steps that tell how long an epoch takes
TIME_FOR_EPOCHS = 0.9  # the rest is for held-out images and the test

Progress = Callable[[int, int, str, dict[str, float]], None]
"""Called with the steps done, the steps in all, what is being done ("epoch 2 of 24"), and means over it so far (loss,
accuracy)."""


def train(recipe: Recipe, data: Cifar10, folder: Path, progress: Progress = lambda *_: None) -> Evaluation:
    """Train `recipe` on `data` into the new folder `folder`.

    A tenth of the training images is held out; the epoch that is best on them becomes the model,
    and only then is the test split used, once.

    Args:
        recipe: see `recipe_for`.
        data: CIFAR-10 or its sample.
        folder: where the run goes; must not hold one yet.
        progress: called after every step.

    Returns:
        The model's figures on the test split; they stand in `run.json` too.

    Raises:
        UsageError: `folder` is in use; there is no such teacher.
        ModelError: the teacher is no model of CIFAR-10.
        Interrupted: Ctrl-C; finished epochs are kept, `resume` goes on.
    """
    run = Run(folder)
    run.check_unused()
    teacher_sha256, backend = _teacher_digest(recipe), keras.backend.backend()
    run.checkpoint.mkdir(parents=True)
    run.write_record(
        recipe=asdict(recipe),
        data=_identity(data),
        teacher_sha256=teacher_sha256,
        versions=versions("cifar-edge", "keras", backend, "numpy")
        | {"backend": backend, "python": platform.python_version()},
        started=_now(),
    )
    return _train(run, data, progress)


def resume(folder: Path, data: Cifar10, progress: Progress = lambda *_: None) -> Evaluation:
    """Continue an interrupted run with the data and the teacher it was started with; otherwise as `train`.

    Order, augmentation and learning rates are those of an uninterrupted run.
    """
    run = Run(folder)
    if run.model.exists():
        raise UsageError(f"{folder}: this run is finished; nothing to resume")
    record, digest = run.record, _teacher_digest(run.recipe)
    if record.get("teacher_sha256", digest) != digest:
        raise UsageError(
            f"{folder}: {run.recipe.teacher} is another model now than when this run was started; "
            "put the former one back or start a new run"
        )
    started_on = record["data"]
    if any(part["sha256"] != started_on[name]["sha256"] for name, part in _digests(data).items()):
        raise UsageError(f"{folder}: was started on other data; resume it with the data it was started on")
    run.checkpoint.mkdir(exist_ok=True)
    return _train(run, data, progress)


def fitted(recipe: Recipe, data: Cifar10, minutes: float) -> Recipe:
    """Return a recipe with as many epochs as fit into a time here, at least one, by the time that a few steps take."""
    learn, _ = hold_out(data.train)
    part = Split(*(values[: TIMED * recipe.batch_size] for values in learn))
    share = len(part.labels) / len(learn.labels)
    model, unused = new_model(recipe, TIMED), Split(*(values[: recipe.batch_size] for values in part))
    fit_epoch(model, recipe, unused, 0)  # compiles
    epoch = _seconds(lambda: fit_epoch(model, recipe, part, 0)) / share
    asked = 0.0
    if recipe.teacher:
        teacher = Teacher(recipe.teacher, None)
        asked = _seconds(lambda: teacher(part.images)) / share
    left = 60 * minutes * TIME_FOR_EPOCHS
    epochs = int(left / (epoch + asked))
    if recipe.cycle and epochs > recipe.cycle:  # later epochs use its answers again
        epochs = int((left - recipe.cycle * asked) / epoch)
    return replace(recipe, epochs=int(np.clip(epochs, 1, MOST_EPOCHS)))


def _seconds(act: Callable[[], object]) -> float:
    started = time.monotonic()
    act()
    return time.monotonic() - started


def _train(run: Run, data: Cifar10, progress: Progress) -> Evaluation:
    try:
        with only_process(run.checkpoint):
            remove_leftovers(run.checkpoint)
            learn, select = hold_out(data.train)
            _fit(run, learn, select, progress)
            return _finish(run, select, data.test)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped after {run.last_checkpoint()} of {run.recipe.epochs} epochs; "
            f"go on with `cifar-edge train --resume --run {run.folder}`"
        ) from None


def _fit(run: Run, learn: Split, select: Split, progress: Progress) -> None:
    """Run the epochs that are missing, and save after each."""
    recipe = run.recipe
    steps = -(-len(learn.labels) // recipe.batch_size)
    done = run.last_checkpoint()
    history = run.read_history(done)
    if done:  # Keras opens it by its name
        os.close(open_ours(run.checkpoint_of(done), os.O_RDONLY))
    model = load_checkpoint(run.checkpoint_of(done)) if done else new_model(recipe, steps)
    teacher = Teacher(recipe.teacher, run.checkpoint if recipe.cycle else None) if recipe.teacher else None
    for epoch in range(done, recipe.epochs):
        started = time.monotonic()

        def report(step: int, logs: dict[str, float], before: int = epoch * steps) -> None:
            progress(before + step, recipe.epochs * steps, f"epoch {before // steps + 1} of {recipe.epochs}", logs)

        logs = fit_epoch(model, recipe, learn, epoch, teacher, report)
        held_out = model.evaluate(select.images, _one_hot(select.labels), verbose=0, return_dict=True)
        history.append(
            Epoch(
                epoch + 1,
                loss=logs["loss"],
                accuracy=logs["accuracy"],
                val_loss=held_out["loss"],
                val_accuracy=held_out["accuracy"],
                learning_rate=float(model.optimizer.learning_rate),
                seconds=time.monotonic() - started,
            )
        )
        # In this order: a kill in between repeats the epoch, and the best epoch so far stays in place.
        run.write_history(history)
        save(model, run.checkpoint_of(epoch + 1))
        for other in range(1, epoch + 1):
            if other != best_epoch(history).epoch:
                run.checkpoint_of(other).unlink(missing_ok=True)


def fit_epoch(
    model: Any,
    recipe: Recipe,
    learn: Split,
    epoch: int,
    teacher: Teacher | None = None,
    report: Callable[[int, dict[str, float]], None] = lambda *_: None,
) -> dict[str, float]:
    """Train a model for one epoch, counted from zero. Its images depend on the recipe and the epoch alone.

    Args:
        model: from `new_model`, as it is after `epoch` epochs.
        recipe: its recipe.
        learn: the images to learn from.
        epoch: which one.
        teacher: the recipe's, if it has one.
        report: called after every step with the steps done and the running means.

    Returns:
        The means over the epoch: loss and accuracy, which with a teacher is agreement with it.
    """
    made_in = epoch % recipe.cycle if teacher and recipe.cycle else epoch
    # Each epoch has its own generator, so an interruption makes no difference to later epochs.
    rng = np.random.default_rng([recipe.seed, made_in])
    _seed_dropout(model, rng)
    order = rng.permutation(len(learn.labels))
    augmentation = augment.AUGMENTATIONS[recipe.augment]
    images = augmentation.frame(learn.images[order], rng)
    targets = teacher(images) if teacher else _smoothed(learn.labels[order], recipe.label_smoothing)
    if made_in < epoch:
        rng = np.random.default_rng([recipe.seed, epoch])
        _seed_dropout(model, rng)
        images, targets = _mixed_anew(images, targets, rng)
    # Last, so that it is new each time, though the teacher was asked once.
    images = augmentation.damage(images, rng)
    means = {"loss": 0.0, "accuracy": 0.0}
    # Not by Keras' `fit`: between epochs TensorFlow's tf.data then often sleeps until the next time its autotuner
    # wakes up, which it does 10, 20, 41 seconds after it began: as long as an epoch.
    for step, start in enumerate(range(0, len(images), recipe.batch_size), start=1):
        stop = min(start + recipe.batch_size, len(images))
        logs = model.train_on_batch(images[start:stop], targets[start:stop], return_dict=True)
        for name, mean in means.items():
            means[name] = mean + (float(logs[name]) - mean) * (stop - start) / stop
        report(step, means)
    return means


def _calibrate(model: Any, recipe: Recipe, select: Split) -> float:
    """Fit the model's temperature on held-out images, plain and augmented; return it."""
    augmented = augment.AUGMENTATIONS[recipe.augment](select.images, np.random.default_rng(recipe.seed))
    probabilities = predict(model, np.concatenate([select.images, augmented]))
    temperature = best_temperature(probabilities, np.tile(select.labels, 2))
    divide_logits(model, temperature)
    return temperature


def _finish(run: Run, select: Split, test: Split) -> Evaluation:
    """Test the selected epoch, once, and put the run's files in place, the model last."""
    history = run.read_history(run.recipe.epochs)
    selected = best_epoch(history)
    # Without the optimizer, and in float32 also after mixed precision.
    model = NETWORKS[run.recipe.model]()
    model.set_weights(load_model(run.checkpoint_of(selected.epoch)).get_weights())
    temperature = _calibrate(model, run.recipe, select)
    result = evaluate(predict(model, test.images), test.labels)
    record = run.record
    record["result"] = {
        "parameters": model.count_params(),
        "selected_epoch": selected.epoch,
        "validation_accuracy": selected.val_accuracy,
        "temperature": temperature,
        "test_accuracy": result.accuracy,
        "test_loss": result.loss,
        "test_accuracy_per_class": dict(zip(CLASSES, result.per_class.tolist(), strict=True)),
        "training_seconds": sum(row.seconds for row in history),
    }
    run.write_record(**record)
    title = f"{run.recipe.model}: {result.accuracy:.2%} of {len(test.labels):,} test images"
    plots.learning_curves(history, title, run.folder / "curves.png")
    plots.confusion_matrix(result.confusion, CLASSES, title, run.folder / "confusion.png")
    save(model, run.model)
    shutil.rmtree(run.checkpoint)
    return result


def new_model(recipe: Recipe, steps_per_epoch: int) -> Any:
    """Return the recipe's network, ready for its first epoch."""
    keras.utils.set_random_seed(recipe.seed)
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        model = NETWORKS[recipe.model]()
    finally:
        keras.config.set_dtype_policy(usual)
    return prepare(model, recipe, steps_per_epoch)


def prepare(model: Any, recipe: Recipe, steps_per_epoch: int) -> Any:
    """Give a network the recipe's optimizer and loss, and return it."""
    model.compile(
        optimizer=_optimizer(recipe, steps_per_epoch * recipe.epochs),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
        # TensorFlow's XLA makes these networks take twice as long on a CPU; JAX needs it.
        jit_compile=keras.backend.backend() == "jax",
    )
    return model


def _optimizer(recipe: Recipe, steps: int) -> Any:
    """Build the recipe's optimizer with its learning rate schedule over all `steps`."""
    peak: Any = recipe.learning_rate
    warmup = steps // 5
    schedules: dict[str, Callable[[], Any]] = {
        "constant": lambda: peak,
        "cosine": lambda: keras.optimizers.schedules.CosineDecay(peak, steps),
        "one-cycle": lambda: keras.optimizers.schedules.CosineDecay(
            peak / 25, steps - warmup, warmup_target=peak, warmup_steps=warmup
        ),
        "linear": lambda: Trapezoid(peak, steps, fall=0.95),
        "trapezoid": lambda: Trapezoid(peak, steps),
    }
    options: dict[str, dict[str, Any]] = {
        "sgd": {"momentum": 0.9, "nesterov": True},
        "muon": {"momentum": 0.8, "adam_lr_ratio": 0.1, "adam_weight_decay": recipe.weight_decay},
    }
    optimizer = Muon if recipe.optimizer == "muon" else type(keras.optimizers.get(recipe.optimizer))
    chosen = options.get(recipe.optimizer, {})
    return optimizer(learning_rate=schedules[recipe.schedule](), weight_decay=recipe.weight_decay, **chosen)


@keras.saving.register_keras_serializable("cifar_edge")
class Trapezoid(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc] # Keras has no type information
    """Rises to `peak` over a twentieth of `steps`, stays, and falls to zero over the share `fall` of them."""

    def __init__(self, peak: float, steps: int, fall: float = 0.4) -> None:
        self.peak, self.steps, self.fall = peak, steps, fall

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from zero."""
        done = keras.ops.cast(step, "float32") / self.steps
        return self.peak * keras.ops.clip(keras.ops.minimum(done * 20, (1 - done) / self.fall), 0, 1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again when a checkpoint is loaded."""
        return {"peak": self.peak, "steps": self.steps, "fall": self.fall}


def _seed_dropout(model: Any, rng: np.random.Generator) -> None:
    """Set the state of all random layers; Keras does not save it with a model."""
    for layer in model.layers:
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign(rng.integers(0, 2**31, 2))


def _smoothed(labels: NDArray[np.uint8], smoothing: float) -> NDArray[np.float32]:
    return _one_hot(labels) * np.float32(1 - smoothing) + np.float32(smoothing / len(CLASSES))


def _mixed_anew(
    images: NDArray[np.uint8], targets: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return images and targets in another order, half of the images mirrored."""
    order = rng.permutation(len(images))
    images, mirrored = images[order], rng.random(len(images)) < 0.5
    images[mirrored] = images[mirrored, :, ::-1]
    return images, targets[order]


def _one_hot(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.equal.outer(labels, np.arange(len(CLASSES), dtype=np.uint8)).astype(np.float32)


def save(model: Any, path: Path) -> None:
    """Write a model's `.keras` file, all of it or nothing."""
    with atomic(path) as partial:
        model.save(partial)


def _identity(data: Cifar10) -> dict[str, Any]:
    """Return the data's entry in `run.json`: its source, and digests to compare a repetition with."""
    return {"source": data.source, **_digests(data)}


def _digests(data: Cifar10) -> dict[str, dict[str, Any]]:
    return {
        name: {"images": len(split.labels), "sha256": split.digest}
        for name, split in (("train", data.train), ("test", data.test))
    }


def _teacher_digest(recipe: Recipe) -> str | None:
    return hashlib.sha256(find_model(recipe.teacher).read_bytes()).hexdigest() if recipe.teacher else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
