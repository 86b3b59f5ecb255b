from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import pytest

from cifar_edge.classify.cluster import nodes as cluster_nodes
from cifar_edge.classify.cluster.run import classify_on_cluster
from cifar_edge.errors import UsageError
from tests.classify.cluster.conftest import Nodes
from tests.conftest import PHOTOS
from tests.planted import NOBODY, as_root


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


def test_a_cluster_without_processors_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.nodes", list)
    with pytest.raises(UsageError, match="no processors"):
        cluster_nodes.check_nodes([])


@as_root
@pytest.mark.parametrize("name", ["ray", "ray/ray_current_cluster"])
@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_another_user_s_session_is_refused(
    name: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:6379")
    cluster_nodes.check_owner()
    os.chown(tmp_path / name, NOBODY, NOBODY)
    with pytest.raises(UsageError, match=f"{tmp_path / name}: is of another user's Ray, whose owner could run code"):
        cluster_nodes.check_owner()


@as_root
def test_another_user_s_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    command = ["/bin/sh", "-c", "read line", "raylet", "--gcs-address=127.0.0.1:6379"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, user=NOBODY) as other:
        with pytest.raises(UsageError, match=f"/proc/{other.pid}: is of another user's Ray"):
            cluster_nodes.check_owner()
        other.communicate(b"")
    cluster_nodes.check_owner()
