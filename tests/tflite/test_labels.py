from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.errors import UsageError
from cifar_edge.tflite.labels import read_labels


def test_class_names_are_read_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfcat \r\nwild dog\r\n")
    assert read_labels(tmp_path / "labels.txt") == ("cat", "wild dog")


@pytest.mark.parametrize("content", [b"", b"cat\n\ndog\n", b"cat\ncat\n", b"\xff\xfe"])
def test_what_is_no_list_of_class_names_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(UsageError, match=r"labels\.txt: "):
        read_labels(tmp_path / "labels.txt")
