"""Write a classifier's `.tflite` files, none of them before it is verified."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_edge.benchmarks.latency import Latency, measure
from cifar_edge.card import Card, graph_digest
from cifar_edge.data import Cifar10, Split, hold_out
from cifar_edge.errors import ExportError, UsageError
from cifar_edge.export.calibration import from_training_set, resized
from cifar_edge.export.convert import FORMATS, convert
from cifar_edge.export.plots import quantization_picture
from cifar_edge.export.source import Source, check_told
from cifar_edge.export.verify import Comparison, check_float32, compare, signal_to_noise, worst_layers
from cifar_edge.files import atomic
from cifar_edge.graph import operations
from cifar_edge.images import FIT
from cifar_edge.metrics import evaluate
from cifar_edge.model import EdgeModel
from cifar_edge.training.inference import predict

VERIFIED = 1_000
"""Images that a model is verified with, at least."""

SLOW = ("int16x8",)
"""Formats that LiteRT runs on its slow reference kernels: judged by the first `VERIFIED` images only."""

DEBUGGED = 100  # images that give a layer's signal to noise; more move it by tenths of a dB


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
        drop: top-1 on held-out images, what float32 has more than this, 0-1; or None.
        from_keras: compared with the Keras model.
        from_float32: compared with the float32 `.tflite`.
        signal_to_noise: of each layer quantized to int8, in dB; empty for other formats.
        latency: of one image here; all formats are timed in turn when the last one is written.
    """

    path: Path
    format: str
    size: int
    operations: int
    accuracy: float | None
    test_images: int
    drop: float | None
    from_keras: Comparison
    from_float32: Comparison
    signal_to_noise: dict[str, float]
    latency: Latency

    @property
    def worst_layers(self) -> str:
        """The layers that quantization disturbs most, as text; empty for other formats than int8."""
        return worst_layers(self.signal_to_noise)


