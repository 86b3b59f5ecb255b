from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cifar_edge import EdgeModel
from cifar_edge.card import read_card
from cifar_edge.data import CLASSES, Cifar10
from cifar_edge.errors import ModelError

from .conftest import PHOTOS, Outcome


@pytest.fixture
def int8(run: Path) -> Path:
    return run / "cnn-int8.tflite"


def without_card(model: Path) -> bytes:
    """The graph alone: what stands before the zip archive."""
    with zipfile.ZipFile(model) as archive:
        return model.read_bytes()[: min(entry.header_offset for entry in archive.infolist())]


def rewrite(model: Path, to: Path, labels: str | None = None, **changes: object) -> Path:
    """Copy a model with another card, as somebody with an editor would."""
    with zipfile.ZipFile(model) as archive:
        card = json.loads(archive.read("card.json")) | changes
        names = labels or archive.read("labels.txt").decode()
    to.write_bytes(without_card(model))
    with zipfile.ZipFile(to, "a") as archive:
        archive.writestr("card.json", json.dumps(card))
        archive.writestr("labels.txt", names)
    return to


def test_the_card_travels_inside_the_file(run: Path, sample: Cifar10) -> None:
    for name in ("float32", "int8"):
        path = run / f"cnn-{name}.tflite"
        model, card = EdgeModel(path), read_card(path)
        assert card is not None
        assert (card.name, card.format, card.labels, card.run) == ("cnn", name, CLASSES, "cnn")
        assert (card.height, card.width, card.pixel_range, card.fit) == (32, 32, (0, 255), "stretch")
        assert (card.test_sha256, card.licence) == (sample.test.digest, "MIT")
        accuracy = (model.predict(sample.test.images).argmax(axis=1) == sample.test.labels).mean()
        assert card.accuracy == accuracy
        assert zipfile.ZipFile(path).read("labels.txt").decode().split() == list(CLASSES)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": "\n".join(CLASSES[:9])}, "9 labels for 10 outputs"),
        ({"height": 96}, "32x96 pixels for a graph of 32x32"),
        ({"input_quantization": [0.5, 0]}, "another quantization than the graph"),
        ({"graph_sha256": "0"}, "describes another graph"),
        ({"input_quantization": None}, "its card is damaged"),
    ],
)
def test_a_card_that_does_not_match_its_graph(changes: dict[str, str], reason: str, int8: Path, tmp_path: Path) -> None:
    EdgeModel(rewrite(int8, tmp_path / "same.tflite", colour="of a later version"))
    with pytest.raises(ModelError, match=rf"edited\.tflite: .*{reason}"):
        EdgeModel(rewrite(int8, tmp_path / "edited.tflite", **changes))


def test_a_file_cut_off_anywhere_behind_the_beginning_of_its_card(int8: Path, tmp_path: Path) -> None:
    path, content = tmp_path / "cut.tflite", int8.read_bytes()
    start = len(without_card(int8))
    for length in (len(content) - 1, len(content) - 200, start + 300, start + 40):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match=r"cut\.tflite: its card is damaged"):
            EdgeModel(path)


def test_other_appended_metadata_is_no_card(int8: Path, tmp_path: Path) -> None:
    path = tmp_path / "foreign.tflite"
    path.write_bytes(without_card(int8))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "cat")
    assert EdgeModel(path).card is None


def test_models_show(int8: Path, tmp_path: Path, cifar_edge: Callable[..., Outcome]) -> None:
    outcome = cifar_edge("models", "show", int8)
    assert outcome.code == 0
    for expected in ("32x32 pixels, uint8", "10 classes", "CONV_2D", " ".join(CLASSES), "MIT"):
        assert expected in outcome.out
    foreign = tmp_path / "foreign.tflite"
    foreign.write_bytes(without_card(int8))
    outcome = cifar_edge("models", "show", foreign)
    assert (outcome.code, "CONV_2D" in outcome.out, "MIT" in outcome.out) == (0, True, False)
    assert "assumed numbers for labels and pixels from 0 to 255" in outcome.err


def test_a_foreign_model_is_told_what_its_file_does_not_say(
    run: Path, tmp_path: Path, cifar_edge: Callable[..., Outcome]
) -> None:
    foreign, names = tmp_path / "foreign.tflite", tmp_path / "labels.txt"
    foreign.write_bytes(without_card(run / "cnn-float32.tflite"))
    names.write_text("\n".join(CLASSES))
    photo = PHOTOS / "cat" / "chelsea.jpg"
    told = cifar_edge("classify", photo, "--model", foreign, "--labels", names, "--pixel-range", "0,255")
    assert told.out == cifar_edge("classify", photo, "--model", run / "cnn-float32.tflite").out
    assert "assumed" not in told.err
    guessed = cifar_edge("classify", photo, "--model", foreign)
    assert "assumed numbers for labels and pixels from 0 to 255" in guessed.err
    darker = cifar_edge("classify", photo, "--model", foreign, "--labels", names, "--pixel-range", "0,1")
    assert darker.out != told.out
    names.write_text("\n".join(CLASSES[:9]))
    assert "9 labels for 10 outputs" in cifar_edge("classify", photo, "--model", foreign, "--labels", names).err
    names.write_text("cat\ncat\n")
    assert "there twice" in cifar_edge("bench", foreign, "--data", "sample", "--labels", names).err
    assert cifar_edge("classify", photo, "--model", foreign, "--pixel-range", "1").code == 2
