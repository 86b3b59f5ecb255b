from __future__ import annotations

import contextlib
import errno
import json
import math
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import fsspec.config
import pyarrow.parquet
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3fs import S3FileSystem

from cifar_edge import classify_folder
from cifar_edge.classify.cluster.nodes import HANGING
from cifar_edge.errors import StorageError, UsageError
from cifar_edge.photos import decode
from cifar_edge.results.row import Row
from cifar_edge.system import uris
from tests.bucket import s3, without_place
from tests.conftest import PHOTOS, Outcome
from tests.weak import Weak


def behind(uri: str) -> list[tuple[str, int]]:
    return list(uris.files(uri, decode.is_photo))


@pytest.fixture
def model(run: Path) -> Path:
    return run / "cnn-int8.tflite"


def rows_in(folder: Path) -> list[dict[str, Any]]:
    return sorted(pyarrow.parquet.read_table(folder).to_pylist(), key=lambda row: row["path"])


def test_photos_in_a_bucket_have_the_rows_of_those_in_a_folder(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cifar_edge: Callable[..., Outcome]
) -> None:
    shutil.copytree(PHOTOS, tmp_path / "photos")
    (tmp_path / "photos" / "cat" / "empty.jpg").touch()
    (tmp_path / "photos" / "cat-2").mkdir()
    (tmp_path / "photos" / "cat-2" / "A #1?.JPG").write_bytes((PHOTOS / "cat" / "chelsea.jpg").read_bytes())
    local = [without_place(row, tmp_path / "photos") for row in classify_folder(tmp_path / "photos", model)]
    with s3(tmp_path / "photos", monkeypatch):
        found = [uri for uri, _ in behind("s3://photos")]
        assert found == sorted(found)
        assert [uri for uri, _ in behind("s3://photos/cat/chelsea.jpg")] == ["s3://photos/cat/chelsea.jpg"]
        there = [
            without_place(row, "s3://photos") for row in classify_folder(["s3://photos", "s3://photos/cat"], model)
        ]
        assert sorted(there, key=lambda row: row["path"]) == sorted(local, key=lambda row: row["path"])
        # As the console makes a folder.
        fsspec.filesystem("s3").call_s3("put_object", Bucket="photos", Key="results/", Body=b"")
        arguments = ["classify", "s3://photos", "--model", model, "--output"]
        outcome = cifar_edge(*arguments, "s3://photos/results")
        assert outcome.code == 3, outcome.err
        assert "1 of 29 photos could not be read" in outcome.err
        assert "choose another folder" in cifar_edge(*arguments, "s3://photos/results").err
        assert "name a folder" in cifar_edge(*arguments, "s3://photos/results.csv").err
        fsspec.filesystem("s3").get("photos/results", str(tmp_path / "results"), recursive=True)
        assert "s3://none: no such file, folder or bucket" in cifar_edge("classify", "s3://none", "--model", model).err
    written = [row | {"path": row["path"].removeprefix("s3://photos")} for row in rows_in(tmp_path / "results")]
    assert [row["path"] for row in written] == sorted(row["path"] for row in local)
    assert json.loads((tmp_path / "results" / "_SUCCESS").read_text())["photos"] == len(local)


def test_a_storage_that_fails_now_and_then_costs_no_row(model: Path, weak: Weak) -> None:
    weak.weakness |= {"chelsea.jpg": 3, "*": 1}  # it is back when it is asked whether this one is there
    rows = list(classify_folder("weak://bucket", model))
    assert len(rows) == 27
    assert not any(row.error for row in rows)


def test_an_object_that_cannot_be_read_is_a_row_with_its_reason(model: Path, weak: Weak) -> None:
    weak.weakness["chelsea.jpg"] = 99
    (bad,) = (row for row in classify_folder("weak://bucket", model) if row.error)
    assert bad.path.endswith("cat/chelsea.jpg")
    assert "no answer" in bad.error


def refusal(code: str) -> PermissionError:
    """What s3fs raises for an error of S3 that is about rights."""
    error = PermissionError("said S3")
    error.__cause__ = Exception()
    error.__cause__.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]
    return error


def test_an_object_that_may_not_be_read_is_a_row_but_credentials_that_expire_end_the_run(
    model: Path, weak: Weak
) -> None:
    weak.refusals |= {
        "chelsea.jpg": refusal("AccessDenied"),
        "schooner.png": refusal("InvalidObjectState"),
        "nokota.jpg": OSError(errno.EINVAL, "Invalid argument"),
    }
    errors = {Path(row.path).name: row.error for row in classify_folder("weak://bucket", model) if row.error}
    assert errors == {
        "chelsea.jpg": "permission denied",
        "schooner.png": "permission denied",
        "nokota.jpg": "Invalid argument",  # and not empty
    }
    weak.refusals["chelsea.jpg"] = refusal("ExpiredToken")
    with pytest.raises(StorageError, match=r"weak://.*chelsea.jpg: said S3; check the credentials"):
        list(classify_folder("weak://bucket", model))


def test_a_folder_that_may_not_be_listed_is_named(weak: Weak, monkeypatch: pytest.MonkeyPatch) -> None:
    def ls(self: Weak, path: str, detail: bool = True) -> Any:
        if path.endswith("dog"):
            raise PermissionError
        return MemoryFileSystem.ls(self, path, detail)

    monkeypatch.setattr(Weak, "ls", ls)
    with pytest.raises(StorageError, match="/bucket/dog: permission denied; check the rights to list there"):
        list(behind("weak://bucket"))


