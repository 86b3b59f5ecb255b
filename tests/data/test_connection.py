from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.data import connection
from cifar_edge.data import fetch as fetching
from cifar_edge.errors import DataError
from tests.data.test_fetch import raw_server


@pytest.mark.parametrize(
    ("answer", "then", "reason"),
    [
        (b"", b"H", "next to nothing"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x", "next to nothing"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "next to nothing"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"x", "next to nothing"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n\r\n", b"x", "refused|next to nothing"),
        (b"HTTP/1.1 302 Found\r\nLocation: /archive.tar.gz\r\n\r\n", b"", r"HTTP 302 .* infinite loop"),
        (b"HTTP/1.1 500 Sorry\r\n\r\n", b"x", "HTTP 500 Sorry"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            b"",
            "after 3 of 9 bytes.; what came is kept in .*cifar-edge",
        ),
    ],
)
def test_a_server_that_holds_the_line_is_given_up(
    answer: bytes, then: bytes, reason: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 0.2)
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    with raw_server(answer, then) as url, pytest.raises(DataError, match=reason) as caught:
        fetching.fetch(url)
    assert "\n" not in str(caught.value)
