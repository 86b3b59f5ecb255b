"""Find CIFAR-10 on this computer, read it in any of its layouts, and verify every pixel.

Source: A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.data.archive import MOST_IN_A_FILE, read_members
from cifar_edge.errors import DataError, UsageError, first_line
from cifar_edge.system.files import cache_dir

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SAMPLE = "sample"
SAMPLE_DIR = Path(__file__).parent / "sample"

SplitName = Literal["train", "test"]

# SHA-256 over the images' bytes (N, 32, 32, 3) followed by the labels' bytes (N,), both uint8 in the
# official order: the same for every kind of file.
DIGESTS: dict[str, str] = {
    "train": "f912919bdea371136f1aa4feed6beeca728015a5f08b1899a29c932a7e30be2b",
    "test": "8193b3fbce55bec361cd1b8fd4880cb1649832dc4d6de6da1e7a21847a4843aa",
}
SAMPLE_DIGESTS: dict[str, str] = {
    "train": "2be6801ba326de3837f8e90108c3a414be7cd76636b1a0965ca2fa33f6f499d1",
    "test": "854d6cbf95bba9e5a2f508a177b303154d9d5e178e1b1df38186c32970120630",
}

BINARY_DIR = "cifar-10-batches-bin"
PYTHON_DIR = "cifar-10-batches-py"
BATCHES: dict[str, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
    "test": ("test_batch",),
}
RECORD = 1 + 3 * 32 * 32  # a label byte, then the red, the green and the blue plane

WAYS_OUT = (
    "give a folder or archive that holds it (--data DIR), fetch it from a mirror "
    "(cifar-edge data fetch --url URL), or use the embedded sample (--data sample)"
)


class Split(NamedTuple):
    """Images and labels of one split.

    Attributes:
        images: uint8, (N, 32, 32, 3), RGB, 0-255.
        labels: uint8, (N,), an index into `CLASSES`. Of other classes than CIFAR-10's: int64.
    """

    images: NDArray[np.uint8]
    labels: NDArray[Any]

    @property
    def digest(self) -> str:
        """SHA-256 over the images' bytes followed by the labels', in hexadecimal."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


class Cifar10(NamedTuple):
    """The training and the test split, and where they were found: a path or "sample"."""

    train: Split
    test: Split
    source: str


def load_cifar10(source: str | Path | None = None) -> Cifar10:
    """Load CIFAR-10, verified.

    Args:
        source: a folder in the official binary or python layout, an official `.tar.gz` of either,
            or "sample" for the 5,000 + 1,000 images in this repository. By default this package's
            cache, then that of Keras.

    Returns:
        50,000 training and 10,000 test images (5,000 and 1,000 for the sample).

    Raises:
        DataError: nothing found, or what was found is damaged.
        UsageError: `source` does not exist or does not hold CIFAR-10.
    """
    found = source if source == SAMPLE else (locate() if source is None else Path(source)).absolute()
    return Cifar10(load_split("train", found), load_split("test", found), str(found))


def load_split(split: SplitName, source: str | Path | None = None) -> Split:
    """Load one split of CIFAR-10, verified; arguments and errors as in `load_cifar10`."""
    if source == SAMPLE:
        return _verified(_read_sample(split), SAMPLE_DIGESTS[split], split, SAMPLE_DIR)
    path = locate() if source is None else Path(source)
    return _verified(_read(path, split), DIGESTS[split], split, path)


