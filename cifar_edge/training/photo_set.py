"""Your own photos as a training set: classes, labels, sides, and pixels on the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cifar_edge.errors import DataError
from cifar_edge.photos.class_folders import HELD_OUT, TEST, TRAIN, Listing, list_class_folders
from cifar_edge.photos.decode import FIT, check_fit
from cifar_edge.photos.decoded import File, Frame, Images, Store, cache_for, decode_all
from cifar_edge.photos.duplicates import THUMBNAIL, Alike, find_alike
from cifar_edge.system.machine import default_workers
from cifar_edge.training.split import FOLDS, LEFT_OUT, folds, need_folds, places_of, split

LEAST = 5  # photos in a class
FEW = 30  # photos in a class
IMBALANCE = 3  # times as many photos in the largest class as in the smallest

BATCH = 32

Progress = Callable[[int, int], None]
"""Called after each photo with the number of those done and of all."""


@dataclass(frozen=True)
class Survey:
    """What is in a folder of class folders; nothing of it is refused yet.

    Attributes:
        listing: as the folders say, including photos that cannot be read.
        files: of the readable photos, in the listing's order.
        unreadable: reasons, by path.
        stores: decoded photos: thumbnails of the frame `THUMBNAIL`, then the frames that were asked for.
        alike: which of the readable photos are the same, or nearly.
    """

    directory: Path
    listing: Listing
    files: Mapping[str, File]
    unreadable: Mapping[str, str]
    stores: Sequence[Store]
    alike: Alike

    @classmethod
    def of(
        cls,
        directory: Path,
        frames: Sequence[Frame] = (),
        workers: int | None = None,
        progress: Progress = lambda done, total: None,
    ) -> Survey:
        """List and decode the photos in `directory/CLASS/` or `directory/train|val|test/CLASS/`.

        Raises:
            UsageError: the folders are no class folders; see `list_class_folders`.
            DataError: no photo can be read, or there is no room for the decoded ones.
        """
        listing = list_class_folders(directory)
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            progress(done, len(listing.paths))

        stores, files, unreadable = decode_all(
            listing.paths, (THUMBNAIL, *frames), cache_for(directory), workers or default_workers(), advance
        )
        if not files:
            why = f"; of the first it says: {next(iter(unreadable.values()))}" if unreadable else ""
            raise DataError(f"{directory}: none of {len(unreadable):,} photos can be read{why}")
        digests = [file.digest for file in files.values()]
        alike = find_alike(stores[0].images(digests), digests, [file.taken for file in files.values()])
        return cls(directory, listing, files, unreadable, stores, alike)

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Paths of the readable photos."""
        return tuple(self.files)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Class of each readable photo, (N,): an index into the listing's classes."""
        labels = dict(zip(self.listing.paths, self.listing.labels, strict=True))
        return np.array([labels[path] for path in self.files], np.int64)

    @cached_property
    def given(self) -> tuple[str, ...]:
        """Side of each readable photo as its folder says, or ""."""
        sides = dict(zip(self.listing.paths, self.listing.sides, strict=True))
        return tuple(sides[path] for path in self.files)

    @cached_property
    def digests(self) -> list[str]:
        """SHA-256 of each readable photo's file, in hexadecimal."""
        return [file.digest for file in self.files.values()]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Number of readable photos of each class, (C,)."""
        return np.bincount(self.labels, minlength=len(self.listing.classes))

    @cached_property
    def thumbnails(self) -> Images:
        """Small pixels of each readable photo."""
        return self.stores[0].images(self.digests)

    def by_class(self) -> dict[str, list[int]]:
        """Return the readable photos of each class, by index."""
        members: list[list[int]] = [[] for _ in self.listing.classes]
        for photo, label in enumerate(self.labels.tolist()):
            members[label].append(photo)
        return dict(zip(self.listing.classes, members, strict=True))

    def copies(self) -> list[tuple[int, ...]]:
        """Return the readable photos that are there more than once, by index: a tuple for each photo."""
        order = np.argsort(self.alike.same, kind="stable")
        sets = np.split(order, np.flatnonzero(np.diff(self.alike.same[order])) + 1)
        return [tuple(map(int, one)) for one in sets if len(one) > 1]

    def leaks(self) -> list[int]:
        """Return the photos, by index, that the folders do not put on the test side where their likes are."""
        tested = {group for group, side in zip(self.alike.group.tolist(), self.given, strict=True) if side == TEST}
        return [
            photo
            for photo, group in enumerate(self.alike.group.tolist())
            if group in tested and self.given[photo] != TEST
        ]

    def contradictions(self) -> list[str]:
        """Return a line for each photo that is in two classes, or on two sides of a split that the folders give."""
        labels, given, paths = self.labels, self.given, self.paths
        lines = []
        for one in self.copies():
            names = ", ".join(str(Path(paths[photo]).relative_to(self.directory)) for photo in one)
            if len({labels[photo] for photo in one}) > 1:
                lines.append(f"the same photo in two classes: {names}; leave it in one")
            elif len({given[photo] for photo in one}) > 1:
                lines.append(f"the same photo on two sides of the split: {names}; leave it on one")
        return lines

    def warnings(self) -> list[str]:
        """Return a line for each thing that makes a model of these photos doubtful."""
        classes, counts, listing = self.listing.classes, self.counts, self.listing
        lines = [f"{path}: cannot be read, skipped: {reason}" for path, reason in self.unreadable.items()]
        if listing.stray:
            lines.append(f"{listing.stray[0]}: {len(listing.stray):,} photos like this lie in no class folder; skipped")
        lines += self.contradictions()
        if leaks := self.leaks():
            lines.append(
                f"{len(leaks):,} photos are the same as photos to test on, or nearly, such as "
                f"{self.paths[leaks[0]]}; they are left out of the training"
            )
        if self.alike.fixed_camera:
            lines.append(f"{self.directory}: so many photos look alike that only copies and bursts are kept together")
        if few := [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < FEW]:
            lines.append(f"few photos: {', '.join(few)}; {FEW} or more in a class make a better model")
        known = [index for index in range(len(classes)) if index != listing.unknown]
        largest, smallest = max(known, key=counts.__getitem__), min(known, key=counts.__getitem__)
        if counts[largest] > IMBALANCE * counts[smallest]:
            lines.append(
                f"{classes[largest]} has {counts[largest]:,} photos, {classes[smallest]} only {counts[smallest]:,}; "
                "the training weights them, but more photos of the smaller class are better"
            )
        return lines

    def check(self) -> None:
        """Raise `DataError` if a class has too few photos to learn from."""
        free = np.bincount(
            self.labels[[side in (TRAIN, "") for side in self.given]], minlength=len(self.listing.classes)
        )
        for name, count in zip(self.listing.classes, free, strict=True):
            if count < LEAST:
                raise DataError(
                    f"{self.directory}: class {name} has {count} readable photos to learn from; "
                    f"add some until there are {LEAST} or more, or remove the folder"
                )


@dataclass(frozen=True)
class Photos:
    """Readable photos of your own classes, as a training set. Pixels stay on the disk.

        photos = Photos.of("my_photos", fit="stretch", sizes=(224, 256))
        for pixels, labels in photos.batches(photos.on("held-out"), 224):
            ...  # uint8 (n, 224, 224, 3), int64 (n,)

    At the model's size, pixels are those that `classify` gives to the model. At a larger size they show the same frame
    in more detail, for an augmentation that crops; a whole frame, reduced, looks as the model will see it.

    Attributes:
        directory: the class folders.
        fit: see `photos.decode.load`.
        seed: of the split.
        survey: what was found: listing, unreadable files, duplicates.
        sides: (N,), "train", "held-out", "test", or "left out" for copies of a photo to test on. With folds there is no
            "held-out", and no "test" unless the folders give it.
        folds: int64, (N,), 0 to 4, where classes are so small that each photo is held out once; -1 for photos that
            are in no fold. None where `sides` has a "held-out".
    """

    directory: Path
    fit: str
    seed: int
    survey: Survey
    sides: NDArray[np.str_]
    folds: NDArray[np.int64] | None

    @classmethod
    def of(
        cls,
        directory: str | Path,
        fit: str = FIT,
        sizes: Sequence[int] = (),
        seed: int = 0,
        workers: int | None = None,
        progress: Progress = lambda done, total: None,
    ) -> Photos:
        """Find, decode and split the photos of a folder of class folders.

        Args:
            directory: has a sub-folder for each class, or `train` (and `val`, `test`) with such sub-folders.
            fit: how a photo becomes a square.
            sizes: of the squares that `pixels` and `batches` will be asked for.
            seed: of the split.
            workers: threads that decode; by default one a processor, fewer where memory is short.
            progress: called after each photo.

        Raises:
            UsageError: the folders are no class folders, or another process decodes the same photos.
            DataError: too few photos can be read, or there is no room for the decoded ones.
        """
        check_fit(fit)
        directory = Path(directory)
        survey = Survey.of(directory, [Frame(size, fit) for size in sizes], workers, progress)
        survey.check()
        order = [(np.inf if file.taken is None else file.taken, Path(path).name) for path, file in survey.files.items()]
        groups, labels, given = survey.alike.group.tolist(), survey.labels.tolist(), survey.given
        places = places_of(survey.digests, groups, order, seed)
        known = [index for index, label in enumerate(labels) if label != survey.listing.unknown]
        if not need_folds([labels[index] for index in known], [given[index] for index in known]):
            return cls(directory, fit, seed, survey, split(places, labels, groups, given), None)
        fold = folds(places, labels, groups, given)
        sides = np.where(fold >= 0, TRAIN, np.where(np.array(given) == TEST, TEST, LEFT_OUT))
        return cls(directory, fit, seed, survey, sides, fold)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; that of photos of none of the classes, if there is one, is the last."""
        return self.survey.listing.classes

    @property
    def unknown(self) -> int | None:
        """Index of the class of photos of none of the classes."""
        return self.survey.listing.unknown

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the photos."""
        return self.survey.paths

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each photo, (N,): an index into `classes`."""
        return self.survey.labels

    @property
    def digest(self) -> str:
        """SHA-256 of names, labels, contents and sides, in hexadecimal: a resumed run compares it."""
        parts = zip(self.paths, self.labels, self.survey.digests, self.sides, strict=True)
        rows = [
            f"{Path(path).relative_to(self.directory)}\0{label}\0{digest}\0{side}"
            for path, label, digest, side in parts
        ]
        return hashlib.sha256("\n".join([*self.classes, *rows]).encode("utf-8", "surrogateescape")).hexdigest()

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.paths)

    def on(self, side: str) -> NDArray[np.int64]:
        """Return the indices of the photos on a side."""
        return np.flatnonzero(self.sides == side)

    def rounds(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Return (to learn from, held out) as indices: one pair, or one for each fold that is not empty."""
        if self.folds is None:
            return [(self.on(TRAIN), self.on(HELD_OUT))]
        pairs = [
            (np.flatnonzero((self.folds >= 0) & (self.folds != fold)), np.flatnonzero(self.folds == fold))
            for fold in range(FOLDS)
        ]
        return [pair for pair in pairs if len(pair[1])]

    def pixels(self, size: int) -> Images:
        """Return the pixels of all photos at one of the sizes that were asked for: uint8, (N, size, size, 3)."""
        (store,) = (store for store in self.survey.stores[1:] if store.frame.size == size)
        return store.images(self.survey.digests)

    def batches(
        self, indices: NDArray[np.int64], size: int, batch: int = BATCH
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        """Yield pixels, uint8 (n, size, size, 3), and labels, int64 (n,), of these photos in their order."""
        pixels, labels = self.pixels(size), self.labels
        for start in range(0, len(indices), batch):
            some = indices[start : start + batch]
            yield pixels[some], labels[some]
