"""This computer: board, processors, clock, temperature, memory and disk."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HOT = 80.0  # degrees Celsius at which a Raspberry Pi begins to slow down

# `vcgencmd get_throttled`, as Raspberry Pi documents its bits; those of the past stand 16 higher.
THROTTLING = {0: "its supply voltage is low", 1: "its clock is capped", 2: "it is throttled", 3: "it is hot"}
SINCE_BOOT = 16

SHARE, PROGRAM, LARGE_PHOTO = 0.4, 70e6, 50e6
"""The share of memory that a run may take; bytes of the program and of a PNG of 12 megapixels, as measured."""

LEAST_FOR_A_PHOTO = 65e6
"""Bytes that each worker may take on any computer: a phone's HEIC of 12 megapixels."""

MOST_FOR_A_PHOTO = 1e9
"""The most bytes that decoding one photo may take, on any computer."""

NETWORK = re.compile(r"nfs|cifs|smb|9p|afs|ceph|glusterfs|davfs|virtiofs|fuse(?!blk)")
"""Types of network file systems, by how they begin; fuseblk is a local disk."""


@dataclass(frozen=True)
class Machine:
    """A computer. Unknown values are None.

    Attributes:
        cpu: model of the processor, with the board's where there is one.
        processors: that this process may use.
        memory: in bytes.
        governor: which chooses the clock.
        max_clock: in MHz.
        system: kernel and architecture.
        python: version.
        versions: of the packages that matter here and are installed.
    """

    cpu: str
    processors: int
    memory: int | None
    governor: str | None
    max_clock: float | None
    system: str
    python: str
    versions: dict[str, str]


@dataclass(frozen=True)
class State:
    """The state of a computer at one moment. Unknown values are None.

    Attributes:
        clock: of the first processor, in MHz.
        temperature: of the hottest sensor, in degrees Celsius.
        throttled: the reasons why it is slowed down now.
        throttled_before: the reasons since it was switched on.
    """

    clock: float | None
    temperature: float | None
    throttled: tuple[str, ...]
    throttled_before: tuple[str, ...]


@dataclass(frozen=True)
class Storage:
    """The file system that a folder lies on.

    Attributes:
        device: the mounted device, such as /dev/mmcblk0p2.
        type: of the file system, as in ext4.
        kind: "SD card", "NVMe", "USB or SATA disk", "virtual disk", "network", "memory", or "unknown".
        free: bytes that this user may still write.
    """

    device: str
    type: str
    kind: str
    free: int


def this_machine(root: Path = Path("/")) -> Machine:
    """Describe this computer; `root` is where its /proc and /sys are."""
    board = _read(root / "proc/device-tree/model").strip("\0")
    about = root / "proc/cpuinfo"
    model = _field(about, "model name") or platform.processor() or platform.machine()
    # Virtual machines call processors alike, "AMD EPYC", of which one is twice as quick as another.
    numbers = (f"{name} {number}" for name in ("cpu family", "model") if (number := _field(about, name)))
    model = ", ".join([model, *numbers])
    max_clock = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq")
    return Machine(
        cpu=f"{board} ({model})" if board else model,
        processors=processors(),
        memory=total_memory(root),
        governor=_read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        max_clock=int(max_clock) / 1000 if max_clock else None,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions=versions(
            "cifar-edge", "ai-edge-litert", "tflite-runtime", "numpy", "pillow", "tensorflow", "onnxruntime"
        ),
    )


def state(root: Path = Path("/")) -> State:
    """Read this computer's clock, temperature and, on a Raspberry Pi, whether it is throttled."""
    clock = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    megahertz = _field(root / "proc/cpuinfo", "cpu MHz")
    temperatures = [_read(sensor) for sensor in (root / "sys/class/thermal").glob("thermal_zone*/temp")]
    bits = _throttled(root)
    return State(
        clock=int(clock) / 1000 if clock else float(megahertz) if megahertz else None,
        temperature=max((int(text) / 1000 for text in temperatures if text), default=None),
        throttled=tuple(words for bit, words in THROTTLING.items() if bits >> bit & 1),
        throttled_before=tuple(words for bit, words in THROTTLING.items() if bits >> bit + SINCE_BOOT & 1),
    )


