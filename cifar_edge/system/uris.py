"""Files behind a URI such as `s3://bucket/photos`: list, read and write, with retries."""

from __future__ import annotations

import errno
import functools
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from cifar_edge.errors import ImageError, StorageError, UsageError, first_line

WAITS = (1, 5, 20)
"""Seconds before each further attempt; the storage's own client retries too."""

LARGEST = 1 << 28  # bytes read of one photo; no camera makes more, and several are in memory together

OWN = ("", "AccessDenied", "InvalidObjectState")
"""S3's codes (or none) for a denied permission that concern one object; others concern the user, so all objects."""

FINAL = (FileExistsError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Errors that a retry would not change."""


class Uri(str):
    """A place that fsspec reads, such as `s3://bucket/photos`."""

    __slots__ = ()


def is_uri(text: str) -> bool:
    """Tell a URI from a path."""
    return "://" in text


def place_of(place: str | Path) -> Path | Uri:
    """Return a path as `Path`, or a URI as `Uri`; a `Path` is never a URI, as it makes one slash of two."""
    return Uri(place) if isinstance(place, str) and is_uri(place) else Path(place)


def distinct(uris: Iterable[Uri], wanted: Callable[[str], bool]) -> list[str]:
    """Return the URIs, each once, without those whose path below another one is `wanted` there."""
    places = sorted({uri.rstrip("/") for uri in uris})
    return [
        place
        for place in places
        if not any(place.startswith(f"{other}/") and wanted(place.removeprefix(f"{other}/")) for other in places)
    ]


def files(
    uri: str, wanted: Callable[[str], bool], enter: Callable[[str], bool] = lambda path: True
) -> Iterator[tuple[str, int]]:
    """Yield URI and size in bytes of each file below a URI, in the order of their code points; itself, if it is one.

    Below it, those whose path from there is `wanted`; theirs begin like the URI that is given, for a file system
    forgets host and user. S3 is listed page by page, so that the first comes at once and no folder is ever in memory;
    others folder by folder, those whose path is to `enter`.

    Raises:
        UsageError: there is no such place, or what reads this kind of URI is not installed.
        StorageError: it cannot be reached.
    """
    system, root = _place(uri)
    if uri.startswith(("file:", "local:")):  # may be relative to a folder that is another one elsewhere
        uri = system.unstrip_protocol(root)
    try:
        about = _patiently(uri, system.info, root)
    except FINAL as error:
        raise UsageError(f"{uri}: {_reason(error)}; check its name and your rights") from error
    if about["type"] != "directory":
        yield uri, about["size"] or 0
        return
    scheme, _, rest = uri.partition("://")
    place, below = f"{scheme}://{rest.rstrip('/')}", len(root.rstrip("/"))
    found = _objects(system, root) if hasattr(system, "call_s3") else _walk(system, root, below + 1, enter)
    for path, size in found:
        if wanted(path[below + 1 :]):
            yield place + path[below:], size


def _objects(system: Any, root: str) -> Iterator[tuple[str, int]]:
    """Yield path and size of the objects below a place in S3, which lists them in the order of their UTF-8."""
    bucket, _, prefix = root.partition("/")
    request = {"Bucket": bucket, "Prefix": prefix and f"{prefix}/"}
    while True:
        page = _insist("list", f"s3://{root}", system.call_s3, "list_objects_v2", **request)
        for entry in page.get("Contents", ()):
            yield f"{bucket}/{entry['Key']}", entry["Size"]
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _walk(system: Any, folder: str, root: int, enter: Callable[[str], bool]) -> Iterator[tuple[str, int]]:
    """Yield path and size of the files below a folder. Its subfolders sort with a slash, as their files do.

    Subfolders are entered if their path is to be, which begins at the letter `root`.
    """
    found = _insist("list", system.unstrip_protocol(folder), system.ls, folder, detail=True)
    entries = [(f"{entry['name'].rstrip('/')}{'/' * (entry['type'] == 'directory')}", entry) for entry in found]
    for name, entry in sorted(entries, key=lambda pair: pair[0]):
        if not name.endswith("/"):
            yield name, entry["size"] or 0
        elif not entry.get("islink") and enter(name[root:-1]):  # as on this machine, links to folders are not followed
            yield from _walk(system, name[:-1], root, enter)


def read(uri: str, end: int | None = None) -> bytes:
    """Return the content of a photo, or as many bytes of it.

    Raises:
        ImageError: this one cannot be read.
        StorageError: nothing can be read there.
    """
    system, path = _place(uri)
    try:
        content = _cat(uri, system, path, end)
    except OSError as error:
        if isinstance(error, PermissionError) and _code(error) not in OWN:
            raise StorageError(f"{uri}: {first_line(error)}; check the credentials and the clock") from error
        # S3's answer for the first bytes of an empty object, and for much else.
        if error.errno == errno.EINVAL and _insist("read", uri, system.info, path)["size"] == 0:
            return b""
        raise ImageError(_reason(error)) from error
    if len(content) >= LARGEST:  # not all read just a part
        raise ImageError(f"larger than {LARGEST >> 20} MB, which no photo is")
    return content


def _cat(uri: str, system: Any, path: str, end: int | None) -> bytes:
    cat = functools.partial(_patiently, uri, system.cat_file, path, end=end or LARGEST)
    try:
        return bytes(cat())
    except StorageError as error:
        try:
            system.info(path)
        except Exception:  # the storage itself is away
            raise error from None
    try:
        return bytes(cat())  # the storage may have been away until now
    except StorageError as error:
        raise ImageError(f"cannot be read, though it is there ({error.__cause__})") from error


def read_whole(uri: str) -> bytes:
    """Return the content of a file; raise `FileNotFoundError` if there is none, `StorageError` if it fails."""
    system, path = _place(uri)
    content: bytes = _patiently(uri, system.cat_file, path)
    return content


def write(uri: str, content: bytes) -> None:
    """Write a file, whole or not at all, in place of an older one.

    An object is there when all of it is. A file grows; it does so as `.NAME.*.partial`, which stays if this is killed.

    Raises:
        StorageError: it fails.
    """
    system, path = _place(uri)
    put = functools.partial(_put, system) if _has_files(system) else system.pipe_file
    _insist("write", uri, put, path, content)


def make_folder(uri: str) -> None:
    """Make a folder and those above it; in a bucket there are none to make.

    Raises:
        StorageError: it fails.
    """
    system, path = _place(uri)
    if _has_files(system):
        _insist("write", uri, system.makedirs, path, exist_ok=True)


def remove(uri: str) -> None:
    """Remove a file of results.

    Raises:
        StorageError: it fails.
    """
    system, path = _place(uri)
    _insist("delete", uri, system.rm_file, path)


def names(folder: str) -> list[str]:
    """Return the names in a folder, which need not exist.

    Raises:
        StorageError: it cannot be reached.
    """
    system, path = _place(folder)
    try:
        found = _patiently(folder, system.ls, path, detail=False)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{folder}: {_reason(error)}; check its name and your rights") from error
    # A folder that was made in S3's console is an object without a name in itself.
    return [name for name in (path.rpartition("/")[2] for path in found) if name]


def _place(uri: str) -> tuple[Any, str]:
    """Return the file system of a URI and the path in it."""
    scheme, _, path = uri.partition("://")
    system = _system(f"{scheme}://{path.partition('/')[0]}")
    return system, system._strip_protocol(uri)


@functools.cache
def _system(root: str) -> Any:
    from fsspec.core import url_to_fs

    scheme, _, host = root.partition("://")
    if ":" in host.rpartition("@")[0]:
        raise UsageError(
            f"{scheme}://{host.rpartition('@')[2]}: a password would be in each row; leave it out of the URI, and set "
            f"FSSPEC_{scheme.rpartition('::')[2].upper()}_PASSWORD"
        )
    # A server that accepts but never answers is given up by s3fs, times botocore, times `_patiently`: 3 minutes then.
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "2")
    try:
        try:
            system = url_to_fs(root, use_listings_cache=False)[0]
        except TypeError:  # sftp:// has no such cache, and knows no such word
            system = url_to_fs(root)[0]
        if hasattr(system, "call_s3"):
            system.retries = 1
        return system
    except (ImportError, ValueError) as error:
        raise UsageError(f"{root}: {first_line(error)}") from error
    except Exception as error:  # as of `_patiently`; some connect at once
        raise StorageError(f"{root}: cannot be reached ({first_line(error)}); try again later") from error


def _has_files(system: Any) -> bool:
    """Tell a file system, which renames, from an object store, which copies."""
    from fsspec import AbstractFileSystem

    return type(system).mv is not AbstractFileSystem.mv


def _put(system: Any, path: str, content: bytes) -> None:
    folder, _, name = path.rpartition("/")
    partial = f"{folder}/.{name}.{uuid.uuid4().hex}.partial"  # of one writer: a task that was given up may still run
    system.pipe_file(partial, content)
    if system.exists(path):  # over which not all of them rename
        system.rm_file(path)
    system.mv(partial, path)


def _insist(right: str, uri: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call `_patiently`; a final error becomes a `StorageError` too, which names the right that may be missing."""
    try:
        return _patiently(uri, call, *arguments, **options)
    except OSError as error:
        raise StorageError(f"{uri}: {_reason(error)}; check the rights to {right} there") from error


def _patiently(what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return the result of a call, with retries.

    Raises:
        OSError: the storage has answered, and a retry would not help.
        StorageError: the storage does not answer.
    """
    waits = iter(WAITS)
    while True:
        try:
            return call(*arguments, **options)
        except Exception as error:  # clients have trees of their own
            if isinstance(error, FINAL) or getattr(error, "errno", None) == errno.EINVAL:
                raise
            if (wait := next(waits, None)) is None:
                raise StorageError(f"{what}: cannot be reached ({first_line(error)}); try again later") from error
            time.sleep(wait)


def _code(error: OSError) -> str:
    """Return S3's code of an error, or "" if it has none."""
    return str(getattr(error.__cause__, "response", {}).get("Error", {}).get("Code", ""))


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file, folder or bucket"
    if isinstance(error, PermissionError):
        return "permission denied"
    return error.strerror or first_line(error)
