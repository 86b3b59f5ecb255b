"""Hostile `.tflite` files: a good one with one field of its graph, its card or its archive made wrong.

    content, chance = find_model("nano").read_bytes(), random.Random(seed)
    for mutate in (with_odd_graph, with_odd_card, with_odd_archive):
        (folder / "odd.tflite").write_bytes(mutate(content, chance))

Each keeps the seal right, as somebody does who means it.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cifar_edge.tflite.card import seal
from cifar_edge.tflite.graph import pack, unpack

INTEGERS = (0, 1, 2, 3, 4, 5, 9, 17, 64, 127, 128, 255, 256, 1000, 32767, 65535, 2**24, 2**31 - 1, 2**32 - 1)
FLOATS = (0.0, 1.0, 1e-45, 1e38, float("inf"), float("nan"))

VALUES = (
    *(None, True, False, 0, -1, 1, 2**31, 10**400, 0.5, 1e300, float("nan"), float("inf")),
    *("", "x", "\ud800", "\x1b[2J", "x" * 5000, [], {}, {"x": 1}, ["a", "b"]),
    *([0, 0], [255, 0], [0, 255, 0], [0, float("nan")], [0, float("inf")], [0, 1e-300], [-1e308, 1e308], [True, 2]),
)
"""For any field of a card."""

LABELS = (b"", b"\n", b"cat\n" * 10, b"\xff\xfe\n", b" \n" * 10, b"x" * 5000, b"\n".join(b"%d" % n for n in range(200)))

HEADERS = {b"PK\3\4": "HHHHHIIIHH", b"PK\1\2": "HHHHHHIIIHHHHHII", b"PK\5\6": "HHHHIIH"}
"""Of a zip archive: a file's, its entry in the directory, and the directory's end; with the fields of each."""


def split(content: bytes) -> tuple[bytes, dict[str, Any], bytes]:
    """Return a model's graph, the fields of its card, and its labels as text."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start = min(entry.header_offset for entry in archive.infolist())
        return content[:start], json.loads(archive.read("card.json")), archive.read("labels.txt")


def with_card(content: bytes, changes: Mapping[str, object], labels: bytes | None = None, method: int = 0) -> bytes:
    """Return a model with other fields or labels in its card, packed by a method of `zipfile`; `...` leaves one out."""
    graph, fields, own = split(content)
    changed = {name: value for name, value in (fields | dict(changes)).items() if value is not ...}
    return with_archive(graph, json.dumps(changed).encode(), own if labels is None else labels, method)


def with_archive(graph: bytes, card: bytes, labels: bytes, method: int = 0) -> bytes:
    """Return a graph with an archive of these files, sealed."""
    file = io.BytesIO(graph)
    with zipfile.ZipFile(file, "a", method) as archive:
        archive.writestr("card.json", card)
        archive.writestr("labels.txt", labels)
    return seal(file.getvalue())


def with_odd_card(content: bytes, chance: random.Random) -> bytes:
    """Return a model with another value in one field of its card, or with other labels."""
    name = chance.choice(["labels", *split(content)[1]])
    if name == "labels":
        return with_card(content, {}, chance.choice(LABELS))
    return with_card(content, {name: chance.choice(VALUES)})


def with_odd_archive(content: bytes, chance: random.Random) -> bytes:
    """Return a model with another value in one field of a header of its card's archive, or in a name there."""
    odd, start = bytearray(content), len(split(content)[0])
    header = chance.choice(sorted(HEADERS))
    header_at = chance.choice([at for at in range(start, len(odd)) if odd.startswith(header, at)])
    kinds = HEADERS[header]
    number = chance.randrange(len(kinds) + 1)
    at = header_at + len(header) + struct.calcsize(f"<{kinds[:number]}")
    if number == len(kinds):  # behind the fields stands the name
        odd[at : at + 1] = chance.choice((b"\0", b"/", b"\xff"))
    else:
        most = 256 ** struct.calcsize(kinds[number]) - 1
        struct.pack_into(f"<{kinds[number]}", odd, at, min(chance.choice(INTEGERS), most))
    return seal(bytes(odd))


def with_odd_graph(content: bytes, chance: random.Random) -> bytes:
    """Return the graph of a model with one field changed, as a file without a card."""
    while True:
        model = unpack(content)
        for entry in model.metadata or []:
            model.buffers[entry.buffer].data = None  # among them the card's seal
        model.metadata = None
        fields = defaultdict(list)
        for table, name in _fields(model):
            fields[type(table), name].append(table)
        kind = chance.choice(sorted(fields, key=str))
        table = chance.choice(fields[kind])
        setattr(table, kind[1], _other(getattr(table, kind[1]), chance))
        try:
            return pack(model)
        except (TypeError, AttributeError, struct.error, OverflowError):  # the field does not hold it
            continue


def _fields(table: Any) -> Iterator[tuple[Any, str]]:
    """Yield every table of a graph with the name of each of its fields."""
    for name, value in vars(table).items():
        yield table, name
        for part in value if isinstance(value, list) else [value]:
            if hasattr(part, "Pack"):
                yield from _fields(part)


def _other(value: Any, chance: random.Random) -> Any:
    match value:
        case bool():
            return not value
        case int() | np.integer():
            return chance.choice((value + 1, value - 1, -1, -(2**31), chance.randrange(210), chance.choice(INTEGERS)))
        case float():
            return chance.choice((-value, *FLOATS))
        case bytes() | str():
            return chance.choice((b"", b"\xff\xfe", b"x" * 5000, None))
        case np.ndarray() | [int(), *_]:
            return _other_numbers(np.array(value), chance)
        case list():
            return chance.choice((value[:-1], value + value[:1], value[::-1], value[1:], [], None))
        case None:
            return chance.choice((b"x", [0], [2**31 - 1], np.array([-1, 2], np.int32)))
    return None


def _other_numbers(values: Any, chance: random.Random) -> Any:
    odd = values.copy()
    if len(values) and chance.random() < 0.7:
        limits = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.finfo(values.dtype)
        numbers = INTEGERS if values.dtype.kind in "iu" else FLOATS
        number = chance.choice((limits.min, limits.max, *numbers))
        odd[chance.randrange(len(values))] = np.array(number).astype(values.dtype)
        return odd
    return chance.choice((odd[:-1], np.concatenate([odd, odd[:1]]), odd[:0], np.tile(odd, 3), None))