def test_a_storage_that_knows_no_options_is_read() -> None:
    class Plain(MemoryFileSystem):
        protocol = "plain"

        def __init__(self) -> None:
            super().__init__()

    fsspec.register_implementation("plain", Plain)
    with pytest.raises(UsageError, match="plain://none: no such file, folder or bucket"):
        list(behind("plain://none"))


class Server(Weak):
    protocol = "server"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(re.sub("^server://[^/]*", "", path))


def test_photos_of_a_server_keep_its_name_and_the_user_s_but_no_password(weak: Weak) -> None:
    fsspec.register_implementation("server", Server)
    first, *_ = (uri for uri, _ in behind("server://me@nas/bucket/"))
    assert first.startswith("server://me@nas/bucket/airplane/")
    assert uris.read(first, 3) == weak.cat_file(first.replace("server://me@nas", ""))[:3]
    with pytest.raises(UsageError, match=r"server://nas: a password would be in each row.*FSSPEC_SERVER_PASSWORD"):
        list(behind("server://me:secret@nas/bucket"))


def test_a_server_that_never_answers_is_given_up_sooner_than_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    with socket.create_server(("127.0.0.1", 0)) as server:  # the system connects, and nobody is there to answer
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.delenv("AWS_MAX_ATTEMPTS", raising=False)
        monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 0.05}})
        attempts = len(uris.WAITS) + 1
        monkeypatch.setattr(uris, "WAITS", ())
        uris._system.cache_clear()
        with pytest.raises(StorageError, match=r"s3://photos/a\.png: cannot be reached"):
            uris.read("s3://photos/a.png")
        uris._system.cache_clear()
        server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                server.accept()[0].close()
                calls += 1
    assert 2 <= calls * attempts <= HANGING / S3FileSystem.read_timeout


def test_a_photo_is_not_read_beyond_all_measure(model: Path, weak: Weak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uris, "LARGEST", 20_000)
    rows = {Path(row.path).name: row.error for row in classify_folder("weak://bucket/ship", model)}
    assert "larger" in rows["schooner.png"]


def test_when_the_storage_is_away_the_run_ends_and_goes_on_later(
    model: Path, weak: Weak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Weak, "answers", 10)
    before: list[Row] = []
    with pytest.raises(StorageError, match=r"weak://bucket.* cannot be reached .*try again"):
        before.extend(classify_folder("weak://bucket", model, 1, output=tmp_path / "rows.jsonl"))
    monkeypatch.setattr(Weak, "answers", math.inf)
    again = list(classify_folder("weak://bucket", model, output=tmp_path / "rows.jsonl", resume=True))
    assert len(again) == 27
    assert before
    assert set(before) <= set(again)


def test_sorted_photos_all_go_into_one_folder(model: Path, weak: Weak, tmp_path: Path) -> None:
    options: dict[str, Any] = {"output": "weak://results", "resume": True}
    next(classify_folder(PHOTOS / "cat", model, sort_into=tmp_path / "a", **options))
    with pytest.raises(UsageError, match="began with another folder to sort into"):
        classify_folder(PHOTOS / "cat", model, sort_into=tmp_path / "b", **options)


def test_many_photos_are_read_at_a_time_and_as_many_decoded_as_there_are_workers(
    model: Path, weak: Weak, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, read, first_eight = decode.load, uris.read, threading.Barrier(8)
    decoding = most = met = 0

    def slow_load(*arguments: Any, **options: Any) -> Any:
        nonlocal decoding, most
        decoding += 1
        most = max(most, decoding)
        time.sleep(0.01)
        try:
            return load(*arguments, **options)
        finally:
            decoding -= 1

    def read_together(uri: str) -> bytes:
        nonlocal met
        met += 1
        if met <= 8:
            first_eight.wait(timeout=30)
        return read(uri)

    monkeypatch.setattr(decode, "load", slow_load)
    monkeypatch.setattr(uris, "read", read_together)
    assert len(list(classify_folder("weak://bucket", model, 1))) == 27
    assert most == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--report", "r.html"], "a report shows photos of this machine"),
        (["--sort-into", "sorted"], "only photos on this machine can be sorted"),
        (["--cluster", "--workers", "2", "--link"], "--link and --workers: not on a cluster"),
        (["--cluster"], "name a folder or URI"),
        (["--cluster", "weak://bucket"], "name a folder or URI"),
        (["--cluster", "127.0.0.1:1", "--output", "weak://results"], "127.0.0.1:1: no Ray cluster answers"),
        (["--cluster", "localhost", "--output", "weak://results"], "localhost: no Ray cluster answers .* HOST:PORT"),
        (["--cluster", "weak://none", "--output", "weak://results"], "weak://none: no such file, folder or bucket"),
    ],
)
def test_what_cannot_be_is_said(
    options: list[str], message: str, model: Path, weak: Weak, cifar_edge: Callable[..., Outcome]
) -> None:
    outcome = cifar_edge("classify", "weak://bucket", "--model", model, *options)
    assert outcome.code == 2
    assert re.search(message, outcome.err)
