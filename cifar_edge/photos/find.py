"""Folders and URIs -> the paths of photos, in order."""

from __future__ import annotations

import functools
import heapq
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from cifar_edge.errors import UsageError
from cifar_edge.photos import decode
from cifar_edge.system import uris
from cifar_edge.system.uris import Uri


def order(path: str) -> str:
    """Return the sort key of a path: name by name from the left, so that a folder's content stays together.

    URIs are sorted by code points, as S3 lists them.
    """
    return path if uris.is_uri(path) else path.replace(os.sep, "\0")


def find(paths: Sequence[str | Path]) -> Iterator[str]:
    """Yield the paths of all photos in `paths`, in the order of `order`, each once.

    Folders are searched to the bottom. Links to folders are not followed, so there is no loop. In a folder, the
    suffix decides what is a photo; a file that you name is always taken. A folder that cannot be listed to its end is
    yielded too, before its photos. Duplicate places are searched once, under the first spelling. Nested places are
    skipped.

    Raises:
        UsageError: one of the paths does not exist; before anything is yielded.
    """
    starts = [Path(path) for path in paths]
    for start in starts:
        if not os.path.lexists(start):
            raise UsageError(f"{start}: no such file or folder")
    return heapq.merge(*map(_search, _distinct(starts)), key=order)


def _distinct(starts: Iterable[Path]) -> list[Path]:
    """Return the places, without duplicates and without those inside another one."""
    real = functools.cache(os.path.realpath)
    places: dict[Path, Path] = {}
    for start in starts:
        # A link to a photo is a photo of its own.
        place = Path(real(start)) if start.is_dir() else Path(real(start.parent), start.name)
        places.setdefault(place, start)
    folders = {place for place, start in places.items() if start.is_dir()}
    return [
        start
        for place, start in places.items()
        if folders.isdisjoint(place.parents) or not (place in folders or decode.is_photo(place.name))
    ]


def _search(start: Path) -> Iterator[str]:
    # A folder's name gets a NUL, as in `order`, so that only names are kept and sorted. Paths are text: pathlib would
    # take a noticeable part of the time of a tiny photo.
    levels = [("", [f"{start}\0" if start.is_dir() else str(start)])]
    while levels:
        folder, names = levels[-1]
        if not names:
            levels.pop()
            continue
        name = names.pop()
        path = os.path.join(folder, name.removesuffix("\0"))  # noqa: PTH118
        if not name.endswith("\0"):
            yield path
            continue
        names, whole = _names(path)
        if not whole:
            yield path
        levels.append(("" if path == os.curdir else path, names))


def _names(folder: str) -> tuple[list[str], bool]:
    """Return the names of the photos and folders in a folder, the last first, and whether that is all of them."""
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    names.append(f"{entry.name}\0")
                elif decode.is_photo(entry.name):
                    names.append(entry.name)
        whole = True
    except OSError:  # perhaps in the middle, where a card fails
        whole = False
    return sorted(names, reverse=True), whole


def places_of(paths: str | Path | Sequence[str | Path]) -> list[Path | Uri]:
    """Return one place or several, each as a path or a URI."""
    return [uris.place_of(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]


def absolute(places: Sequence[Path | Uri]) -> list[Path | Uri]:
    """Return the places as another folder or machine knows them too."""
    return [place.absolute() if isinstance(place, Path) else place for place in places]


def photos_in(places: Sequence[Path | Uri]) -> Iterator[str]:
    """Yield the photos of all places, paths and URIs, in the order of `order`."""
    found = [find([place for place in places if isinstance(place, Path)])]
    remote = uris.distinct(place for place in places if isinstance(place, Uri))
    found += [map(itemgetter(0), uris.files(uri, decode.is_photo)) for uri in remote]
    return heapq.merge(*found, key=order)


def at_least_one(files: Iterator[str], places: Sequence[Path | Uri]) -> Iterator[str]:
    """Return the files again; raise `UsageError` if there is none."""
    first = next(files, None)
    if first is None:
        raise UsageError(
            f"{', '.join(map(str, places))}: no photos in there (looked for {' '.join(sorted(decode.SUFFIXES))})"
        )
    return itertools.chain((first,), files)


def list_photos(places: Sequence[Path | Uri]) -> Iterator[tuple[str, int]]:
    """Yield path or URI of each photo, and its size in bytes."""
    for file in find([place for place in places if isinstance(place, Path)]):
        try:
            yield file, Path(file).stat().st_size
        except OSError:  # its row will say why
            yield file, 0
    for place in uris.distinct(place for place in places if isinstance(place, Uri)):
        yield from uris.files(place, decode.is_photo)
