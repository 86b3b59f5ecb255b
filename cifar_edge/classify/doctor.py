"""Check whether this computer is fit to classify photos; say what is wrong and what to do."""

from __future__ import annotations

import errno
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cifar_edge.errors import CifarEdgeError, UsageError, first_line
from cifar_edge.system.files import check_writable
from cifar_edge.system.machine import Machine, available_memory, cpu_features, state, storage, this_machine, warnings
from cifar_edge.system.timing import measure
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.tflite.names import MODELS

NEEDED_MEMORY = 200e6  # bytes; what a run may take

NEEDED_DISK = 100e6  # bytes; a million rows, twice for a moment
WORN = (errno.EROFS, errno.EIO)
ROUNDS = 5  # of the quick latency

INT8 = {"asimddp": "dot products", "i8mm": "matrix products", "avx512_vnni": "AVX512-VNNI", "avx_vnni": "AVX-VNNI"}
"""Processor features, as /proc/cpuinfo names them, that make int8 several times as fast."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        what: was checked.
        found: the result, in words.
        wrong: what is wrong and what to do; "" if nothing is.
    """

    what: str
    found: str
    wrong: str = ""


def examine(models: Sequence[str | Path] | None = None, folder: Path = Path(), root: Path = Path("/")) -> list[Finding]:
    """Check this computer.

    Args:
        models: files or names, to load and time; by default the int8 models of this package.
        folder: for results.
        root: of /proc and /sys.
    """
    machine = this_machine(root)
    findings = [*_computer(machine, root), _memory(machine, root), _disk(folder, root), _python(), _packages(machine)]
    models = models or sorted(MODELS.glob("*-int8.tflite"))
    if not models:
        findings.append(Finding("model", "none", "install cifar-edge again: models come with it"))
    return [*findings, *map(_model, models)]


def _computer(machine: Machine, root: Path) -> Iterator[Finding]:
    now = state(root)
    yield Finding("computer", f"{machine.cpu}, {machine.system}")
    features = [words for name, words in INT8.items() if name in cpu_features(root)]
    yield Finding("cores", f"{machine.processors}, int8 by {' and '.join(features) or 'plain SIMD'}")
    if now.clock:
        most = f" of {machine.max_clock:.0f}" if machine.max_clock else ""
        yield Finding("clock", f"{now.clock:.0f}{most} MHz, governor {machine.governor or 'not known'}")
    heat = "not known" if now.temperature is None else f"{now.temperature:.0f} °C"
    slowed = now.throttled or now.throttled_before
    governor = [text for text in warnings(machine, now, now) if "governor" not in text]  # good enough for photos
    yield Finding("temperature", f"{heat}{', ' if slowed else ''}{', '.join(slowed)}", "; ".join(governor))


def _memory(machine: Machine, root: Path) -> Finding:
    available = available_memory(root)
    if available is None or machine.memory is None:
        return Finding("memory", "not known")
    found = f"{available / 1e6:,.0f} of {machine.memory / 1e6:,.0f} MB free"
    wrong = "stop other programs, or give --workers 1: a run takes up to 200 MB" if available < NEEDED_MEMORY else ""
    return Finding("memory", found, wrong)


def _disk(folder: Path, root: Path) -> Finding:
    place = storage(folder, root)
    found = f"{place.kind} ({place.device}, {place.type}), {place.free / 1e9:,.1f} GB free in {folder.absolute()}"
    wrong = "nearly full: make room before a long run" if place.free < NEEDED_DISK else ""
    try:
        check_writable(folder)  # what is mounted as writable may have become read-only since
    except UsageError as error:
        wrong = str(error)
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in WORN:
            wrong += "; a worn SD card becomes read-only: save what is on it and replace it"
    return Finding("disk", found, wrong)


def _python() -> Finding:
    bits = 64 if sys.maxsize > 2**32 else 32
    wrong = "" if bits == 64 else "32 bits, for which there is only an old runtime: install the 64-bit Raspberry Pi OS"
    return Finding("Python", f"{platform.python_version()}, {bits} bits, {sys.prefix}", wrong)


def _packages(machine: Machine) -> Finding:
    names = ("ai-edge-litert", "tflite-runtime", "numpy", "pillow", "cifar-edge")
    found = ", ".join(f"{name} {machine.versions[name]}" for name in names if name in machine.versions)
    return Finding("packages", found)


def _model(name: str | Path) -> Finding:
    try:
        model = EdgeModel(name)
    except CifarEdgeError as error:
        return Finding("model", str(name), first_line(error))
    image = np.zeros((1, model.height, model.width, 3), np.uint8)
    (latency,) = measure([lambda: model.predict(image)], rounds=ROUNDS)
    how = "XNNPACK" if model.accelerated else "LiteRT's own code"
    found = f"{model.path}: {len(model.labels)} classes, {latency.median / 1e3:.2f} ms an image by {how}"
    if not model.accelerated:
        return Finding("model", found, "several times slower than it could be: install the newest ai-edge-litert")
    return Finding("model", found, model.note)
