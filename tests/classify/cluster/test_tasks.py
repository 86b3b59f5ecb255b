from __future__ import annotations

import os
import pickle
import pickletools
import re
from pathlib import Path

import pytest

from cifar_edge import EdgeModel
from cifar_edge.classify.cluster import tasks
from cifar_edge.classify.options import Setup
from cifar_edge.results.request import Options
from cifar_edge.system.uris import Uri


def test_what_travels_is_of_no_machine(run: Path) -> None:
    model = EdgeModel(run / "cnn-int8.tflite")
    sent = pickle.dumps(tasks.Job.of(Setup(model, Options("crop"), 1), Uri("s3://bucket/results"), []), protocol=0)
    made_of = {argument for code, argument, _ in pickletools.genops(sent) if code.name == "GLOBAL"}
    assert made_of == {
        "cifar_edge.classify.cluster.tasks Job",
        "cifar_edge.results.request Options",
        "copy_reg _reconstructor",
        "__builtin__ object",
        "_codecs encode",
    }
    assert str(run).encode() not in sent


def test_small_photos_are_grouped_and_large_ones_are_not() -> None:
    many = [(f"s3://bucket/{number}", 3_000) for number in range(40_000)]
    groups = list(tasks.grouped(many, 1_000))
    assert [path for group in groups for path in group] == [path for path, _ in many]
    sizes = list(map(len, groups))
    assert sizes[0] == 50
    assert sizes[-2] == max(sizes) == 1_000
    large = list(tasks.grouped([("a", 1 << 27), ("b", 1 << 27), ("c", 1 << 27), ("d", 1 << 30), ("e", 1)], 1_000))
    assert large == [["a", "b"], ["c"], ["d"], ["e"]]
    assert next(tasks.grouped(((str(number), 1) for number in iter(int, 1)), 5)) == ["0"] * 5  # before the end


def test_while_all_photos_have_their_rows_there_are_signs_of_life() -> None:
    paths = list(map(str, range(200_001)))
    assert list(tasks.grouped(((path, 1) for path in paths), 1_000, set(paths[:-1]))) == [[], [], ["200000"]]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_node_that_has_lost_its_drive_writes_no_rows_but_a_deleted_photo_is_no_matter(
    scheme: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.get", lambda reference: reference)
    monkeypatch.setattr(tasks, "PAUSE", 0)
    photos = tmp_path / "photos"
    place = (f"{scheme}{photos}", f"{scheme}{photos}/a.png", f"{scheme}{photos}/b.png")
    gone = {"kind": "group", "text": os.fsencode(f"{scheme}{photos}/c.png")}
    job = tasks.Job.of(Setup(EdgeModel(run / "cnn-int8.tflite"), Options("crop"), 1), tmp_path / "results", [place])
    Path(job.output).mkdir()
    outcome = tasks._classify_group(job, gone)
    assert (outcome["kind"], outcome["photos"]) == ("failure", 0)
    assert re.search(rf"{place[1]}(: no such file.*| is not there)$", os.fsdecode(outcome["reason"]))
    assert not list(Path(job.output).iterdir())
    photos.mkdir()
    for name in ("new.png", "b.png"):
        (photos / name).touch()
        assert tasks._classify_group(job, gone) == {"kind": "done", "photos": 1, "reason": b""}
