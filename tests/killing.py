"""Kill `cifar-edge classify` at random moments, resume it each time, and compare with a run left alone.

    python -m tests.killing PHOTOS MODEL FOLDER KILLS

CSV comes with links to the photos, other formats with copies, and each run has a number of workers of its own.
Imports are done once and every run is a fork of this process, so that a kill costs milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import pyarrow.parquet  # noqa: F401

from cifar_edge.classify import pipeline
from cifar_edge.cli import app


def start(photos: str, model: str, output: Path, sorted_into: Path, workers: int = 2) -> int:
    """Start a run in a process of its own and return its id."""
    if process := os.fork():
        return process
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    sys.argv = ["cifar-edge", "classify", photos, "--model", model, "--top-k", "2", "--min-confidence", "0.3"]
    sys.argv += ["--output", str(output), "--resume", "--sort-into", str(sorted_into)]
    sys.argv += ["--workers", str(workers), *(["--link"] if output.suffix == ".csv" else [])]
    code = 0
    try:
        app.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    os._exit(code)


def wait(process: int) -> None:
    """Wait for a run to end, and see that it ended as it should: there are unreadable photos."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code == 3, code


def content(root: Path) -> set[tuple[str, Path | bytes]]:
    """Return the links or copies below a folder."""
    photos = root.glob("*/*")
    return {
        (str(path.relative_to(root)), path.readlink() if path.is_symlink() else path.read_bytes()) for path in photos
    }


def main(photos: str, model: str, folder: Path, kills: int) -> None:
    sys.argv = ["cifar-edge", "classify", photos, "--model", "nowhere.tflite"]
    with contextlib.suppress(SystemExit):  # at once, but with all that is imported on the way
        app.main()
    pipeline.perf_counter = lambda: 0.0  # type: ignore[attr-defined] # rows are to be equal to the byte
    for suffix in ("csv", "jsonl", "parquet"):
        kill(photos, model, folder / suffix / f"out.{suffix}", kills)


def kill(photos: str, model: str, output: Path, kills: int) -> None:
    output.parent.mkdir()
    reference, sorted_into = output.with_stem("reference"), output.with_suffix("")
    began = time.monotonic()
    wait(start(photos, model, reference, reference.with_suffix("")))
    longest = time.monotonic() - began
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    killed = finished = 0
    while killed < kills:
        process = start(photos, model, output, sorted_into, chance.randint(1, 4))
        time.sleep(chance.uniform(0, longest))
        if os.waitpid(process, os.WNOHANG)[0]:
            finished += 1
            longest *= 0.8  # a machine that has other work too is slower at times
            assert output.read_bytes() == reference.read_bytes(), f"seed {seed}"
            assert not output.with_name(f"{output.name}.partial").exists()
            output.unlink()
        else:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            killed += 1
            longest *= 1.05
    wait(start(photos, model, output, sorted_into))
    assert output.read_bytes() == reference.read_bytes(), f"seed {seed}"
    assert content(sorted_into) == content(reference.with_suffix("")), f"seed {seed}"
    print(f"{output.name}: {killed} kills, {finished + 1} runs finished")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
