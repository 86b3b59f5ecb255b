from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge.errors import DataError, UsageError
from cifar_edge.photos import decoded
from cifar_edge.photos.decode import load
from cifar_edge.photos.decoded import Frame, Store, decode_all
from cifar_edge.system.files import only_process
from tests.conftest import PHOTOS
from tests.photos.containers import FORMATS, coded

FRAMES = (Frame(32, "stretch"), Frame(40, "crop"))


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Four photos of the repository, one of them twice."""
    names = ["cat/chelsea.jpg", "dog/spaniels.jpg", "bird/heron.jpg", "deer/doe.png"]
    copies = [shutil.copy(PHOTOS / name, tmp_path) for name in names]
    return [*map(str, copies), str(shutil.copy(copies[0], tmp_path / "again.jpg"))]


def decode(photos: list[str], cache: Path) -> tuple[list[Store], dict[str, decoded.File], dict[str, str]]:
    return decode_all(photos, FRAMES, cache, workers=2)


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    loads: list[str] = []

    class Counting(decoded.Reader):
        def __call__(self, photo, *arguments, **more):  # type: ignore[no-untyped-def]
            loads.append(Path(photo).name)
            return super().__call__(photo, *arguments, **more)

    monkeypatch.setattr(decoded, "Reader", Counting)
    return loads


def test_pixels_are_those_that_classify_sees(photos: list[str], tmp_path: Path) -> None:
    stores, files, reasons = decode(photos, tmp_path / "cache")
    assert not reasons
    for store, (size, fit, _) in zip(stores, FRAMES, strict=True):
        images = store.images([files[path].digest for path in photos])
        assert images.shape == (5, size, size, 3)
        for path, pixels in zip(photos, images[:], strict=True):
            np.testing.assert_array_equal(pixels, load(path, size, size, fit))
        np.testing.assert_array_equal(images[[3, 0]], images[:][[3, 0]])
    assert (files[photos[0]].width, files[photos[0]].height) == Image.open(photos[0]).size
    assert (tmp_path / "cache" / "32-stretch-8.pixels").stat().st_size == 4 * 32 * 32 * 3  # a copy is there once


def test_a_photo_is_decoded_again_if_its_content_has_changed(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode(photos, tmp_path / "cache")
    loads = count_loads(monkeypatch)
    decode(photos, tmp_path / "cache")
    assert not loads
    os.utime(photos[0], (1, 1))  # the same content at another time
    moved = str(shutil.move(photos[1], tmp_path / "moved.jpg"))
    decode([photos[0], moved, *photos[2:]], tmp_path / "cache")
    assert not loads
    shutil.copy(PHOTOS / "cat" / "kitten_fence.jpg", photos[2])
    stores, files, _ = decode([photos[0], moved, *photos[2:]], tmp_path / "cache")
    assert set(loads) == {"heron.jpg"}
    (pixels,) = stores[0].images([files[photos[2]].digest])[:]
    np.testing.assert_array_equal(pixels, load(photos[2], 32, 32))


@pytest.mark.parametrize("cut", ["pixels", "digests", "index", "all"])
def test_what_a_killed_process_leaves_is_gone_on_from(
    photos: list[str], tmp_path: Path, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    decode(photos, cache)
    for path in cache.iterdir():
        if cut in (path.suffix[1:], "all"):
            os.truncate(path, path.stat().st_size - 10)
        if cut == "index" and path.name == decoded.INDEX:
            path.write_text('{"a": 1')
    loads = count_loads(monkeypatch)
    stores, files, _ = decode(photos, cache)
    assert len(loads) <= 4  # the last of each store, and its copy
    for store in stores:
        for path, pixels in zip(photos, store.images([files[path].digest for path in photos])[:], strict=True):
            np.testing.assert_array_equal(pixels, load(path, store.frame.size, store.frame.size, store.frame.fit))


def test_what_is_decoded_before_ctrl_c_is_kept(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def stop() -> None:
        done.append(1)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode_all(photos[:4], FRAMES, tmp_path / "cache", 1, stop)
    loads = count_loads(monkeypatch)
    decode(photos[:4], tmp_path / "cache")
    assert set(loads) == {"heron.jpg", "doe.png"}


@pytest.mark.parametrize("content", [b"", b"no photo", b"\xff\xd8\xff\xe0 cut", "folder", "pipe", "gone", "dangling"])
def test_a_file_that_cannot_be_read_is_named_with_its_reason(
    photos: list[str], tmp_path: Path, content: bytes | str
) -> None:
    bad = tmp_path / "bad.jpg"
    match content:
        case "folder":
            bad.mkdir()
        case "pipe":
            os.mkfifo(bad)
        case "dangling":
            bad.symlink_to("nowhere.jpg")
        case bytes():
            bad.write_bytes(content)
    _, files, reasons = decode([str(bad), *photos], tmp_path / "cache")
    assert set(files) == set(photos)
    assert [*reasons] == [str(bad)]
    assert reasons[str(bad)]


def test_no_room_for_the_cache_is_said_before_anything_is_decoded(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 30_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"no room for the decoded photos, which take .* MB where .*XDG_CACHE_HOME"):
        decode(photos, tmp_path / "cache")


def test_a_full_disk_names_the_cache(photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        decode(photos, tmp_path / "cache")
    assert str(tmp_path / "cache") in str(caught.value.filename)


def test_two_processes_do_not_fill_the_same_cache(photos: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    with only_process(tmp_path / "cache"), pytest.raises(UsageError, match="another process"):
        decode(photos, tmp_path / "cache")


@pytest.mark.parametrize("suffix", ["jpg", *FORMATS])
def test_when_and_how_a_photo_was_taken_is_known(suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    exif.get_ifd(0x8769)[36867] = "2024:05:06 07:08:09"
    photo = tmp_path / f"photo.{suffix}"
    image = Image.new("RGB", (40, 20))
    if suffix == "jpg":
        image.save(photo, exif=exif)
    else:
        photo.write_bytes(coded(image, suffix, exif=exif.tobytes()))
    _, files, _ = decode([str(photo)], tmp_path / "cache")
    file = files[str(photo)]
    assert (file.width, file.height) == (20, 40)
    assert file.taken == 1714979289
