from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import fsspec.config
import pytest
from fsspec.implementations.local import LocalFileSystem

from cifar_edge import classify_folder
from cifar_edge.errors import ResultsError, UsageError
from cifar_edge.results.parquet_folder import ParquetFolder, write_part
from cifar_edge.results.row import Row
from cifar_edge.system import uris
from cifar_edge.system.folders import folder_at
from cifar_edge.system.uris import Uri
from tests.conftest import PHOTOS
from tests.system.test_uris import rows_in
from tests.weak import Weak


@pytest.fixture(scope="module")
def model(run: Path) -> Path:
    return run / "cnn-int8.tflite"


def test_results_in_a_bucket_are_resumed(model: Path, weak: Weak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cifar_edge.results.parquet_folder.PART", 10)
    rows = classify_folder("weak://bucket", model, output="weak://results/today")
    before = [next(rows) for _ in range(15)]
    rows.close()
    weak.weakness["*"] = 1
    with pytest.raises(UsageError, match="there are results; go on with --resume"):
        classify_folder("weak://bucket", model, output="weak://results/today")
    with pytest.raises(UsageError, match="began with another top-k"):
        classify_folder("weak://bucket", model, output="weak://results/today", top_k=2, resume=True)
    weak.pipe_file("/bucket/airplane/new.png", (PHOTOS / "cat" / "chelsea.jpg").read_bytes())
    after = list(classify_folder("weak://bucket", model, output="weak://results/today", resume=True))
    assert set(before) <= set(after)
    assert len({row.path for row in after}) == len(after) == 28
    parts = [name for name in uris.names("weak://results/today") if name.startswith("part-")]
    assert len(parts) == 3  # 10, 10, and 8 new ones
    assert json.loads(weak.cat_file("/results/today/_SUCCESS"))["photos"] == 28


def test_a_run_that_has_no_row_yet_is_not_begun_anew_in_another_way(model: Path, weak: Weak) -> None:
    classify_folder("weak://bucket", model, output="weak://results")
    for resume in (False, True):
        with pytest.raises(UsageError, match=r"weak://results: began with another top-k .* delete it to begin anew"):
            classify_folder("weak://bucket", model, output="weak://results", top_k=2, resume=resume)
    assert len(list(classify_folder("weak://bucket", model, output="weak://results"))) == 27


def test_a_damaged_part_is_named(model: Path, weak: Weak) -> None:
    options: dict[str, Any] = {"output": "weak://results", "resume": True}
    list(classify_folder("weak://bucket", model, **options))
    (part,) = weak.glob("/results/part-*")
    content = bytearray(weak.cat_file(part))
    content[60:200] = bytes(byte ^ 0x5A for byte in content[60:200])
    weak.pipe_file(part, bytes(content))
    with pytest.raises(ResultsError, match=r"weak://results/part-.*: not a part of results; delete it"):
        list(classify_folder("weak://bucket", model, **options))


def test_a_part_that_is_written_when_all_have_been_counted_is_noticed(tmp_path: Path) -> None:
    row = Row("a.png", "cat", 0.5, (("cat", 0.5),), "", 1.0, "m")
    store = ParquetFolder(tmp_path / "results", b"{}", ["cat"], resume=False)
    write_part(folder_at(tmp_path / "results"), [row])
    with store:
        write_part(folder_at(tmp_path / "results"), [row, replace(row, path="b.png")])
        with pytest.raises(ResultsError, match="1 photos have more than one row"):
            store.finish()
        store.recount()
        assert store.tally.summary.photos in (1, 2)


def test_each_photo_without_a_row_has_one_line(tmp_path: Path) -> None:
    store = ParquetFolder(tmp_path, b"{}", ["cat"], resume=False)
    assert "2 photos" in store.lack(["a\nb.png", "c\\n.png"])
    assert (tmp_path / "_MISSING").read_text() == "a\\nb.png\nc\\\\n.png\n"


def test_of_two_rows_of_a_photo_one_stays(model: Path, weak: Weak, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else writes the same photos as parts of their own, before a run and while it goes on."""
    monkeypatch.setattr("cifar_edge.results.parquet_folder.PART", 10)
    options: dict[str, Any] = {"output": "weak://results", "resume": True}
    rows = list(classify_folder("weak://bucket", model, **options))
    write_part(folder_at(Uri("weak://results")), rows[5:15])
    again = classify_folder("weak://bucket", model, **options)
    assert {next(again).path for _ in rows} == {row.path for row in rows}
    write_part(folder_at(Uri("weak://results")), rows[2:5])
    with pytest.raises(
        ResultsError, match=r"3 photos have more than one row.*\(part-.*\.parquet\); --resume puts that"
    ):
        next(again)
    assert len(list(classify_folder("weak://bucket", model, **options))) == 27
    assert json.loads(weak.cat_file("/results/_SUCCESS"))["photos"] == 27


class Pulled(LocalFileSystem):
    """A folder whose plug is pulled when half of the second part is written; before that it has not been there."""

    protocol = "pulled"
    written = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("pulled://")))

    def pipe_file(self, path: str, value: bytes, *arguments: Any, **options: Any) -> None:
        Pulled.written += "part-" in path
        pulled = Pulled.written == 2
        super().pipe_file(path, value[: len(value) // 2] if pulled else value)
        if pulled:
            raise KeyboardInterrupt


def test_a_part_in_a_folder_is_whole_or_not_there(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cifar_edge.results.parquet_folder.PART", 10)
    fsspec.register_implementation("pulled", Pulled)
    results = tmp_path / "deep" / "results"
    with pytest.raises(KeyboardInterrupt):
        list(classify_folder(PHOTOS, model, output=f"pulled://{results}"))
    (results / ".part-0.partial.parquet").touch()  # as a node leaves it that shares the folder
    assert len(list(results.glob("part-*"))) == 1
    monkeypatch.chdir(tmp_path)
    assert len(list(classify_folder(PHOTOS, model, output=f"pulled://{results}", resume=True))) == 27
    assert len(rows_in(results)) == 27
    assert not list(results.glob(".*"))
    assert (results / "_SUCCESS").exists()


def test_a_data_set_of_a_folder_s_photos_goes_on_from_another_one(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = f"file://{tmp_path}/results"
    monkeypatch.chdir(PHOTOS)
    rows = classify_folder("cat", model, output=output)
    assert next(rows).path == str(PHOTOS / "cat" / "chelsea.jpg")
    rows.close()
    monkeypatch.chdir(PHOTOS.parent)
    again = classify_folder("photos/cat", model, output=output, resume=True)
    assert sorted(row.path for row in again) == sorted(map(str, (PHOTOS / "cat").iterdir()))


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".jsonl", ".Parquet"])
def test_the_name_of_a_file_is_no_folder(suffix: str) -> None:
    with pytest.raises(UsageError, match="many files are written there; name a folder"):
        ParquetFolder(Uri(f"weak://results/today{suffix}"), b"{}", ["cat"], resume=False)
