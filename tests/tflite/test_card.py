from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cifar_edge import EdgeModel
from cifar_edge.data import CLASSES, Cifar10
from cifar_edge.errors import ModelError
from cifar_edge.tflite.card import read_card, seal
from tests.conftest import PHOTOS, Outcome


@pytest.fixture
def int8(run: Path) -> Path:
    return run / "cnn-int8.tflite"


def without_card(model: Path) -> bytes:
    """The graph alone: what stands before the zip archive."""
    with zipfile.ZipFile(model) as archive:
        return model.read_bytes()[: min(entry.header_offset for entry in archive.infolist())]


def foreign(model: Path, to: Path) -> Path:
    """Copy the graph alone, without what says that a card belongs to it."""
    to.write_bytes(
        without_card(model).replace(b"cifar-edge card", b"other's content").replace(b"CIFAR_EDGE", b"SOMEBODY_S")
    )
    return to


def rewrite(model: Path, to: Path, labels: str | None = None, *, sealed: bool, **changes: object) -> Path:
    """Copy a model with another card, as somebody with an editor would; or one who knows of the seal."""
    with zipfile.ZipFile(model) as archive:
        card = json.loads(archive.read("card.json")) | changes
        names = labels or archive.read("labels.txt").decode()
    to.write_bytes(without_card(model))
    with zipfile.ZipFile(to, "a") as archive:
        archive.writestr("card.json", json.dumps(card))
        archive.writestr("labels.txt", names)
    if sealed:
        to.write_bytes(seal(to.read_bytes()))
    return to


def test_the_card_travels_inside_the_file(run: Path, sample: Cifar10) -> None:
    for name in ("float32", "int8"):
        path = run / f"cnn-{name}.tflite"
        model, card = EdgeModel(path), read_card(path.read_bytes(), path)
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
        ({"input_quantization": None}, "its card is of another version"),
    ],
)
def test_a_card_that_does_not_match_its_graph(changes: dict[str, str], reason: str, int8: Path, tmp_path: Path) -> None:
    EdgeModel(rewrite(int8, tmp_path / "same.tflite", sealed=True, colour="of a later version"))
    with pytest.raises(ModelError, match=rf"written\.tflite: .*{reason}"):
        EdgeModel(rewrite(int8, tmp_path / "written.tflite", sealed=True, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": "\n".join(CLASSES[::-1])},
        {"format": "float32"},
        {"pixel_range": [0, 1]},
        {"fit": "crop"},
        {"accuracy": 0.99},
        {"versions": "x"},
    ],
)
def test_an_edited_card_is_noticed(changes: dict[str, str], int8: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"edited\.tflite: edited or cut off since it was written; copy or export"):
        EdgeModel(rewrite(int8, tmp_path / "edited.tflite", sealed=False, **changes))


def test_an_edited_graph_is_noticed(int8: Path, tmp_path: Path) -> None:
    weight = bytearray(int8.read_bytes())
    weight[len(without_card(int8)) // 2] ^= 1
    (tmp_path / "edited.tflite").write_bytes(weight)
    with pytest.raises(ModelError, match=r"edited\.tflite: edited or cut off"):
        EdgeModel(tmp_path / "edited.tflite")
    (tmp_path / "edited.tflite").write_bytes(int8.read_bytes().replace(b"SHA-256", b"SHA-512"))
    with pytest.raises(ModelError, match=r"edited\.tflite: edited or cut off"):
        EdgeModel(tmp_path / "edited.tflite")


def test_a_file_cut_off_anywhere(int8: Path, tmp_path: Path) -> None:
    path, content = tmp_path / "cut.tflite", int8.read_bytes()
    start = len(without_card(int8))
    for length in (
        len(content) - 1,
        len(content) - 200,
        start + 300,
        start + 40,
        start + 1,
        start,
        start - 1,
        start // 2,
    ):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match=r"cut\.tflite: (edited or cut off|not a TFLite model)"):
            EdgeModel(path)


def test_a_card_counts_more_than_what_is_told(int8: Path, cifar_edge: Callable[..., Outcome], tmp_path: Path) -> None:
    photo, names = PHOTOS / "cat" / "chelsea.jpg", tmp_path / "labels.txt"
    names.write_text("\n".join(CLASSES[::-1]))
    told = cifar_edge("classify", photo, "--model", int8, "--labels", names, "--pixel-range", "0,1")
    assert "cnn-int8.tflite: its card's labels and pixel range count, not the ones given" in told.err
    assert told.out == cifar_edge("classify", photo, "--model", int8).out


def test_other_appended_metadata_is_no_card(int8: Path, tmp_path: Path) -> None:
    path = foreign(int8, tmp_path / "foreign.tflite")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "cat")
    assert EdgeModel(path).card is None


def test_models_show(int8: Path, tmp_path: Path, cifar_edge: Callable[..., Outcome]) -> None:
    outcome = cifar_edge("models", "show", int8)
    assert outcome.code == 0
    for expected in ("32x32 pixels, uint8", "10 classes", "CONV_2D", " ".join(CLASSES), "MIT"):
        assert expected in outcome.out
    outcome = cifar_edge("models", "show", foreign(int8, tmp_path / "foreign.tflite"))
    assert (outcome.code, "CONV_2D" in outcome.out, "MIT" in outcome.out) == (0, True, False)
    assert "assumed numbers for labels, pixels from 0 to 255" in outcome.err


def test_a_foreign_model_is_told_what_its_file_does_not_say(
    run: Path, tmp_path: Path, cifar_edge: Callable[..., Outcome]
) -> None:
    other, names = foreign(run / "cnn-float32.tflite", tmp_path / "foreign.tflite"), tmp_path / "labels.txt"
    names.write_text("\n".join(CLASSES))
    photo = PHOTOS / "cat" / "chelsea.jpg"
    told = cifar_edge("classify", photo, "--model", other, "--labels", names, "--pixel-range", "0,255")
    assert told.out == cifar_edge("classify", photo, "--model", run / "cnn-float32.tflite").out
    cifar10 = cifar_edge("classify", photo, "--model", other, "--labels", "cifar10", "--pixel-range", "0,255")
    assert told.out == cifar10.out
    assert "assumed" not in told.err
    guessed = cifar_edge("classify", photo, "--model", other)
    assert "assumed numbers for labels, pixels from 0 to 255" in guessed.err
    darker = cifar_edge("classify", photo, "--model", other, "--labels", names, "--pixel-range", "0,1")
    assert darker.out != told.out
    names.write_text("\n".join(CLASSES[:9]))
    assert "9 labels for 10 outputs" in cifar_edge("classify", photo, "--model", other, "--labels", names).err
    names.write_text("")
    assert "empty" in cifar_edge("classify", photo, "--model", other, "--labels", names).err
    names.write_text("cat\ncat\n")
    assert "there twice" in cifar_edge("bench", other, "--data", "sample", "--labels", names).err
    assert cifar_edge("classify", photo, "--model", other, "--pixel-range", "1").code == 2
