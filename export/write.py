"""Write a classifier's `.tflite` files: all of them, once every one is verified, or none."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from cifar_edge.benchmarks.latency import Latency, measure
from cifar_edge.benchmarks.runtimes import litert
from cifar_edge.card import Card
from cifar_edge.data import Cifar10
from cifar_edge.errors import ExportError, UsageError
from cifar_edge.export.calibration import Calibration, from_training_set, resized
from cifar_edge.export.convert import CALIBRATED, FORMATS, check_no_loops, convert
from cifar_edge.export.exam import Exam, exam_for
from cifar_edge.export.plots import quantization_figure
from cifar_edge.export.source import Source, check_told
from cifar_edge.export.verify import Comparison, check_float32, compare, signal_to_noise, worst_layers
from cifar_edge.files import atomic
from cifar_edge.graph import operations
from cifar_edge.model import EdgeModel
from cifar_edge.training.inference import predict

SLOW = ("int16x8",)
"""Formats that LiteRT runs on its slow reference kernels: a part of the exam has to do for them."""

DEBUGGED = 100  # images that give a layer's signal to noise; more move it by tenths of a dB

CHANGED = 10.0
"""Points of answers that a format may change, at least, where nobody knows which of them were right."""


@dataclass(frozen=True)
class Exported:
    """One written file and what was measured of it here.

    Attributes:
        path: the file.
        format: one of `convert.FORMATS`.
        size: of the graph, in bytes; the card comes on top.
        operations: in the graph.
        accuracy: top-1 on the test split, 0-1; None for a model of other classes than CIFAR-10's.
        test_images: how many that was measured with.
        held_out: top-1 on the held-out training images, 0-1; or None.
        drop: what float32 has more of that, on the same images, 0-1; or None.
        from_keras: compared with the Keras model.
        from_float32: compared with the float32 `.tflite`.
        signal_to_noise: of each layer quantized to int8, in dB; empty for other formats.
        latency: of one image here; all formats are timed in turn.
    """

    path: Path
    format: str
    size: int
    operations: int
    accuracy: float | None
    test_images: int
    held_out: float | None
    drop: float | None
    from_keras: Comparison
    from_float32: Comparison
    signal_to_noise: dict[str, float]
    latency: Latency

    @property
    def worst_layers(self) -> str:
        """The layers that quantization disturbs most, as text; empty for other formats than int8."""
        return worst_layers(self.signal_to_noise)


@dataclass(frozen=True)
class _Converted:
    """A model that is not written yet, and its answers to the images of its exam."""

    path: Path
    format: str
    graph: bytes
    model: EdgeModel
    exam: Exam
    answers: NDArray[np.float32]
    signal_to_noise: dict[str, float]

    def drop(self, float32: _Converted) -> float | None:
        before = self.exam.held_out_accuracy(float32.answers)
        after = self.exam.held_out_accuracy(self.answers)
        return None if before is None or after is None else before - after

    def compared_with(self, answers: NDArray[np.float32]) -> Comparison:
        return compare(self.answers, answers[: len(self.answers)])


def export(
    source: Source,
    data: Cifar10,
    formats: Sequence[str] = ("float32",),
    calibration: Calibration | None = None,
    max_drop: float = 1.0,
) -> list[Exported]:
    """Convert a classifier to `.tflite` files beside it, with `export.json`, every figure, and for int8 `export.png`.

    Args:
        source: from `load_source`.
        data: its training images verify and calibrate, its test images give the accuracy.
        formats: some of `convert.FORMATS`.
        calibration: by default some training images.
        max_drop: of top-1 on held-out images against float32, in points. For a model of other
            classes than CIFAR-10's: of answers that change, and no less than `CHANGED`.

    Returns:
        What was written. If anything fails, that is nothing, and what stood there before stays.

    Raises:
        UsageError: no such format, or no such drop.
        ExportError: the labels or the pixel range are not the network's, TensorFlow cannot convert
            it, or what it made is not as good as it has to be.
    """
    if unknown := set(formats) - FORMATS.keys():
        raise UsageError(f"unknown format {', '.join(sorted(unknown))}; choose from {', '.join(FORMATS)}")
    if not 0 <= max_drop <= 100:
        raise UsageError(f"--max-drop {max_drop:g}: give a number of points from 0 to 100, as in 1.0")
    if source.of_cifar10:
        check_told(source, data.train)
    calibration = calibration or from_training_set(data.train)
    exam = exam_for(source, data, calibration)
    network = source.classifier()
    by_keras = predict(network, exam.images)
    float32 = _convert(source, network, "float32", calibration, exam)
    check_float32(source.file, float32.compared_with(by_keras))
    if not set(CALIBRATED).isdisjoint(formats):
        check_no_loops(float32.graph)
    models = []
    for name in formats:
        model = float32 if name == "float32" else _convert(source, network, name, calibration, exam)
        _check_loss(model, float32, max_drop)
        models.append(model)

    latencies = measure([litert(model.graph) for model in models])
    files = [_figures(*pair, float32, by_keras) for pair in zip(models, latencies, strict=True)]
    record = {
        "source": source.file.name,
        "labels": source.labels,
        "pixel_range": source.pixel_range,
        "calibration": calibration.facts(),
        "max_drop": max_drop,
        "test_sha256": exam.test.digest if exam.test else None,
        "keras": {
            "accuracy": exam.test_accuracy(functools.partial(predict, network)),
            "held_out": exam.held_out_accuracy(by_keras),
        },
        "versions": _versions(),
        "files": [asdict(file) | {"path": file.path.name} for file in files],
    }
    with contextlib.ExitStack() as stack:  # gives all files their names when all are on the disk
        for model, file in zip(models, files, strict=True):
            content = _card(source, model, file).sealed(model.graph)
            stack.enter_context(atomic(file.path)).write_bytes(content)
            if model.format == "int8":
                figure = quantization_figure(model.signal_to_noise, float32.answers, model.answers, source.labels)
                figure.savefig(stack.enter_context(atomic(source.file.with_name("export.png"))))
        partial = stack.enter_context(atomic(source.file.with_name("export.json")))
        partial.write_text(json.dumps(record, indent=2) + "\n")
    return files


def load_graph(graph: bytes) -> EdgeModel:
    """Return a converted model, without its card, ready to be tried."""
    # LiteRT maps the file into memory and keeps it, whatever becomes of its name.
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(graph)
        file.flush()
        return EdgeModel(file.name, pixel_range=(0.0, 255.0))


def _convert(source: Source, network: keras.Model, name: str, calibration: Calibration, exam: Exam) -> _Converted:
    path = source.file.with_name(f"{source.name}-{name}.tflite")
    calibrating = resized(calibration.images, source.size)
    graph = convert(network, name, calibrating)
    model = load_graph(graph)
    if name in SLOW:
        exam = exam.shortened()
    debugged = exam.images[:: len(exam.images) // DEBUGGED]
    layers = signal_to_noise(network, calibrating, debugged) if name == "int8" else {}
    return _Converted(path, name, graph, model, exam, model.predict(exam.images), layers)


def _check_loss(model: _Converted, float32: _Converted, max_drop: float) -> None:
    """Raise `ExportError` if a format loses too much of float32's accuracy or, if that is unknown, of its answers."""
    lost, limit, of_what = model.drop(float32), max_drop, "points of top-1 on held-out images"
    if lost is None:
        lost, limit, of_what = (
            1 - model.compared_with(float32.answers).agreement,
            max(max_drop, CHANGED),
            "% of answers",
        )
    if 100 * lost <= limit:
        return
    disturbed = f"; most disturbed are {worst_layers(model.signal_to_noise)}" if model.signal_to_noise else ""
    advice = "--formats float32"
    if model.format in CALIBRATED:
        advice = "more --calibration-images, photos as it will see them (--calibration DIR), or --formats float16"
    raise ExportError(
        f"{model.path}: nothing is written, because {model.format} loses {100 * lost:.1f} {of_what}, more than "
        f"{limit:g} (--max-drop){disturbed}; try {advice}"
    )


