from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge.errors import ImageError
from cifar_edge.photos import decode, own_process
from cifar_edge.photos.own_process import Reader
from tests.conftest import PHOTOS
from tests.photos import hostile

PHOTO = PHOTOS / "bird" / "kingfisher.jpg"


@pytest.fixture
def suspicious(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every photo one that may take long."""
    monkeypatch.setattr(own_process, "WORK_A_SECOND", 0)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(20, height=32, width=32)


@pytest.mark.usefixtures("suspicious")
def test_a_process_gives_the_same_pixels_for_a_path_and_for_bytes(tmp_path: Path) -> None:
    reader = Reader(20, height=48, width=32, fit="pad")
    expected = decode.load(PHOTO, 48, 32, "pad")
    odd = tmp_path / os.fsdecode(b"caf\xe9\n.jpg")
    odd.write_bytes(PHOTO.read_bytes())
    for photo in (PHOTO, str(odd), PHOTO.read_bytes()):
        assert np.array_equal(reader(photo), expected)
    with pytest.raises(ImageError, match="not an image"):
        reader(b"hello")
    assert np.array_equal(reader(PHOTO), expected)  # as well as before


def test_a_photo_that_takes_too_long_costs_its_time_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "endless.bmp").write_bytes(hostile.run_length_bmp(8_000))
    reader = Reader(2, height=32, width=32)
    with pytest.raises(ImageError, match=r"takes longer than 2 s to decode \(--timeout\)"):
        reader(tmp_path / "endless.bmp")
    (tmp_path / "slow.bmp").write_bytes(hostile.run_length_bmp(1_000))  # for a process too
    assert np.array_equal(reader(PHOTO), decode.load(PHOTO, 32, 32))
    assert reader(tmp_path / "slow.bmp").shape == (32, 32, 3)


@pytest.mark.usefixtures("suspicious")
@pytest.mark.parametrize(("death", "reason"), [("SEGV", "its decoder crashed"), ("KILL", "want of memory")])
def test_a_decoder_that_dies_costs_its_photo(
    death: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho\nread request\nkill -{death} $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(ImageError, match=reason):
        Reader(20, height=32, width=32)(PHOTO)


@pytest.mark.usefixtures("suspicious")
def test_closed_it_lets_nobody_wait(tmp_path: Path) -> None:
    (tmp_path / "endless.bmp").write_bytes(hostile.run_length_bmp(8_000))
    reader = Reader(100, height=32, width=32)
    threading.Timer(0.5, reader.close).start()
    with pytest.raises(ImageError):
        reader(tmp_path / "endless.bmp")


@pytest.mark.usefixtures("suspicious")
def test_memory_is_limited_whatever_was_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header alone takes 400 MB."""
    with pytest.raises(ImageError, match="MemoryError"):
        Reader(20, height=32, width=32, memory=5e7)(hostile.png_of_chunks(1, bytes(200_000_000)))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_what_libtiff_prints_of_a_damaged_tiff_is_seen_nowhere(
    compression: str, reader: Reader, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Image.open(PHOTO) as photo:
        photo.resize((160, 120)).save(tmp_path / "photo.tif", compression=compression)
    content = bytearray((tmp_path / "photo.tif").read_bytes())
    whole = decode.load(tmp_path / "photo.tif", 32, 32)
    assert np.array_equal(reader(tmp_path / "photo.tif"), whole)
    content[200:-300] = content[300:-200]
    for photo in (bytes(content), content[: len(content) // 2] + bytes(len(content) // 2)):
        with contextlib.suppress(ImageError):
            reader(bytes(photo))
    assert tuple(capfd.readouterr()) == ("", "")