def export(
    source: Source,
    data: Cifar10,
    formats: Sequence[str] = ("float32",),
    calibration: NDArray[np.uint8] | None = None,
    max_drop: float = 1.0,
) -> list[Exported]:
    """Convert a classifier to `.tflite` files beside it, one after the other.

    After the last one follow `export.json`, with every figure, and for int8 `export.png`.

    Args:
        source: from `load_source`.
        data: its held-out training images verify, its test images give the accuracy.
        formats: some of `convert.FORMATS`.
        calibration: uint8, (N, H, W, 3), of the source's size; by default chosen from the training images.
        max_drop: of top-1 on held-out images against float32, in points.

    Returns:
        What was written; a file has its name once it is verified and complete, not before.

    Raises:
        UsageError: no such format.
        ExportError: the labels or the pixel range are not the network's, TensorFlow cannot convert
            it, or what it made is not as good as it has to be.
    """
    if unknown := set(formats) - FORMATS.keys():
        raise UsageError(f"unknown format {', '.join(sorted(unknown))}; choose from {', '.join(FORMATS)}")
    if not math.isfinite(max_drop):
        raise UsageError(f"max-drop {max_drop} is no number of points: give one, as in 1.0")
    if source.of_cifar10:
        check_told(source, hold_out(data.train)[1])
    exam = _exam(source, data)
    if calibration is None:
        calibration = resized(from_training_set(data.train), *source.size)
    network = source.classifier()
    by_keras = predict(network, exam.images)
    float32 = convert(network, "float32", calibration)
    by_float32 = load_graph(float32).predict(exam.images)
    check_float32(source.file, compare(by_float32, by_keras))

    files, written = [], []
    for name in formats:
        path = source.file.with_name(f"{network.name}-{name}.tflite")
        graph = float32 if name == "float32" else convert(network, name, calibration)
        model = load_graph(graph)
        images = exam.images[: VERIFIED if name in SLOW else None]
        answers = model.predict(images)
        layers = {}
        if name == "int8":
            layers = signal_to_noise(network, calibration, images[:: len(images) // DEBUGGED])
        drop = exam.drop(by_float32, answers)
        if drop is not None and 100 * drop > max_drop:
            raise ExportError(_refusal(path, name, drop, max_drop, layers))
        test = exam.test and Split(*(part[: VERIFIED if name in SLOW else None] for part in exam.test))
        accuracy = evaluate(model.predict(test.images), test.labels).accuracy if test else None
        with atomic(path) as partial:
            partial.write_bytes(graph)
            _card(source, name, model, graph, accuracy, test).append_to(partial)
        written.append(path)
        files.append(
            functools.partial(
                Exported,
                path=path,
                format=name,
                size=len(graph),
                operations=len(operations(graph)),
                accuracy=accuracy,
                test_images=len(test.images) if test else 0,
                drop=drop,
                from_keras=compare(answers, by_keras[: len(answers)]),
                from_float32=compare(answers, by_float32[: len(answers)]),
                signal_to_noise=layers,
            )
        )
        if name == "int8":
            quantization_picture(layers, by_float32, answers, source.labels, path.with_name("export.png"))
    latencies = measure([EdgeModel(path) for path in written])
    exported = [file(latency=latency) for file, latency in zip(files, latencies, strict=True)]
    _write_record(source, calibration, max_drop, exported)
    return exported


@dataclass(frozen=True)
class _Exam:
    """What every format is asked: images to verify with, of the first ones the classes, and test images."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    test: Split | None

    def drop(self, reference: NDArray[np.float32], answers: NDArray[np.float32]) -> float | None:
        """What `reference` has more of top-1 than `answers`, on as many held-out images as both saw."""
        if self.labels is None:
            return None
        labels = self.labels[: len(answers)]
        before, after = (evaluate(scores[: len(labels)], labels).accuracy for scores in (reference, answers))
        return before - after


def _exam(source: Source, data: Cifar10) -> _Exam:
    learned, held_out = hold_out(data.train)
    # The sample has fewer held-out images than it takes: the rest tells differences, not accuracy.
    missing = max(0, VERIFIED - len(held_out.images))
    others = np.random.default_rng(0).permutation(len(learned.images))[:missing]
    images = np.concatenate([held_out.images, learned.images[others]])
    if not source.of_cifar10:
        return _Exam(resized(images[:VERIFIED], *source.size), None, None)
    return _Exam(images, source.relabelled(held_out).labels, source.relabelled(data.test))


def load_graph(graph: bytes) -> EdgeModel:
    """Return a converted model, without its card, ready to be tried."""
    # LiteRT maps the file into memory and keeps it, whatever becomes of its name.
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(graph)
        file.flush()
        return EdgeModel(file.name, pixel_range=(0.0, 255.0))


def _refusal(path: Path, name: str, drop: float, max_drop: float, layers: dict[str, float]) -> str:
    disturbed = f"; most disturbed are {worst_layers(layers)}" if layers else ""
    return (
        f"{path}: not written: {name} loses {100 * drop:.1f} points of top-1 on held-out images, more than "
        f"--max-drop {max_drop:g}{disturbed}; try more --calibration-images, photos as the model will see "
        "them (--calibration DIR), or --formats float16"
    )


def _card(
    source: Source, name: str, model: EdgeModel, graph: bytes, accuracy: float | None, test: Split | None
) -> Card:
    return Card(
        name=source.network.name,
        format=name,
        labels=source.labels,
        height=model.height,
        width=model.width,
        pixel_range=(0.0, 255.0),
        fit=FIT,
        input_quantization=model.input_quantization,
        output_quantization=model.output_quantization,
        accuracy=accuracy,
        test_sha256=test.digest if test else None,
        run=source.file.resolve().parent.name,
        versions=_versions(),
        licence="MIT" if (source.file.parent / "run.json").exists() else None,  # that of what we train
        graph_sha256=graph_digest(graph),
    )


def _versions() -> dict[str, str]:
    return {package: version(package) for package in ("cifar-edge", "keras", "tensorflow", "ai-edge-litert")}


def _write_record(source: Source, calibration: NDArray[np.uint8], max_drop: float, files: list[Exported]) -> None:
    record: dict[str, Any] = {
        "source": source.file.name,
        "labels": source.labels,
        "pixel_range": source.pixel_range,
        "calibration": {
            "images": len(calibration),
            "sha256": hashlib.sha256(np.ascontiguousarray(calibration).data).hexdigest(),
        },
        "max_drop": max_drop,
        "versions": _versions(),
        "files": [asdict(file) | {"path": file.path.name} for file in files],
    }
    with atomic(source.file.with_name("export.json")) as path:
        path.write_text(json.dumps(record, indent=2) + "\n")
