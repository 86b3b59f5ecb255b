"""A model's card: labels, preprocessing, provenance and accuracy, carried inside the `.tflite` file.

The card is a zip archive appended to the flatbuffer, as TFLite metadata carries its label files:
`unzip -l model.tflite` lists it, and every TFLite runtime ignores it. The graph's metadata holds a digest
of the whole file, so graph and card can only change together.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import reprlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cifar_edge.errors import ModelError, first_line
from cifar_edge.photos.decode import FITS

MOST_LABELS = 50_000
"""Classes of a model; ImageNet has 21,841."""

MOST_PIXELS = 4096 * 4096
"""Pixels of a model's input."""

# Bytes of the two files, and of the end of the `.tflite` file that holds them.
_JSON, _LABELS, _END = 1 << 16, 1 << 20, 1 << 21

_TEXT, _LABEL = 1000, 200  # characters of a field, and of a label

# A fixed time keeps exports of the same run byte-identical; a zip file cannot hold an earlier one.
_EPOCH = (1980, 1, 1, 0, 0, 0)

# The entry is in the graph's metadata, so that a card that was cut off or replaced is noticed.
_ENTRY = "CIFAR_EDGE_CARD"

_SEAL = b"cifar-edge card; SHA-256 of all else in this file: "

_DIGEST = 32  # bytes


@dataclass(frozen=True)
class Card:
    """Description of a model.

    Attributes:
        name: of the network.
        format: "float32", "float16", "dynamic", "int8" or "int16x8".
        labels: class names, in the order of the outputs.
        height: of the input, in pixels.
        width: of the input, in pixels.
        pixel_range: what black and white are in the input before quantization.
        fit: how a photo is brought to that size: "crop", "pad" or "stretch", see `images.load`.
        input_quantization: scale and zero point; (0, 0) for a float input.
        output_quantization: scale and zero point; (0, 0) for a float output.
        accuracy: top-1 on test images, 0-1, or None if it has not been measured.
        test_images: on how many of them, the first of the split.
        test_sha256: digest of the whole test split, or None.
        run: name of the training run it came from, or None.
        versions: of what converted it.
        licence: of the model, or None if it is not known.
        temperature: by which its logits are divided, or None if none was fitted.
        threshold: the confidence, 0-1, below which a photo is unknown; or None if none was fitted.
    """

    name: str
    format: str
    labels: tuple[str, ...]
    height: int
    width: int
    pixel_range: tuple[float, float]
    fit: str
    input_quantization: tuple[float, int]
    output_quantization: tuple[float, int]
    accuracy: float | None
    test_images: int
    test_sha256: str | None
    run: str | None
    versions: dict[str, str]
    licence: str | None
    temperature: float | None = None
    threshold: float | None = None

    def behind(self, graph: bytes) -> bytes:
        """Return the content of a `.tflite` file: a graph from `with_place_for_seal`, then this card, sealed."""
        fields = asdict(self)
        labels = "".join(f"{label}\n" for label in fields.pop("labels"))
        file = io.BytesIO(graph)
        with zipfile.ZipFile(file, "a") as archive:
            for name, content in (("card.json", json.dumps(fields, indent=2) + "\n"), ("labels.txt", labels)):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
        return seal(file.getvalue())


def with_place_for_seal(graph: bytes) -> bytes:
    """Return a graph with an entry in its metadata that `Card.behind` fills."""
    from cifar_edge.tflite.graph import with_metadata  # slow to import, and reading a card does without

    return with_metadata(graph, _ENTRY, _SEAL + bytes(_DIGEST))


def seal(content: bytes) -> bytes:
    """Put the digest of a whole file, graph and card, into the place that its graph keeps for it."""
    start = content.find(_SEAL) + len(_SEAL)
    return content[:start] + _digest(content, start) + content[start + _DIGEST :]


def read_card(content: bytes, path: Path) -> Card | None:
    """Read the card in a `.tflite` file's bytes; None if its graph does not say that there is one.

    Args:
        content: of the file.
        path: of the file, for errors.

    Raises:
        ModelError: graph and card are not together what they were when the file was written, or a field is wrong:
            anybody can compute the digest.
    """
    if _SEAL not in content and _ENTRY.encode() not in content:
        return None
    start = content.find(_SEAL) + len(_SEAL)
    if content[start : start + _DIGEST] != _digest(content, start):
        raise ModelError(f"{path}: edited or cut off since it was written; copy or export the model again")
    try:
        fields = _unpacked(content)
    except Exception as error:  # a damaged archive makes `zipfile` raise anything
        reason = first_line(error)[:_TEXT]
        raise ModelError(f"{path}: its card cannot be read ({reason}); export the model again") from error
    fields = _LATER | fields
    for name, field in _FIELDS.items():
        if name not in fields:
            raise ModelError(f"{path}: its card has no {name}; use the cifar-edge that wrote it, or export again")
        if not field.accepts(fields[name]):
            found = reprlib.repr(fields[name])
            raise ModelError(f"{path}: its card's {name} should be {field.kind}, not {found}; export the model again")
    known = ((name, fields[name]) for name in _FIELDS)  # a later version may add to them
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in known}
    return Card(**values)


