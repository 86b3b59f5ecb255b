"""What every run begins with: model, options and workers, checked before any work."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cifar_edge.errors import UsageError
from cifar_edge.photos import decode
from cifar_edge.photos.own_process import TIMEOUT
from cifar_edge.results.request import Options
from cifar_edge.system.machine import default_workers
from cifar_edge.system.uris import Uri
from cifar_edge.tflite.model import EdgeModel

AUTO = "auto"
MIN_CONFIDENCE = 0.0

REMOTE_READERS = 8  # threads for each worker where photos come over a network; one of them decodes, the others wait


class Setup(NamedTuple):
    """A model, the options of the rows, and how many threads decode."""

    model: EdgeModel
    options: Options
    workers: int


def set_up(
    model: str | Path | EdgeModel,
    workers: int | None = None,
    *,
    fit: str | None = None,
    exif_thumbnails: bool = False,
    top_k: int = 1,
    min_confidence: float | str = MIN_CONFIDENCE,
    timeout: float = TIMEOUT,
) -> Setup:
    """Load a model and check the options of a run.

    Args:
        model: a `.tflite` file, a name, or an `EdgeModel`.
        workers: threads that decode; by default one for each processor, fewer where there is little memory.
        fit: by default as the model's card says.
        exif_thumbnails: see `Options`.
        top_k: see `Options`.
        min_confidence: see `Options`; "auto" for the threshold of the model's card.
        timeout: see `Options`.

    Raises:
        UsageError: an option is out of range, or there is no such model.
        ModelError: the model cannot be used.
    """
    model = model if isinstance(model, EdgeModel) else EdgeModel(model)
    if workers is not None and workers < 1:
        raise UsageError(f"workers {workers}: give 1 or more")
    if not 1 <= top_k <= len(model.labels):
        raise UsageError(f"top-k {top_k}: {model.path} has {len(model.labels)} classes; ask for 1 up to as many")
    min_confidence = confidence_for(model, min_confidence)
    if not timeout > 0:
        raise UsageError(f"timeout {timeout:g}: give a number of seconds above 0")
    fit = fit or (model.card.fit if model.card else decode.FIT)
    decode.check_fit(fit)
    return Setup(model, Options(fit, exif_thumbnails, top_k, min_confidence, timeout), workers or default_workers())


def confidence_for(model: EdgeModel, min_confidence: float | str) -> float:
    """Return the confidence, 0-1, below which a photo's label is "unknown"; "auto" is the model's own threshold.

    Raises:
        UsageError: out of range, or the model has no threshold.
    """
    if min_confidence == AUTO:
        if not model.card or model.card.threshold is None:
            raise UsageError(
                f"min-confidence auto: {model.path} has no threshold of its own; give a number from 0 to 1"
            )
        return model.card.threshold
    if isinstance(min_confidence, str) or not 0 <= min_confidence <= 1:
        raise UsageError(f"min-confidence {min_confidence}: a probability is from 0 to 1, or auto")
    return min_confidence


def readers_for(workers: int, places: Iterable[Path | Uri]) -> int:
    """Return how many threads `classify_files` needs for as many workers to have work."""
    return workers * (REMOTE_READERS if any(isinstance(place, Uri) for place in places) else 1)
