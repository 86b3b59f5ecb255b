from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.conftest import PHOTOS

KILLS = 34  # of each format


def test_killed_at_any_moment_a_run_is_resumed_to_the_same_bytes(run: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "photos" / "b").mkdir()
    with Image.open(PHOTOS / "ship" / "yacht.png") as photo:
        photo.convert("RGB").resize((32, 32)).save(tmp_path / "photos" / "b" / "0.png")
    for number in range(50):
        (tmp_path / "photos" / "a" / f"{number},\n.png").hardlink_to(tmp_path / "photos" / "b" / "0.png")
    (tmp_path / "photos" / "b" / "torn.jpg").write_bytes(b"\xff\xd8")
    processes = []
    for suffix in ("csv", "jsonl", "parquet"):
        (tmp_path / suffix).mkdir()
        arguments = [tmp_path / "photos", run / "cnn-int8.tflite", tmp_path / suffix / f"out.{suffix}", str(KILLS)]
        command = [sys.executable, "-m", "tests.killing", *arguments]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    for process in processes:
        said, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint
        assert f"{KILLS} kills" in said
