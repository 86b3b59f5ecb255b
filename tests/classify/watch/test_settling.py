from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cifar_edge import EdgeModel
from cifar_edge.classify.watch import settling
from cifar_edge.errors import ImageError
from cifar_edge.photos import decode
from tests.classify.watch.conftest import KINGFISHER, KITTEN
from tests.classify.watch.test_watch import rows, watching
from tests.photos.containers import FORMATS, coded


def test_it_waits_until_a_photo_is_complete(photos: Path, model: EdgeModel) -> None:
    content = KINGFISHER.read_bytes()
    with watching(photos, model) as names:
        with (photos / "slow.jpg").open("wb", buffering=0) as file:
            file.write(content[: len(content) // 2])
            names.wait(1)
            time.sleep(2 * settling.SETTLED)  # long enough to be taken for complete, and found damaged
            file.write(content[len(content) // 2 :])
        names.wait(2)
    assert [row["error"] for row in rows(photos.parent)] == ["", ""]


@pytest.mark.parametrize("suffix", FORMATS)
def test_half_a_phone_s_photo_is_waited_for_also_if_zeros_hold_its_place(
    suffix: str, photos: Path, model: EdgeModel
) -> None:
    with Image.open(KINGFISHER) as photo:
        content = coded(photo.resize((320, 180)), suffix)
    with watching(photos, model) as names:
        with (photos / f"slow.{suffix.upper()}").open("wb", buffering=0) as file:
            file.truncate(len(content))
            file.write(content[: len(content) // 2])
            names.wait(1)
            time.sleep(2 * settling.SETTLED)
            file.write(content[len(content) // 2 :])
        names.wait(2)
    assert [row["error"] for row in rows(photos.parent)] == ["", ""]


def test_a_damaged_photo_gets_its_row_in_the_end(
    photos: Path, model: EdgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "GIVEN_UP", 1.5)
    (photos / "torn.jpg").write_bytes(KINGFISHER.read_bytes()[:20_000])
    (photos / "empty.jpg").touch()
    (photos / "gone.jpg").touch()
    with watching(photos, model) as names:
        (photos / "gone.jpg").unlink()
        names.wait(3)
    assert {Path(row["path"]).name for row in rows(photos.parent) if row["error"]} == {"torn.jpg", "empty.jpg"}


def test_space_that_is_reserved_for_a_photo_is_no_photo(
    photos: Path, model: EdgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "SETTLED", 0.2)
    monkeypatch.setattr(settling, "GIVEN_UP", 0.6)
    contents = {}
    for name in ("a.jpg", "b.png", "c.bmp", "d.tif", "e.webp"):
        with Image.open(KINGFISHER) as photo:
            photo.resize((160, 120)).save(photos.parent / name)
        contents[name] = (photos.parent / name).read_bytes()
        third = len(contents[name]) // 3
        (photos / name).write_bytes(contents[name][:third] + bytes(len(contents[name]) - third))
    with watching(photos, model, poll=0.1) as names:
        names.wait(6)
        for name, content in contents.items():
            (photos / name).write_bytes(content)
        names.wait(11)
    errors = [(Path(row["path"]).name, bool(row["error"])) for row in rows(photos.parent)]
    assert sorted(errors) == sorted([("first.png", False), *((name, bad) for name in contents for bad in (0, 1))])


def test_neither_a_wrong_clock_nor_a_passing_failure_costs_a_photo(
    photos: Path, model: EdgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = KINGFISHER.read_bytes()
    (photos / "slow.jpg").write_bytes(content[: len(content) // 2])
    shutil.copy(KITTEN, photos / "old.jpg")
    for photo in photos.iterdir():
        os.utime(photo, (0, 0))
    now, reading, failures = time.time, decode.load, ["old.jpg"]
    monkeypatch.setattr(time, "time", lambda: now() + 120)  # as where a share's times come from another computer
    monkeypatch.setattr(settling, "GIVEN_UP", 4.0)

    def load(path: str, **options: Any) -> Any:
        if (name := Path(path).name) in failures:
            failures.remove(name)
            raise ImageError("Input/output error")
        return reading(path, **options)

    monkeypatch.setattr(decode, "load", load)
    with watching(photos, model) as names:
        names.wait(1)
        time.sleep(2 * settling.SETTLED)
        (photos / "slow.jpg").write_bytes(content)
        names.wait(3)
    assert not failures
    assert [row["error"] for row in rows(photos.parent)] == ["", "", ""]
