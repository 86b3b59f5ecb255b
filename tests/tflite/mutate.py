"""Hostile `.tflite` files: a good one with one field of its graph, or of its card, made wrong.

chance = random.Random(seed)
graph = with_odd_graph(find_model("nano").read_bytes(), chance)
card = with_odd_card(find_model("nano").read_bytes(), chance)
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from cifar_edge.tflite.card import seal
from cifar_edge.tflite.graph import pack, unpack

INTEGERS = (0, 1, 2, 3, 4, 5, 9, 17, 64, 127, 128, 255, 256, 1000, 32767, 65536, 2**24, 2**31 - 1)
FLOATS = (0.0, 1.0, 1e-45, 1e38, float("inf"), float("nan"))

VALUES = (None, True, 0, -1, 1.5, 1e300, 10**400, float("nan"), float("inf"), "", "x", "\ud800", "x" * 5000, [], {})
"""For any field of a card."""


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
