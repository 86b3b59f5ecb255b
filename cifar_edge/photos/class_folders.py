"""Photos in folders that are named as their classes: `CLASS/photo.jpg`."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cifar_edge.errors import UsageError
from cifar_edge.photos.decode import is_photo
from cifar_edge.photos.find import find
from cifar_edge.system.visible import visible

TRAIN, HELD_OUT, TEST = "train", "held-out", "test"

SIDES = {"train": TRAIN, "val": HELD_OUT, "valid": HELD_OUT, "validation": HELD_OUT, "test": TEST}
"""The sides of a split, by the names of their folders."""

NONE_OF_THEM = ("none", "other", "background")
"""Folders of photos that show none of the classes."""

RESERVED = "unknown"  # the label of a photo whose confidence is too low

LEAST_CLASSES, MOST_CLASSES = 2, 1000


class Listing(NamedTuple):
    """The photos of a folder of class folders.

    Attributes:
        classes: `composed` names in alphabetical order; that of `NONE_OF_THEM`, if it is there, is the last.
        unknown: the index of the class of `NONE_OF_THEM`, or None.
        paths: of all photos, class by class, in the order of `find`.
        labels: the index of each photo's class.
        sides: of each photo `TRAIN`, `HELD_OUT` or `TEST` where the folders say so, otherwise "".
        stray: photos that lie beside the class folders; they have no class.
    """

    classes: tuple[str, ...]
    unknown: int | None
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    sides: tuple[str, ...]
    stray: tuple[str, ...]


def class_of(path: str | Path) -> str:
    """Return the name of a photo's folder, `composed`, which is its class where photos are labelled."""
    return composed(Path(path).parent.name)


def composed(name: str) -> str:
    """Return a name as it is compared: a Mac may store an accent apart from its letter (Unicode's NFD, not NFC)."""
    return unicodedata.normalize("NFC", name)


def has_class_folders(directory: Path) -> bool:
    """Tell whether a folder has sub-folders of photos, as `list_class_folders` wants them."""
    return directory.is_dir() and any(next(iter(find([folder])), None) is not None for folder in _folders(directory))


def list_class_folders(directory: Path) -> Listing:
    """List photos in `directory/CLASS/`, or in `directory/train|val|valid|validation|test/CLASS/`.

    Class folders are searched to the bottom. Folders whose names begin with a dot are skipped.

    Raises:
        UsageError: no folder, too few or too many classes, or a name that cannot be a label.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory}: not a folder; name one that has a sub-folder of photos for each class")
    folders = _folders(directory)
    if not folders:
        raise UsageError(f"{directory}: no sub-folders; put the photos of each class into a sub-folder of its own")
    sides = _sides(directory, folders)
    homes = [(side, home) for side, folder in sides for home in _folders(folder)]
    names = sorted((home.name for side, home in homes if side in (TRAIN, "")), key=composed)
    known = {*map(composed, names)}
    if extra := next((home for _, home in homes if composed(home.name) not in known), None):
        raise UsageError(f"{extra}: a class that {directory / 'train'} lacks; give it photos there, or remove it")
    classes = tuple(map(composed, _checked(directory, names)))
    stray = tuple(str(file) for _, folder in sides for file in sorted(folder.iterdir()) if _is_stray(file))
    photos = [
        (path, classes.index(composed(home.name)), side)
        for side, home in sorted(homes, key=lambda one: classes.index(composed(one[1].name)))
        for path in find([home])
    ]
    unknown = next((index for index, name in enumerate(classes) if is_unknown(name)), None)
    paths, labels, given = zip(*photos, strict=True) if photos else ((), (), ())
    return Listing(classes, unknown, paths, labels, given, stray)


def is_unknown(name: str) -> bool:
    """Tell whether a folder holds photos of none of the classes."""
    return name.casefold() in NONE_OF_THEM


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_stray(file: Path) -> bool:
    return is_photo(file.name) and not file.name.startswith(".") and file.is_file()


def _sides(directory: Path, folders: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return the folders that hold class folders, each with its side; only `directory` itself if there is no split.

    A class may be called train too: a split's folder has sub-folders.
    """
    split = [folder for folder in folders if folder.name.casefold() in SIDES and _folders(folder)]
    if not any(SIDES[folder.name.casefold()] == TRAIN for folder in split):
        return [("", directory)]
    if beside := [folder for folder in folders if folder not in split]:
        raise UsageError(f"{beside[0]}: lies beside the folders of a split; move it into {split[0].parent / 'train'}")
    return [(SIDES[folder.name.casefold()], folder) for folder in split]


def _checked(directory: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Return class names in their order, if they can be labels."""
    spellings: dict[str, str] = {}
    for name in names:
        shown = f"{directory}: class folder '{visible(name)}'"
        if visible(name) != name:
            raise UsageError(f"{shown}: characters that cannot be seen cannot be in a label; rename it")
        if name != name.strip():
            raise UsageError(f"{shown}: begins or ends with a space, which a label cannot; rename it")
        if name.casefold() == RESERVED:
            raise UsageError(f"{shown}: is the label of uncertain photos; move them to their classes, or call it none")
        key = composed(composed(name).casefold())
        if key in spellings:
            raise UsageError(f"{shown}: is spelled as {spellings[key]!r} but for case or accents; merge them")
        spellings[key] = name
    unknown = [name for name in names if is_unknown(name)]
    if len(unknown) > 1:
        raise UsageError(f"{directory}: {' and '.join(unknown)} both hold what is none of the classes; merge them")
    known = [name for name in names if name not in unknown]
    if len(known) < LEAST_CLASSES:
        what = f"only one class ({known[0]})" if known else "no class"
        beside = f" beside {unknown[0]}" if unknown else ""
        raise UsageError(f"{directory}: {what}{beside}; make a sub-folder of photos for each of 2 classes or more")
    if len(known) > MOST_CLASSES:
        raise UsageError(f"{directory}: {len(known):,} classes; at most {MOST_CLASSES:,} can be told apart")
    return (*known, *unknown)
