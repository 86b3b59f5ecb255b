from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cifar_edge.classify.sort import check_folder, folder_name, folder_names, sort_photos
from cifar_edge.errors import UsageError
from cifar_edge.results.row import Row
from cifar_edge.system.opening import look
from tests.planted import NOBODY, as_root
from tests.system.test_opening import CHANGES


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def row(path: str, label: str = "cat", content: str | None = None) -> Row:
    """Return a photo's row; with `content`, make the photo."""
    if content is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content)
        os.utime(path, (1e9, 1e9))
    return Row(path, label, 0.5, ((label, 0.5),), "", 1.0, "m.tflite", look(path))


def sort(*rows: Row, link: bool = False) -> list[Row]:
    return list(sort_photos(rows, Path("sorted"), link))


def found() -> dict[str, str]:
    """What lies where in the folder."""
    files = [path for path in Path("sorted").rglob("*") if not path.is_dir()]
    return {str(path.relative_to("sorted")): path.read_text() for path in files}


def test_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row("a/1.jpg", "cat", "one"), row("a/2.jpg", "unknown", "two")]
    assert sort(*rows) == rows
    assert found() == {"cat/1.jpg": "one", "unknown/2.jpg": "two"}
    assert Path("sorted/cat/1.jpg").stat().st_mtime == 1e9
    assert not Path("sorted/cat/1.jpg").is_symlink()


