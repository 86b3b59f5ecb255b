"""Photos that kill or block whoever reads them. They take minutes, so they are part of `make test-cluster` only."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.classify.cluster.conftest import Nodes, make_photos
from tests.conftest import ROOT


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """Two nodes whose workers import `sitecustomize`, which makes reading some photos deadly, and listing too, once."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "deadly"))
    nodes = Nodes()
    nodes.add()
    yield nodes
    nodes.close()


def classify(nodes: Nodes, run: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cifar_edge", "classify", f"deadly://{folder}/photos"]
    command += ["--model", str(run / "cnn-int8.tflite"), "--output", str(folder / "results")]
    command += ["--cluster", nodes.address]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_photo_that_kills_or_blocks_its_reader_is_named_and_all_others_have_rows_though_a_lister_is_killed(
    nodes: Nodes, run: Path, tmp_path: Path
) -> None:
    make_photos(tmp_path / "photos", 1_100)
    (tmp_path / "photos" / "kills.png").touch()
    (tmp_path / "photos" / "hangs.png").touch()
    done = classify(nodes, run, tmp_path)
    assert done.returncode == 1
    assert "2 photos have no row yet" in done.stderr
    assert "are killed or hang (The worker died unexpectedly" in done.stderr
    missing = (tmp_path / "results" / "_MISSING").read_text().splitlines()
    assert [Path(uri).name for uri in missing] == ["hangs.png", "kills.png"]
    assert all(uri in done.stderr for uri in missing)
    assert pyarrow.parquet.read_table(tmp_path / "results").num_rows == 1_100
    assert (tmp_path / "photos" / "lister-was-killed").exists()
    assert not (tmp_path / "results" / "_SUCCESS").exists()


def test_when_every_worker_is_lost_the_run_does_not_go_through_all_photos(
    nodes: Nodes, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(60):
        (tmp_path / "photos" / f"{number:02}-kills.png").touch()
    done = classify(nodes, run, tmp_path)
    assert done.returncode == 1
    assert "60 photos have no row yet" in done.stderr
    assert re.search(r"2\d groups in a row have failed or were lost, the last one The worker died", done.stderr)
