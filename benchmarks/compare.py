"""What changed between two `bench.json`, beyond the noise of measuring."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cifar_edge.errors import RegressionError, UsageError

DEVIATIONS = 2.0  # standard errors of a difference that count as noise
MEMORY = 0.01  # share by which the memory of two processes varies
DRIFT = 0.015  # and by which a computer is quicker or slower from one run to the next, beyond the spread in each


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


def compare(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """List the figures of models in both records that differ by more than the noise of the two.

    Args:
        old: content of a `bench.json`.
        new: content of another one.

    Raises:
        UsageError: they share no model.
    """
    before, after = ({model["name"]: model for model in record["models"]} for record in (old, new))
    common = [name for name in before if name in after]
    if not common:
        raise UsageError(f"nothing to compare: the old record has {', '.join(before)}, the new one {', '.join(after)}")
    return [change for name in common for change in _changes(name, before[name], after[name])]


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Say what makes two records hard to compare."""
    found = [
        f"another {field}: {old['machine'][field]}, now {new['machine'][field]}"
        for field in ("cpu", "governor", "system", "versions")
        if old["machine"][field] != new["machine"][field]
    ]
    if old["images"] != new["images"]:
        found.append(f"other test images: {old['images']:,}, now {new['images']:,}")
    return found


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
        setting = f"{timing['runtime']}, threads {timing['threads']}, batch {timing['batch']}"
        median, spread = timing["latency"]["median"], timing["latency"]["spread"]
        yield f"latency, {setting}, µs", (median, spread + DRIFT * median)
    for runtime, footprint in model["footprints"].items():
        yield f"load, {runtime}, ms", (1e3 * footprint["load"], 1e3 * footprint["load_spread"])
        yield f"memory, {runtime}, MB", (footprint["memory"] / 1e6, MEMORY * footprint["memory"] / 1e6)
    if evaluation := model["evaluation"]:
        images = sum(map(sum, evaluation["confusion"]))
        yield "wrong on clean images, %", _wrong(evaluation["accuracy"], images)
        if robustness := model["robustness"]:
            yield "wrong on corrupted images, %", _wrong(robustness["mean_corrupted_accuracy"], images)


def _wrong(accuracy: float, images: int) -> tuple[float, float]:
    """Error rate in percent and its noise: half of that of a difference, as if each time had images of its own."""
    of_difference = DEVIATIONS * math.sqrt(2 * accuracy * (1 - accuracy) / images)
    return 100 * (1 - accuracy), 100 * of_difference / 2
