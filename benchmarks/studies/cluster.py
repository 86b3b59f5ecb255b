"""A Ray cluster beside one process. `python -m cifar_edge.benchmarks.studies.cluster MODEL [large|small|memory]`.

Nodes are processes on this computer, with one processor each. Makes its own files in a temporary folder, and prints
photos a second of one process, one node, two nodes and Ray's own `read_images`, on JPEGs of 12 megapixels (`large`) and
on PNGs of 32x32 (`small`); and the memory of driver and workers for 1,000 up to 100,000 files (`memory`).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from cifar_edge.benchmarks.studies.throughput import make_large, make_tree
from cifar_edge.benchmarks.tables import markdown
from cifar_edge.cli.program import run_program
from cifar_edge.system.machine import this_machine
from cifar_edge.tflite.model import EdgeModel

LARGE, SOME, SMALL = 1_440, 192, 60_000

FILES = (1_000, 10_000, 100_000)
STORE = 100_000_000  # bytes of a node's object store


_DRIVER = """
import sys, time
start = time.perf_counter()
way, folder, model, output, address, total = sys.argv[1:]
done = first = 0

def advance(photos):
    global done, first
    done += photos
    first = first or time.perf_counter() - start
"""


_WAYS = {
    "one process": """
from cifar_edge import classify_folder
for _ in classify_folder(folder, model, 1, output=output + ".parquet"):
    advance(1)
""",
    "cluster": """
from cifar_edge.classify.cluster.run import classify_on_cluster
classify_on_cluster(folder, model, address, output=output, advance=advance)
""",
    # The pipeline of Ray's own documentation; its results are not even written.
    "read_images": """
import logging
import ray, ray.data
from cifar_edge import EdgeModel
ray.init(address, logging_level="ERROR", log_to_driver=False)
logging.getLogger("ray.data").setLevel(logging.CRITICAL)
ray.data.DataContext.get_current().enable_progress_bars = False

class Predict:
    def __init__(self):
        self.model = EdgeModel(model)

    def __call__(self, batch):
        return {"best": self.model.predict(batch["image"]).argmax(1)}

photos = ray.data.read_images(folder, size=(32, 32), mode="RGB")
rows = photos.map_batches(Predict, batch_size=64, concurrency=1, num_cpus=0)
for batch in rows.iter_batches(batch_size=None):
    advance(len(batch["best"]))
""",
}


_REPORT = """
from cifar_edge.system.machine import peak_memory
seconds = time.perf_counter() - start
assert done == int(total), done
print(seconds, first, done / seconds, peak_memory() / 1e6)
"""


class Measured(NamedTuple):
    """A run: seconds as a whole and to the first photo, photos a second of the whole, and peak memory in MB."""

    seconds: float
    first: float
    rate: float
    driver: float
    worker: float


def measure(way: str, folder: Path, model: Path, output: Path, address: str = "") -> Measured:
    """Classify a folder of photos in a process of its own.

    Args:
        way: of `_WAYS`.
        folder: of photos that can all be read.
        model: a `.tflite` file.
        output: a folder that is not there yet.
        address: of the cluster, if one takes part.
    """
    total = sum(1 for path in folder.rglob("*") if path.is_file())
    command = [sys.executable, "-c", _DRIVER + _WAYS[way] + _REPORT]
    with _largest_worker() as worker:
        arguments = [way, str(folder), str(model), str(output), address, str(total)]
        said = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True).stdout  # noqa: S603
    seconds, first, rate, driver = map(float, said.split())
    return Measured(seconds, first, rate, driver, max(worker))


@contextmanager
def _largest_worker() -> Iterator[list[float]]:
    """Yield a list that fills with the peak memory of Ray's workers on this computer, in MB."""
    peaks, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    if (process / "cmdline").read_bytes().startswith(b"ray::"):
                        status = (process / "status").read_text()
                        peaks.append(int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        ended.set()
        watcher.join()


@contextmanager
def nodes(count: int) -> Iterator[str]:
    """Yield the address of a new cluster of nodes with one processor each."""
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    try:
        for _ in range(count - 1):
            cluster.add_node(**options)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def compare(folder: Path, model: Path, place: Path, some: Path) -> None:
    """Print a table with a line for each way to classify a folder; `some` are fewer of its photos, for the slow one."""
    runs = {"one process": (alone := measure("one process", folder, model, place / "plain"))}
    with nodes(1) as address:
        runs["one node"] = one = measure("cluster", folder, model, place / "one", address)
        runs["`read_images`, one node"] = measure("read_images", some, model, place / "ray", address)
    with nodes(2) as address:
        runs["two nodes"] = two = measure("cluster", folder, model, place / "two", address)
    columns = ("", "photos/s", "to the first", "whole run", "driver", "largest worker")
    print(markdown(columns, (_cells(name, run) for name, run in runs.items())))
    print(f"\none node: {one.rate / alone.rate:.0%} of one process; two nodes: {two.rate / one.rate:.2f} x one node\n")


def _cells(name: str, run: Measured) -> tuple[str, ...]:
    worker = f"{run.worker:.0f} MB" if run.worker else ""
    return name, f"{run.rate:,.1f}", f"{run.first:.1f} s", f"{run.seconds:.1f} s", f"{run.driver:.0f} MB", worker


class Table(StrEnum):
    """The tables."""

    LARGE = "large"
    SMALL = "small"
    MEMORY = "memory"


def main(model: str, only: Annotated[Table | None, typer.Argument()] = None) -> None:
    """Print the tables for one model."""
    file = EdgeModel(model).path.absolute()
    print(this_machine(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if only in (Table.LARGE, None):
            originals, photos, some = (place / "large" / part for part in ("originals", "photos", "some"))
            originals.mkdir(parents=True)
            make_large(originals, grain=3)
            for folder, count in ((photos, LARGE), (some, SOME)):
                for number in range(count // 48):
                    (folder / f"{number:03}").mkdir(parents=True)
                    for photo in originals.iterdir():
                        (folder / f"{number:03}" / photo.name).hardlink_to(photo)
            print(f"\n{LARGE:,} JPEGs of 12 megapixels, 2.1 MB each; for `read_images` {SOME}\n", flush=True)
            compare(photos, file, place / "large", some)
        if only in (Table.SMALL, None):
            make_tree(place / "small" / "photos", SMALL)
            print(f"\n{SMALL:,} PNGs of 32x32\n")
            compare(place / "small" / "photos", file, place / "small", place / "small" / "photos")
        if only in (Table.MEMORY, None):
            rows = []
            with nodes(2) as address:
                for files in FILES:
                    make_tree(place / f"{files}", files)
                    run = measure("cluster", place / f"{files}", file, place / f"{files}-results", address)
                    rows.append((f"{files:,}", f"{run.seconds:.1f} s", f"{run.driver:.0f} MB", f"{run.worker:.0f} MB"))
            print(f"\n{markdown(('files', 'whole run', 'driver', 'largest worker'), rows)}")


if __name__ == "__main__":
    run_program(main)
