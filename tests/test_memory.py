"""A run fits the memory of a small computer; `make device` measures how much it holds, in a control group, as root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

LIMIT = 150_000_000
"""Bytes of data, as the service's LimitDATA= counts them: also those that are reserved and never touched."""

CLASSIFY = """
import resource
import sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]), int(sys.argv[1])))
from cifar_edge import classify_folder
for row in classify_folder(sys.argv[2], "nano", workers=2):
    print(row.error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits data in this way")
def test_many_photos_and_large_ones_fit(tmp_path: Path) -> None:
    for number in range(300):
        Image.new("RGB", (32, 32), (number % 256, 0, 0)).save(tmp_path / f"{number}.png")
    for number in range(2):  # decoded as a whole, each would take 49 MB
        Image.linear_gradient("L").resize((4032, 3024)).convert("RGB").save(tmp_path / f"{number}.jpg")
    command = [sys.executable, "-c", CLASSIFY, str(LIMIT), str(tmp_path)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}  # of which each reserves some, used or not
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == 302 * "\n"
