"""Photos that may take long are decoded in processes of their own, which can be stopped.

A decoder that runs in a thread cannot: neither `--timeout` nor Ctrl-C would end it. Whatever is certain to be quick, as
nearly all photos are, stays in the thread that asks, and costs nothing more.
"""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import warnings
import weakref
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Timer
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from cifar_edge.errors import ImageError
from cifar_edge.photos import decode
from cifar_edge.system.child import command_of, environment, limit_memory
from cifar_edge.system.machine import MOST_FOR_A_PHOTO
from cifar_edge.system.opening import Identity

TIMEOUT = 60.0
"""The default of the seconds that decoding one photo may take."""

WORK_A_SECOND = 3e6  # pixels; a Raspberry Pi Zero 2 W does three times as many

GRACE = 5  # seconds after which a process whose parent is gone ends itself
BEYOND = 1 << 26  # bytes that a decoder may take beyond what was predicted


class Reader:
    """Reads photos for a network, each within a limit of memory and of time.

    Several threads may use it at once.

        reader = Reader(timeout=10, height=32, width=32)
        pixels = reader("cat.jpg")

    Args:
        timeout: seconds that decoding one photo may take.
        how: the other arguments of `photos.decode.load`.
    """

    def __init__(self, timeout: float, **how: Any) -> None:
        self._timeout, self._how = timeout, how
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._all: weakref.WeakSet[_Process] = weakref.WeakSet()
        self._closed = False
        self._in_thread: Any = partial(decode.load, **how, work=timeout * WORK_A_SECOND)
        weakref.finalize(self, _stop, self._all)

    def __call__(self, photo: str | Path | bytes, wait: bool = True, seen: Identity | None = None) -> NDArray[np.uint8]:
        """Return the pixels of a photo, a path or a file's bytes, as `photos.decode.load` does.

        Args:
            photo: a path, or a file's bytes.
            wait: whether to decode it if that may take long.
            seen: which file the path has to lead to, see `load`.

        Raises:
            ImageError: as of `load`; or it took too long, or its decoder crashed.
            SlowPhotoError: without `wait`, it may take long; nothing has been decoded.
        """
        try:
            file = io.BytesIO(photo) if isinstance(photo, bytes) else photo
            pixels: NDArray[np.uint8] = self._in_thread(file, seen=seen)
            return pixels
        except decode.SlowPhotoError:
            if not wait:
                raise
        process = self._process()
        try:
            return process.decode(photo, self._timeout, self._how | {"seen": seen})
        finally:
            if not process.is_gone:
                self._idle.put(process)

    def close(self) -> None:
        """Stop what is being decoded in processes; who waits for it gets an `ImageError`."""
        self._closed = True
        _stop(self._all)

    def _process(self) -> _Process:
        try:
            return self._idle.get_nowait()
        except Empty:
            pass
        try:
            process = _Process()
        except OSError as error:
            raise ImageError(f"may take long, and there can be no process to decode it: {error.strerror}") from error
        self._all.add(process)
        if self._closed:
            process.stop()
        return process


def _stop(processes: weakref.WeakSet[_Process]) -> None:
    for process in list(processes):
        process.stop()


class _Process:
    """A process that decodes one photo after the other: requests in JSON to its stdin, pixels from its stdout."""

    def __init__(self) -> None:
        command, pipe = command_of("cifar_edge.photos.own_process"), subprocess.PIPE
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment()
        )
        self._requests, self._answers = cast("tuple[IO[bytes], IO[bytes]]", (self._process.stdin, self._process.stdout))
        self.is_gone = False
        self._answers.readline()  # when it is ready: time counts from the start of decoding

    def stop(self) -> None:
        """End it, whatever it does."""
        self.is_gone = True
        self._process.kill()

    def decode(self, photo: str | Path | bytes, timeout: float, how: dict[str, Any]) -> NDArray[np.uint8]:
        """Return a photo's pixels, or raise `ImageError`; then the process may be gone."""
        content = photo if isinstance(photo, bytes) else b""
        request = {"timeout": timeout, "how": how}
        request |= {"bytes": len(content)} if isinstance(photo, bytes) else {"path": str(photo)}
        late = Timer(timeout, self.stop)
        late.daemon = True
        late.start()
        try:
            self._requests.write(json.dumps(request).encode() + b"\n" + content)
            self._requests.flush()
            answer = json.loads(self._answers.readline())
            if "error" in answer:
                raise ImageError(answer["error"])
            return np.frombuffer(self._answers.read(math.prod(answer["shape"])), np.uint8).reshape(answer["shape"])
        except (OSError, ValueError):
            raise ImageError(self._epitaph(timeout)) from None
        finally:
            late.cancel()
            late.join()  # it may be at work

    def _epitaph(self, timeout: float) -> str:
        if self.is_gone:
            return f"takes longer than {timeout:g} s to decode (--timeout)"
        self.is_gone = True
        killed = self._process.wait(GRACE) == -signal.SIGKILL
        return "its decoder was killed, most likely for want of memory" if killed else "its decoder crashed"


def main() -> None:
    """Decode what is asked for on stdin until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that asks
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # native libraries may print
    warnings.simplefilter("ignore")
    answers.write(b"\n")
    answers.flush()
    for line in requests:
        request = json.loads(line)
        _end_after(request["timeout"] + GRACE)  # nobody may be left to stop it
        photo = request["path"] if "path" in request else io.BytesIO(requests.read(request["bytes"]))
        limit_memory(int(request["how"].get("memory", MOST_FOR_A_PHOTO)) + BEYOND)
        if request["how"]["seen"]:
            request["how"]["seen"] = Identity(*request["how"]["seen"])
        answer: dict[str, Any] = {}
        content = b""
        try:
            pixels = decode.load(photo, **request["how"])
            answer["shape"], content = pixels.shape, pixels.tobytes()
        except ImageError as error:
            answer["error"] = str(error)
        _end_after(0)
        answers.write(json.dumps(answer).encode() + b"\n" + content)
        answers.flush()


def _end_after(seconds: float) -> None:
    """End this process in so many seconds; 0: never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
