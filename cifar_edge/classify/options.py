"""Options of a run, and what they are if nobody says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cifar_edge.errors import UsageError
from cifar_edge.photos import decode
from cifar_edge.system import uris
from cifar_edge.system.machine import default_workers
from cifar_edge.tflite.model import EdgeModel

REMOTE_READERS = 8  # threads for each worker where photos come over a network; one of them decodes, the others wait


def workers_for(asked: int | None) -> int:
    """Return how many threads decode: as many as asked for, or else what suits this computer.

    Raises:
        UsageError: none are asked for.
    """
    if asked is None:
        return default_workers()
    if asked < 1:
        raise UsageError(f"workers {asked}: it takes one at least")
    return asked


def readers_for(workers: int, places: Iterable[Path | str]) -> int:
    """Return how many threads `classify_files` needs for as many workers to have work."""
    return workers * (REMOTE_READERS if any(map(uris.is_remote, places)) else 1)


def default_fit(model: EdgeModel) -> str:
    """Return how photos are made to fit if nobody says: as the model's card says."""
    return model.card.fit if model.card else decode.FIT
