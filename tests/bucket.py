"""An S3 server on this machine whose bucket `photos` holds the files of a folder; it ends with its stdin.

    python -m tests.bucket FOLDER

Objects are put into it without a request each. The address is the first line on stdout.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs

from cifar_edge.results.row import Row, to_record
from cifar_edge.system import uris
from tests.conftest import ROOT


def without_place(row: Row, root: object) -> dict[str, Any]:
    """A row without what differs from one place, or one moment, to another."""
    return to_record(row) | {"path": row.path.removeprefix(str(root)), "milliseconds": 0}


@contextlib.contextmanager
def s3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the server, and let this process and its children use it."""
    command = [sys.executable, "-m", "tests.bucket", str(folder)]
    server = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert server.stdin
    assert server.stdout
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.stdout.readline().strip())
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield
    finally:
        server.stdin.close()
        server.wait()
        uris._system.cache_clear()  # its address was another one
        s3fs.S3FileSystem.clear_instance_cache()


def main(folder: Path) -> None:
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    storage = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    storage.create_bucket("photos", "us-east-1")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            storage.put_object("photos", str(path.relative_to(folder)), path.read_bytes())
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    print("http://{}:{}".format(*server.get_host_and_port()).replace("0.0.0.0", "127.0.0.1"), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
