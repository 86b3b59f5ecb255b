from __future__ import annotations

import unicodedata

import pytest

from cifar_edge.results.row import Row
from cifar_edge.results.summary import Summary


def summary(*photos: tuple[str, str]) -> Summary:
    """Sum up photos given by path and label; no label stands for an error."""
    result = Summary(("cat", "dog"))
    for path, label in photos:
        result.add(Row(path, label, 0.5 if label else None, (), "" if label else "no photo", 1.0, "m.tflite"))
    return result


def test_labelled_folders_give_accuracy_and_confusion() -> None:
    found = summary(("x/cat/1", "cat"), ("x/cat/2", "dog"), ("dog/1", "dog"), ("dog/2", "unknown"), ("dog/3", ""))
    assert found.labelled
    assert found.accuracy == pytest.approx(2 / 4)
    assert found.confusion == {("cat", "cat"): 1, ("cat", "dog"): 1, ("dog", "dog"): 1, ("dog", "unknown"): 1}
    assert (found.photos, found.unreadable) == (5, 1)
    assert found.by_label == {"cat": 1, "dog": 2, "unknown": 1, "(unreadable)": 1}


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("label", ["NFC", "NFD"])
def test_a_folder_of_a_mac_is_named_as_its_label(stored: str, label: str) -> None:
    labels = [unicodedata.normalize(label, name) for name in ("caf\u00e9", "\u1eadt", "\uac00")]
    found = Summary(labels)
    for name in labels:
        path = f"x/{unicodedata.normalize(stored, name)}/1.jpg"
        found.add(Row(path, name, 0.5, (), "", 1.0, "m.tflite"))
        assert found.label_of(unicodedata.normalize(stored, name)) == name
    assert found.labelled
    assert found.accuracy == 1
    assert found.confusion == {(name, name): 1 for name in labels}


def test_one_photo_elsewhere_makes_a_folder_unlabelled() -> None:
    assert not summary(("cat/1", "cat"), ("holiday/2", "dog")).labelled
    assert not summary(("cat/1", "cat"), ("holiday/2", "")).labelled
    assert not summary().labelled
    assert not summary(("cat/1", "")).labelled
