"""What a run was asked for; a resume with other options is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_edge import __version__
from cifar_edge.errors import UsageError
from cifar_edge.photos.find import absolute
from cifar_edge.tflite.model import EdgeModel


@dataclass(frozen=True)
class Options:
    """What decides about a row besides photo and model; see `classify_folder`."""

    fit: str
    exif_thumbnails: bool = False
    top_k: int = 1
    min_confidence: float = 0.0


def check_request(place: str, first: bytes, request: bytes) -> None:
    """Raise `UsageError` unless the run that began with the line `first` at a place was asked for the same."""
    now = json.loads(request)
    try:
        earlier = json.loads(first)
        same_kind = earlier.keys() == now.keys()
    except (ValueError, AttributeError):
        same_kind = False
    if not same_kind:
        raise UsageError(f"{place}: not what a stopped run of this version leaves; move it away")
    for name in now:
        if earlier[name] != now[name]:
            was, wanted = (str(value)[:80] for value in (earlier[name], now[name]))
            raise UsageError(
                f"{place}: began with another {name} ({was}; now {wanted}); "
                "give the same again, or delete it to begin anew"
            )


def request(
    places: Sequence[Path | str],
    model: EdgeModel,
    options: Options,
    sort_into: str | Path | None = None,
    link: bool = False,
) -> dict[str, Any]:
    """Return what decides about the rows and copies, for a `Journal` or a `DataSet`."""
    return {
        "version of cifar-edge": __version__,
        "model": f"{model.path.name} with sha256 {hashlib.sha256(model.path.read_bytes()).hexdigest()}",
        "choice of labels": model.labels,
        "pixel range": model.pixel_range,
        "working folder": None if places == absolute(places) else str(Path.cwd()),
        "choice of paths": [str(path) for path in places],
        "fit": options.fit,
        "use of thumbnails": options.exif_thumbnails,
        "top-k": options.top_k,
        "min-confidence": options.min_confidence,
        "folder to sort into": None if sort_into is None else str(Path(sort_into).absolute()),
        "kind of copies": "links" if link else "files",
    }
