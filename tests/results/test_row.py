from __future__ import annotations

import pytest

from cifar_edge.results.row import Row, from_line, from_record, to_line, to_record

ROW = Row("caf\udce9 \u2028.jpg", "cat", 0.9, (("cat", 0.9), ("dog", 0.1)), "", 1.5, "nano-int8.tflite")


def test_a_row_is_one_line_of_ascii_and_comes_back() -> None:
    line = to_line(ROW)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert from_line(line) == ROW
    assert from_record(to_record(ROW)) == ROW


@pytest.mark.parametrize("line", [to_line(ROW)[:-1], to_line(ROW)[:20], b"{}\n", b"[]\n", b"\0\0\n", b"\n"])
def test_half_a_row_is_none(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        from_line(line)
