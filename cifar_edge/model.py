"""One `.tflite` file -> class probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_edge.card import read_card
from cifar_edge.errors import ModelError, UsageError
from cifar_edge.native_output import silenced

with silenced():
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:  # 32-bit ARM has no LiteRT, only its predecessor
        from tflite_runtime.interpreter import Interpreter


class EdgeModel:
    """An image classifier in a `.tflite` file, float or quantized, ready for photos' bytes.

        model = EdgeModel("cnn-int8.tflite")
        image = images.load("cat.jpg", model.height, model.width)
        probabilities = model.predict(image[None])[0]
        print(model.labels[probabilities.argmax()], probabilities.max())

    Not to be used from several threads at once: make one for each.

    Args:
        path: the file; its card gives the labels, and without a card classes are numbered.
        threads: how many LiteRT may use for one image.

    Attributes:
        path: where it came from.
        card: the file's card, or None.
        labels: class names, in the order of the outputs.
        height: of the input, in pixels.
        width: of the input, in pixels.
        dtype: of the graph's input: float32, uint8 or int8.

    Raises:
        UsageError: no such file.
        ModelError: not a TFLite image classifier.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UsageError(f"{path}: no such model file; `cifar-edge export` writes one")
        try:
            with silenced():
                self._interpreter: Any = Interpreter(model_path=str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"{path}: not a TFLite model that runs here ({_first_line(error)}); export or copy it again"
            ) from error
        (source, *other_inputs) = self._interpreter.get_input_details()
        (target, *other_outputs) = self._interpreter.get_output_details()
        shape, scores = source["shape"].tolist(), target["shape"].tolist()
        if other_inputs or other_outputs or len(shape) != 4 or shape[::3] != [1, 3] or len(scores) != 2:
            raise ModelError(
                f"{path}: not an image classifier: takes {shape} and gives {scores}, "
                "but should take one image [1, height, width, 3] and give one row of scores [1, classes]"
            )
        classes = scores[1]
        self.card = read_card(self.path)
        self.labels = self.card.labels if self.card else tuple(map(str, range(classes)))
        if len(self.labels) != classes:
            raise ModelError(f"{path}: its card has {len(self.labels)} labels for {classes} outputs; export it again")
        self.height, self.width = shape[1:3]
        self.dtype: np.dtype[Any] = np.dtype(source["dtype"])
        self._input, self._output = source["index"], target["index"]
        self._encoding = _encoding(self.dtype, *source["quantization"])
        self._output_scale, self._output_zero_point = target["quantization"]

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify images.

        They run one by one: a larger batch is no faster for int8 on LiteRT, and slower for float.

        Args:
            images: uint8, (N, height, width, 3), RGB, 0-255.

        Returns:
            Probabilities, float32, (N, classes).

        Raises:
            UsageError: images of another shape or type.
        """
        if images.dtype != np.uint8 or images.shape[1:] != (self.height, self.width, 3):
            raise UsageError(
                f"{self.path}: takes uint8 images (N, {self.height}, {self.width}, 3), "
                f"not {images.dtype} {images.shape}"
            )
        probabilities = np.empty((len(images), len(self.labels)), np.float32)
        for image, row in zip(images, probabilities, strict=True):
            self._interpreter.set_tensor(self._input, self._encoding[image][None])
            self._interpreter.invoke()
            row[:] = self._interpreter.get_tensor(self._output)[0]
        if self._output_scale:
            probabilities = (probabilities - self._output_zero_point) * np.float32(self._output_scale)
        return probabilities


def newest_export(runs: Path = Path("runs")) -> Path:
    """Return the `.tflite` file of a run in `runs` that was written last; `UsageError` if there is none."""
    finished = (path for path in runs.glob("*/*.tflite") if not path.name.startswith("."))
    exports = sorted(finished, key=lambda path: path.stat().st_mtime_ns)
    if not exports:
        raise UsageError(
            f"{runs.absolute()}: no exported model in there; run `cifar-edge export`, or name one (--model)"
        )
    return exports[-1]


def _encoding(dtype: np.dtype[Any], scale: float, zero_point: int) -> NDArray[Any]:
    """What each pixel value 0-255 is in the graph's input.

    A quantized tensor stands for the real numbers `(q - zero_point) * scale`, so a pixel p enters as
    `q = p / scale + zero_point`; a float tensor has scale 0 and takes the pixel as it is.
    """
    pixels = np.arange(256)
    if not scale:
        return pixels.astype(dtype)
    limits = np.iinfo(dtype)
    encoded: NDArray[Any] = np.clip(np.rint(pixels / scale) + zero_point, limits.min, limits.max).astype(dtype)
    return encoded


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
