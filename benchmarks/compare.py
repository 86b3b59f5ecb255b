"""What changed between two `bench.json`, beyond the noise of measuring."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_edge.benchmarks.bench import SCHEMA
from cifar_edge.errors import CifarEdgeError, UsageError

DEVIATIONS = 2.0  # standard errors of an accuracy that count as noise


@dataclass(frozen=True)
class Change:
    """A figure of a model that is not what it was; of all of them, less is better.

    Attributes:
        model: its name.
        figure: what was measured, with its unit.
        old: before.
        new: now.
    """

    model: str
    figure: str
    old: float
    new: float

    @property
    def factor(self) -> float:
        """How many times as much it is now."""
        return self.new / self.old if self.old else math.inf


class RegressionError(CifarEdgeError):
    """A figure got worse by more than was allowed: exit code 4."""

    exit_code = 4


def compare(old: Path, new: Path) -> list[Change]:
    """List the figures of models in both files that differ by more than the noise of the two.

    Raises:
        UsageError: one of them is no `bench.json` of this version, or they share no model.
    """
    before, after = ({model["name"]: model for model in _read(path)["models"]} for path in (old, new))
    if not before.keys() & after.keys():
        raise UsageError(f"{old}: measures none of the models of {new}: {', '.join(before)}")
    return [change for name in before.keys() & after.keys() for change in _changes(name, before[name], after[name])]


def differences(old: Path, new: Path) -> list[str]:
    """Say what makes two files hard to compare."""
    before, after = _read(old), _read(new)
    told = {"computer": ("machine", "cpu"), "governor": ("machine", "governor"), "versions": ("machine", "versions")}
    return [
        f"another {name}: {before[part][field]} in {old}, now {after[part][field]}"
        for name, (part, field) in told.items()
        if before[part][field] != after[part][field]
    ]


def check(changes: list[Change], factor: float) -> None:
    """Raise `RegressionError` if a figure is more than `factor` times what it was."""
    worse = sorted((change for change in changes if change.factor > factor), key=lambda change: -change.factor)
    if worse:
        first = worse[0]
        raise RegressionError(
            f"{len(worse)} figures are more than {factor:g} times what they were, most of all "
            f"{first.model}, {first.figure}: {first.old:.4g}, now {first.new:.4g}"
        )


def _changes(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    before, after = dict(_figures(old)), dict(_figures(new))
    for figure, (value, noise) in before.items():
        if figure in after:
            now, noise_now = after[figure]
            if abs(now - value) > noise + noise_now:
                yield Change(name, figure, value, now)


def _figures(model: dict[str, Any]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield what is compared of a model: what it is called, its value and its noise."""
    yield "size, KB", (model["size"] / 1000, 0.0)
    for timing in model["timings"]:
        setting = f"{timing['runtime']}, {timing['threads']} threads, batch {timing['batch']}"
        yield f"latency, {setting}, µs", (timing["latency"]["median"], timing["latency"]["spread"])
    for runtime, footprint in model["footprints"].items():
        yield f"load, {runtime}, ms", (1e3 * footprint["load"], 1e3 * footprint["load_spread"])
        yield f"memory, {runtime}, MB", (footprint["memory"] / 1e6, 0.02 * footprint["memory"] / 1e6)
    if evaluation := model["evaluation"]:
        images = sum(map(sum, evaluation["confusion"]))
        yield "wrong on clean images, %", _wrong(evaluation["accuracy"], images)
        if robustness := model["robustness"]:
            yield "wrong on corrupted images, %", _wrong(robustness["mean_corrupted_accuracy"], images)


def _wrong(accuracy: float, images: int) -> tuple[float, float]:
    """Error rate in percent and its noise, as if the images were another sample each time."""
    return 100 * (1 - accuracy), 100 * DEVIATIONS / 2 * math.sqrt(2 * accuracy * (1 - accuracy) / images)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a bench.json ({error}); `cifar-edge bench --output` writes one") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UsageError(f"{path}: not a bench.json of schema {SCHEMA}; measure again with `cifar-edge bench --output`")
    return content
