"""A model's card: labels, preprocessing, provenance and accuracy, carried inside the `.tflite` file.

The card is a zip archive appended to the flatbuffer, as TFLite metadata carries its label files:
`unzip -l model.tflite` lists it, and every TFLite runtime ignores it. The graph's metadata holds a digest
of the whole file, so graph and card can only change together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from cifar_edge.errors import ModelError

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
    before, _, after = _parts(content)
    return before + _digest(before, after) + after


def read_card(content: bytes, path: Path) -> Card | None:
    """Read the card in a `.tflite` file's bytes; None if its graph does not say that there is one.

    Args:
        content: of the file.
        path: of the file, for errors.

    Raises:
        ModelError: graph and card are not together what they were when the file was written.
    """
    if _SEAL not in content and _ENTRY.encode() not in content:
        return None
    before, sealed, after = _parts(content)
    if sealed != _digest(before, after):
        raise ModelError(f"{path}: edited or cut off since it was written; copy or export the model again")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            labels = archive.read("labels.txt").decode().splitlines()
            fields = json.loads(archive.read("card.json"))
        known = {field.name for field in dataclasses.fields(Card)}  # a later version may add to them
        pairs = {name: tuple(fields[name]) for name in ("pixel_range", "input_quantization", "output_quantization")}
        return Card(labels=tuple(labels), **{name: fields[name] for name in fields.keys() & known} | pairs)
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path}: its card is of another version ({error!r}); use the cifar-edge that wrote it, or export again"
        ) from error


def _parts(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Split a file at its seal: what stands before the digest, the digest, and what follows."""
    start = content.find(_SEAL) + len(_SEAL)
    return content[:start], content[start : start + _DIGEST], content[start + _DIGEST :]


def _digest(before: bytes, after: bytes) -> bytes:
    return hashlib.sha256(before + after).digest()