def _digest(content: bytes, start: int) -> bytes:
    """Return the digest of a whole file but for the one that begins at `start`."""
    digest = hashlib.sha256(memoryview(content)[:start])
    digest.update(memoryview(content)[start + _DIGEST :])
    return digest.digest()


def _unpacked(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content[-_END:])) as archive:
        labels = _member(archive, "labels.txt", _LABELS).decode(errors="surrogateescape").splitlines()
        return {**json.loads(_member(archive, "card.json", _JSON)), "labels": labels}


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return the content of a file in an archive."""
    members = [member for member in archive.infolist() if member.orig_filename == name]  # `filename` ends at a NUL
    if len(members) != 1:
        raise ValueError(f"{name} is there {len(members)} times")
    if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is neither stored nor deflated")
    if members[0].file_size > most:
        raise ValueError(f"{name} has more than {most:,} bytes")
    with archive.open(members[0]) as file:
        return file.read(most + 1)  # `read()` would first unpack all, also where the directory says less


class _Field(NamedTuple):
    accepts: Callable[[Any], bool]
    kind: str  # in words


def _text(value: Any, most: int = _TEXT) -> bool:
    # JSON can spell half a character, which no file takes; `_unpacked` makes one of what is not UTF-8.
    return isinstance(value, str) and len(value) <= most and not re.search("[\ud800-\udfff]", value)


def _whole(value: Any, low: int = -(1 << 31), high: int = (1 << 31) - 1) -> bool:
    return type(value) is int and low <= value <= high  # True is an `int` too


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= float(np.finfo(np.float32).max)  # NaN is not


def _pair(value: Any, first: Callable[[Any], bool], second: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) == 2 and first(value[0]) and second(value[1])


def _labels(value: list[str]) -> bool:
    return 0 < len(set(value)) == len(value) <= MOST_LABELS and all(
        _text(label, _LABEL) and label.strip() for label in value
    )


_LATER = {"temperature": None, "threshold": None}
"""Fields that older cards lack."""

_WORDS = _Field(_text, f"text of at most {_TEXT} characters")
_WORDS_OR_NULL = _Field(lambda value: value is None or _text(value), f"{_WORDS.kind}, or null")
_SHARE_OR_NULL = _Field(
    lambda value: value is None or (_number(value) and 0 <= value <= 1), "a number from 0 to 1, or null"
)
_SIDE = _Field(lambda value: _whole(value, 1, MOST_PIXELS), f"a whole number from 1 to {MOST_PIXELS}")
_QUANTIZATION = _Field(lambda value: _pair(value, _number, _whole), "a finite scale and a whole zero point")

_FIELDS: Mapping[str, _Field] = {
    "name": _WORDS,
    "format": _WORDS,
    "labels": _Field(_labels, f"1 to {MOST_LABELS} different names of at most {_LABEL} characters"),
    "height": _SIDE,
    "width": _SIDE,
    "pixel_range": _Field(
        lambda value: _pair(value, _number, _number) and bool(np.float32(value[0]) < np.float32(value[1])),
        "two finite numbers, the lower one first",
    ),
    "fit": _Field(FITS.__contains__, f"one of {', '.join(FITS)}"),
    "input_quantization": _QUANTIZATION,
    "output_quantization": _QUANTIZATION,
    "accuracy": _SHARE_OR_NULL,
    "test_images": _Field(lambda value: _whole(value, 0), "a whole number from 0 to 2147483647"),
    "test_sha256": _Field(
        lambda value: value is None or (_text(value) and re.fullmatch("[0-9a-f]{64}", value) is not None),
        "64 hexadecimal digits, or null",
    ),
    "run": _WORDS_OR_NULL,
    "versions": _Field(
        lambda value: isinstance(value, dict) and all(map(_text, [*value, *value.values()])),
        "names and numbers of packages",
    ),
    "licence": _WORDS_OR_NULL,
    "temperature": _Field(lambda value: value is None or (_number(value) and value > 0), "a number above 0, or null"),
    "threshold": _SHARE_OR_NULL,
}
