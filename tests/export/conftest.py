from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from cifar_edge.data import Cifar10, hold_out
from cifar_edge.export.source import load_source
from cifar_edge.export.write import export
from tests.conftest import Outcome

Command = Callable[..., Outcome]


@pytest.fixture
def black(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of black photos: calibrated with them, a network is no good for others."""
    folder = tmp_path_factory.mktemp("black")
    for number in range(3):
        Image.new("RGB", (40, 40)).save(folder / f"{number}.png")
    (folder / "damaged.png").write_bytes(b"no image")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def other_people_s(
    file: Path, height: int = 20, width: int = 28, classes: int = 4, activation: str | None = "softmax"
) -> keras.Model:
    """Save a small network of another size that wants pixels from -1 to 1."""
    keras.utils.set_random_seed(0)
    image = keras.Input((height, width, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, layers.Dense(classes, activation=activation)(x), name="theirs")
    network.save(file)
    return network


@pytest.fixture(scope="session")
def outside(sample: Cifar10, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of CIFAR-10 by a script that divides by 255 outside the model."""
    keras.utils.set_random_seed(0)
    stack: list[keras.Layer] = [keras.Input((32, 32, 3))]
    stack += [layers.Conv2D(32, 3, strides=2, activation="relu"), layers.Conv2D(32, 3, strides=2, activation="relu")]
    network = keras.Sequential([*stack, layers.Flatten(), layers.Dense(10, activation="softmax")], name="outside")
    network.compile("adam", "sparse_categorical_crossentropy")
    learn, _ = hold_out(sample.train)
    network.fit(learn.images / np.float32(255), learn.labels, batch_size=64, epochs=6, verbose=0)
    file = tmp_path_factory.mktemp("outside") / "outside.keras"
    network.save(file)
    return file


@pytest.fixture(scope="session")
def little(outside: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network that is converted sooner than `run`: the one above, with the scaling of pixels inside."""
    pixels = keras.Input((32, 32, 3))
    scaled = layers.Rescaling(1 / 255)(pixels)
    folder = tmp_path_factory.mktemp("little")
    shutil.copy(run / "run.json", folder)
    keras.Model(pixels, keras.models.load_model(outside)(scaled), name="little").save(folder / "model.keras")
    return folder


@pytest.fixture
def copy(little: Path, tmp_path: Path) -> Path:
    """A copy of the little run, not exported yet: its network."""
    return shutil.copytree(little, tmp_path / "copy") / "model.keras"


@pytest.fixture(scope="session")
def exported(little: Path, sample: Cifar10, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the little run with its exports."""
    folder = shutil.copytree(little, tmp_path_factory.mktemp("exported") / "copy")
    export(load_source(folder / "model.keras"), sample, ("float32", "int8"), licence="MIT")
    return folder
