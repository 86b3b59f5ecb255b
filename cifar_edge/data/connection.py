"""HTTP that hangs up on a server that holds it.

A socket's timeout is for the next byte: a byte a second keeps a line of headers open for hours, and so do endless
answers of `100 Continue`.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import urllib.request
from typing import Any

TIMEOUT = 20.0  # seconds without a byte
PATIENCE = 30.0  # seconds without the end of the headers, or without a piece of the content
PIECE = 1 << 16  # bytes


def open_url(request: urllib.request.Request) -> Any:
    """Open a URL as `urllib.request.urlopen` does; reading raises `TimeoutError` where the server holds it up."""
    return urllib.request.build_opener(_Handler).open(request, timeout=TIMEOUT)


class _Response(http.client.HTTPResponse):
    """Shuts its socket after `PATIENCE` seconds; each piece that comes puts that off."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._socket, self._timer, self._hung_up = sock, threading.Timer(0, self._hang_up), False

    def begin(self) -> None:
        """Read the headers."""
        self._wait()
        try:
            super().begin()
        finally:
            self._check()

    def read1(self, n: int = -1) -> bytes:
        """Read a piece of the content."""
        try:
            piece = super().read1(n)
        finally:
            self._check()
        if time.monotonic() - self._since > PATIENCE / 8:
            self._wait()
        return piece

    def read(self, amt: int | None = None) -> bytes:
        """Read a piece of what comes with a redirect: `urllib` would take all of it, however long."""
        return self.read1(PIECE)

    def close(self) -> None:
        """Close the connection."""
        self._timer.cancel()
        super().close()

    def _wait(self) -> None:
        self._timer.cancel()
        self._since, self._timer = time.monotonic(), threading.Timer(PATIENCE, self._hang_up)
        self._timer.daemon = True
        self._timer.start()

    def _hang_up(self) -> None:
        self._hung_up = True
        with contextlib.suppress(OSError):  # closed meanwhile
            self._socket.shutdown(socket.SHUT_RDWR)

    def _check(self) -> None:
        if self._hung_up:
            raise TimeoutError(f"the server sends next to nothing for {PATIENCE:.0f} s")


class _Connection(http.client.HTTPConnection):
    response_class = _Response


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Response


class _Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req)
