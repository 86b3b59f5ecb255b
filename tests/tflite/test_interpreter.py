from __future__ import annotations

from typing import Any

import pytest

from cifar_edge.tflite.interpreter import litert


class Asked(Exception):  # noqa: N818 - ends what is not looked at
    pass


def test_litert_gets_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def interpreter(model: bytes, threads: int, name: str) -> Any:
        raise Asked(threads)

    monkeypatch.setattr("cifar_edge.tflite.interpreter.load_interpreter", interpreter)
    with pytest.raises(Asked, match="3"):
        litert(b"", threads=3)
