"""Rows -> counts by class, accuracy and confusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cifar_edge.photos.class_folders import class_of, composed
from cifar_edge.results.row import Row

UNREADABLE = "(unreadable)"


class Summary:
    """Counts of rows; of photos that lie in folders named as their classes, accuracy and confusion too.

    Args:
        labels: the model's class names.

    Attributes:
        photos: how many rows there were.
        unreadable: how many of them are errors.
        by_label: photos by predicted class; unreadable ones have an entry of their own.
        confusion: readable photos by (class of their folder, predicted class).
        left_out: names that are no photos of the user's, by rule; see `photos.find`.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = {composed(label): label for label in labels}
        self._elsewhere = 0
        self.photos = 0
        self.unreadable = 0
        self.by_label: Counter[str] = Counter()
        self.confusion: Counter[tuple[str, str]] = Counter()
        self.left_out: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        """Count a row."""
        self.photos += 1
        self.unreadable += bool(row.error)
        self.by_label[UNREADABLE if row.error else row.label] += 1
        truth = self.label_of(class_of(row.path))
        if truth is None:
            self._elsewhere += 1
        elif not row.error:
            self.confusion[truth, row.label] += 1

    def label_of(self, folder: str) -> str | None:
        """Return the label that a folder's name stands for; None if it is another name."""
        return self._labels.get(composed(folder))

    @property
    def labelled(self) -> bool:
        """Whether every photo lies in a folder that is named as a class."""
        return bool(self.confusion) and not self._elsewhere

    @property
    def accuracy(self) -> float:
        """Top-1 of the readable photos where `labelled`, 0-1; "unknown" counts as wrong."""
        right = sum(count for (truth, label), count in self.confusion.items() if truth == label)
        return right / self.confusion.total()
