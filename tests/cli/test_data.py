from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cifar_edge.data import Cifar10
from tests.cli.conftest import Command
from tests.own_photos import write_class_folders


def test_data_info(cifar_edge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-edge" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "data_batch_1.bin").write_bytes(b"half")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    outcome = cifar_edge("data", "info")
    assert "data_batch_2.bin is missing" in outcome.out
    assert "intact: 5,000 training and 1,000 test images" in outcome.out


@pytest.fixture
def photos(tmp_path: Path, sample: Cifar10, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return write_class_folders(tmp_path / "photos", sample.test, {"cat": 8, "ship": 7, "other": 5})


def test_data_check_shows_own_photos_before_a_training(cifar_edge: Command, photos: Path) -> None:
    (photos / "cat" / "bad.jpg").write_bytes(b"no photo")
    shutil.copy(photos / "cat" / "001.jpg", photos / "ship" / "copy.jpg")
    outcome = cifar_edge("data", "check", photos)
    assert outcome.code == 0
    rows = {line.split()[0]: line.split()[1:] for line in outcome.out.splitlines() if line.strip()}
    assert rows["cat"] == ["8", "48x32", "1", "0"]
    assert rows["ship"] == ["8", "48x32", "0", "1"]
    assert "other (none of the classes)" in outcome.out
    assert "bad.jpg: cannot be read, skipped: not an image" in outcome.err
    assert "the same photo in two classes: cat/001.jpg, ship/copy.jpg; leave it in one" in outcome.err
    assert {path.name for path in Path("contact-sheets").iterdir()} == {"cat.png", "ship.png", "other.png"}


def test_data_check_fails_after_its_report_if_there_are_too_few(cifar_edge: Command, photos: Path) -> None:
    (photos / "dog").mkdir()
    outcome = cifar_edge("data", "check", photos, "--output", "sheets")
    assert outcome.code == 1
    assert "class dog has 0 readable photos" in outcome.err
    assert "ship" in outcome.out
    assert Path("sheets/dog.png").exists()


@pytest.mark.parametrize("output", ["photos", "photos/sheets", "./photos/../photos/x"])
def test_data_check_puts_no_sheets_among_the_photos(cifar_edge: Command, photos: Path, output: str) -> None:
    outcome = cifar_edge("data", "check", photos, "--output", output)
    assert outcome.code == 2
    assert "contact sheets among the photos would be a class" in outcome.err
    assert not (photos / "sheets").exists()
