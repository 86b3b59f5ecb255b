from __future__ import annotations

import errno
import shutil
import time
from pathlib import Path

import pytest
from watchdog.events import FileCreatedEvent
from watchdog.observers.inotify import InotifyObserver

from cifar_edge import EdgeModel
from cifar_edge.classify.watch import arrivals, watch
from cifar_edge.classify.watch.arrivals import Arrivals
from tests.classify.watch.conftest import KINGFISHER, KITTEN, PATIENCE
from tests.classify.watch.test_watch import watching


@pytest.mark.usefixtures("only_told")
def test_a_folder_that_is_replaced_is_watched_on(photos: Path, model: EdgeModel) -> None:
    with watching(photos, model) as names:
        names.wait(1)
        shutil.rmtree(photos)
        photos.mkdir()  # likely with the same inode
        shutil.copy(KITTEN, photos / "found.jpg")
        names.wait(2)
        shutil.copy(KITTEN, photos / "told.jpg")
        names.wait(3)
        photos.rename(photos.with_name("pulled"))
        time.sleep(2 * watch.TICK)  # nothing is there
        photos.mkdir()
        shutil.copy(KINGFISHER, photos / "plugged.jpg")
        names.wait(4)
    assert list(names) == ["first.png", "found.jpg", "told.jpg", "plugged.jpg"]


def test_where_the_system_reports_nothing_it_is_said_and_the_folders_are_searched(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(observer: InotifyObserver) -> None:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr(InotifyObserver, "start", refuse)
    said: list[str] = []
    with Arrivals([photos], None, said.append) as coming:
        assert "new photos are not reported (inotify instance limit reached), so all folders are searched" in said[0]
        assert coming.take(9) == [str(photos / "first.png")]
    assert len(said) == 1


@pytest.mark.parametrize("when", ["before", "later"])
def test_what_is_not_read_is_said_once(when: str, photos: Path) -> None:
    said: list[str] = []
    names = ("a.CR2", "b.cr2", "c.dng", "notes.txt")
    if when == "before":
        for name in names:
            (photos / name).touch()
    with Arrivals([photos], None, said.append) as coming:
        coming.take(9)
        for name in names:
            event = FileCreatedEvent(str(photos / name))
            coming.dispatch(event)
        assert coming.take(9) == []
    assert sorted(said) == [
        f"{suffix} files cannot be read, and get no row: save them as JPEG" for suffix in (".cr2", ".dng")
    ]


@pytest.mark.parametrize("when", ["at the start", "at a new folder"])
def test_where_no_more_folders_are_observed_it_is_said_and_they_are_searched(
    when: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(arrivals, "POLL", 0.0)
    monkeypatch.setattr(arrivals, "at_limit", lambda folder: when == "at the start")
    with Arrivals([photos], None, said.append) as coming:
        coming.take(9)
        if when == "at a new folder":
            assert not said
            monkeypatch.setattr(arrivals, "at_limit", lambda folder: True)
            (photos / "new").mkdir()
            began = time.monotonic()
            while not said:
                coming.take(9)
                assert time.monotonic() - began < PATIENCE
        shutil.copy(KITTEN, photos / "later.jpg")
        assert str(photos / "later.jpg") in coming.take(9)
    assert len(said) == 1
    assert "raise max_user_watches" in said[0]


def test_the_limit_is_not_reached_here(photos: Path) -> None:
    assert not arrivals.at_limit(photos)


@pytest.mark.usefixtures("only_told")
@pytest.mark.parametrize("options", [{}, {"poll": 0.2}], ids=["told", "searched"])
def test_a_photo_that_a_program_moves_into_place_gets_one_row(
    options: dict[str, float], photos: Path, model: EdgeModel
) -> None:
    with watching(photos, model, **options) as names:
        names.wait(1)
        for folder in (".~tmp~", "@eaDir", "new"):  # of rsync, of a NAS; and one that is a folder of photos
            (photos / folder).mkdir()
            shutil.copy(KITTEN, photos / folder / f"{folder}.jpg")
        for name in ("._hidden.jpg", "~half.jpg"):
            shutil.copy(KITTEN, photos / name)
        names.wait(2)
        (photos / ".~tmp~" / ".~tmp~.jpg").rename(photos / "moved.jpg")
        (photos / "~half.jpg").rename(photos / "whole.jpg")
        names.wait(4)
    assert sorted(names) == ["first.png", "moved.jpg", "new.jpg", "whole.jpg"]
