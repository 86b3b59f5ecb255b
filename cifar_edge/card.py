"""A model's card: what the graph does not say, carried inside the `.tflite` file.

The card is a zip archive appended to the flatbuffer, as TFLite metadata carries its label files:
`unzip -l model.tflite` lists it, and every TFLite runtime ignores it.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from cifar_edge.errors import ModelError

# A fixed time keeps exports of the same run byte-identical; a zip file cannot hold an earlier one.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Card:
    """Description of a model.

    Attributes:
        name: of the network.
        format: "float32" or "int8".
        labels: class names, in the order of the outputs.
        accuracy: top-1 on the test split, 0-1.
        test_sha256: digest of that test split.
        run: name of the training run it came from.
        versions: of what trained and converted it.
    """

    name: str
    format: str
    labels: tuple[str, ...]
    accuracy: float
    test_sha256: str
    run: str
    versions: dict[str, str]

    def append_to(self, model: Path) -> None:
        """Append this card to a `.tflite` file that has none."""
        fields = asdict(self)
        labels = "".join(f"{label}\n" for label in fields.pop("labels"))
        with zipfile.ZipFile(model, "a") as archive:
            for name, content in (("labels.txt", labels), ("card.json", json.dumps(fields, indent=2) + "\n")):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def read_card(model: Path) -> Card | None:
    """Read the card of a `.tflite` file; None if it carries none, or other metadata only.

    Raises:
        ModelError: there is one, but it is damaged.
    """
    if not zipfile.is_zipfile(model):
        return None
    try:
        with zipfile.ZipFile(model) as archive:
            if "card.json" not in archive.namelist():
                return None
            labels = archive.read("labels.txt").decode().splitlines()
            fields = json.loads(archive.read("card.json"))
            known = {field.name for field in dataclasses.fields(Card)}  # a later version may add to them
            return Card(labels=tuple(labels), **{name: fields[name] for name in fields.keys() & known})
    except (KeyError, TypeError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{model}: its card is damaged ({error}); copy or export the model again") from error
