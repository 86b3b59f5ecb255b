from __future__ import annotations

import itertools
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cifar_edge.data.batch_pickle import read_batch
from tests.data.test_cifar10 import python2_pickle

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3072), np.uint8)
LABELS = [7, 0, 9]


def text(content: str) -> bytes:
    return b"X" + struct.pack("<I", len(content)) + content.encode()


def name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"


def batch(data: bytes, labels: bytes = b"](K\x07K\x00K\x09e") -> bytes:
    return b"\x80\x04}(" + text("data") + data + text("labels") + labels + b"u."


def test_batches_as_python_2_and_python_3_write_them() -> None:
    written = [python2_pickle(PIXELS.reshape(3, 3072), np.array(LABELS))]
    written += [batch(array_of(name("numpy", "dtype") + text("u1") + b"\x85R"))]
    written += [pickle.dumps({b"data": PIXELS, b"labels": LABELS, b"batch_label": b"x"}, 4)]
    for content in written:
        pixels, labels = read_batch(content)
        assert np.array_equal(pixels, PIXELS)
        assert list(labels) == LABELS


def array_of(dtype: bytes, shape: bytes = b"K\x03M\x00\x0c\x86") -> bytes:
    made = name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"\x85R"
    return made + b"(K\x01" + shape + dtype + b"\x89B" + struct.pack("<I", PIXELS.size) + PIXELS.tobytes() + b"tb"


POINTER = (
    b"\x80\x04"
    + name("numpy.core.multiarray", "_reconstruct")
    + name("numpy", "ndarray")
    + b"K\x00\x85C\x01b\x87R(K\x01K\x01\x85"
    + name("numpy", "dtype")
    + text("O8")
    + b"\x89\x88\x87R(K\x03"
    + text("|")
    + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C\x08AAAAAAAAtb."
)
"""An array of one object: eight bytes of the file are its pointer."""


@pytest.mark.parametrize(
    "content",
    [
        POINTER,
        batch(POINTER[2:-1]),
        pickle.dumps({b"data": PIXELS.astype(object), b"labels": LABELS}),
        pickle.dumps({b"data": PIXELS.astype("u2"), b"labels": LABELS}),
        pickle.dumps({b"data": np.asfortranarray(PIXELS), b"labels": LABELS}),
        pickle.dumps({b"data": PIXELS, b"labels": [1, 2, 1 << 70]}),
        pickle.dumps({b"data": PIXELS, b"labels": 3}),
        pickle.dumps({b"data": PIXELS[:2], b"labels": LABELS}),
        pickle.dumps({b"data": "x", b"labels": LABELS}),
        pickle.dumps([PIXELS]),
        pickle.dumps({b"data": Path("x"), b"labels": LABELS}),
        pickle.dumps({b"data": print, b"labels": LABELS}),
        batch(name("numpy", "dtype") + text("u1") + b"\x85R"),
        batch(name("numpy", "ndarray") + b"(K\x01Kdtb"),
        batch(b"K\x01K\x02R"),
        batch(name("numpy", "dtype") + b"K\x05b"),
        *(
            batch(array_of(name("numpy", "dtype") + arguments + b"R"))
            for arguments in (b"N", b"K\x01", b"}", b"]", b")")
        ),
        batch(array_of(name("numpy", "dtype") + text("u1") + b"\x85R", shape=b"(" + b"K\x01" * 1000 + b"t")),
        batch(name("n" * 1_000_000, "dtype")),
        b"\x80\x04]2a.",  # a list in itself
        b"\x80\x02]r\xff\xff\xff\xff.",  # its place in the memo would be 34 GB away
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
        b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b".",
        b"\x80\x04}" + b")" * 9 + b"\x86" * 8 + b"K\x01s.",
        b"]" * 1_100_000 + b".",
        b"I" + b"9" * 5_000 + b"\n.",
        b"(" * 1000 + b".",
        b"\x80\x04.",
        b"Pmine\n.",
        b"",
    ],
    ids=itertools.count(),
)
def test_nothing_else_is_built(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_batch(content)


def test_a_damaged_batch_takes_no_memory() -> None:
    whole, chance = python2_pickle(PIXELS, np.array(LABELS)), np.random.default_rng(1)
    cases = [whole[:-3]]
    for _ in range(300):
        damaged = bytearray(whole)
        for place in chance.integers(0, 120, 3):
            damaged[place] = chance.integers(256)
        cases.append(bytes(damaged))
    script = """
import pickle, resource, sys
from cifar_edge.data.batch_pickle import read_batch
resource.setrlimit(resource.RLIMIT_DATA, (300_000_000, 300_000_000))
for content in pickle.load(sys.stdin.buffer):
    try:
        read_batch(content)
    except ValueError:
        pass
"""
    subprocess.run([sys.executable, "-c", script], input=pickle.dumps(cases), check=True)
