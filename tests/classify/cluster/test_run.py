"""Several Ray nodes as processes of their own on this machine, and an S3 server.

`CLUSTER_PHOTOS=20000` (`make test-cluster`) makes it more photos.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import fsspec
import pyarrow.parquet
import pytest

from cifar_edge import classify_folder
from cifar_edge.classify.cluster import run as cluster_run
from cifar_edge.classify.cluster import tasks
from cifar_edge.classify.cluster.run import classify_on_cluster
from cifar_edge.errors import ResultsError, UsageError
from cifar_edge.results.row import from_record
from cifar_edge.system.files import only_process
from tests.bucket import without_place
from tests.classify.cluster.conftest import COUNT, Nodes
from tests.conftest import PHOTOS, ROOT

UNREADABLE = 3


def start(nodes: Nodes, model: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cifar_edge", "classify", "s3://photos", "--model", str(model), *options]
    command += ["--output", "s3://photos/results/", "--cluster", nodes.address]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_parts(process: subprocess.Popen[str], count: int) -> None:
    storage = fsspec.filesystem("s3", use_listings_cache=False)
    while len(storage.glob("photos/results/part-*")) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def results(folder: Path) -> list[dict[str, Any]]:
    """The rows of the bucket's results, in the order of their paths."""
    fsspec.filesystem("s3", use_listings_cache=False).get("photos/results", str(folder), recursive=True)
    rows = pyarrow.parquet.read_table(folder).to_pylist()
    return sorted((without_place(from_record(row), "s3://photos") for row in rows), key=lambda row: row["path"])


