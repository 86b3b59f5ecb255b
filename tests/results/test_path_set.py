from __future__ import annotations

import pytest

from cifar_edge.results import path_set
from cifar_edge.results.path_set import PathSet


def test_it_has_what_it_was_made_of_and_what_was_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_set, "MERGED", 3)
    paths = PathSet(["a", "b", "b"])
    assert (len(paths), paths.repeated) == (3, 1)
    for number in range(10):
        assert f"new {number}" not in paths
        paths.add(f"new {number}")
        paths.add("a")
    assert all(path in paths for path in ("a", "b", *(f"new {number}" for number in range(10))))
    assert "c" not in paths


def test_each_path_has_an_index_of_its_own() -> None:
    names = [f"{number}.jpg" for number in range(100)]
    paths = PathSet(names)
    assert sorted(paths.index(name) for name in names) == list(range(100))


def test_a_name_that_is_not_utf_8_is_the_same_with_parquet_s_escapes() -> None:
    assert "caf\\udce9.jpg" in PathSet(["caf\udce9.jpg"])
