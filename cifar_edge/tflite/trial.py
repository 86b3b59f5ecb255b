"""A model from elsewhere -> a first try in a process of its own.

LiteRT believes a graph: a tensor that lies about its size can end the whole process. What passed is remembered in the
cache folder by the digest of the file, so the try costs a second once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from cifar_edge.errors import CifarEdgeError, ModelError, UsageError
from cifar_edge.system.child import command_of, environment, limit_memory
from cifar_edge.system.files import atomic, cache_dir
from cifar_edge.system.opening import open_ours
from cifar_edge.system.silence import silenced
from cifar_edge.tflite.interface import Size
from cifar_edge.tflite.interpreter import VERSION, random_pixels, refusal

MEMORY = 1 << 30
"""Bytes that loading and one image may take, beside four times the file: LiteRT packs weights, and widens float16."""

SECONDS = 60.0
"""For the whole try; the slowest Raspberry Pi takes about ten to start Python and LiteRT."""

PASSED = "passed"


def try_out(content: bytes, path: Path, size: Size | None = None) -> None:
    """Load a model in a process of its own and classify one image there, unless it passed before.

    Only a pass is remembered: a crash may have been the memory's or the machine's fault. Without a writable cache
    folder, each call tries again.

    Args:
        content: of the `.tflite` file.
        path: of the file, for errors.
        size: height and width in pixels, for a graph that takes images of any size.

    Raises:
        UsageError: a size for a graph that has its own.
        ModelError: it crashes LiteRT, takes more than `MEMORY` or `SECONDS`, or is no image classifier.
    """
    given = [str(pixels) for pixels in size or ()]
    kind = "-".join([hashlib.sha256(content).hexdigest(), "litert", VERSION, platform.machine(), *given])
    mark = cache_dir() / "tried" / kind
    if _is_set(mark):
        return
    command = command_of("cifar_edge.tflite.trial", str(path), *given)
    try:
        child = subprocess.run(command, input=content, capture_output=True, timeout=SECONDS, env=environment())  # noqa: S603 - ourselves
    except subprocess.TimeoutExpired:
        raise ModelError(f"{path}: one image takes longer than {SECONDS:g} s; use a smaller model") from None
    except OSError as error:
        raise ModelError(f"{path}: could not be tried in a process of its own ({error.strerror})") from error
    if child.returncode < 0:
        raise ModelError(
            f"{path}: this file crashes LiteRT ({signal.strsignal(-child.returncode)}), or needs more than "
            f"{_allowed(content) / 1e9:.1f} GB for one image; export or copy it again"
        )
    verdict = child.stdout.decode("utf-8", "surrogateescape").strip()
    if verdict == PASSED:
        _set(mark)
        return
    complaints = child.stderr.decode("utf-8", "replace").splitlines() or [f"exit code {child.returncode}"]
    raise ModelError(verdict or f"{path}: could not be tried in a process of its own ({complaints[-1]})")


def main() -> None:
    """Try the model whose bytes come on stdin; arguments are its name, and height and width if it has none of its own.

    Prints `PASSED`, or the error.
    """
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr] # for any file's name
    content, name, *given = sys.stdin.buffer.read(), *sys.argv[1:]
    with silenced():
        verdict = _verdict(content, name, (int(given[0]), int(given[1])) if given else None)
    print(verdict)


def _verdict(content: bytes, name: str, size: Size | None) -> str:
    from cifar_edge.tflite.model import EdgeModel  # which tries what it loads

    limit_memory(_allowed(content))
    try:
        model = EdgeModel.from_bytes(content, name, image_size=size)
        model.predict(random_pixels((1, model.height, model.width, 3), np.uint8))
    except MemoryError as error:
        return str(refusal(name, error))
    except CifarEdgeError as error:
        return str(error)
    return PASSED


def _allowed(content: bytes) -> int:
    return MEMORY + 4 * len(content)


def _is_set(mark: Path) -> bool:
    """Tell whether a mark is a file of this user that holds its own name: others may put or link theirs there."""
    try:
        with os.fdopen(open_ours(mark, os.O_RDONLY), "rb") as file:
            return file.read(1000) == mark.name.encode()
    except (OSError, UsageError):
        return False


def _set(mark: Path) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written costs a try each time
        mark.parent.mkdir(parents=True, exist_ok=True)
        with atomic(mark) as partial:
            partial.write_text(mark.name)


if __name__ == "__main__":
    main()
