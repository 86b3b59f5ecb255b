"""A model's card: what the graph does not say, carried inside the `.tflite` file.

The card is a zip archive appended to the flatbuffer, as TFLite metadata carries its label files:
`unzip -l model.tflite` lists it, and every TFLite runtime ignores it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from cifar_edge.errors import ModelError

# A fixed time keeps exports of the same run byte-identical; a zip file cannot hold an earlier one.
_EPOCH = (1980, 1, 1, 0, 0, 0)

# The header of the archive's first entry. It is looked for by itself, so that a card whose end is cut
# off is not overlooked; TFLite metadata, appended in the same way, has no such entry.
_HEADER = re.compile(rb"PK\x03\x04.{26}card\.json", re.DOTALL)


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
        accuracy: top-1 on the test split, 0-1, or None if it has not been measured.
        test_sha256: digest of that test split, or None.
        run: name of the training run it came from.
        versions: of what converted it.
        licence: of the model, or None if it is not known.
        graph_sha256: digest of the file without the card.
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
    test_sha256: str | None
    run: str
    versions: dict[str, str]
    licence: str | None
    graph_sha256: str

    def append_to(self, model: Path) -> None:
        """Append this card to a `.tflite` file that has none."""
        fields = asdict(self)
        labels = "".join(f"{label}\n" for label in fields.pop("labels"))
        with zipfile.ZipFile(model, "a") as archive:
            for name, content in (("card.json", json.dumps(fields, indent=2) + "\n"), ("labels.txt", labels)):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def graph_digest(graph: bytes) -> str:
    """Return the digest that a card holds of its graph."""
    return hashlib.sha256(graph).hexdigest()


def read_card(model: Path) -> Card | None:
    """Read the card of a `.tflite` file; None if it carries none, or other metadata only.

    Raises:
        ModelError: there is one, but it is damaged or describes another graph.
    """
    content = model.read_bytes()
    if not _HEADER.search(content):
        return None
    try:
        with zipfile.ZipFile(model) as archive:
            labels = archive.read("labels.txt").decode().splitlines()
            fields = json.loads(archive.read("card.json"))
            start = min(entry.header_offset for entry in archive.infolist())
        known = {field.name for field in dataclasses.fields(Card)}  # a later version may add to them
        pairs = {name: tuple(fields[name]) for name in ("pixel_range", "input_quantization", "output_quantization")}
        card = Card(labels=tuple(labels), **{name: fields[name] for name in fields.keys() & known} | pairs)
        for name, pair in pairs.items():
            if len(pair) != 2 or not all(isinstance(number, int | float) for number in pair):
                raise ValueError(f"{name} is {pair}")
    except Exception as error:  # a damaged archive can make zipfile raise anything
        raise ModelError(f"{model}: its card is damaged ({error}); copy or export the model again") from error
    if graph_digest(content[:start]) != card.graph_sha256:
        raise ModelError(f"{model}: its card describes another graph; copy or export the model again")
    return card
