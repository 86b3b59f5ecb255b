"""Pictures of a record of measurements; needs matplotlib (extra `bench`).

Everything that differs in colour also differs in shape, dashes, grey level or a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cifar_edge.benchmarks.measures.corruptions import FAMILIES, SEVERITIES, corrupt
from cifar_edge.benchmarks.record import ModelRecord, Record
from cifar_edge.benchmarks.tables import machine_text
from cifar_edge.data import Split
from cifar_edge.system.files import atomic
from cifar_edge.training.evaluate import Labelled

# Okabe and Ito, *Color Universal Design*, 2008; yellow is too pale for lines on white.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = "osD^vPX*<>"
DASHES = ("-", "--", "-.", ":")
COLUMNS = 5  # of small multiples
SHOWN = 2  # images under each corruption
DARK = 0.45  # luminance, 0-1, below which numbers are white
AREA = 0.8  # of a marker, in square points for each KB
SIDES = ((0, 1), (1, 0), (0, -1), (-1, 0))


def draw(record: Record, test: Split | Labelled, folder: Path) -> list[Path]:
    """Draw a record.

    Args:
        record: of `bench`.
        test: what was classified; of CIFAR-10's images the first ones of different classes are shown corrupted.
        folder: of the PNG files; made if it is not there.

    Returns:
        The files: accuracy and latency, confusion matrices and, if corruptions were measured, accuracy
        by severity, by corruption, and the samples.
    """
    folder.mkdir(parents=True, exist_ok=True)
    evaluated = [model for model in record.models if model.evaluation]
    robust = [model for model in record.models if model.robustness]
    pictures: dict[str, Callable[[], Figure]] = {}
    latency = latencies(record)
    if timed := {number: model for number, model in enumerate(record.models) if model.evaluation and number in latency}:
        pictures["accuracy-latency"] = lambda: _accuracy_latency(
            record, list(timed.values()), [latency[number] for number in timed]
        )
    if evaluated:
        pictures["confusion"] = lambda: _confusion(evaluated)
    if robust:
        pictures["severity"] = lambda: _severity(robust)
        pictures["corruptions"] = lambda: _corruptions(record, robust)
    if robust and isinstance(test, Split):
        pictures["samples"] = lambda: _samples(test.images[different(test.labels)])
    paths = []
    for name, picture in pictures.items():
        path = folder / f"{name}.png"
        with atomic(path) as partial:
            picture().savefig(partial, dpi=110, bbox_inches="tight")
        paths.append(path)
    return paths


def latencies(record: Record) -> dict[int, float]:
    """Return the latency, in microseconds, under LiteRT in the first setting, by the number of the models that ran."""
    threads, batch = first_setting(record)
    return {
        number: timing.latency.median
        for number, model in enumerate(record.models)
        for timing in model.timings
        if (timing.runtime, timing.threads, timing.batch) == ("LiteRT", threads, batch)
    }


def first_setting(record: Record) -> tuple[int, int]:
    """Return threads and batch of what was timed first; peaks are there even if no model ran."""
    return record.peaks[0].threads, record.peaks[0].batch


def _accuracy_latency(record: Record, models: Sequence[ModelRecord], latency: Sequence[float]) -> Figure:
    """Top-1, clean and corrupted, against latency; a marker's area is the file's size."""
    kinds = {"clean images": [100 * model.evaluation.accuracy for model in models if model.evaluation]}
    if all(model.robustness for model in models):
        kinds["corrupted images (mean)"] = [
            100 * model.robustness.mean_corrupted_accuracy for model in models if model.robustness
        ]
    threads, batch = first_setting(record)
    figure = Figure(figsize=(6 * len(kinds) + 0.5, 6), layout="constrained")
    for axes, (kind, accuracy) in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds.items(), strict=True):
        _front(axes, models, latency, accuracy)
        axes.set_xlabel(f"latency, µs (median; threads: {threads}, batch: {batch})")
        axes.set_ylabel("top-1 accuracy, %")
        axes.set_title(kind)
    names = "\n".join(f"{number}  {model.name}, {model.size / 1000:,.0f} KB" for number, model in enumerate(models, 1))
    figure.supxlabel(names, fontsize=9, ha="left", x=0.08)
    machine = machine_text(record.machine, record.before, record.after)
    figure.suptitle(
        f"area: size of the file; line: Pareto front; dotted: beaten by another one\n{machine}", fontsize=8, wrap=True
    )
    return figure


def _front(axes: Any, models: Sequence[ModelRecord], latency: Sequence[float], accuracy: Sequence[float]) -> None:
    """Draw the models as numbered markers, and the line of those that are not beaten."""
    front = pareto_front(latency, accuracy)
    axes.step(
        [latency[number] for number in front],
        [accuracy[number] for number in front],
        where="post",
        color="0.6",
        zorder=1,
    )
    for number, (model, style) in enumerate(zip(models, _styles(), strict=False)):
        place, area = (latency[number], accuracy[number]), max(AREA * model.size / 1000, 12)
        dashes = "-" if number in front else ":"
        axes.scatter(*place, area, color="none", edgecolors=style["color"], linewidths=1.5, linestyle=dashes)
        # On another side of each, so that neighbours' numbers do not lie over each other.
        beside = np.array(SIDES[number % len(SIDES)]) * (np.sqrt(area / np.pi) + 7)
        axes.annotate(
            str(number + 1), place, beside, textcoords="offset points", ha="center", va="center", color=style["color"]
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.margins(x=0.15, y=0.25)  # markers and their numbers stay inside
    axes.grid(alpha=0.3, which="both")


def pareto_front(costs: Sequence[float], gains: Sequence[float]) -> list[int]:
    """Numbers of those that nothing cheaper equals, from the cheapest on."""
    front: list[int] = []
    for number in sorted(range(len(costs)), key=lambda number: (costs[number], -gains[number])):
        if not front or gains[number] > gains[front[-1]]:
            front.append(number)
    return front


def _severity(models: Sequence[ModelRecord]) -> Figure:
    """Accuracy against severity, a small picture for each family."""
    figure = Figure(figsize=(14, 9), layout="constrained")
    grid = figure.subplots(-(-len(FAMILIES) // COLUMNS), COLUMNS, sharex=True, sharey=True)
    for axes, family, number in zip(grid.flat, FAMILIES, range(len(FAMILIES)), strict=True):
        for model, style in zip(models, _styles(), strict=False):
            if model.robustness:
                line = [model.robustness.accuracy, *model.robustness.corrupted_accuracy[number]]
                axes.plot((0, *SEVERITIES), [100 * share for share in line], label=model.name, markersize=4, **style)
        axes.set_title(family.replace("_", " "), fontsize=10)
        axes.set_ylim(0, 100)
        axes.grid(alpha=0.3)
        axes.set_xticks((0, *SEVERITIES), ("clean", *SEVERITIES))
    figure.supxlabel("severity")
    figure.supylabel("top-1 accuracy, %")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return figure


def _corruptions(record: Record, models: Sequence[ModelRecord]) -> Figure:
    """Heat map of models by corruption."""
    table = 100 * np.array(
        [
            [
                model.robustness.accuracy,
                model.robustness.mean_corrupted_accuracy,
                *model.robustness.corrupted_accuracy.mean(axis=1),
            ]
            for model in models
            if model.robustness
        ]
    )
    figure = Figure(figsize=(13, 2.2 + 0.45 * len(models)), layout="constrained")
    axes = figure.subplots()
    _heat(axes, table, "{:.1f}", white=10 * np.floor(table.min() / 10))
    axes.axvline(1.5, color="white", linewidth=4)
    axes.set_xticks(
        range(table.shape[1]),
        ["clean", "mean corruption", *(family.replace("_", " ") for family in FAMILIES)],
        rotation=40,
        ha="right",
    )
    axes.set_yticks(range(len(models)), [model.name for model in models])
    axes.set_title(
        f"top-1 accuracy, %, by corruption ({record.corruptions}), mean of five severities; darker is better",
        fontsize=10,
    )
    return figure


def _confusion(models: Sequence[ModelRecord]) -> Figure:
    """A confusion matrix for each model, on clean images, in percent of the true class."""
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(5 * columns, 4.8 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(models) :]:
        axes.set_axis_off()
    for axes, model in zip(grid.flat, models, strict=False):
        if model.evaluation:
            counts = model.evaluation.confusion
            _heat(axes, 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), "{:.0f}")
        axes.set_xticks(range(len(model.classes)), model.classes, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(model.classes)), model.classes, fontsize=8)
        axes.set_title(model.name, fontsize=10)
    figure.supxlabel("predicted class")
    figure.supylabel("true class (numbers: percent of its images)")
    return figure


def _heat(axes: Any, percent: NDArray[np.float64], text: str, white: float = 0) -> None:
    """Draw percentages in grey, from white to black at 100, with their numbers."""
    picture = axes.imshow(percent, cmap="Greys", vmin=white, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(percent):
        colour = "white" if picture.to_rgba(value)[0] < DARK else "black"  # a grey: its red is its luminance
        axes.text(column, row, text.format(value), ha="center", va="center", color=colour, fontsize=8)


def different(labels: NDArray[np.integer]) -> list[int]:
    """Return the numbers of the first `SHOWN` images that are of different classes."""
    _, firsts = np.unique(labels, return_index=True)
    return sorted(firsts.tolist())[:SHOWN]


def _samples(images: NDArray[np.uint8]) -> Figure:
    """Some images under each corruption, a row for each family."""
    rows = [
        np.concatenate([images, *(corrupt(images, family, severity) for severity in SEVERITIES)]).reshape(
            1 + len(SEVERITIES), *images.shape
        )
        for family in FAMILIES
    ]
    framed = np.pad(rows, ((0, 0), (0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    families, conditions, count, height, width, _ = framed.shape
    sheet = framed.transpose(0, 3, 2, 1, 4, 5).reshape(families * height, count * conditions * width, 3)
    figure = Figure(figsize=(2.2 + 0.7 * count * conditions, 0.7 * families), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, interpolation="nearest")
    axes.set_yticks(height * (np.arange(families) + 0.5), [family.replace("_", " ") for family in FAMILIES])
    axes.set_xticks(width * (np.arange(count * conditions) + 0.5), ["clean", *map(str, SEVERITIES)] * count)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _styles() -> Any:
    """Endless styles of lines that differ in more than colour."""
    return (
        {"color": colour, "marker": marker, "linestyle": dashes}
        for colour, marker, dashes in zip(cycle(COLOURS), cycle(MARKERS), cycle(DASHES), strict=False)
    )