def hold_out(train: Split) -> tuple[Split, Split]:
    """Split training images into those to learn from and those to select on: the last tenth of each class.

    The choice is fixed, so that every run, calibration and comparison shares it. The held-out images of the sample are
    also held out of the whole set.

    Args:
        train: a training split.

    Returns:
        The images to learn from (45,000 of CIFAR-10's 50,000) and the held-out ones (5,000), in
        their order in `train`.
    """
    held_out = np.zeros(len(train.labels), bool)
    for label in range(len(CLASSES)):
        members = np.flatnonzero(train.labels == label)
        held_out[members[len(members) * 9 // 10 :]] = True
    return (
        Split(train.images[~held_out], train.labels[~held_out]),
        Split(train.images[held_out], train.labels[held_out]),
    )


def cached_copies() -> list[Path]:
    """List the copies of CIFAR-10 in this package's cache and in that of Keras, best first."""
    keras = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"
    candidates = [
        cache_dir() / BINARY_DIR,
        keras / PYTHON_DIR,
        # Since Keras 3.6 the archive's file name is a folder and holds the unpacked archive.
        keras / f"{PYTHON_DIR}-target" / PYTHON_DIR,
        keras / f"{PYTHON_DIR}.tar.gz",
    ]
    return [path for path in candidates if path.exists()]


def locate() -> Path:
    """Return the best cached copy of CIFAR-10; raise `DataError` if there is none."""
    copies = cached_copies()
    if not copies:
        raise DataError(f"CIFAR-10 is not on this computer: run `cifar-edge data fetch`, {WAYS_OUT}")
    return copies[0]


def write_binary(data: Cifar10, folder: Path) -> None:
    """Write `data` into `folder` in the official binary layout."""
    for split, name in ((data.train, "train"), (data.test, "test")):
        planes = split.images.transpose(0, 3, 1, 2).reshape(len(split.images), -1)
        records = np.concatenate([split.labels[:, None], planes], axis=1)
        for batch, part in zip(BATCHES[name], np.split(records, len(BATCHES[name])), strict=True):
            part.tofile(folder / f"{batch}.bin")


def verify(data: Cifar10, source: Path) -> Cifar10:
    """Return `data` if it is the official CIFAR-10; raise `DataError` naming `source` if not."""
    for split, name in ((data.train, "train"), (data.test, "test")):
        _verified(split, DIGESTS[name], name, source)
    return data


def _verified(data: Split, digest: str, split: str, source: Path) -> Split:
    if data.digest != digest:
        raise DataError(
            f"{source}: the {split} images are not those of CIFAR-10 (SHA-256 differs): the copy is "
            "damaged; delete it and run `cifar-edge data fetch`"
        )
    return data


def _read_sample(split: SplitName) -> Split:
    """Cut a sheet into its images: they stand row by row, sorted by class, as many of each."""
    path = SAMPLE_DIR / f"{split}.webp"
    if not path.is_file():
        raise DataError(
            f"{path}: an installed package carries only the test half of the sample; "
            "train from a clone of the repository, or on the whole set: `cifar-edge data fetch`"
        )
    with Image.open(path) as image:
        sheet = np.asarray(image.convert("RGB"))
    rows, columns = sheet.shape[0] // 32, sheet.shape[1] // 32
    images = sheet.reshape(rows, 32, columns, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
    labels = np.repeat(np.arange(len(CLASSES), dtype=np.uint8), len(images) // len(CLASSES))
    return Split(images, labels)


def _read(source: Path, split: SplitName) -> Split:
    """Read one split from a folder or an archive, in either layout."""
    if source.is_dir():
        files = _batches_in_folder(source, split)
    elif source.is_file():
        files = read_members(source, {f"{batch}{suffix}" for batch in BATCHES[split] for suffix in ("", ".bin")})
    else:
        raise UsageError(f"{source}: no such folder or archive; {WAYS_OUT}")
    for suffix, decode in ((".bin", _decode_binary), ("", _decode_python)):
        names = [f"{batch}{suffix}" for batch in BATCHES[split]]
        present = [name for name in names if name in files]
        if present and present != names:
            missing = next(name for name in names if name not in files)
            raise DataError(f"{source}: {missing} is missing; run `cifar-edge data fetch` for a whole copy")
        if present:
            parts = [decode(files[name], f"{source}: {name}") for name in names]
            return Split(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    raise UsageError(
        f"{source}: holds no CIFAR-10 (neither {BATCHES[split][0]}.bin nor {BATCHES[split][0]}); {WAYS_OUT}"
    )


def _batches_in_folder(folder: Path, split: SplitName) -> dict[str, bytes]:
    """Read the split's batch files of `folder`, or of the official sub-folder in it, binary first."""
    for place in (folder, folder / BINARY_DIR, folder / PYTHON_DIR):
        for suffix in (".bin", ""):
            paths = [place / f"{batch}{suffix}" for batch in BATCHES[split]]
            found = {path.name: _read_bounded(path) for path in paths if path.is_file()}
            if found:
                return found
    return {}


def _read_bounded(path: Path) -> bytes:
    if (size := path.stat().st_size) > MOST_IN_A_FILE:
        raise DataError(f"{path}: {size:,} bytes, more than a batch of CIFAR-10 has; delete it and fetch it again")
    return path.read_bytes()


def _decode_binary(content: bytes, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if len(content) % RECORD:
        raise DataError(f"{name} is cut short; delete it and run `cifar-edge data fetch`")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    return _images(records[:, 1:]), records[:, 0]


def _decode_python(content: bytes, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    from cifar_edge.data.batch_pickle import read_batch  # slow to import, and seldom needed

    try:
        planes, labels = read_batch(content)
    except ValueError as error:
        raise DataError(
            f"{name} cannot be read ({first_line(error)}); delete it and run `cifar-edge data fetch`"
        ) from error
    return _images(planes), np.frombuffer(labels, np.uint8)


def _images(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 3072) colour planes -> (N, 32, 32, 3) pixels."""
    return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
