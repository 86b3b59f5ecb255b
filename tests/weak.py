"""A storage that fails now and then, to be tried with the patience of `system.uris`."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from fsspec.implementations.memory import MemoryFileSystem


class Weak(MemoryFileSystem):
    """A storage in memory that fails as often as `weakness` says for a name or for any (`*`), and after `answers`."""

    protocol = "weak"
    store: dict[str, Any] = {}  # noqa: RUF012 - as in its base class
    pseudo_dirs: list[str] = [""]  # noqa: RUF012
    weakness: Counter[str] = Counter()  # noqa: RUF012
    answers = math.inf
    refusals: dict[str, OSError] = {}  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("weak://", "memory://"))

    def _fail(self, path: str) -> None:
        Weak.answers -= 1
        if Weak.answers < 0:
            raise TimeoutError("no answer")
        for name in (path.rpartition("/")[2], "*"):
            if self.weakness[name]:
                self.weakness[name] -= 1
                raise TimeoutError("no answer")
            if name in self.refusals:
                raise self.refusals[name]

    def cat_file(self, path: str, *arguments: Any, **options: Any) -> bytes:
        self._fail(path)
        return bytes(super().cat_file(path, *arguments, **options))

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        if self.weakness["*"] or self.answers < 0:
            self._fail("")
        return super().info(path, **options)