def test_a_run_begun_on_one_machine_ends_on_a_cluster_whose_driver_and_one_of_whose_nodes_are_killed(
    nodes: Nodes, photos: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = run / "cnn-int8.tflite"
    monkeypatch.setattr("cifar_edge.results.parquet_folder.PART", 100)
    stopped = classify_folder("s3://photos", model, top_k=2, output="s3://photos/results")
    for _ in range(250):
        next(stopped)
    stopped.close()
    process = start(nodes, model, "--top-k", "2", "--resume")
    wait_for_parts(process, 4)
    process.kill()
    process.communicate()
    process = start(nodes, model, "--top-k", "2", "--resume")
    wait_for_parts(process, 6 + COUNT // 600)
    nodes.kill_one()
    _, complaints = process.communicate(timeout=600)
    assert process.returncode == 3, complaints
    assert f"{UNREADABLE} of {COUNT:,} photos could not be read" in complaints
    assert "cluster: nodes 2, processors 2" in complaints
    expected = [without_place(row, photos) for row in classify_folder(photos, model, top_k=2)]
    assert results(tmp_path / "results") == sorted(expected, key=lambda row: row["path"])
    counts = json.loads((tmp_path / "results" / "_SUCCESS").read_text())
    assert (counts["photos"], counts["unreadable"]) == (COUNT, UNREADABLE)


def test_without_a_cluster_there_is_one_for_the_run(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cifar_edge", "classify", "--cluster", str(PHOTOS), "--model"]
    command += [str(run / "cnn-int8.tflite"), "--output", str(tmp_path / "results")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "cluster: nodes 1" in done.stderr
    assert pyarrow.parquet.read_table(tmp_path / "results").num_rows == 27


def test_what_one_machine_began_in_a_folder_a_cluster_ends(
    node: Nodes, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cifar_edge.results.parquet_folder.PART", 10)
    monkeypatch.chdir(PHOTOS)
    model, output = run / "cnn-int8.tflite", f"file://{tmp_path}/results"
    next(classify_folder(["cat", "dog"], model, output=output))
    monkeypatch.chdir(PHOTOS.parent)
    for _ in range(2):  # the second time nothing is left
        classify_on_cluster(["photos/cat", "photos/dog"], model, node.address, output=output, resume=True)
    files = [*(PHOTOS / "cat").iterdir(), *(PHOTOS / "dog").iterdir()]
    assert json.loads((tmp_path / "results" / "_SUCCESS").read_text())["photos"] == len(files)


def test_photos_that_cannot_be_listed_end_the_run_and_what_is_done_is_kept(
    node: Nodes, run: Path, tmp_path: Path
) -> None:
    away = tmp_path / "away.png"
    away.touch()
    with pytest.raises(ResultsError, match=r"/away\.png: no such file, .* what is done is kept for --resume"):
        classify_on_cluster(
            [f"file://{PHOTOS}/cat", f"file://{away}"],
            run / "cnn-int8.tflite",
            node.address,
            output=tmp_path / "results",
            say=lambda _: away.unlink(),
        )


def test_when_one_group_after_the_other_fails_the_run_ends_and_says_what_is_missing(
    node: Nodes, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drive with the results goes away when the nodes have been asked for it, as far as they can tell."""
    monkeypatch.setattr(cluster_run, "ROUNDS", (1,))
    monkeypatch.setattr(cluster_run, "FAILURES", 2)
    photos, output = tmp_path / "photos", tmp_path / "results"
    photos.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        (photos / name).touch()
    why = r"2 groups in a row have failed .*, the last one on .*/_request\.json is not there; --resume tries again"
    with pytest.raises(ResultsError, match=rf"/results: 3 photos have no row yet, as .*/b\.png, .*/c\.png.*: {why}"):
        classify_on_cluster(
            photos,
            run / "cnn-int8.tflite",
            node.address,
            output=output,
            say=lambda _: (output / "_request.json").unlink(),
        )
    assert (output / "_MISSING").read_text() == f"{photos}/a.png\n{photos}/b.png\n{photos}/c.png\n"


def test_a_drive_that_goes_away_makes_no_success(node: Nodes, run: Path, tmp_path: Path) -> None:
    photo, output = tmp_path / "photo.jpg", tmp_path / "results"
    shutil.copy(PHOTOS / "cat" / "chelsea.jpg", photo)
    with pytest.raises(ResultsError, match=r"photo\.jpg is not there; what is done is kept for --resume"):
        classify_on_cluster(
            tmp_path, run / "cnn-int8.tflite", node.address, output=output, say=lambda _: photo.unlink()
        )
    assert not (output / "_SUCCESS").exists()


def test_a_run_in_which_nothing_goes_on_ends(
    node: Nodes, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "STALLED", 0.1)
    monkeypatch.setattr(cluster_run, "STALLED", 0.1)
    with pytest.raises(ResultsError, match=r"no row yet, as .*nothing was done for 0\.0 minutes; --resume tries again"):
        classify_on_cluster(PHOTOS, run / "cnn-int8.tflite", node.address, output=tmp_path / "results")
    import ray.data

    assert ray.data.DataContext.get_current().execution_no_progress_timeout_s > 1


def test_no_cluster_is_said_and_costs_no_results(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, output = run / "cnn-int8.tflite", tmp_path / "results"
    for _ in classify_folder([PHOTOS / "cat"], model, output=f"file://{output}"):
        pass
    again = {"output": output, "resume": True}
    with pytest.raises(UsageError, match="no Ray cluster answers"):
        classify_on_cluster([PHOTOS / "cat"], model, "127.0.0.1:1", **again)
    with pytest.raises(UsageError, match=r"no Ray cluster answers there \(\[Errno \d"):  # not: no such name
        classify_on_cluster([PHOTOS / "cat"], model, "[::1]:1", **again)
    with only_process(output), pytest.raises(UsageError, match="another process is working on it"):
        classify_on_cluster([PHOTOS / "cat"], model, "127.0.0.1:1", **again)
    with monkeypatch.context() as patch:
        patch.setattr("ray.init", Mock(side_effect=RuntimeError("Version mismatch: cluster:\n  Ray: 1.0\n here: 2.0")))
        with pytest.raises(UsageError, match=r"Version mismatch: cluster: Ray: 1\.0 here: 2\.0; install the same"):
            classify_on_cluster([PHOTOS / "cat"], model, **again)
        patch.setattr("ray.init", Mock(side_effect=ConnectionError("Failed to connect to Ray cluster at 192.0.2.2:1")))
        with pytest.raises(UsageError, match=r"at 192\.0\.2\.2:1: this machine has to be .* `ray stop` lets"):
            classify_on_cluster([PHOTOS / "cat"], model, **again)
        patch.setattr("ray.is_initialized", lambda: True)
        with pytest.raises(UsageError, match="Ray is connected in this process already"):
            classify_on_cluster([PHOTOS / "cat"], model, "127.0.0.1:1", **again)
    assert (output / "_SUCCESS").exists()


def test_what_cannot_be_is_said_before_a_cluster_is_looked_for(run: Path, tmp_path: Path) -> None:
    model = run / "cnn-int8.tflite"
    with pytest.raises(UsageError, match="file:///none: no such file"):
        classify_on_cluster([PHOTOS / "cat", "file:///none"], model, output=tmp_path / "results")
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "results"):
        with pytest.raises(UsageError, match=rf"{output}: a file is in the way"):
            classify_on_cluster([PHOTOS / "cat"], model, output=output)
