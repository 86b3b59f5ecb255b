from __future__ import annotations

from pathlib import Path

from cifar_edge.benchmarks.studies.formats import COMPARED, formats


def test_every_export_of_a_run_has_a_line(run: Path) -> None:
    columns, *rows = formats([run])
    assert columns[-4:] == COMPARED
    assert [row[:2] for row in rows] == [("cnn", "float32"), ("cnn", "int8")]
    assert all(len(row) == len(columns) for row in rows)
    assert rows[0][-1] == "1.00"
