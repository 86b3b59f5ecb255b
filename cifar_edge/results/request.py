"""What was asked for, in one line of JSON; a resume with other options is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_edge import __version__
from cifar_edge.errors import UsageError
from cifar_edge.photos.find import absolute
from cifar_edge.photos.own_process import TIMEOUT
from cifar_edge.system.uris import Uri
from cifar_edge.tflite.model import EdgeModel


@dataclass(frozen=True)
class Options:
    """What decides about a row, beside the photo and the model.

    Attributes:
        fit: "crop", "pad" or "stretch", see `photos.decode.load`.
        exif_thumbnails: whether cameras' thumbnails will do, see `photos.decode.load`.
        top_k: classes in a row, the most probable first.
        min_confidence: 0-1; below it the label is "unknown".
        timeout: seconds that decoding one photo may take. A resumed run may have another one.
    """

    fit: str
    exif_thumbnails: bool = False
    top_k: int = 1
    min_confidence: float = 0.0
    timeout: float = TIMEOUT


def request(
    places: Sequence[Path | Uri],
    model: EdgeModel,
    options: Options,
    sort_into: str | Path | None = None,
    link: bool = False,
) -> bytes:
    """Return everything that decides about a run's rows and copies, as JSON in ASCII without a line break."""
    size = f" for {model.width}x{model.height} pixels" if model.image_size else ""
    asked = {
        "version of cifar-edge": __version__,
        "model": f"{model.path.name} with sha256 {hashlib.sha256(model.content).hexdigest()}{size}",
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
    return json.dumps(asked).encode("ascii")


def check_request(place: str, earlier: bytes, now: bytes) -> None:
    """Raise `UsageError` unless the run that left `earlier` at a place was asked for the same as this one."""
    asked = json.loads(now)
    try:
        before = json.loads(earlier)
        same_kind = before.keys() == asked.keys()
    except (ValueError, AttributeError):
        same_kind = False
    if not same_kind:
        raise UsageError(f"{place}: not what a stopped run of this version leaves; move it away")
    for name in asked:
        if before[name] != asked[name]:
            was, wanted = (str(value)[:80] for value in (before[name], asked[name]))
            raise UsageError(
                f"{place}: began with another {name} ({was}; now {wanted}); "
                "give the same again, or delete it to begin anew"
            )
