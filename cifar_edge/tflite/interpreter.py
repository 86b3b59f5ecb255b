"""LiteRT, or its 32-bit predecessor: a `.tflite` file -> something that can be called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_edge.errors import ModelError, first_line
from cifar_edge.system.silence import silenced
from cifar_edge.tflite.names import IN_MEMORY

with silenced():
    try:
        import ai_edge_litert as package
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:  # 32-bit ARM has no LiteRT, only its predecessor
        import tflite_runtime as package
        from tflite_runtime.interpreter import Interpreter

VERSION: str = package.__version__


def refusal(name: str, error: Exception) -> ModelError:
    """Return the error for what LiteRT raises for a graph, which may be any exception.

    Args:
        name: of the file.
        error: by LiteRT.
    """
    if isinstance(error, MemoryError):
        return ModelError(f"{name}: there is not enough memory to load it and classify one image; use a smaller model")
    return ModelError(f"{name}: not a TFLite model that runs here ({first_line(error)}); export or copy it again")


def load_interpreter(
    content: bytes, threads: int = 1, shape: tuple[int, ...] | None = None, name: str = IN_MEMORY
) -> Any:
    """Return LiteRT's interpreter of a `.tflite` file's bytes, ready for its input.

    Args:
        content: of the file.
        threads: that LiteRT may use for one call.
        shape: of the input, if it is to be another one than the file says.
        name: of the file, for errors.

    Raises:
        ModelError: not a TFLite model that runs here.
    """
    return allocated(open_interpreter(content, threads, name), shape, name)


def open_interpreter(content: bytes, threads: int = 1, name: str = IN_MEMORY) -> Any:
    """Return LiteRT's interpreter of a file's bytes, which knows shapes but has no memory yet; else as the above."""
    try:
        with silenced():
            return Interpreter(model_content=content, num_threads=threads)
    except Exception as error:
        raise refusal(name, error) from error


def allocated(interpreter: Any, shape: tuple[int, ...] | None = None, name: str = IN_MEMORY) -> Any:
    """Give an interpreter the shape of its input, if it is to be another one, and its memory; return it."""
    try:
        with silenced():
            if shape:
                interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
            interpreter.allocate_tensors()
    except Exception as error:
        raise refusal(name, error) from error
    return interpreter


Network = Callable[..., NDArray[Any]]
"""Takes images of the input's shape and type, or nothing for random pixels, and returns the output."""


def litert(model: Path | bytes, threads: int = 1, batch: int = 1) -> Network:
    """Load a `.tflite` file, or the content of one, into LiteRT.

    Args:
        model: it must take `batch` images.
        threads: that LiteRT may use.
        batch: images a call.

    Raises:
        ModelError: not a model that runs here.
    """
    content, name = (model, IN_MEMORY) if isinstance(model, bytes) else (model.read_bytes(), str(model))
    interpreter = load_interpreter(content, threads, name=name)
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    pixels = random_pixels((batch, *source["shape"][1:]), source["dtype"])

    def run(images: NDArray[Any] = pixels) -> NDArray[Any]:
        interpreter.set_tensor(source["index"], images)
        interpreter.invoke()
        output: NDArray[Any] = interpreter.get_tensor(target["index"])
        return output

    return run


def random_pixels(shape: Any, dtype: Any) -> NDArray[Any]:
    """What stands for images; how long a network takes does not depend on it."""
    low = -128 if np.dtype(dtype) == np.int8 else 0
    pixels: NDArray[Any] = np.random.default_rng(0).integers(low, low + 256, shape, np.int16).astype(dtype)
    return pixels
