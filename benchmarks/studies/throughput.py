"""Photos a second: `cifar-edge classify` beside other ways. `python -m cifar_edge.benchmarks.studies.throughput MODEL`.

Makes its own files (400 MB in a temporary folder), and prints throughput on 12-megapixel JPEGs, HEICs and AVIFs and on
32x32 PNGs, where the time goes, memory for 2,000 and for 200,000 files, and how long the start takes.
"""

from __future__ import annotations

import io
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from cifar_edge.benchmarks.measures.throughput import measure, profile
from cifar_edge.benchmarks.studies.photos import camera_jpeg, crops
from cifar_edge.benchmarks.tables import markdown
from cifar_edge.cli.program import run_program
from cifar_edge.tflite.model import EdgeModel

PHOTOS = Path("tests/photos")


def make_large(folder: Path, grain: float, count: int = 48) -> None:
    """Write JPEGs of 12 megapixels: parts of the real photos in `tests/photos`, with a camera's grain."""
    photos = sorted(PHOTOS.glob("*/*.jpg"))
    for number, scene in enumerate(itertools.islice(crops(photos, -(-count // len(photos))), count)):
        (folder / f"{number:03}.jpg").write_bytes(camera_jpeg(scene, (4032, 3024), number, grain))


def make_phone(
    folder: Path, suffix: str, count: int = 16, scenes: int = 4, size: tuple[int, int] = (4032, 3024)
) -> None:
    """Write HEICs, in tiles as phones make them, or AVIFs: parts of the real photos, with less grain than a camera's.

    Coding one takes seconds, so there are a few scenes, and links to them.
    """
    import pillow_heif

    pillow_heif.register_heif_opener()
    photos = sorted(PHOTOS.glob("*/*.jpg"))
    ways: dict[str, dict[str, Any]] = {
        "heic": {"tile_size": 512, "thumbnails": [320], "enc_params": {"preset": "fast"}},
        "avif": {"speed": 9},
    }
    for scene, part in enumerate(itertools.islice(crops(photos, 1), scenes)):
        first = folder / f"{scene:03}.{suffix}"
        with Image.open(io.BytesIO(camera_jpeg(part, size, scene, grain=1.5))) as photo:
            photo.save(first, quality=60, **ways[suffix])
        for number in range(scene + scenes, count, scenes):
            (folder / f"{number:03}.{suffix}").hardlink_to(first)


def make_small(folder: Path, count: int = 10_000) -> None:
    """Write PNGs of 32x32: the test images of CIFAR-10, or again and again those of the sample."""
    from cifar_edge.data import load_split
    from cifar_edge.data.cifar10 import SAMPLE, cached_copies

    pictures = load_split("test", None if cached_copies() else SAMPLE).images
    for number in range(count):
        Image.fromarray(pictures[number % len(pictures)]).save(folder / f"{number:05}.png")


def make_tree(folder: Path, files: int, each: int = 1000) -> None:
    """Write a tree of many files in folders of `each`; they are links to a few pictures."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    make_small(pictures, count=10)
    for start in range(0, files - 10, each):
        part = folder / f"{start:07}"
        part.mkdir()
        for number in range(min(each, files - 10 - start)):
            (part / f"{number:05}.png").symlink_to(pictures / f"{number % 10:05}.png")


_CLASSIFY = """
import sys, time
start = time.time()
from cifar_edge import classify_folder
rows = classify_folder(sys.argv[1], sys.argv[2], output=sys.argv[3])
next(rows)
first = time.time() - start
for row in rows: pass
from cifar_edge.system.machine import peak_memory
print(first, peak_memory() / 1e6)
"""


def memory(folder: Path, model: Path, output: Path) -> tuple[float, float]:
    """Classify a folder in a process of its own: seconds from the start to the first row, and peak memory in MB."""
    command = [sys.executable, "-c", _CLASSIFY, str(folder), str(model), str(output)]
    first, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()  # noqa: S603 - our own
    return float(first), float(peak)


def start_up(*arguments: str, runs: int = 10) -> float:
    """Return the median of the seconds that `cifar-edge ARGUMENTS` takes."""
    command = [sys.executable, "-m", "cifar_edge", *arguments]
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - our own
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main(model: str) -> None:
    """Print everything for one model."""
    loaded = EdgeModel(model)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        kinds: dict[str, Callable[[Path], None]] = {
            "48 JPEGs of 4032x3024": partial(make_large, grain=3),
            "48 grainy ones": partial(make_large, grain=6),
            "16 HEICs of 4032x3024": partial(make_phone, suffix="heic"),
            "16 AVIFs of 4032x3024": partial(make_phone, suffix="avif"),
            "10,000 PNGs of 32x32": make_small,
        }
        for kind, make in kinds.items():
            folder = place / kind
            folder.mkdir()
            make(folder)
            size = statistics.mean(file.stat().st_size for file in folder.iterdir())
            _print_throughput(
                f"{kind}, {size / 1e6:.3g} MB each", measure(folder, loaded, most=10_000), profile(folder, loaded)
            )
        print_memory(place, loaded.path)
    photo = str(next(PHOTOS.glob("*/*.jpg")))
    print(f"\n`--help` takes {1000 * start_up('--help'):.0f} ms,", end=" ")
    print(f"one photo {1000 * start_up('classify', photo, '--model', model):.0f} ms")


def print_memory(place: Path, model: Path) -> None:
    """Make trees of files in `place` and print what classifying them takes, to CSV and to Parquet."""
    rows = []
    for files, each in ((2_000, 1_000), (200_000, 1_000), (200_000, 200_000)):
        tree = place / f"{files}-{each}"
        make_tree(tree, files, each)
        for suffix in ("csv", "parquet"):
            first, peak = memory(tree, model, tree.with_suffix(f".{suffix}"))
            rows.append((f"{files:,} in folders of {each:,}", suffix, f"{first:.2f} s", f"{peak:.1f} MB"))
    print(markdown(("files", "to", "first row", "peak memory"), rows))


def _print_throughput(kind: str, rates: dict[str, float], stages: dict[str, float]) -> None:
    rows = ((name, f"{rate:,.1f}", f"{rates['classify'] / rate:.2f} x") for name, rate in rates.items())
    print(markdown((kind, "photos/s", "classify is"), rows))
    whole = sum(stages.values())
    print("\nmilliseconds a photo, one thread:", end=" ")
    print(", ".join(f"{name} {spent:.3f} ({spent / whole:.0%})" for name, spent in stages.items()), end="\n\n")


if __name__ == "__main__":
    run_program(main)
