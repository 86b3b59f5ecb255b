"""Copy photos, or link to them, into a folder for each label."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from cifar_edge.errors import ImageError, UsageError
from cifar_edge.photos.class_folders import composed
from cifar_edge.results.row import UNKNOWN, Row
from cifar_edge.system.files import LONGEST, atomic, only_process, remove_leftovers
from cifar_edge.system.opening import check_unchanged, destination, open_same
from cifar_edge.system.uris import Uri

PIECE = 1 << 20  # bytes read at once

REFUSED = (errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG)
"""Errors for a name that the file system does not take, such as one with a colon on a USB stick."""


def check_folder(folder: Path, paths: Sequence[Path | Uri]) -> None:
    """Raise `UsageError` if `folder` is no folder, is in use, or lies in or around the photos."""
    destination(folder)  # raises if the link is another user's
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; name one to sort into")
    for path in paths:
        if isinstance(path, Uri):
            raise UsageError(f"{path}: only photos on this machine can be sorted; copy them here first")
        for inner, outer in ((folder, path), (path, folder)):
            if Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(outer)):
                raise UsageError(
                    f"{folder}: photos of {path} would be sorted where they are; sort into a folder elsewhere"
                )
    if folder.is_dir():
        with only_process(folder):  # raises now, before there is a journal
            pass


def sort_photos(
    rows: Iterable[Row], folder: Path, link: bool, labels: Iterable[str] = ()
) -> Generator[Row, None, None]:
    """Copy each row's photo into `folder/<label>`, or link to it from there, and pass the row on.

    With all `labels` that the rows may have, no two share a folder: see `folder_names`.

    Only the file that was classified is opened, once, not what has taken its place since. Nothing is overwritten. If
    another photo has the same name, a digest of the content is added to the name (for a link, a digest of its target),
    so the same photo is there once. A photo that can no longer be read to its end, or has changed, or whose name the
    file system refuses, becomes a row with its reason.

    Raises:
        UsageError: another process is sorting into this folder.
        OSError: a photo cannot be copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with only_process(folder):
        there: dict[str, str] = {}
        for home in folder.iterdir():
            remove_leftovers(home)
            there[composed(home.name)] = home.name
        names = {label: there.get(name, name) for label, name in folder_names(labels).items()}
        put = functools.partial(_link if link else _copy, names=names)
        for row in rows:
            yield row if row.error else _sorted(row, put, folder)


def _sorted(row: Row, put: Callable[[Row, Path], None], folder: Path) -> Row:
    """Put a photo into its folder; if that fails because of the photo, return a row with the reason."""
    try:
        put(row, folder)
    except ImageError as error:
        reason = str(error)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        reason = f"{error.strerror}; {folder} may not take such a name"
    else:
        return row
    return replace(row, label="", confidence=None, top=(), error=f"could not be copied: {reason}")


def _link(row: Row, folder: Path, names: Mapping[str, str]) -> None:
    with _opened(row):
        pass
    target = Path(row.path).absolute()
    place = _place(row, folder, names)
    if os.path.lexists(place) and not (place.is_symlink() and place.readlink() == target):
        place = _with_digest(place, hashlib.sha256(os.fsencode(target)).hexdigest())
    if not os.path.lexists(place):
        place.symlink_to(target)


def _copy(row: Row, folder: Path, names: Mapping[str, str]) -> None:
    with _opened(row) as photo:
        about = os.fstat(photo.fileno())
        place = _place(row, folder, names)
        if os.path.lexists(place):
            digest = _digest(_content(photo, about))
            if not (place.is_file() and _has_digest(place, digest)):
                place = _with_digest(place, digest)
        if not os.path.lexists(place):
            with atomic(place) as partial:
                with partial.open("wb") as file:
                    file.writelines(_content(photo, about))
                with contextlib.suppress(PermissionError):  # on some cards files have no owners
                    os.utime(partial, ns=(about.st_atime_ns, about.st_mtime_ns))


@contextlib.contextmanager
def _opened(row: Row) -> Iterator[BinaryIO]:
    """Open a row's photo; raise `ImageError` if it is gone, or no longer what was classified."""
    with contextlib.ExitStack() as opened:
        with _reading():
            photo = opened.enter_context(open_same(row.path, row.file))
        yield photo


def _content(photo: BinaryIO, about: os.stat_result) -> Iterator[bytes]:
    """Yield a photo's bytes, no more than it had when it was opened; raise `ImageError` if it changes meanwhile."""
    with _reading():
        photo.seek(0)
        left = about.st_size
        while piece := photo.read(min(PIECE, left)):
            left -= len(piece)
            yield piece
        check_unchanged(photo, about)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Raise `ImageError` for a photo that cannot be read, which must not stop the run."""
    try:
        yield
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from error


def _has_digest(place: Path, digest: str) -> bool:
    with _reading(), open_same(place, None) as file:
        return _digest(_content(file, os.fstat(file.fileno()))) == digest


def _digest(content: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in content:
        digest.update(piece)
    return digest.hexdigest()


def _place(row: Row, folder: Path, names: Mapping[str, str]) -> Path:
    """Make the folder of a photo's label; return the photo's place there if its name is free."""
    home = destination(folder / (names.get(row.label) or folder_name(row.label)))
    home.mkdir(exist_ok=True)
    return home / Path(row.path).name


def _with_digest(place: Path, digest: str) -> Path:
    return place.with_name(f"{place.stem[:LONGEST]}-{digest[:12]}{place.suffix}")


def folder_names(labels: Iterable[str]) -> dict[str, str]:
    """Return a safe folder name for each label, and for "unknown".

    Names that some file system takes for one, as `Cat` and `cat`, get a digest of their label.
    """
    names = {label: folder_name(label) for label in (*labels, UNKNOWN)}
    alike = Counter(map(_folded, names.values()))
    return {label: name if alike[_folded(name)] == 1 else _marked(name, label) for label, name in names.items()}


def folder_name(label: str) -> str:
    """Return a label as a safe folder name: special characters become `%` and their code point.

    A name that Windows keeps for itself, such as `con`, has its first letter changed like that. A long one is cut, and
    gets a digest of the label.
    """
    odd = r"[^\w ()+,-]| +$|^(?=(con|prn|aux|nul|(com|lpt)[\d¹²³])$)."
    name = re.sub(odd, _escaped, composed(label), flags=re.IGNORECASE)
    return (name if len(name) <= LONGEST else _marked(name, label)) or "%"


def _escaped(odd: re.Match[str]) -> str:
    return "".join(f"%{ord(character):02X}" for character in odd[0])


def _marked(name: str, label: str) -> str:
    # No other name has a `~`.
    return f"{name[: LONGEST - 13]}~{hashlib.sha256(label.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
