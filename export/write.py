"""Write a classifier's `.tflite` files: all of them, once every one is verified, or none."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_edge.data import Cifar10
from cifar_edge.errors import ExportError, UsageError
from cifar_edge.export.calibration import Calibration, calibration_from, resized
from cifar_edge.export.check_labels import check_labels
from cifar_edge.export.convert import CALIBRATED, FORMATS, control_flow, convert
from cifar_edge.export.plots import quantization_figure
from cifar_edge.export.source import Source
from cifar_edge.export.verification_images import VerificationImages, verification_images_for
from cifar_edge.export.verify import Comparison, check_float32, compare, signal_to_noise, worst_layers
from cifar_edge.system.files import check_replaceable, only_process, write_together
from cifar_edge.system.machine import versions
from cifar_edge.system.timing import Latency, measure
from cifar_edge.tflite.card import Card, with_place_for_seal
from cifar_edge.tflite.graph import operations
from cifar_edge.tflite.interpreter import litert
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.training.keras_file import predict
from cifar_edge.training.photo_set import Photos

CONVERTERS = ("cifar-edge", "keras", "tensorflow", "ai-edge-litert")
"""Packages whose versions decide about the bytes of an export."""

RAW_PIXELS = (0.0, 255.0)
"""Black and white in everything that is exported; scaling lives inside the graph."""

DEBUGGED = 100  # images that give a layer's signal to noise; more move it by tenths of a dB

MAX_DROP = 1.0
"""The default of how many points of top-1 a format may lose."""

MAX_CHANGED = 10.0
"""The default of how many points of answers may change where the truth is unknown."""


@dataclass(frozen=True)
class Exported:
    """One written file and its measurements here.

    Attributes:
        path: the file.
        format: one of `convert.FORMATS`.
        size: of the file, in bytes.
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
    """A model that is not written yet, and its answers to the verification images."""

    path: Path
    card: Card
    graph: bytes
    model: EdgeModel
    answers: NDArray[np.float32]
    signal_to_noise: dict[str, float]


def export(
    source: Source,
    data: Cifar10 | Photos,
    formats: Sequence[str] = ("float32",),
    calibration: Calibration | None = None,
    max_drop: float | None = None,
    licence: str | None = None,
) -> list[Exported]:
    """Convert a classifier to `.tflite` files beside it, with `export.json`, every figure, and for int8 `export.png`.

    Beside other files than a run's, these are called after the file, as in `name-export.json`.

    Args:
        source: from `load_source`.
        data: its training images verify and calibrate, its test images give the accuracy. The photos of a run on the
            user's own, decoded at the network's size; else CIFAR-10.
        formats: some of `convert.FORMATS`.
        calibration: by default some training images.
        max_drop: of top-1 on held-out images against float32, in points, `MAX_DROP` by default. For a model
            of other classes than CIFAR-10's: of answers that change, `MAX_CHANGED` by default.
        licence: of the model, for its card.

    Returns:
        The written files. If anything fails, nothing is written, and older files stay.

    Raises:
        UsageError: no such format, no such drop, or another process exports to the same folder.
        ExportError: the labels or the pixel range are not the network's, TensorFlow cannot convert
            it, or what it made is not as good as it has to be.
    """
    if unknown := set(formats) - FORMATS.keys():
        raise UsageError(f"unknown format {', '.join(sorted(unknown))}; choose from {', '.join(FORMATS)}")
    if max_drop is not None and not 0 <= max_drop <= 100:
        raise UsageError(f"--max-drop {max_drop:g}: give a number of points from 0 to 100, as in 1.0")
    for path in (_record(source, ".json"), _record(source, ".png"), *(_model(source, name) for name in formats)):
        check_replaceable(path)
    if calibration is None:
        calibration = calibration_from(data, source.size)
    with only_process(source.file.parent):
        if source.of_cifar10 and not isinstance(data, Photos):
            check_labels(source, data.train)
        checked = verification_images_for(source, data, calibration)
        by_keras = predict(source.classifier(), checked.images)
        float32 = _convert(source, "float32", calibration, checked, licence)
        check_float32(source.file, compare(float32.answers, by_keras))
        if (loops := control_flow(float32.graph)) and not set(CALIBRATED).isdisjoint(formats):
            raise ExportError(
                f"{source.file}: int8 and int16x8 are not for a model with {', '.join(loops)}, a loop or branch; "
                "export it as float32, float16 or dynamic"
            )
        models = []
        for name in formats:
            model = float32 if name == "float32" else _convert(source, name, calibration, checked, licence)
            _check_loss(model, float32, checked, max_drop)
            models.append(model)
        record = {
            "source": source.file.name,
            "labels": source.labels,
            "pixel_range": source.pixel_range,
            "calibration": calibration.facts(),
            "max_drop": max_drop,
            "test_sha256": checked.test_sha256,
            "keras": {
                "accuracy": checked.test_accuracy(functools.partial(predict, source.classifier())),
                "held_out": checked.held_out_accuracy(by_keras),
            },
            "versions": versions(*CONVERTERS),
        }
        return _write(source, models, float32, by_keras, checked, record)