def _figures(model: _Converted, latency: Latency, float32: _Converted, by_keras: NDArray[np.float32]) -> Exported:
    return Exported(
        path=model.path,
        format=model.format,
        size=len(model.graph),
        operations=len(operations(model.graph)),
        accuracy=model.exam.test_accuracy(model.model.predict),
        test_images=len(model.exam.test.images) if model.exam.test else 0,
        held_out=model.exam.held_out_accuracy(model.answers),
        drop=model.drop(float32),
        from_keras=model.compared_with(by_keras),
        from_float32=model.compared_with(float32.answers),
        signal_to_noise=model.signal_to_noise,
        latency=latency,
    )


def _card(source: Source, model: _Converted, figures: Exported) -> Card:
    return Card(
        name=source.network.name,
        format=model.format,
        labels=source.labels,
        height=model.model.height,
        width=model.model.width,
        pixel_range=(0.0, 255.0),
        fit="crop",
        input_quantization=model.model.input_quantization,
        output_quantization=model.model.output_quantization,
        accuracy=figures.accuracy,
        test_sha256=model.exam.test.digest if model.exam.test else None,
        run=source.file.resolve().parent.name,
        versions=_versions(),
        licence="MIT" if source.is_ours else None,  # that of what we train
    )


def _versions() -> dict[str, str]:
    return {package: version(package) for package in ("cifar-edge", "keras", "tensorflow", "ai-edge-litert")}