@pytest.mark.parametrize("there", ["NFC", "NFD"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_label_and_a_folder_of_a_mac_are_one(form: str, there: str) -> None:
    label, home = (unicodedata.normalize(one, "caf\u00e9") for one in (form, there))
    Path("sorted", home).mkdir(parents=True)
    list(sort_photos([row("a/1.jpg", label, "one")], Path("sorted"), False, [label]))
    assert found() == {f"{home}/1.jpg": "one"}


@pytest.mark.parametrize("link", [False, True])
def test_photos_of_one_name_do_not_meet(link: bool) -> None:
    rows = [row(f"{folder}/1.jpg", content=folder) for folder in "abcd"]
    sort(*rows, link=link)
    first = found()
    assert sorted(first.values()) == ["a", "b", "c", "d"]
    assert first["cat/1.jpg"] == "a"
    assert all(name.startswith("cat/1") and name.endswith(".jpg") for name in first)
    sort(*reversed(rows), link=link)  # as a resumed run does, or one on another day
    assert found() == first


@pytest.mark.parametrize("link", [False, True])
def test_nothing_is_overwritten(link: bool) -> None:
    Path("sorted/cat").mkdir(parents=True)
    Path("sorted/cat/1.jpg").write_text("somebody's")
    Path("sorted/cat/2.jpg").symlink_to("nowhere")
    Path("sorted/cat/3.jpg").mkdir()
    sort(*(row(f"a/{number}.jpg", content=f"{number}") for number in (1, 2, 3)), link=link)
    assert Path("sorted/cat/1.jpg").read_text() == "somebody's"
    assert Path("sorted/cat/2.jpg").is_symlink()
    assert len(list(Path("sorted/cat").iterdir())) == 6


def test_links_are_absolute() -> None:
    sort(row("a/1.jpg", content="one"), link=True)
    assert Path("sorted/cat/1.jpg").readlink() == Path("a/1.jpg").absolute()


@pytest.mark.parametrize(
    "label", ["../../up", "/etc", "..", ".", "", "a/b", "a\0b", ".hidden", "-rf", "x" * 300, "猫" * 300, "a\nb", "con:"]
)
def test_no_label_leads_elsewhere(label: str) -> None:
    sort(row("a/1.jpg", label, "one"))
    assert {path.name for path in Path().iterdir()} == {"a", "sorted"}
    (folder,) = Path("sorted").iterdir()
    assert [path.name for path in folder.iterdir()] == ["1.jpg"]
    assert folder.name.isprintable()
    assert not folder.name.startswith(".")


def test_different_labels_have_different_folders() -> None:
    sort(*(row("a/1.jpg", label, "one") for label in ("a/b", "a%2Fb", "a.b", "a b")))
    assert len(list(Path("sorted").iterdir())) == 4


@pytest.mark.parametrize(
    "labels",
    [
        ("Cat", "cat"),
        ("CAT", "Cat", "cat"),
        ("Stra\xdfe", "strasse", "STRASSE"),
        ("caf\xe9", "cafe\u0301"),
        ("\ufb01sh", "fish"),
        ("cat", "cat ", "cat  ", "cat."),
        ("x" * 51, "x" * 52, "x" * 300, "X" * 300),
        ("x" * 49 + " y", "x" * 49 + " z"),
        ("a/b", "a%2Fb", "A/b"),
        ("con", "CON", "%63on"),
        ("Unknown", "cat"),
        ("\u1fbd0", "\U0001fbd0"),
    ],
)
@pytest.mark.parametrize("link", [False, True])
def test_labels_that_a_file_system_takes_for_one_have_folders_of_their_own(labels: tuple[str, ...], link: bool) -> None:
    rows = [row("a/1.jpg", label, "one") for label in (*labels, "unknown")]
    for rows_in_some_order in (rows, rows[::-1]):
        list(sort_photos(rows_in_some_order, Path("sorted"), link, labels))
    folders = [path.name for path in Path("sorted").iterdir()]
    assert len({unicodedata.normalize("NFKC", name).casefold() for name in folders}) == len(labels) + 1
    assert len(folders) == len(labels) + 1
    assert all(len(list(Path("sorted", name).iterdir())) == 1 for name in folders)


@pytest.mark.parametrize(
    "label", ["con", "PRN", "Aux", "nul", "com1", "LPT9", "com\xb9", "cat ", "cat  ", " ", "a.", "nul."]
)
def test_no_folder_has_a_name_that_windows_changes_or_keeps(label: str) -> None:
    name = folder_name(label)
    assert "%" in name
    assert name == name.rstrip(" .")


@pytest.mark.parametrize(
    "label", ["cat", "Golden retriever", "great white shark", "console", "com10", "日本語", "x" * 50]
)
def test_most_labels_are_the_names_of_their_folders(label: str) -> None:
    assert folder_names(["dog", label])[label] == label


def test_odd_names() -> None:
    names = [os.fsdecode(b"caf\xe9.jpg"), "=1.jpg", "a\nb.jpg", "x" * 251 + ".jpg", "-rf.jpg"]
    for _ in range(2):
        sort(*(row(f"{folder}/{name}", content=folder) for name in names for folder in "ab"))
    assert len(found()) == 2 * len(names)


def test_unreadable_photos_stay_and_vanished_ones_are_errors() -> None:
    unreadable = Row("a/1.jpg", "", None, (), "not an image", 1.0, "m.tflite")
    assert sort(unreadable) == [unreadable]
    (vanished,) = sort(row("a/2.jpg"))
    assert (vanished.label, vanished.confidence, vanished.top) == ("", None, ())
    assert vanished.error == "could not be copied: No such file or directory"
    assert found() == {}


def test_a_folder_that_would_feed_itself_is_refused() -> None:
    Path("photos/deep").mkdir(parents=True)
    Path("file").touch()
    for folder in ("photos", "photos/sorted", "photos/deep/../x", "file", ".", "photos/.."):
        with pytest.raises(UsageError, match=folder):
            check_folder(Path(folder), [Path("photos")])
    check_folder(Path("sorted"), [Path("photos")])


def test_two_runs_do_not_sort_into_one_folder() -> None:
    rows = [row("a/1.jpg", content="one"), row("a/2.jpg", content="two")]
    first = sort_photos(rows, Path("sorted"), link=False)
    next(first)
    for refused in (lambda: sort(*rows), lambda: check_folder(Path("sorted"), [Path("a")])):
        with pytest.raises(UsageError, match="sorted: another process is working on it"):
            refused()
    assert list(first) == rows[1:]
    assert sort(*rows) == rows


def test_a_card_whose_files_have_no_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    photo = row("a/1.jpg", content="one")
    monkeypatch.setattr(os, "utime", refuse)
    assert sort(photo) == [photo]
    assert found() == {"cat/1.jpg": "one"}


def test_a_photo_that_is_damaged_behind_what_was_read_is_an_error_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = [row("a/1.jpg", content="one"), row("a/2.jpg", content="two")]
    really = os.open

    def fail(path: Any, *how: Any) -> int:
        if path == "a/1.jpg":
            raise OSError(errno.EIO, "Input/output error")
        return really(path, *how)

    monkeypatch.setattr(os, "open", fail)
    damaged, whole = sort(*photos)
    assert damaged.error == "could not be copied: Input/output error"
    assert whole == photos[1]
    assert found() == {"cat/2.jpg": "two"}


def test_a_photo_that_goes_while_it_is_copied_has_its_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = row("a/1.jpg", content="one")
    sync = os.fsync

    def remove(descriptor: int) -> None:
        sync(descriptor)
        Path("a/1.jpg").unlink(missing_ok=True)

    monkeypatch.setattr(os, "fsync", remove)
    assert sort(photo) == [photo]
    assert found() == {"cat/1.jpg": "one"}


def test_a_name_that_the_target_refuses_costs_one_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """As sticks with exFAT refuse colons."""
    really = os.open

    def refusing(path: Any, flags: int, *how: Any) -> int:
        if ":" in Path(path).name and flags & os.O_CREAT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return really(path, flags, *how)

    monkeypatch.setattr(os, "open", refusing)
    rows = sort(row("12:30.jpg", content="one"), row("2.jpg", content="two"))
    assert rows[0].error == "could not be copied: Invalid argument; sorted may not take such a name"
    assert (rows[0].label, rows[0].confidence, rows[0].top) == ("", None, ())
    assert not rows[1].error
    assert found() == {"cat/2.jpg": "two"}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("link", [False, True])
def test_what_has_taken_a_photo_s_place_is_not_sorted(change: Callable[[Path], None], link: bool) -> None:
    rows = [row(f"a/{number}.jpg", content=f"photo {number}") for number in range(3)]
    change(Path("a/1.jpg"))
    first, changed, last = sort(*rows, link=link)
    assert (first, last) == (rows[0], rows[2])
    assert changed.error.startswith("could not be copied: ")
    assert found() == {"cat/0.jpg": "photo 0", "cat/2.jpg": "photo 2"}


@pytest.mark.parametrize("change", [CHANGES["grown"], CHANGES["touched"]])
def test_a_photo_that_changes_while_it_is_copied_has_no_copy(
    change: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(path: Path, *how: Any) -> Any:
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        change(Path("a/1.jpg"))
        return really(path, *how)

    photo, really = row("a/1.jpg", content="one"), Path.open
    monkeypatch.setattr(Path, "open", late)
    assert sort(photo)[0].error == "could not be copied: changed while it was read"
    assert found() == {}


@pytest.mark.parametrize("link", [False, True])
def test_a_link_to_a_photo_is_sorted_as_a_photo(link: bool) -> None:
    row("a/1.jpg", content="one")
    Path("a/2.jpg").symlink_to("1.jpg")
    assert not sort(row("a/2.jpg"), link=link)[0].error
    assert found() == {"cat/2.jpg": "one"}


def test_what_a_killed_run_has_left_goes() -> None:
    left = Path("sorted/cat") / f".1.{16 * '0'}.partial.jpg"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    sort(row("a/1.jpg", content="one"))
    assert found() == {"cat/1.jpg": "one"}


@as_root
@pytest.mark.parametrize("name", ["sorted", "sorted/cat"])
def test_another_user_s_link_leads_nowhere(name: str) -> None:
    Path("elsewhere").mkdir()
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).symlink_to(Path("elsewhere").absolute())
    os.lchown(name, NOBODY, NOBODY)
    with pytest.raises(UsageError, match=f"{name}: another user's link"):
        check_folder(Path("sorted"), [Path("a")]) if name == "sorted" else sort(row("a/1.jpg", content="one"))
    assert not [*Path("elsewhere").iterdir()]
