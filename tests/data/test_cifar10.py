from __future__ import annotations

import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cifar_edge.data import CLASSES, Cifar10, hold_out, load_cifar10, load_split
from cifar_edge.data.cifar10 import BATCHES, write_binary
from cifar_edge.errors import DataError, UsageError


def python2_pickle(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> bytes:
    """Pickle a batch as Python 2 and NumPy 1 did in 2009: every string is a byte string."""

    def string(content: bytes) -> bytes:
        return b"T" + len(content).to_bytes(4, "little") + content

    def integer(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    numpy = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
    empty = numpy + b"(" + integer(0) + b"t" + string(b"b") + b"tR"
    dtype = b"cnumpy\ndtype\n(" + string(b"u1") + integer(0) + integer(1) + b"tR"
    dtype += b"(" + integer(3) + string(b"|") + b"NNN" + integer(-1) * 2 + integer(0) + b"tb"
    shape = b"(" + integer(images.shape[0]) + integer(images.shape[1]) + b"t"
    array = empty + b"(" + integer(1) + shape + dtype + b"\x89" + string(images.tobytes()) + b"tb"
    items = b"".join(integer(int(label)) for label in labels)
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + b"](" + items + b"eu."


def write_python_layout(data: Cifar10, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for split, name in ((data.train, "train"), (data.test, "test")):
        planes = split.images.transpose(0, 3, 1, 2).reshape(len(split.images), -1)
        for batch, rows in zip(BATCHES[name], np.split(np.arange(len(planes)), len(BATCHES[name])), strict=True):
            (folder / batch).write_bytes(python2_pickle(planes[rows], split.labels[rows]))
    return folder


def archive(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=0) as tar:
        tar.add(folder, folder.name)
    return path


def write_binary_layout(data: Cifar10, folder: Path) -> Path:
    folder.mkdir(parents=True)
    write_binary(data, folder)
    return folder


def test_sample_is_balanced_and_from_the_official_splits(sample: Cifar10, full: Path) -> None:
    official = load_cifar10(full)
    for part, whole in zip(sample[:2], official[:2], strict=True):
        assert np.bincount(part.labels).tolist() == [len(part.labels) // 10] * 10
        known = {image.tobytes(): label for image, label in zip(whole.images, whole.labels, strict=True)}
        assert [known[image.tobytes()] for image in part.images] == part.labels.tolist()
    assert (len(sample.train.labels), len(sample.test.labels)) == (5_000, 1_000)
    held_out = {image.tobytes() for image in hold_out(official.train)[1].images}
    assert {image.tobytes() for image in hold_out(sample.train)[1].images} <= held_out
    assert (official.test.images.shape, official.test.images.dtype) == ((10_000, 32, 32, 3), np.uint8)
    # The first test image of CIFAR-10 is a cat, and its first pixel is known.
    assert CLASSES[official.test.labels[0]] == "cat"
    assert official.test.images[0, 0, 0].tolist() == [158, 112, 49]


@pytest.mark.usefixtures("sample_is_official")
def test_every_layout_gives_the_same_arrays(sample: Cifar10, tmp_path: Path) -> None:
    binary = write_binary_layout(sample, tmp_path / "binary" / "cifar-10-batches-bin")
    python = write_python_layout(sample, tmp_path / "cifar-10-batches-py")
    archives = archive(binary, tmp_path / "binary.tar.gz"), archive(python, tmp_path / "python.tar.gz")
    for source in (binary, binary.parent, python, *archives):
        data = load_cifar10(source)
        assert (data.train.digest, data.test.digest) == (sample.train.digest, sample.test.digest)
        assert data.test.labels.dtype == np.uint8


@pytest.mark.usefixtures("sample_is_official")
def test_keras_cache_is_found(sample: Cifar10, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_python_layout(sample, tmp_path / "keras" / "datasets" / "cifar-10-batches-py")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    assert load_split("test").digest == sample.test.digest


def test_one_changed_byte_is_noticed(full: Path, tmp_path: Path) -> None:
    content = bytearray((full / "test_batch.bin").read_bytes())
    content[1_000_000] ^= 1
    (tmp_path / "test_batch.bin").write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        load_split("test", tmp_path)


def test_swapped_labels_are_noticed(full: Path, tmp_path: Path) -> None:
    records = np.fromfile(full / "test_batch.bin", np.uint8).reshape(10_000, -1)
    records[[0, 1], 0] = records[[1, 0], 0]
    records.tofile(tmp_path / "test_batch.bin")
    with pytest.raises(DataError, match="damaged"):
        load_split("test", tmp_path)


def test_incomplete_copies_are_named(full: Path, tmp_path: Path) -> None:
    (tmp_path / "test_batch.bin").write_bytes((full / "test_batch.bin").read_bytes()[:-100])
    with pytest.raises(DataError, match=r"test_batch\.bin is cut short"):
        load_split("test", tmp_path)
    for number in (1, 2, 4):
        (tmp_path / f"data_batch_{number}.bin").symlink_to(full / f"data_batch_{number}.bin")
    with pytest.raises(DataError, match=r"data_batch_3\.bin is missing"):
        load_split("train", tmp_path)
    whole = archive(full / "test_batch.bin", tmp_path / "whole.tar.gz")
    (tmp_path / "part.tar.gz").write_bytes(whole.read_bytes()[:20_000_000])
    with pytest.raises(DataError, match="not a whole tar archive"):
        load_split("test", tmp_path / "part.tar.gz")


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("pickle-was-executed"),))


def test_pickles_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("test_batch").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}))
    with pytest.raises(DataError, match="cannot be read"):
        load_split("test", tmp_path)
    assert not Path("pickle-was-executed").exists()


def test_other_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        load_cifar10(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no CIFAR-10"):
        load_cifar10(tmp_path)


def test_held_out_images_are_a_tenth_of_each_class_and_not_learned_from(sample: Cifar10) -> None:
    learn, select = hold_out(sample.train)
    assert np.bincount(select.labels).tolist() == [50] * 10
    assert np.bincount(learn.labels).tolist() == [450] * 10
    assert not {image.tobytes() for image in learn.images} & {image.tobytes() for image in select.images}
