"""A model described in text: what its graph and its card say."""

from __future__ import annotations

import json
from dataclasses import asdict
from statistics import fmean

from cifar_edge.tflite.graph import operations, parameters
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.tflite.names import MODELS

FIGURES = ("model", "file", "MACs", "latency", "top-1", "ECE", "CIFAR-10-C", "seen in training", "unseen")

UNSEEN = ("zoom_blur", "snow", "frost", "elastic_transform")
"""Families of CIFAR-10-C that `training.augment` has nothing like."""


def shipped() -> list[tuple[str, ...]]:
    """List the models that come with this package, with `FIGURES` as `cifar-edge bench` measured them.

    Latency is that on the computer that `cifar_edge/models/README.md` names; accuracy under corruptions is the mean
    over severities and families, over those that training has seen something like, and over `UNSEEN`.
    """
    content = json.loads((MODELS / "bench.json").read_text())
    families = content["corruptions"]["families"]
    rows: list[tuple[str, ...]] = []
    for model in content["models"]:
        folder, _, name = model["name"].partition("/")
        if folder != MODELS.name:  # a peer, for comparison
            continue
        means = {
            family: fmean(row) for family, row in zip(families, model["robustness"]["corrupted_accuracy"], strict=True)
        }
        seen, unseen = (
            [mean for family, mean in means.items() if (family in UNSEEN) == other] for other in (False, True)
        )
        rows.append(
            (
                name,
                f"{model['size'] / 1000:,.0f} KB",
                f"{model['macs'] / 1e6:.0f} M",
                f"{model['timings'][0]['latency']['median']:.0f} µs",
                f"{model['evaluation']['accuracy']:.2%}",
                f"{model['evaluation']['ece']:.1%}",
                f"{fmean(means.values()):.1%}",
                f"{fmean(seen):.1%}",
                f"{fmean(unseen):.1%}",
            )
        )
    return rows


def describe(model: EdgeModel) -> list[tuple[str, str]]:
    """List what a model's graph says, then what its card says, as pairs of a name and a text."""
    content = model.content
    graph = operations(content, str(model.path))
    kinds = dict.fromkeys(operation.name for operation in graph)
    facts = {
        "input": f"{model.width}x{model.height} pixels, {model.dtype}{_quantized(model.input_quantization)}",
        "output": f"{len(model.labels)} classes{_quantized(model.output_quantization)}",
        "operations": f"{len(graph)} ({', '.join(kinds)})",
        "parameters": f"{parameters(content, str(model.path)):,}",
        "file": f"{len(content):,} bytes",
    }
    if model.card is None:
        return [*facts.items(), ("card", "none")]
    card = asdict(model.card) | {
        "labels": " ".join(model.labels),
        "pixel_range": "{:g} to {:g}".format(*model.pixel_range),
        "versions": ", ".join(f"{name} {number}" for name, number in model.card.versions.items()),
        "accuracy": f"{model.card.accuracy:.2%} of {model.card.test_images:,} test images"
        if model.card.accuracy is not None
        else None,
    }
    shown_above = ("height", "width", "input_quantization", "output_quantization", "test_images")
    shown = {name: "not known" if value is None else str(value) for name, value in card.items()}
    return [*facts.items(), *((name, value) for name, value in shown.items() if name not in shown_above)]


def _quantized(quantization: tuple[float, int]) -> str:
    scale, zero_point = quantization
    return f", scale {scale:g}, zero point {zero_point}" if scale else ""
