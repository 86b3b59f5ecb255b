"""A run that is killed again and again; `make fuzz` kills a hundred times, `make test` fewer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.conftest import PHOTOS

KILLS = int(os.environ.get("KILLS", "12"))  # of each format


def test_killed_at_any_moment_a_run_is_resumed_to_the_same_bytes(run: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "photos" / "b").mkdir()
    with Image.open(PHOTOS / "ship" / "yacht.png") as photo:
        photo.convert("RGB").resize((32, 32)).save(tmp_path / "photos" / "b" / "0.png")
    for number in range(50):
        (tmp_path / "photos" / "a" / f"{number},\n.png").hardlink_to(tmp_path / "photos" / "b" / "0.png")
    (tmp_path / "photos" / "b" / "torn.jpg").write_bytes(b"\xff\xd8")
    command = [
        sys.executable,
        "-m",
        "tests.killing",
        tmp_path / "photos",
        run / "cnn-int8.tflite",
        tmp_path,
        str(KILLS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120 + KILLS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{KILLS} kills") == 3
