from __future__ import annotations

import io
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bucket import s3

COUNT = int(os.environ.get("CLUSTER_PHOTOS", "800"))


def make_photos(folder: Path, count: int) -> Path:
    """Make as many tiny photos, three of them unreadable, in folders of up to a thousand."""
    chance = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with io.BytesIO() as content:
            Image.fromarray(chance.integers(0, 256, (8, 8, 3), np.uint8)).save(content, "png")
            path.write_bytes(b"" if number in (5, count // 2, count - 1) else content.getvalue())
    return folder


class Nodes:
    """A cluster of nodes with one processor each; the first is this machine's, the others may be killed."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        options = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=options)
        self.address: str = self._cluster.address
        self._options = options
        self._others: list[Any] = []

    def add(self) -> None:
        self._others.append(self._cluster.add_node(**self._options))

    def kill_one(self) -> None:
        """Do to a node what a pulled plug does: SIGKILL for all its processes."""
        node = self._others.pop()
        processes = [info[0].process.pid for info in node.all_processes.values()]
        found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = [tuple(map(int, line.split())) for line in found.splitlines()]
        children = [process for process, parent in parents if parent in processes]
        for process in processes + children:
            os.kill(process, signal.SIGKILL)

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("many") / "photos", COUNT)


@pytest.fixture
def nodes(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    with s3(photos, monkeypatch):
        nodes = Nodes()
        nodes.add()
        yield nodes
        nodes.close()


@pytest.fixture(scope="module")
def node() -> Iterator[Nodes]:
    """A cluster of this machine alone."""
    nodes = Nodes()
    yield nodes
    nodes.close()
