"""Latency of models: one image at a time, the models in turn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cifar_edge.model import EdgeModel


@dataclass(frozen=True)
class Latency:
    """Time from an image in memory to its probabilities, in microseconds."""

    median: float
    p95: float


def measure(models: Sequence[EdgeModel], rounds: int = 40, warm_up: int = 5, burst: int = 25) -> list[Latency]:
    """Time each model on one image, batch 1.

    The models take turns, a burst of calls each, because a computer's speed drifts: what slows down
    one slows down all, and their ratios hold.

    Args:
        models: what to time, with the threads they were made with.
        rounds: how often each has its turn.
        warm_up: rounds that do not count.
        burst: calls a turn.

    Returns:
        The figures over `rounds * burst` calls of each model, in their order.
    """
    images = [_image(model) for model in models]
    seconds = np.empty((len(models), rounds + warm_up, burst))
    for turn in range(rounds + warm_up):
        for number, (model, image) in enumerate(zip(models, images, strict=True)):
            for call in range(burst):
                started = time.perf_counter()
                model.predict(image)
                seconds[number, turn, call] = time.perf_counter() - started
    counted = 1e6 * seconds[:, warm_up:].reshape(len(models), -1)
    return [Latency(float(np.median(times)), float(np.percentile(times, 95))) for times in counted]


def _image(model: EdgeModel) -> NDArray[np.uint8]:
    shape = (1, model.height, model.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
