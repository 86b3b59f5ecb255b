from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from cifar_edge.errors import UsageError
from cifar_edge.photos.class_folders import class_of, list_class_folders
from tests.conftest import PHOTOS


def make(folder: Path, *files: str) -> Path:
    """Make empty files; a name that ends with a slash is a folder."""
    for name in files:
        path = folder / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return folder


def test_a_photo_s_class_is_its_folder_s_name() -> None:
    assert {class_of(path) for path in PHOTOS.glob("*/*.jpg")} <= {folder.name for folder in PHOTOS.iterdir()}
    assert class_of("s3://bucket/cat/a.jpg") == "cat"
    assert class_of(Path("a.jpg")) == ""


def test_each_sub_folder_is_a_class(tmp_path: Path) -> None:
    make(tmp_path, "dog/b.jpg", "dog/more/a.png", "cat/c.JPEG", "cat/notes.txt", ".git/x.jpg", "lost.jpg", "README.md")
    listing = list_class_folders(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert listing.unknown is None
    assert [Path(path).name for path in listing.paths] == ["c.JPEG", "b.jpg", "a.png"]
    assert listing.labels == (0, 1, 1)
    assert set(listing.sides) == {""}
    assert listing.stray == (str(tmp_path / "lost.jpg"),)


@pytest.mark.parametrize(("folder", "side"), [("val", "held-out"), ("valid", "held-out"), ("Validation", "held-out")])
def test_a_split_of_yours_stays(tmp_path: Path, folder: str, side: str) -> None:
    make(tmp_path, "train/cat/a.jpg", "train/dog/b.jpg", f"{folder}/cat/c.jpg", "test/dog/d.jpg")
    listing = list_class_folders(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert {Path(path).name: side for path, side in zip(listing.paths, listing.sides, strict=True)} == {
        "a.jpg": "train",
        "b.jpg": "train",
        "c.jpg": side,
        "d.jpg": "test",
    }


@pytest.mark.parametrize(("train", "test"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_folders_of_a_mac_are_the_same_classes(train: str, test: str, tmp_path: Path) -> None:
    for side, form in {"train": train, "test": test}.items():
        make(tmp_path, *(unicodedata.normalize(form, f"{side}/{name}/a.jpg") for name in ("\u00e9", "z")))
    listing = list_class_folders(tmp_path)
    assert listing.classes == ("z", "\u00e9")
    assert listing.labels == (0, 0, 1, 1)
    assert class_of(listing.paths[2]) == class_of(listing.paths[3]) == "\u00e9"


def test_trains_may_be_a_class(tmp_path: Path) -> None:
    assert list_class_folders(make(tmp_path, "train/a.jpg", "bus/b.jpg")).classes == ("bus", "train")


@pytest.mark.parametrize("name", ["none", "Other", "background"])
def test_a_folder_of_none_of_the_classes_is_the_last(tmp_path: Path, name: str) -> None:
    listing = list_class_folders(make(tmp_path, f"{name}/a.jpg", "bus/b.jpg", "tram/c.jpg"))
    assert (listing.classes, listing.unknown) == (("bus", "tram", name), 2)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "no sub-folders; put the photos of each class"),
        (("a.jpg", "b.jpg"), "no sub-folders"),
        (("cat/a.jpg",), r"only one class \(cat\); make a sub-folder"),
        (("cat/a.jpg", "none/b.jpg"), r"only one class \(cat\) beside none"),
        (("none/a.jpg",), "no class beside none"),
        (("none/a.jpg", "other/b.jpg", "cat/", "dog/"), "none and other both hold"),
        (("train/cat/a.jpg", "train/dog/b.jpg", "bird/c.jpg"), "bird: lies beside the folders of a split"),
        (("train/cat/a.jpg", "train/dog/b.jpg", "test/bird/c.jpg"), "test/bird: a class that .*train lacks"),
        (("new\nline/", "dog/"), r"'new\\nline': characters that cannot be seen"),
        (("esc\x1b[2J/", "dog/"), r"'esc\\x1b\[2J': characters that cannot be seen"),
        (("right\u202eleft/", "dog/"), "characters that cannot be seen"),
        ((" cat/", "dog/"), "begins or ends with a space"),
        (("cat\u00a0/", "dog/"), "characters that cannot be seen|begins or ends with a space"),
        (("Cat/", "cat/"), "'cat': is spelled as 'Cat' but for case"),
        (("stra\u00dfe/", "STRASSE/"), "but for case"),
        ((unicodedata.normalize("NFD", "\u00e9t\u00e9/"), "\u00e9t\u00e9/"), "but for case or accents"),
        (("unknown/", "dog/"), "is the label of uncertain photos"),
        (tuple(f"{number}/" for number in range(1001)), "1,001 classes; at most 1,000"),
    ],
)
def test_folders_that_cannot_be_classes_are_one_clear_line(
    tmp_path: Path, files: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        list_class_folders(make(tmp_path, *files))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dog").mkdir()
    Path(str(tmp_path) + "/caf\udce9").mkdir()
    with pytest.raises(UsageError, match="cannot be seen"):
        list_class_folders(tmp_path)


@pytest.mark.parametrize("name", ["missing", "file.txt"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a folder; name one that has a sub-folder"):
        list_class_folders(make(tmp_path, "file.txt") / name)
