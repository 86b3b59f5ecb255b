"""Whatever lies in a folder, every file gets exactly one row, and the run goes on."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import socket
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet
import pytest
from PIL import Image

from cifar_edge import EdgeModel, classify_folder
from tests.conftest import PHOTOS, Outcome

PHOTO = PHOTOS / "bird" / "kingfisher.jpg"

CONTENT = {
    "truncated.jpg": "truncated",
    "zero bytes.jpg": "not an image",
    "text.jpg": "not an image",
    "jpeg named.png": "",
    "cmyk.jpg": "",
    "16-bit.png": "",
    "palette.png": "",
    "grey with alpha.png": "",
    "animated.gif": "",
    "animated.webp": "",
    "pages.tif": "",
    **{f"orientation {number}.jpg": "" for number in range(1, 9)},
    "bomb.png": "too large",
    "1x1.png": "",
    "20000x1.png": "",
    "pipe.jpg": "not a regular file",
    "socket.jpg": "not a regular file",
    "loop.jpg": "symbolic links",
    "dangling.jpg": "No such file",
}
"""What the files are, and a part of the reason that the row should give; "" if it should be classified."""

NAMES = [
    os.fsdecode(b"caf\xe9.png"),
    "new\nline.png",
    "cr\rx.png",
    "a,b.png",
    'quo"te.png',
    "=1+1.png",
    "<b>[red].png",
    " .png",
]
DEEP = "d/" * 300 + "photo.png"


def png(width: int, height: int) -> bytes:
    """Return a PNG file that claims this size and has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    folder = Path("photos")
    folder.mkdir()
    with Image.open(PHOTO) as image:
        photo = image.resize((96, 64))
    grey = photo.convert("L")
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    whole = io.BytesIO()
    photo.save(whole, "JPEG")
    (folder / "truncated.jpg").write_bytes(whole.getvalue()[:1000])
    (folder / "zero bytes.jpg").touch()
    (folder / "text.jpg").write_text("hello")
    (folder / "jpeg named.png").write_bytes(whole.getvalue())
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    grey.convert("I;16").save(folder / "16-bit.png")
    photo.convert("P").save(folder / "palette.png")
    Image.merge("LA", (grey, grey)).save(folder / "grey with alpha.png")
    for name in ("animated.gif", "animated.webp", "pages.tif"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    for number in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = number
        photo.save(folder / f"orientation {number}.jpg", exif=exif)
    (folder / "bomb.png").write_bytes(png(50_000, 50_000))
    for size in ((1, 1), (20_000, 1)):
        Image.new("RGB", size).save(folder / "{}x{}.png".format(*size))
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "loop").symlink_to(".")
    (folder / "dangling.jpg").symlink_to("nowhere")
    for name in (*NAMES, DEEP):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        grey.save(folder / name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("photos/socket.jpg")
        yield folder


def read(path: Path) -> dict[str, str]:
    """Return the errors by path; every path is there once."""
    if path.suffix == ".parquet":
        rows = pyarrow.parquet.read_table(path).to_pylist()
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        with path.open(newline="", errors="surrogateescape") as file:
            rows = list(csv.DictReader(file))
    errors = {row["path"].replace(r"\udce9", "\udce9"): row["error"] for row in rows}
    assert len(errors) == len(rows)
    return errors


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_file_has_one_row(suffix: str, photos: Path, run: Path, cifar_edge: Callable[..., Outcome]) -> None:
    outcome = cifar_edge("classify", photos, "--model", run / "cnn-int8.tflite", "-o", f"out.{suffix}")
    assert outcome.code == 3
    bad = sum(1 for reason in CONTENT.values() if reason)
    assert f"{bad} of {len(CONTENT) + len(NAMES) + 1} photos could not be read" in outcome.err
    assert "Traceback" not in outcome.err
    errors = read(Path(f"out.{suffix}"))
    assert set(errors) == {str(photos / name) for name in (*CONTENT, *NAMES, DEEP)}
    for name, reason in CONTENT.items():
        assert reason in errors[str(photos / name)], name
        assert bool(reason) == bool(errors[str(photos / name)]), name


def test_names_are_printed_on_one_line_each(photos: Path, run: Path, cifar_edge: Callable[..., Outcome]) -> None:
    outcome = cifar_edge("classify", *(photos / name for name in NAMES), "--model", run / "cnn-int8.tflite")
    assert outcome.code == 0
    assert len(outcome.out.partition("photos by class")[0].splitlines()) == len(NAMES)


def test_a_file_that_vanishes_meanwhile(run: Path, tmp_path: Path) -> None:
    for number in range(200):
        shutil.copy(PHOTOS / "ship" / "yacht.png", tmp_path / f"{number:03}.png")
    rows = classify_folder(tmp_path, run / "cnn-int8.tflite", workers=1)
    next(rows)
    (tmp_path / "199.png").unlink()
    *_, last = rows
    assert (Path(last.path).name, last.label, last.error) == ("199.png", "", "No such file or directory")


@contextmanager
def not_root() -> Iterator[None]:
    """Obey permissions, which root does not."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_no_permission_to_read(run: Path) -> None:
    model = EdgeModel(run / "cnn-int8.tflite")
    with tempfile.TemporaryDirectory() as name:  # of which everybody may look into the parent
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "locked").mkdir(mode=0)
        for photo in ("a.png", "b.png"):
            shutil.copy(PHOTOS / "ship" / "yacht.png", folder / photo)
        (folder / "b.png").chmod(0)
        with not_root():
            rows = list(classify_folder(folder, model))
    assert [row.error for row in rows] == ["", "Permission denied", "a folder that cannot be listed"]
