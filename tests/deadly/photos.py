"""Photos that kill or block whoever reads them. It takes a minute or two, so it is part of `make test-cluster` only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from ..conftest import ROOT
from ..test_cluster import Nodes, make_photos


def test_a_photo_that_kills_or_blocks_its_reader_is_named_and_all_others_have_rows_though_a_lister_is_killed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers import `sitecustomize`, which makes reading some photos deadly, and listing too, once."""
    make_photos(tmp_path / "photos", 1_100)
    (tmp_path / "photos" / "kills.png").touch()
    (tmp_path / "photos" / "hangs.png").touch()
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "deadly"))
    nodes = Nodes()
    nodes.add()
    command = [sys.executable, "-m", "cifar_edge", "classify", f"deadly://{tmp_path}/photos"]
    command += ["--model", str(run / "cnn-int8.tflite"), "--output", str(tmp_path / "results")]
    command += ["--cluster", nodes.address]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    nodes.close()
    assert done.returncode == 1
    assert "2 photos have no row yet" in done.stderr
    assert "is killed or hangs (The worker died unexpectedly" in done.stderr
    missing = (tmp_path / "results" / "_MISSING").read_text().splitlines()
    assert [Path(uri).name for uri in missing] == ["hangs.png", "kills.png"]
    assert all(uri in done.stderr for uri in missing)
    assert pyarrow.parquet.read_table(tmp_path / "results").num_rows == 1_100
    assert (tmp_path / "photos" / "lister-was-killed").exists()
    assert not (tmp_path / "results" / "_SUCCESS").exists()