def default_workers(root: Path = Path("/")) -> int:
    """Return the number of decoding threads: one for each usable processor, fewer where memory is short.

    The program takes `PROGRAM` bytes, and each thread up to `LARGE_PHOTO` for a large PNG or progressive JPEG.
    Together they take at most `SHARE` of the memory.
    """
    memory = total_memory(root)
    fitting = processors() if memory is None else int((SHARE * memory - PROGRAM) / LARGE_PHOTO)
    return max(1, min(processors(), fitting))


def photo_memory(workers: int, root: Path = Path("/")) -> float:
    """Return the bytes that each of these workers may take for a photo; never so few that a usual photo is refused."""
    memory = total_memory(root)
    if memory is None:
        return MOST_FOR_A_PHOTO
    return min(MOST_FOR_A_PHOTO, max(LEAST_FOR_A_PHOTO, (SHARE * memory - PROGRAM) / workers))


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def total_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory of this computer, or None if unknown."""
    memory = _field(root / "proc/meminfo", "MemTotal")
    return 1024 * int(memory.split()[0]) if memory else None


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that a program can still get without swapping, or None if unknown."""
    memory = _field(root / "proc/meminfo", "MemAvailable")
    return 1024 * int(memory.split()[0]) if memory else None


def peak_memory() -> int:
    """Return the most memory that this process has held so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux' own `ru_maxrss` may be that of the process which started this one
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    import resource  # which Windows lacks

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def cpu_features(root: Path = Path("/")) -> set[str]:
    """Return the processor's features, as Linux names them; empty if unknown."""
    about = root / "proc/cpuinfo"
    return set((_field(about, "Features") or _field(about, "flags")).split())


def storage(folder: Path, root: Path = Path("/")) -> Storage:
    """Return the file system that a folder is on.

    Source: proc_pid_mountinfo(5): field 5 is the mount point; behind " - " stand type and device.
    """
    place, device, kind = Path(os.path.realpath(folder)), "", "unknown"
    deepest = -1
    for line in _read(root / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4]))  # a blank is \040
        if place.is_relative_to(point) and len(point.parts) >= deepest:
            deepest = len(point.parts)
            kind, device = right.split()[:2]
    return Storage(
        device=device,
        type=kind,
        kind=_kind(device, kind),
        free=shutil.disk_usage(place).free,
    )


def _kind(device: str, file_system: str) -> str:
    if NETWORK.match(file_system):
        return "network"
    if file_system in ("tmpfs", "ramfs"):
        return "memory"
    kinds = {"mmcblk": "SD card", "nvme": "NVMe", "sd": "USB or SATA disk", "vd": "virtual disk"}
    name = device.removeprefix("/dev/")
    return next((words for start, words in kinds.items() if name.startswith(start)), "unknown")


def warnings(machine: Machine, before: State, after: State) -> list[str]:
    """Return reasons to doubt latencies that were measured between two states."""
    found = []
    slowed = sorted({*before.throttled, *after.throttled, *(set(after.throttled_before) - {*before.throttled_before})})
    if slowed:
        found.append(f"this computer is being slowed down ({', '.join(slowed)}): cool it, or give it a better supply")
    elif before.throttled_before:
        found.append(
            f"this computer has been slowed down since it was started ({', '.join(before.throttled_before)}), "
            "though not now: cool it, or give it a better supply"
        )
    elif after.temperature is not None and after.temperature >= HOT:
        found.append(f"{after.temperature:.0f} °C: hot enough for a Raspberry Pi to slow down; cool it")
    if machine.governor not in (None, "performance"):
        found.append(f"the governor `{machine.governor}` changes the clock as it likes; `performance` does not")
    return found


def _throttled(root: Path) -> int:
    """Bits of `get_throttled`; 0 where there is no such thing."""
    text = _read(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    if not text and (command := shutil.which("vcgencmd")):
        result = subprocess.run([command, "get_throttled"], capture_output=True, text=True)  # noqa: S603 - no input
        text = result.stdout.strip().partition("=")[2]
    try:
        return int(text or "0", 16)
    except ValueError:
        return 0


def _field(path: Path, name: str) -> str:
    """Return the value of the first line "name: value" in a file, or "" if there is none."""
    for line in _read(path).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
