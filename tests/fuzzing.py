"""Load damaged models and archives for some seconds, in a process whose end is seen: no crash, no traceback.

python -m tests.fuzzing FOLDER SEED SECONDS
"""

from __future__ import annotations

import contextlib
import gzip
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cifar_edge.data.archive import read_members
from cifar_edge.data.batch_pickle import read_batch
from cifar_edge.errors import CifarEdgeError
from cifar_edge.tflite.describe import describe
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.tflite.names import find_model
from tests.data.test_archive import member, tar_of
from tests.data.test_cifar10 import python2_pickle
from tests.test_fuzz import mutated
from tests.tflite.mutate import with_odd_archive, with_odd_card, with_odd_graph

MOST_SECONDS = 90  # for one file: a model from elsewhere may take a minute before it is given up
MOST_MEMORY = 3_000_000_000


def load_model(file: Path) -> None:
    """Load a model and read what it says of itself."""
    describe(EdgeModel(file))


def load_archive(file: Path) -> None:
    """Read a batch of CIFAR-10 from an archive."""
    for content in read_members(file, {"test_batch"}).values():
        with contextlib.suppress(ValueError):
            read_batch(content)


def main(folder: Path, seed: int, seconds: float) -> None:
    """Try one file after the other; the last one stays if anything is wrong with it."""
    chance = random.Random(seed)
    model = find_model("nano").read_bytes()
    batch = python2_pickle(np.zeros((5, 3072), np.uint8), np.arange(5))
    archive = tar_of(member("cifar-10/readme.html", b"x"), member("cifar-10/test_batch", batch))

    def damaged(content: bytes, _: random.Random) -> bytes:
        odd = tar_of(member("a/test_batch", mutated(batch, archive, chance)))
        return chance.choice(
            (odd, mutated(content, batch, chance), mutated(gzip.compress(content, 1), content, chance))
        )

    kinds: list[tuple[Callable[[bytes, random.Random], bytes], bytes, Callable[[Path], None], str]] = [
        (with_odd_card, model, load_model, "card.tflite"),
        (with_odd_archive, model, load_model, "archive.tflite"),
        (with_odd_graph, model, load_model, "graph.tflite"),
        *[(damaged, archive, load_archive, "batches.tar.gz")] * 5,
    ]
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for mutate, content, load, name in kinds:
            file = folder / name
            file.write_bytes(mutate(content, chance))
            began = time.monotonic()
            try:
                load(file)
            except CifarEdgeError as error:
                if "\n" in str(error):
                    raise
            assert time.monotonic() - began < MOST_SECONDS, file
            file.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
