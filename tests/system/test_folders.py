from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.errors import UsageError
from cifar_edge.system.folders import Folder, folder_at
from cifar_edge.system.uris import place_of


@pytest.fixture(params=["path", "uri"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    return folder_at(place_of(tmp_path / "new" if request.param == "path" else f"memory://{tmp_path}/new/"))


def test_files_come_and_go_alike_on_a_disk_and_behind_a_uri(folder: Folder) -> None:
    assert folder.names() == []
    folder.make()
    folder.write("a", b"old")
    folder.write("a", b"new")
    folder.write("b", b"")
    assert sorted(folder.names()) == ["a", "b"]
    assert folder.read("a") == b"new"
    folder.remove("b")
    assert folder.names() == ["a"]
    with pytest.raises(FileNotFoundError):
        folder.read("b")


def test_a_folder_on_a_disk_is_one_process_s(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    with folder.alone(), pytest.raises(UsageError, match="another process"), folder.alone():
        pass
    with folder.alone():
        pass
    assert folder.names() == []
