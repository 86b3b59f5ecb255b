from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cifar_edge import EdgeModel
from cifar_edge.data import CLASSES, Cifar10
from cifar_edge.errors import ModelError
from cifar_edge.tflite.card import Card, read_card, seal
from cifar_edge.tflite.names import find_model
from tests.conftest import PHOTOS, Outcome
from tests.tflite.mutate import split, with_archive, with_card, with_odd_archive, with_odd_card

NANO = find_model("nano").read_bytes()


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
        ({"input_quantization": None}, "its card's input_quantization should be"),
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", None),
        ("name", 7),
        ("name", "x" * 1001),
        ("format", ["int8"]),
        ("format", "\ud800"),
        *(("height", side) for side in (0, -32, 32.0, "32", True, 10**400, float("nan"))),
        ("width", None),
        *(("pixel_range", value) for value in (None, 255, [], [0], [0, 1, 2], [0, 0], [255, 0], ["0", "255"])),
        *(("pixel_range", [0, high]) for high in (float("nan"), float("inf"), 1e300, 1e-300, True, 10**400)),
        *(("fit", value) for value in (None, "", "Crop", [], {})),
        *(("input_quantization", value) for value in (None, 1, [1], [1, 0.5], ["1", 0], [float("nan"), 0], [1, 2**40])),
        ("output_quantization", {}),
        *(("accuracy", value) for value in ("x", "0.9", True, -0.1, 1.1, 94, [], float("nan"), float("-inf"))),
        *(("test_images", value) for value in (None, -1, 0.5, "10000", 10**400)),
        *(("test_sha256", value) for value in (7, "", "x" * 64, "0" * 63)),
        ("run", 7),
        *(("versions", value) for value in (None, "x", ["x"], {"keras": 3}, {"keras": "x" * 5000})),
        *(("licence", value) for value in (0, ["MIT"], {}, "MIT " * 300)),
    ],
)
def test_a_wrong_field_is_named(name: str, value: object) -> None:
    with pytest.raises(ModelError, match=rf"^odd\.tflite: its card's {name} should be .*, not .*; export") as raised:
        read_card(with_card(NANO, {name: value}), Path("odd.tflite"))
    assert len(str(raised.value)) < 200


LATER = ("labels", "temperature", "threshold")  # the first is a file of its own; older cards lack the others


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Card) if field.name not in LATER])
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(ModelError, match=rf"^odd\.tflite: its card has no {name}; use the cifar-edge that wrote it"):
        read_card(with_card(NANO, {name: ...}), Path("odd.tflite"))


@pytest.mark.parametrize(
    "changes",
    [{"accuracy": None}, {"accuracy": 0}, {"accuracy": 1, "run": None}, {"licence": None}, {"threshold": 0.7}],
)
def test_what_a_card_may_say(changes: dict[str, object]) -> None:
    card = read_card(with_card(NANO, changes), Path("m.tflite"))
    assert card is not None
    assert {name: getattr(card, name) for name in changes} == changes


@pytest.mark.parametrize(
    "labels",
    [
        b"",
        b"\n" * 10,
        b" \n" * 10,
        b"cat\n" * 10,
        b"\xff\xfe\n",
        b"x" * 201,
        "\n".join(map(str, range(50_001))).encode(),
    ],
)
def test_wrong_labels_are_named(labels: bytes) -> None:
    with pytest.raises(ModelError, match=r"^odd\.tflite: its card's labels should be 1 to 50000 different names"):
        read_card(with_card(NANO, {}, labels), Path("odd.tflite"))


def lies(content: bytes, offset: int, value: int) -> bytes:
    """Return a model with another number of two bytes in the archive's entries, in both of their places."""
    odd, start = bytearray(content), len(split(content)[0])
    for header, more in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
        at = odd.index(header, start) + offset + more
        odd[at : at + 2] = value.to_bytes(2, "little")
    return seal(bytes(odd))


def with_two_labels() -> bytes:
    file = io.BytesIO(NANO)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(file, "a") as archive:
        archive.writestr("labels.txt", "cat\n" * 10)
    return seal(file.getvalue())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: with_card(NANO, {"x": "x" * 70_000}), "card.json has more than 65,536 bytes"),
        (lambda: with_card(NANO, {}, b"\n" * 5_000_000, zipfile.ZIP_DEFLATED), "labels.txt has more than 1,048,576"),
        (lambda: with_card(NANO, {}, method=zipfile.ZIP_BZIP2), "neither stored nor deflated"),
        (lambda: with_card(NANO, {}, method=zipfile.ZIP_LZMA), "neither stored nor deflated"),
        (lambda: lies(NANO, 6, 1), "encrypted"),
        (lambda: lies(NANO, 6, 1 << 5), "patched"),
        (lambda: lies(NANO, 14, 0), "Bad CRC-32"),
        (lambda: lies(NANO, 26, 3), ""),
        (lambda: seal(NANO.replace(b"card.json", b"card.jso\0")), "card.json is there 0 times"),
        (lambda: seal(NANO.replace(b"labels.txt", b"labels\0txt")), "labels.txt is there 0 times"),
        (with_two_labels, "labels.txt is there 2 times"),
        (lambda: with_archive(split(NANO)[0], b"[" * 60_000, b"cat"), "recursion"),
        (lambda: with_archive(split(NANO)[0], b"[]", b"cat"), "list"),
        (lambda: with_archive(split(NANO)[0], b"{" + b"1" * 60_000, b"cat"), "property name"),
        (lambda: with_archive(split(NANO)[0], b"\xff\xfe\xff", b"cat"), "decode"),
        (lambda: seal(split(NANO)[0]), "not a zip file"),
    ],
)
def test_an_odd_archive_is_an_error(make: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(ModelError, match=rf"^odd\.tflite: .*{reason}"):
        read_card(make(), Path("odd.tflite"))


def test_an_archive_that_understates_itself_takes_no_memory() -> None:
    content = with_card(NANO, {}, b"\n" * 50_000_000, zipfile.ZIP_DEFLATED)
    size = (50_000_000).to_bytes(4, "little")
    assert content.count(size) == 2
    content = seal(content.replace(size, (500_000).to_bytes(4, "little")))
    tracemalloc.start()
    with pytest.raises(ModelError, match=r"^odd\.tflite: "):
        read_card(content, Path("odd.tflite"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("mutate", [with_odd_card, with_odd_archive])
def test_odd_cards_are_errors_or_cards(mutate: Callable[[bytes, random.Random], bytes]) -> None:
    for seed in range(200):
        with contextlib.suppress(ModelError):
            assert read_card(mutate(NANO, random.Random(seed)), Path("odd.tflite"))


@pytest.mark.parametrize("pixels", ["0,1", "0,255"])
def test_a_pixel_range_that_does_not_count(pixels: str, cifar_edge: Callable[..., Outcome]) -> None:
    note = "its card's pixel range counts, not the one given"
    err = cifar_edge("classify", PHOTOS / "cat" / "chelsea.jpg", "--model", "nano", "--pixel-range", pixels).err
    assert (note in err) == (pixels == "0,1")


def test_a_hostile_card_is_one_line_before_any_photo(tmp_path: Path, cifar_edge: Callable[..., Outcome]) -> None:
    (tmp_path / "odd.tflite").write_bytes(with_card(NANO, {"accuracy": "x"}))
    for command in (("classify", PHOTOS / "cat", "--model"), ("models", "show"), ("bench", "--data", "sample")):
        outcome = cifar_edge(*command, tmp_path / "odd.tflite")
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("\n") == 1
        assert "odd.tflite: its card's accuracy should be a number from 0 to 1, or null, not 'x'" in outcome.err
