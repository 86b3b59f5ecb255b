"""Folders and URIs -> the paths of photos, in order.

Below a place that you name, these are no photos of yours, and are left out with all below them, whatever their case:

- hidden names, which begin with a dot: `._IMG.JPG`, `.thumbnails`, `.Trashes`, `.stversions`, `.~tmp~` of rsync
- temporary names of programs, which begin with `~` or end in `UNFINISHED`
- `FOREIGN` folders: trash, snapshots and thumbnails of NAS systems, archives and operating systems

A file or folder that you name yourself is always taken. Raw files and others of `UNREAD` suffixes cannot be read; they
are counted too.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from cifar_edge.errors import UsageError
from cifar_edge.photos import decode
from cifar_edge.system import uris
from cifar_edge.system.uris import Uri

UNFINISHED = (".crdownload", ".download", ".filepart", ".part", ".partial", ".tmp")
"""Ends of the names of files and folders that a program still writes."""

FOREIGN = {
    name.lower(): name
    for name in (
        "#recycle",
        "#snapshot",
        "$RECYCLE.BIN",
        "@eaDir",
        "@Recently-Snapshot",
        "@Recycle",
        "@sharebin",
        "@tmp",
        "__MACOSX",
        "files_trashbin",
        "files_versions",
        "lost+found",
        "Network Trash Folder",
        "RECYCLED",
        "RECYCLER",
        "System Volume Information",
        "Temporary Items",
        "TheVolumeSettingsFolder",
    )
}
"""Folders of Synology, QNAP, Nextcloud, Windows, macOS and Linux in which they keep files of their own."""

UNREAD = {
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    *(
        ".avifs",
        ".heics",
        ".heifs",
        ".j2k",
        ".jp2",
        ".jpf",
        ".jpx",
        ".jxl",
        ".jxr",
        ".pgm",
        ".ppm",
        ".psb",
        ".psd",
        ".tga",
    ),
}
"""Suffixes of cameras' raw files, then of other photos that `photos.decode` does not read."""


def left_out(path: str) -> str:
    """Return the rule by which a path below a named place is left out, such as "@eaDir" or "._*"; or ""."""
    return next(filter(None, map(_rule, path.split("/"))), "")


def _rule(name: str) -> str:
    if name[:1] in (".", "~"):
        return "._*" if name[:2] == "._" else f"{name[:1]}*"
    name = name.lower()
    if name.endswith(UNFINISHED):
        return f"*.{name.rpartition('.')[2]}"
    return FOREIGN.get(name, "")


def unread(path: str) -> str:
    """Return the suffix of a photo that cannot be read, such as ".cr2"; or ""."""
    suffix = f".{path.rpartition('.')[2].lower()}"
    return suffix if suffix in UNREAD else ""


def count_left_out(rules: Counter[str]) -> list[tuple[str, str]]:
    """Return how many names were left out by which rules and how many cannot be read, and what to do about each."""
    groups = (
        ("left out", rules.keys() - UNREAD, "not your photos; to classify them, name their folder itself"),
        ("cannot read", rules.keys() & UNREAD, "to classify them, save them as JPEG"),
    )
    found = []
    for what, names, advice in groups:
        counts = Counter({name: rules[name] for name in sorted(names)}).most_common()
        each = ", ".join(f"{name} {count:,}" for name, count in counts)
        if counts:
            found.append((f"{what} {sum(count for _, count in counts):,} ({each})", advice))
    return found


def order(path: str) -> str:
    """Return the sort key of a path: name by name from the left, so that a folder's content stays together.

    URIs are sorted by code points, as S3 lists them.
    """
    return path if uris.is_uri(path) else path.replace(os.sep, "\0")


