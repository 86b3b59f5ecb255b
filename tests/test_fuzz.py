"""Damaged photos, models and archives: no crash, no hang, no missing row. `make fuzz` does each for a minute."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pillow_heif
from PIL import Image

from tests.conftest import PHOTOS, ROOT

SECONDS = float(os.environ.get("FUZZ_SECONDS", "2"))
FILES = 200  # a round
FORMATS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "BMP": "bmp",
    "GIF": "gif",
    "TIFF": "tif",
    "HEIF": "heic",
    "AVIF": "avif",
}

pillow_heif.register_heif_opener()


def seeds() -> list[tuple[str, bytes]]:
    """Return photos in every format and several ways of coding, as suffix and content."""
    found = []
    for path in sorted(PHOTOS.glob("*/*.jpg"))[:4]:
        found.append(("jpg", path.read_bytes()))
        with Image.open(path) as photo:
            small = photo.convert("RGB").resize((96, 64))
        frames = {"save_all": True, "append_images": [small.rotate(90)]}
        exif = Image.Exif()
        exif[0x0112] = 6
        ways = [
            ("JPEG", {"progressive": True, "exif": exif}),
            ("PNG", {}),
            *((name, frames) for name in ("WEBP", "GIF")),
            ("BMP", {}),
            ("HEIF", {"exif": exif.tobytes(), "tile_size": 64, "thumbnails": [48]}),
            ("AVIF", {"exif": exif}),
            *(("TIFF", {"compression": way}) for way in (None, "tiff_lzw", "tiff_deflate", "jpeg")),
        ]
        for name, options in ways:
            buffer = io.BytesIO()
            small.save(buffer, name, **options)  # type: ignore[arg-type]
            found.append((FORMATS[name], buffer.getvalue()))
    return found


def mutated(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """Return a file with some damage, more often where the header is."""
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        end = len(damaged) if chance.random() < 0.5 else min(len(damaged), 200)
        start = chance.randrange(end + 1)
        stop = start + chance.choice((1, 2, 4, 50, 1000))
        match chance.randrange(7):
            case 0:
                damaged[start : start + 1] = chance.randbytes(1)
            case 1:
                damaged[start:stop] = b""
            case 2:
                damaged[start:start] = damaged[start:stop]
            case 3:
                damaged[start:stop] = bytes(len(damaged[start:stop]))
            case 4:
                damaged[start:stop] = b"\xff" * len(damaged[start:stop])
            case 5:
                damaged[start:stop] = other[start:stop]
            case 6:
                del damaged[start:]
    return bytes(damaged)


def limit_memory() -> None:
    """Let a process have what two photos of a gigabyte take, and the program."""
    resource.setrlimit(resource.RLIMIT_AS, (4_000_000_000, 4_000_000_000))


def test_damaged_photos(run: Path, tmp_path: Path) -> None:
    originals = seeds()
    model, output = run / "cnn-int8.tflite", tmp_path / "out.jsonl"
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        seed = random.randrange(2**32)
        chance = random.Random(seed)
        photos = tmp_path / f"seed-{seed}"  # is kept if something is wrong with it
        photos.mkdir()
        for number in range(FILES):
            suffix, content = chance.choice(originals)
            damaged = mutated(content, chance.choice(originals)[1], chance)
            (photos / f"{number:03}.{suffix}").write_bytes(damaged)
        command = [sys.executable, "-m", "cifar_edge", "classify", photos, "--model", model, "-o", output, "--quiet"]
        command += ["--timeout", "10"]
        result = subprocess.run(command, timeout=120, capture_output=True, text=True, preexec_fn=limit_memory)
        assert result.returncode in (0, 3), (photos, result.stderr)
        assert "Traceback" not in result.stderr, (photos, result.stderr)
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        assert [row["path"] for row in rows] == sorted(map(str, photos.iterdir()))
        assert all(bool(row["label"]) != bool(row["error"]) for row in rows)
        for photo in photos.iterdir():
            photo.unlink()
        photos.rmdir()


def test_damaged_models_and_archives(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    command = [sys.executable, "-m", "tests.fuzzing", tmp_path, str(seed), str(SECONDS)]
    result = subprocess.run(command, timeout=SECONDS + 120, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, (seed, list(tmp_path.iterdir()), result.stderr)
