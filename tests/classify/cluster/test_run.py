"""Several Ray nodes as processes of their own on this machine, and an S3 server.

`CLUSTER_PHOTOS=20000` (`make test-cluster`) makes it more photos.
"""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import pickletools
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import fsspec
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from cifar_edge import EdgeModel, classify_folder
from cifar_edge.classify.cluster import nodes as cluster_nodes
from cifar_edge.classify.cluster import run as cluster_run
from cifar_edge.classify.cluster import tasks
from cifar_edge.classify.cluster.run import classify_on_cluster
from cifar_edge.classify.options import Setup
from cifar_edge.errors import ResultsError, UsageError
from cifar_edge.results.request import Options
from cifar_edge.results.row import from_record
from cifar_edge.system.files import only_process
from cifar_edge.system.uris import Uri
from tests.bucket import s3, without_place
from tests.conftest import PHOTOS, ROOT

COUNT = int(os.environ.get("CLUSTER_PHOTOS", "800"))
UNREADABLE = 3


def make_photos(folder: Path, count: int) -> Path:
    """Make as many tiny photos, three of them unreadable, in folders of up to a thousand."""
    chance = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with io.BytesIO() as content:
            Image.fromarray(chance.integers(0, 256, (8, 8, 3), np.uint8)).save(content, "png")
            path.write_bytes(b"" if number in (5, count // 2, count - 1) else content.getvalue())
    return folder


class Nodes:
    """A cluster of nodes with one processor each; the first is this machine's, the others may be killed."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        options = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=options)
        self.address: str = self._cluster.address
        self._options = options
        self._others: list[Any] = []

    def add(self) -> None:
        self._others.append(self._cluster.add_node(**self._options))

    def kill_one(self) -> None:
        """Do to a node what a pulled plug does: SIGKILL for all its processes."""
        node = self._others.pop()
        processes = [info[0].process.pid for info in node.all_processes.values()]
        found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = [tuple(map(int, line.split())) for line in found.splitlines()]
        children = [process for process, parent in parents if parent in processes]
        for process in processes + children:
            os.kill(process, signal.SIGKILL)

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("many") / "photos", COUNT)


@pytest.fixture
def nodes(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    with s3(photos, monkeypatch):
        nodes = Nodes()
        nodes.add()
        yield nodes
        nodes.close()


@pytest.fixture(scope="module")
def node() -> Iterator[Nodes]:
    """A cluster of this machine alone."""
    nodes = Nodes()
    yield nodes
    nodes.close()


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


def test_a_node_that_has_not_this_machine_s_folders_gets_no_work(node: Nodes, run: Path, tmp_path: Path) -> None:
    """A folder that is open in this process has a path that no other one has."""
    model = run / "cnn-int8.tflite"
    here = os.open(PHOTOS, os.O_RDONLY)
    os.dup2(here, 900)
    private = Path("/proc/self/fd/900")
    with pytest.raises(UsageError, match=r"node .*: /proc/self/fd/900/cat/.* is not there; each node needs the same"):
        classify_on_cluster(private / "cat", model, node.address, output=tmp_path / "results")
    os.dup2(os.open(tmp_path, os.O_RDONLY), 900)
    with pytest.raises(UsageError, match=r"node .*: /proc/self/fd/900/here/_request.json is not there"):
        classify_on_cluster(PHOTOS / "cat", model, node.address, output=private / "here")
    private_uri = f"file://{private}"
    os.dup2(here, 900)
    with pytest.raises(UsageError, match=r"node .*: file:///proc/self/fd/900/cat/.*: no such file.* the credentials"):
        classify_on_cluster(f"{private_uri}/cat", model, node.address, output=tmp_path / "there")
    os.close(here)
    os.close(900)


def test_a_node_with_another_version_gets_no_work(
    node: Nodes, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_nodes, "__version__", "0.0.1")
    with pytest.raises(UsageError, match=r"node .*: has cifar-edge .*, here it is 0.0.1; install the same"):
        classify_on_cluster(PHOTOS, run / "cnn-int8.tflite", node.address, output=tmp_path / "results")


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


def test_what_travels_is_of_no_machine(run: Path) -> None:
    model = EdgeModel(run / "cnn-int8.tflite")
    sent = pickle.dumps(tasks.Job.of(Setup(model, Options("crop"), 1), Uri("s3://bucket/results"), []), protocol=0)
    made_of = {argument for code, argument, _ in pickletools.genops(sent) if code.name == "GLOBAL"}
    assert made_of == {
        "cifar_edge.classify.cluster.tasks Job",
        "cifar_edge.results.request Options",
        "copy_reg _reconstructor",
        "__builtin__ object",
        "_codecs encode",
    }
    assert str(run).encode() not in sent


def test_small_photos_are_grouped_and_large_ones_are_not() -> None:
    many = [(f"s3://bucket/{number}", 3_000) for number in range(40_000)]
    groups = list(tasks.grouped(many, 1_000))
    assert [path for group in groups for path in group] == [path for path, _ in many]
    sizes = list(map(len, groups))
    assert sizes[0] == 50
    assert sizes[-2] == max(sizes) == 1_000
    large = list(tasks.grouped([("a", 1 << 27), ("b", 1 << 27), ("c", 1 << 27), ("d", 1 << 30), ("e", 1)], 1_000))
    assert large == [["a", "b"], ["c"], ["d"], ["e"]]
    assert next(tasks.grouped(((str(number), 1) for number in iter(int, 1)), 5)) == ["0"] * 5  # before the end


def test_while_all_photos_have_their_rows_there_are_signs_of_life() -> None:
    paths = list(map(str, range(200_001)))
    assert list(tasks.grouped(((path, 1) for path in paths), 1_000, set(paths[:-1]))) == [[], [], ["200000"]]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_node_that_has_lost_its_drive_writes_no_rows_but_a_deleted_photo_is_no_matter(
    scheme: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.get", lambda reference: reference)
    monkeypatch.setattr(tasks, "PAUSE", 0)
    photos = tmp_path / "photos"
    place = (f"{scheme}{photos}", f"{scheme}{photos}/a.png", f"{scheme}{photos}/b.png")
    gone = {"kind": "group", "text": os.fsencode(f"{scheme}{photos}/c.png")}
    job = tasks.Job.of(Setup(EdgeModel(run / "cnn-int8.tflite"), Options("crop"), 1), tmp_path / "results", [place])
    Path(job.output).mkdir()
    outcome = tasks._classify_group(job, gone)
    assert (outcome["kind"], outcome["photos"]) == ("failure", 0)
    assert re.search(rf"{place[1]}(: no such file.*| is not there)$", os.fsdecode(outcome["reason"]))
    assert not list(Path(job.output).iterdir())
    photos.mkdir()
    for name in ("new.png", "b.png"):
        (photos / name).touch()
        assert tasks._classify_group(job, gone) == {"kind": "done", "photos": 1, "reason": b""}


def test_one_lost_group_after_the_other_ends_what_ray_data_is_at() -> None:
    trouble, log = cluster_nodes.Trouble(), logging.getLogger("lost")
    log.addHandler(trouble)
    trouble.limit = 3
    log.error("lost", exc_info=ValueError("first"))
    trouble.add("failed")
    assert not trouble.too_much()
    with pytest.raises(ValueError, match="last"):
        log.error("lost", exc_info=ValueError("last"))
    assert trouble.too_much() == "3 groups in a row have failed or were lost, the last one last"


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


def test_a_cluster_without_processors_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.nodes", list)
    with pytest.raises(UsageError, match="no processors"):
        cluster_nodes.check_nodes([])