def _model(source: Source, name: str) -> Path:
    return source.file.with_name(f"{source.name}-{name}.tflite")


def _record(source: Source, suffix: str) -> Path:
    return source.file.with_name(f"{'' if source.run else f'{source.name}-'}export{suffix}")


def _convert(
    source: Source, name: str, calibration: Calibration, checked: VerificationImages, licence: str | None
) -> _Converted:
    path = _model(source, name)
    network, images = source.classifier(), resized(calibration.images, source.size)
    converted = convert(network, name, images)
    bare = EdgeModel.from_bytes(converted, path.name, pixel_range=RAW_PIXELS)
    card = Card(
        name=source.network.name,
        format=name,
        labels=source.labels,
        height=bare.height,
        width=bare.width,
        pixel_range=RAW_PIXELS,
        fit=source.fit,
        input_quantization=bare.input_quantization,
        output_quantization=bare.output_quantization,
        accuracy=None,  # until it has been measured
        test_images=len(checked.test.images) if checked.test else 0,
        test_sha256=checked.test_sha256,
        run=source.file.resolve().parent.name if source.run else None,
        versions=versions(*CONVERTERS),
        licence=licence,
        **source.confidence,
    )
    graph = with_place_for_seal(converted)
    # What is tried is what will be written, but for the accuracy.
    model = EdgeModel.from_bytes(card.behind(graph), path.name)
    debugged = checked.images[:: max(1, len(checked.images) // DEBUGGED)]
    layers = signal_to_noise(network, images, debugged) if name == "int8" else {}
    return _Converted(path, card, graph, model, model.predict(checked.images), layers)


def _check_loss(model: _Converted, float32: _Converted, checked: VerificationImages, max_drop: float | None) -> None:
    """Raise `ExportError` if a format loses too much of float32's accuracy or, if that is unknown, of its answers."""
    lost, limit, of_what = _drop(model, float32, checked), MAX_DROP, "points of top-1 on held-out images"
    if lost is None:
        lost, limit, of_what = 1 - compare(model.answers, float32.answers).agreement, MAX_CHANGED, "% of answers"
    limit = limit if max_drop is None else max_drop
    if round(100 * lost, 6) <= limit:  # 0.9 - 0.89 is more than 0.01
        return
    disturbed = f"; most disturbed are {worst_layers(model.signal_to_noise)}" if model.signal_to_noise else ""
    advice = "--formats float32"
    if model.card.format in CALIBRATED:
        advice = "more --calibration-images, photos as it will see them (--calibration DIR), or --formats float16"
    raise ExportError(
        f"{model.path}: nothing is written, because {model.card.format} loses {100 * lost:.2f} {of_what}, more than "
        f"{limit:g} (--max-drop){disturbed}; try {advice}"
    )


def _drop(model: _Converted, float32: _Converted, checked: VerificationImages) -> float | None:
    before, after = checked.held_out_accuracy(float32.answers), checked.held_out_accuracy(model.answers)
    return None if before is None or after is None else before - after


def _write(
    source: Source,
    models: Sequence[_Converted],
    float32: _Converted,
    by_keras: NDArray[np.float32],
    checked: VerificationImages,
    record: dict[str, Any],
) -> list[Exported]:
    """Measure verified models and write them, with the record and the picture."""
    files, contents = [], {}
    for model, latency in zip(models, measure([litert(model.graph) for model in models]), strict=True):
        accuracy = checked.test_accuracy(model.model.predict)
        contents[model.path] = replace(model.card, accuracy=accuracy).behind(model.graph)
        files.append(
            Exported(
                path=model.path,
                format=model.card.format,
                size=len(contents[model.path]),
                operations=len(operations(model.graph)),
                accuracy=accuracy,
                test_images=model.card.test_images,
                held_out=checked.held_out_accuracy(model.answers),
                drop=_drop(model, float32, checked),
                from_keras=compare(model.answers, by_keras),
                from_float32=compare(model.answers, float32.answers),
                signal_to_noise=model.signal_to_noise,
                latency=latency,
            )
        )
        if model.card.format == "int8":
            picture = io.BytesIO()
            quantization_figure(model.signal_to_noise, float32.answers, model.answers, source.labels).savefig(picture)
            contents[_record(source, ".png")] = picture.getvalue()
    record["files"] = [asdict(file) | {"path": file.path.name} for file in files]
    contents[_record(source, ".json")] = f"{json.dumps(record, indent=2)}\n".encode()
    write_together(contents)
    return files
