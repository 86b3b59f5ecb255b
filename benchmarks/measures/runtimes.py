"""The same network under several runtimes, each as a function to call and time.

A runtime *prepares* a `.tflite` file once, which may take another package and a while, and *loads*
what that gives wherever it is measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_edge.errors import ModelError, first_line
from cifar_edge.system.silence import silenced
from cifar_edge.tflite.interpreter import Network, litert, random_pixels

OPSET = 17  # of ONNX

ONNX_TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}


@dataclass(frozen=True)
class Runtime:
    """A runtime for networks.

    Attributes:
        name: of the runtime.
        packages: that have to be installed.
        prepare: a `.tflite` file, images a call, a folder for what is made of it -> the file that `load` takes.
        load: that file, threads, images a call -> the network.
        precision: of the weights, if that is not what the `.tflite` file has.
    """

    name: str
    packages: tuple[str, ...]
    prepare: Callable[[Path, int, Path], Path]
    load: Callable[[Path, int, int], Network]
    precision: str | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that are not installed."""
        return tuple(package for package in self.packages if find_spec(package) is None)


def _with_batch(model: Path, batch: int, folder: Path) -> Path:
    if batch == 1:
        return model
    from cifar_edge.benchmarks.measures.graphs import batched  # the schema takes memory that is not the model's

    file = folder / f"{model.stem}-{batch}.tflite"
    file.write_bytes(batched(model.read_bytes(), batch, str(model)))
    return file


def _keras_beside(model: Path, batch: int, folder: Path) -> Path:
    keras_file = model.with_name("model.keras")
    if not keras_file.is_file():
        raise ModelError(f"{model.name}: no model.keras beside it, which is what TensorFlow runs")
    return keras_file


def _tensorflow(file: Path, threads: int, batch: int) -> Network:
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)  # works only before TensorFlow is used in this process
    with silenced():
        import keras
        import tensorflow as tf

        network = keras.models.load_model(file, compile=False, safe_mode=True)
        compiled = tf.function(lambda images: network(images, training=False))
        pixels = random_pixels((batch, *network.input_shape[1:]), np.float32)

    def run(images: NDArray[Any] = pixels) -> NDArray[Any]:
        output: NDArray[Any] = compiled(tf.constant(images)).numpy()
        return output

    return run


def _converted_to_onnx(model: Path, batch: int, folder: Path) -> Path:
    graph = _with_batch(model, batch, folder)
    with silenced():
        import tf2onnx

        try:
            network, _ = tf2onnx.convert.from_tflite(str(graph), opset=OPSET)
        except Exception as error:  # the converter raises any kind of error
            raise ModelError(f"{model.name}: tf2onnx cannot convert it ({first_line(error)})") from error
    converted = folder / f"{model.stem}-{batch}.onnx"
    converted.write_bytes(network.SerializeToString())
    return converted


def _onnxruntime(file: Path, threads: int, batch: int) -> Network:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    pixels = random_pixels((batch, *source.shape[1:]), ONNX_TYPES[source.type])

    def run(images: NDArray[Any] = pixels) -> NDArray[Any]:
        output: NDArray[Any] = session.run(None, {source.name: images})[0]
        return output

    return run


LITERT = Runtime("LiteRT", (), _with_batch, litert)
OTHERS = (
    Runtime("TensorFlow", ("tensorflow", "keras"), _keras_beside, _tensorflow, "float32"),
    Runtime("ONNX Runtime", ("onnxruntime", "tf2onnx", "tensorflow"), _converted_to_onnx, _onnxruntime),
)
RUNTIMES = {runtime.name: runtime for runtime in (LITERT, *OTHERS)}
