"""The load on a small device: memory, under a hard limit, and bytes written to its card.

Both need root, for a control group and for an ext4 file system of its own; `make device` runs it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from cifar_edge import EdgeModel
from cifar_edge.benchmarks.studies.throughput import make_large, make_small
from cifar_edge.benchmarks.tables import markdown
from cifar_edge.classify.watch.watch import watch
from cifar_edge.cli.program import run_program
from cifar_edge.errors import UsageError

LIMIT = 200_000_000

GROUPS = Path("/sys/fs/cgroup")
CARD = 256_000_000
SECTOR = 512

LARGE: dict[str, tuple[str, dict[str, Any]]] = {
    "baseline JPEG": ("jpg", {"quality": 90}),
    "progressive JPEG": ("jpg", {"quality": 90, "progressive": True}),
    "PNG": ("png", {"compress_level": 1}),
}
"""Kinds of large photos: their suffix and how Pillow saves them."""

_CLASSIFY = """
import sys
from cifar_edge import classify_folder
from cifar_edge.system.machine import peak_memory
for row in classify_folder(sys.argv[1], sys.argv[2], workers=int(sys.argv[3]), output=sys.argv[4]):
    assert not row.error, row
print(peak_memory())
"""


@contextlib.contextmanager
def limited(bytes_: int) -> Iterator[Path]:
    """Yield a control group whose processes share so much memory, without swap; needs root."""
    old = GROUPS / "memory"
    group = (old if old.is_dir() else GROUPS) / f"cifar-edge-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if old.is_dir() else "memory.max")).write_text(str(bytes_))
    except OSError as error:
        raise UsageError(f"{group}: no control group can be made ({error.strerror}); run it as root") from error
    try:
        yield group
    finally:
        group.rmdir()


def memory(folder: Path, model: Path, workers: int, output: Path) -> int | None:
    """Classify a folder within `LIMIT`; return the peak memory in bytes, or None if it was killed."""
    with limited(LIMIT) as group:
        enter = f'echo $$ > {group / "cgroup.procs"}; exec "$@"'
        program = [sys.executable, "-c", _CLASSIFY, str(folder), str(model), str(workers), str(output)]
        result = subprocess.run(["sh", "-c", enter, "sh", *program], capture_output=True, text=True)  # noqa: S603, S607
    return int(result.stdout) if result.returncode == 0 else None


@contextlib.contextmanager
def card(folder: Path) -> Iterator[tuple[Path, Callable[[], int]]]:
    """Mount a new ext4 file system, as on Raspberry Pi OS; yield it, and a function that counts bytes written to it."""
    image, place = folder / "card.img", folder / "card"
    place.mkdir(exist_ok=True)
    with image.open("wb") as file:
        file.truncate(CARD)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)  # noqa: S603, S607
    device = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)  # noqa: S603, S607
    name = device.stdout.strip()
    try:
        subprocess.run(["mount", "-o", "noatime", name, place], check=True)  # noqa: S603, S607
        try:
            yield place, lambda: _written(name, place)
        finally:
            subprocess.run(["umount", place], check=True)  # noqa: S603, S607
    finally:
        subprocess.run(["losetup", "--detach", name], check=True)  # noqa: S603, S607


def _written(device: str, place: Path) -> int:
    subprocess.run(["sync", "--file-system", place], check=True)  # noqa: S603, S607
    # Documentation/block/stat.rst: the seventh number is sectors written.
    return SECTOR * int((Path("/sys/block") / Path(device).name / "stat").read_text().split()[6])


def written_by_classify(photos: Path, model: EdgeModel, folder: Path) -> float:
    """Return bytes written for each photo of a folder."""
    from cifar_edge import classify_folder

    with card(folder) as (place, written):
        before = written()
        count = sum(1 for _ in classify_folder(photos, model, output=place / "results.csv"))
        return (written() - before) / count


def written_by_watch(photo: Path, model: EdgeModel, folder: Path, count: int, pause: float) -> float:
    """Return bytes written for each photo where one arrives every `pause` seconds; the photos themselves are not."""
    photos = folder / f"arriving-{count}"
    photos.mkdir()
    stop = threading.Event()

    def arrive() -> None:
        for number in range(count):
            shutil.copy(photo, photos / f"{number}{photo.suffix}")
            time.sleep(pause)

    with card(folder) as (place, written):
        before = written()
        arriving = threading.Thread(target=arrive)
        arriving.start()
        for number, _ in enumerate(watch(photos, model, place / "results.jsonl", stop=stop), 1):
            if number == count:
                stop.set()
        arriving.join()
        return (written() - before) / count


def main(model: str) -> None:
    """Print both for one model."""
    loaded = EdgeModel(model)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        small = place / "small"
        small.mkdir()
        make_small(small)
        kinds = {"10,000 PNGs of 32x32": small}
        large = place / "large"
        large.mkdir()
        make_large(large, grain=3, count=1)
        (photo,) = large.iterdir()
        for kind, (suffix, kept) in LARGE.items():
            folder = kinds[f"24 times a {kind} of 4032x3024"] = place / kind
            folder.mkdir()
            with Image.open(photo) as image:
                image.save(folder / f"0.{suffix}", **kept)
            for number in range(1, 24):
                os.link(folder / f"0.{suffix}", folder / f"{number}.{suffix}")
        rows = []
        for kind, folder in kinds.items():
            peaks = [memory(folder, loaded.path, workers, place / f"{workers}.csv") for workers in (1, 2, 4)]
            rows.append((kind, *(f"{peak / 1e6:.0f} MB" if peak else "killed" for peak in peaks)))
        print(markdown((f"within {LIMIT / 1e6:.0f} MB", "1 worker", "2", "4"), rows))
        print("\nbytes written to the card for each photo:")
        print(f"classify, 10,000 small photos: {written_by_classify(small, loaded, place):,.0f}")
        for count, pause in ((500, 0.01), (20, 1.0)):
            each = written_by_watch(next(small.iterdir()), loaded, place, count, pause)
            print(f"watch, one every {pause} s: {each:,.0f}")


if __name__ == "__main__":
    run_program(main)
