from __future__ import annotations

import contextlib
import errno
import itertools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cifar_edge.photos.find import find, order, photos_in
from cifar_edge.system.uris import Uri


def test_search(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/a/1.webp", "b/10.png", "notes.txt", "a.gif", ".hidden/x.tiff"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    found = [os.path.relpath(path, tmp_path) for path in find([tmp_path])]
    assert found == ["a.gif", "b/10.png", "b/2.JPG", "b/a/1.webp"]
    # A file that is named is taken, whatever its suffix; and nothing is there twice.
    assert list(find([tmp_path / "notes.txt"])) == [str(tmp_path / "notes.txt")]
    starts = [tmp_path, tmp_path / "notes.txt", tmp_path / "b", tmp_path / "a.gif"]
    again = [os.path.relpath(path, tmp_path) for path in find(starts)]
    assert again == [*found, "notes.txt"]


def test_a_photo_is_found_once_however_its_place_is_spelt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.jpg", "a/b/2.jpg", "c/3.jpg", "c/notes.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("link").symlink_to("c")
    Path("a/4.jpg").symlink_to("1.jpg")
    in_a = ["a/1.jpg", "a/4.jpg", "a/b/2.jpg"]
    for places, expected in (
        (["a", tmp_path / "a", "a/../a", "link/../a"], in_a),
        (["a/b", "a", "a/4.jpg", tmp_path / "a" / "1.jpg"], in_a),
        (["c/../a", "a"], [f"c/../{name}" for name in in_a]),
        (["a/b/2.jpg", tmp_path / "a" / "b" / "2.jpg"], ["a/b/2.jpg"]),
        (["a/1.jpg", "a/4.jpg"], ["a/1.jpg", "a/4.jpg"]),
        (["link", "c", "link/3.jpg"], ["link/3.jpg"]),
        (["link", "c/notes.txt", "link/notes.txt"], ["c/notes.txt", "link/3.jpg"]),
        ([".", "link", "a"], [*in_a, "c/3.jpg"]),
    ):
        assert list(find(places)) == expected


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("._a.jpg", "._*"),
        (".a.jpg", ".*"),
        (".~a.jpg", ".*"),
        ("~a.jpg", "~*"),
        (".thumbnails/a.jpg", ".*"),
        (".~tmp~/a.jpg", ".*"),
        (".stversions/2024/a.jpg", ".*"),
        ("~snapshot/a.jpg", "~*"),
        ("@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "@eaDir"),
        ("@EADIR/a.jpg", "@eaDir"),
        ("__MACOSX/a.jpg", "__MACOSX"),
        ("#recycle/holiday/a.jpg", "#recycle"),
        ("#snapshot/a.jpg", "#snapshot"),
        ("$Recycle.Bin/S-1-5/a.jpg", "$RECYCLE.BIN"),
        ("System Volume Information/a.jpg", "System Volume Information"),
        ("lost+found/a.jpg", "lost+found"),
        ("a.jpg.download/a.jpg", "*.download"),
        ("a.jpg.part/a.jpg", "*.part"),
    ],
)
def test_what_other_programs_keep_is_left_out(name: str, rule: str, tmp_path: Path) -> None:
    for each in ("cat/a.jpg", "cat/holiday.2024/b.jpg", f"cat/{name}"):
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).touch()
    kept = [str(tmp_path / "cat" / each) for each in ("a.jpg", "holiday.2024/b.jpg")]
    local, remote = Counter[str](), Counter[str]()
    assert list(find([tmp_path], local)) == kept
    photos = [path.removeprefix("file://") for path in photos_in([Uri(f"file://{tmp_path}")], remote)]
    assert (photos, local, remote) == (kept, {rule: 1}, {rule: 1})
    # A folder or file that is named itself is always taken, also beside one that holds it.
    photo = tmp_path / "cat" / name
    for place in (photo, photo.parent) if "/" in name else (photo,):
        assert str(photo) in find([place])
        assert str(photo) in find([tmp_path, place])
        assert f"file://{tmp_path}/cat/{name}" in photos_in([Uri(f"file://{each}") for each in (tmp_path, place)])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("a.CR2", ".cr2"),
        ("b/a.dng", ".dng"),
        ("a.jxl", ".jxl"),
        ("a.Psd", ".psd"),
        ("._a.NEF", "._*"),
        (".b/a.nef", ".*"),
    ],
)
def test_what_looks_like_a_photo_and_is_not_read_is_counted(name: str, rule: str, tmp_path: Path) -> None:
    for each in ("a.HEIC", "b/a.Avif", "b/notes.txt", "b/film.mov", name):
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).touch()
    local, remote = Counter[str](), Counter[str]()
    assert list(find([tmp_path], local)) == [str(tmp_path / each) for each in ("a.HEIC", "b/a.Avif")]
    assert len(list(photos_in([Uri(f"file://{tmp_path}")], remote))) == 2
    assert local == remote == {rule: 1}
    assert list(find([tmp_path / name])) == [str(tmp_path / name)]  # its row says why


def test_names_that_only_look_like_other_programs_s(tmp_path: Path) -> None:
    names = ["a.part.jpg", "a~.jpg", "eaDir/a.jpg", "recycle/a.jpg", "tmp/a.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [os.path.relpath(path, tmp_path) for path in find([tmp_path])] == names


def test_the_order_is_that_of_the_names_on_the_way(tmp_path: Path) -> None:
    for name in ("a/b.jpg", "a/b/c.jpg", "a-b/1.jpg", "a.jpg", "a/B.jpg", "z/z/z.png", "Z.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    paths = list(find([tmp_path]))
    assert len(paths) == 7
    assert paths == sorted(paths, key=order)
    assert paths == list(find([tmp_path / "z", *tmp_path.glob("[Zaz]*")]))


def test_deep_folders(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
        folder.mkdir()
    (folder / "photo.jpg").touch()
    assert list(find([tmp_path])) == [str(folder / "photo.jpg")]


def test_of_a_folder_whose_listing_breaks_off_what_is_known_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jpg").touch()
    real = os.scandir

    @contextlib.contextmanager
    def failing(path: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        def entries() -> Iterator[os.DirEntry[str]]:
            with real(path) as found:
                yield from itertools.islice(found, 2)
            raise OSError(errno.EIO, "Input/output error")

        yield entries()

    monkeypatch.setattr(os, "scandir", failing)
    place, *photos = find([tmp_path])
    assert place == str(tmp_path)
    assert len(photos) == 2


def test_a_huge_folder_costs_its_names(tmp_path: Path) -> None:
    for number in range(5_000):
        (tmp_path / f"{number:05}.jpg").touch()
    # In a process of its own: threads of other tests take memory too.
    program = (
        "import sys, tracemalloc; from cifar_edge.photos.find import find; tracemalloc.start(); "
        "print(sum(1 for _ in find(sys.argv[1:])), tracemalloc.get_traced_memory()[1])"
    )
    found = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    count, peak = map(int, found.stdout.split())
    assert count == 5_000
    assert peak < 5_000 * 100  # a name of 9 characters is a string of 58 bytes and its place in a list


def test_the_order_keeps_folders_together() -> None:
    paths = ["a", "a/b", "a/b/c.jpg", "a/b.jpg", "a-b", "a.jpg", "b"]
    assert sorted(set(paths), key=order) == paths
