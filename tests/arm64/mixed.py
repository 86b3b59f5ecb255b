"""A cluster of two kinds of processors: what a machine with x86-64 asks for is done on an emulated arm64.

`make test-cluster` runs it; pytest does not collect it by itself. The node with x86-64 has no processors to give, so
that all rows come from the other one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest

from cifar_edge import classify_folder
from cifar_edge.results.row import from_record
from tests.arm64.proof import DEBIANS, HERE, TAGS
from tests.conftest import PHOTOS, ROOT

PORT = 6399
RAY = ["-m", "ray.scripts.scripts"]
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
    "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL": "minor",  # Debian's Python is another patch release than this one
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "300000",  # emulated, they take their time
}
PORTS = ["dashboard-agent-grpc-port", "dashboard-agent-listen-port", "metrics-export-port", "runtime-env-agent-port"]


@pytest.fixture
def debian(tmp_path: Path) -> Path:
    """An arm64 Debian with this Python, and in it this package with what a node needs."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    suite = next((name for name, python in DEBIANS.items() if python == version), None)
    if suite is None:
        pytest.skip(f"a Debian with Python {version} is missing: run it by {' or '.join(DEBIANS.values())}")
    root = tmp_path / "root"
    subprocess.run([HERE / "make_root.sh", suite, root], check=True)
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", "-qq", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    platform = [option for tag in TAGS for option in ("--platform", tag)]
    install = [*pip, "install", "-qq", "--only-binary=:all:", "--python-version", version, *platform]
    subprocess.run([*install, "--target", root / "packages", f"{wheel}[cluster]"], check=True)
    return root


@pytest.fixture
def cluster(debian: Path) -> Iterator[str]:
    """The address of a node without processors here, which the Debian has joined with one."""
    address = f"127.0.0.1:{PORT}"
    head = ["--head", f"--port={PORT}", "--node-ip-address=127.0.0.1", "--num-cpus=0", "--include-dashboard=false"]
    with node([sys.executable], head):
        until_it_has(0, address)
        variables = [f"{name}={value}" for name, value in {**ENVIRONMENT, "PYTHONPATH": "/packages"}.items()]
        ports = [f"--{name}={PORT + number}" for number, name in enumerate(PORTS, start=1)]
        inside = [HERE / "enter.sh", debian, "env", *variables, "python3"]
        with node(inside, [f"--address={address}", "--num-cpus=1", *ports]):
            until_it_has(1, address)
            yield address


@contextlib.contextmanager
def node(python: list[str | Path], options: list[str]) -> Iterator[None]:
    """Run a node of Ray."""
    command = [*python, *RAY, "start", "--block", "--object-store-memory=150000000", "--disable-usage-stats", *options]
    with subprocess.Popen(command, env=os.environ | ENVIRONMENT) as process:
        try:
            yield
        finally:
            process.terminate()


def until_it_has(processors: int, address: str) -> None:
    command = [sys.executable, *RAY, "status", "--address", address]
    for _ in range(60):
        said = subprocess.run(command, capture_output=True, text=True, env=os.environ | ENVIRONMENT).stdout
        if "Active" in said and (f"/{processors}.0 CPU" in said or not processors):
            return
        time.sleep(2)
    raise AssertionError(f"no cluster with {processors} processors at {address}")


def test_rows_from_arm64_are_those_of_this_machine(cluster: str) -> None:
    shared = Path("/dev/shm", f"cifar-edge-{os.getpid()}")  # which both systems see
    try:
        shutil.copytree(PHOTOS, shared / "photos")
        command = ["-m", "cifar_edge", "classify", shared / "photos", "--model", "nano", "--cluster", cluster]
        subprocess.run([sys.executable, *command, "-o", shared / "rows"], check=True, env=os.environ | ENVIRONMENT)
        rows = [from_record(record) for record in pyarrow.parquet.read_table(shared / "rows").to_pylist()]
        here = list(classify_folder(shared / "photos", "nano"))
    finally:
        shutil.rmtree(shared)
    there = {row.path: replace(row, milliseconds=0) for row in rows}
    assert len(rows) == len(there) == len(here)
    assert all(there[row.path] == replace(row, milliseconds=0) for row in here)
