"""Changes between two `bench.json`, beyond the noise of measuring."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_edge.benchmarks.record import read_json
from cifar_edge.errors import RegressionError, UsageError

REGRESSION = 1.2  # the default factor: a figure that has grown by more is a regression
DEVIATIONS = 2.0  # standard errors of a difference that count as noise
MEMORY = 0.01  # share by which the memory of two processes varies
DRIFT = 0.015  # share by which a computer is faster or slower from one run to the next, beyond the spread in each
DISK = 0.05  # the same for reading and classifying a folder


@dataclass(frozen=True)
class Change:
    """A changed figure of a model; less is better.

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
        """The new value, as a multiple of the old one."""
        return self.new / self.old if self.old else math.inf


Figures = Iterator[tuple[str, float, float]]
"""A compared figure: name, value and noise."""


def read(path: Path, names: Collection[str]) -> dict[str, Any]:
    """Read an earlier `bench.json`, before any measurement.

    Args:
        path: the file.
        names: of the models that are going to be measured.

    Raises:
        UsageError: it is none, or has none of these models.
    """
    content = read_json(path)
    try:
        compare(content, content)
        differences(content, content)
        before = [model["name"] for model in content["models"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path}: not a whole bench.json ({type(error).__name__}: {error}); "
            "measure again with `cifar-edge bench --output`"
        ) from error
    if not set(before) & set(names):
        raise UsageError(
            f"{path}: nothing to compare: it has {', '.join(before) or 'no model'}, not {', '.join(names)}"
        )
    return content


def compare(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """List the figures of models in both records that differ by more than the noise of the two.

    Only what can be compared is: times and memory of the same computer, a folder of as many photos,
    corruptions of the same source.

    Args:
        old: content of a `bench.json`.
        new: content of another one.
    """
    return [
        Change(name, figure, value, after[figure][0])
        for name, before, after in _common(old, new)
        for figure, (value, noise) in before.items()
        if figure in after and abs(after[figure][0] - value) > noise + after[figure][1]
    ]


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what makes two records hard to compare, and what only the old one has."""
    before, after = old["machine"], new["machine"]
    found = []
    if not _same_computer(old, new):
        found.append(
            f"another computer ({before['cpu']}, {before['processors']} processors; "
            f"now {after['cpu']}, {after['processors']}): times and memory are not compared, only size and accuracy"
        )
    found += [
        f"another {field}: {before[field]}, now {after[field]}"
        for field in ("governor", "system", "python")
        if before[field] != after[field]
    ]
    versions = (before["versions"], after["versions"])
    for package in sorted({name for each in versions for name in each}):
        then, now = (each.get(package, "none") for each in versions)
        if then != now:
            found.append(f"another {package}: {then}, now {now}")
    if old["images"] != new["images"]:
        found.append(f"other test images: {old['images']:,}, now {new['images']:,}")
    if old["photos"] != new["photos"] and old["photos"]:
        found.append(f"another folder, of {new['photos']} photos instead of {old['photos']}: not compared")
    if old["corruptions"] != new["corruptions"] and old["corruptions"]:
        then, now = (each["corruptions"]["source"] if each["corruptions"] else "none" for each in (old, new))
        found.append(f"other corrupted images ({then}, now {now}): not compared")
    measured = {model["name"] for model in new["models"]}
    found += [f"{model['name']}: no longer measured" for model in old["models"] if model["name"] not in measured]
    for name, figures, left in _common(old, new):
        if lost := [figure for figure in figures if figure not in left]:
            found.append(f"{name}: no longer measured: {'; '.join(lost)}")
    return found


def check(changes: list[Change], factor: float = REGRESSION) -> None:
    """Raise `RegressionError` if a figure is more than `factor` times what it was."""
    worse = sorted((change for change in changes if change.factor > factor), key=lambda change: -change.factor)
    if worse:
        first = worse[0]
        counted = "1 figure is" if len(worse) == 1 else f"{len(worse)} figures are"
        raise RegressionError(
            f"{counted} more than {factor:g} times as much as before, most of all "
            f"{first.model}, {first.figure}: {first.old:.4g}, now {first.new:.4g}"
        )


def _same_computer(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return all(old["machine"][field] == new["machine"][field] for field in ("cpu", "processors"))


def _common(
    old: dict[str, Any], new: dict[str, Any]
) -> Iterator[tuple[str, dict[str, tuple[float, float]], dict[str, tuple[float, float]]]]:
    """Yield each model of both records, with the value and noise of the figures that can be compared."""
    kinds = [_size_and_accuracy]
    if _same_computer(old, new):
        kinds.append(_speed)
        if old["photos"] == new["photos"]:
            kinds.append(_throughput)
    if old["corruptions"] == new["corruptions"] and old["corruptions"]:
        families = old["corruptions"]["families"]
        kinds.append(lambda model: _robustness(model, families))
    before, after = ({model["name"]: model for model in record["models"]} for record in (old, new))
    for name in before:
        if name in after:
            yield (
                name,
                *(
                    {figure: (value, noise) for kind in kinds for figure, value, noise in kind(model)}
                    for model in (before[name], after[name])
                ),
            )


def _size_and_accuracy(model: dict[str, Any]) -> Figures:
    yield "size, KB", model["size"] / 1000, 0.0
    if evaluation := model["evaluation"]:
        noise = _noise(evaluation["accuracy"], _images(model))
        yield "wrong on clean images, %", 100 * (1 - evaluation["accuracy"]), noise
        yield "ECE on clean images, %", 100 * evaluation["ece"], noise


def _speed(model: dict[str, Any]) -> Figures:
    for timing in model["timings"]:
        setting = f"{timing['runtime']}, threads {timing['threads']}, batch {timing['batch']}"
        median, spread = timing["latency"]["median"], timing["latency"]["spread"]
        yield f"latency, {setting}, µs", median, spread + DRIFT * median
    for runtime, footprint in model["footprints"].items():
        yield f"load, {runtime}, ms", 1e3 * footprint["load"], 1e3 * footprint["load_spread"]
        yield f"memory, {runtime}, MB", footprint["memory"] / 1e6, MEMORY * footprint["memory"] / 1e6


def _throughput(model: dict[str, Any]) -> Figures:
    if throughput := model["throughput"]:
        spent = 1000 / throughput["photos"]["classify"]
        yield "a photo of the folder, ms", spent, DISK * spent


def _robustness(model: dict[str, Any], families: list[str]) -> Figures:
    if robustness := model["robustness"]:
        noise = _noise(robustness["mean_corrupted_accuracy"], _images(model))
        yield "wrong on corrupted images, %", 100 * (1 - robustness["mean_corrupted_accuracy"]), noise
        yield "ECE on corrupted images, %", 100 * robustness["mean_corrupted_ece"], noise
        for family, by_severity in zip(families, robustness["corrupted_accuracy"], strict=True):
            accuracy = sum(by_severity) / len(by_severity)
            yield f"wrong under {family.replace('_', ' ')}, %", 100 * (1 - accuracy), _noise(accuracy, _images(model))


def _images(model: dict[str, Any]) -> int:
    return sum(map(sum, model["evaluation"]["confusion"]))


def _noise(accuracy: float, images: int) -> float:
    """Half the noise of a difference of error rates, in percent, as if each time had images of its own.

    The calibration error has no more: it is a sum of such differences, and some cancel.
    """
    return 100 * DEVIATIONS * math.sqrt(2 * accuracy * (1 - accuracy) / images) / 2