def find(paths: Sequence[str | Path], rules: Counter[str] | None = None) -> Iterator[str]:
    """Yield the paths of all photos in `paths`, in the order of `order`, each once.

    Folders are searched to the bottom. Links to folders are not followed, so there is no loop. In a folder, the
    suffix decides what is a photo, and names of other programs are left out (see above); a file that you name is always
    taken. A folder that cannot be listed to its end is yielded too, before its photos. Duplicate places are searched
    once, under the first spelling. Nested places are skipped.

    Args:
        paths: files and folders.
        rules: counts here what is left out, by rule.

    Raises:
        UsageError: one of the paths does not exist; before anything is yielded.
    """
    starts = [Path(path) for path in paths]
    for start in starts:
        if not os.path.lexists(start):
            raise UsageError(f"{start}: no such file or folder")
    rules = Counter() if rules is None else rules
    return heapq.merge(*(_search(start, rules) for start in _distinct(starts)), key=order)


def _distinct(starts: Iterable[Path]) -> list[Path]:
    """Return the places, without duplicates and without those that are found in another one."""
    real = functools.cache(os.path.realpath)
    places: dict[Path, Path] = {}
    for start in starts:
        # A link to a photo is a photo of its own.
        place = Path(real(start)) if start.is_dir() else Path(real(start.parent), start.name)
        places.setdefault(place, start)
    folders = {place for place, start in places.items() if start.is_dir()}

    def is_found(place: Path) -> bool:
        around = folders.intersection(place.parents)
        return (place in folders or decode.is_photo(place.name)) and not all(
            left_out(place.relative_to(folder).as_posix()) for folder in around
        )

    return [start for place, start in places.items() if not is_found(place)]


def _search(start: Path, rules: Counter[str]) -> Iterator[str]:
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
        names, whole = _names(path, rules)
        if not whole:
            yield path
        levels.append(("" if path == os.curdir else path, names))


def _names(folder: str, rules: Counter[str]) -> tuple[list[str], bool]:
    """Return the names of the photos and folders in a folder, the last first, and whether that is all of them."""
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if entry.is_dir(follow_symlinks=False):
                    if rule := _rule(name):
                        rules[rule] += 1
                    else:
                        names.append(f"{name}\0")
                elif (is_read := decode.is_photo(name)) or unread(name):
                    if name[0] in ".~":  # the other rules are not for the suffix of a photo, and this is quick
                        rules[_rule(name)] += 1
                    elif is_read:
                        names.append(name)
                    else:
                        rules[unread(name)] += 1
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


def photos_in(places: Sequence[Path | Uri], rules: Counter[str] | None = None) -> Iterator[str]:
    """Yield the photos of all places, paths and URIs, in the order of `order`; see `find`."""
    found = [find([place for place in places if isinstance(place, Path)], rules)]
    found += [map(itemgetter(0), photos) for photos in _remote(places, rules)]
    return heapq.merge(*found, key=order)


def _remote(places: Sequence[Path | Uri], rules: Counter[str] | None) -> list[Iterator[tuple[str, int]]]:
    """Return the photos of each URI, with their sizes."""
    rules = Counter() if rules is None else rules

    def is_kept(path: str) -> bool:
        if rule := left_out(path):
            rules[rule] += 1
        return not rule

    def wanted(path: str) -> bool:
        if not decode.is_photo(path) and (suffix := unread(path)) and is_kept(path):
            rules[suffix] += 1
        return decode.is_photo(path) and is_kept(path)

    remote = uris.distinct((place for place in places if isinstance(place, Uri)), lambda path: not left_out(path))
    return [uris.files(uri, wanted, is_kept) for uri in remote]


def at_least_one(files: Iterator[str], places: Sequence[Path | Uri], rules: Counter[str]) -> Iterator[str]:
    """Return the files again; raise `UsageError` if there is none."""
    first = next(files, None)
    if first is None:
        about = "; ".join([f"looked for {' '.join(decode.SUFFIXES)}", *(part for part, _ in count_left_out(rules))])
        raise UsageError(f"{', '.join(map(str, places))}: no photos in there ({about})")
    return itertools.chain((first,), files)


def list_photos(places: Sequence[Path | Uri], rules: Counter[str] | None = None) -> Iterator[tuple[str, int]]:
    """Yield path or URI of each photo, and its size in bytes; see `find`."""
    for file in find([place for place in places if isinstance(place, Path)], rules):
        try:
            yield file, Path(file).stat().st_size
        except OSError:  # its row will say why
            yield file, 0
    yield from itertools.chain.from_iterable(_remote(places, rules))
