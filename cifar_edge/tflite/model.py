"""One `.tflite` file -> class probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cifar_edge.errors import ModelError, UsageError
from cifar_edge.tflite.card import MOST_LABELS, MOST_PIXELS, Card, read_card
from cifar_edge.tflite.interface import Size, interface_of
from cifar_edge.tflite.interpreter import allocated, load_interpreter, open_interpreter, refusal
from cifar_edge.tflite.names import MODELS, find_model, read_model
from cifar_edge.tflite.shapes import objection
from cifar_edge.tflite.trial import try_out

BATCH = 32  # small images of one call, where the graph can

SMALL = 64 * 64  # pixels; a call for a larger image takes long enough that batches gain nothing

ROUNDING = 0.01  # a quantized probability may be outside the interval from 0 to 1 by this much


class EdgeModel:
    """An image classifier in a `.tflite` file, float or quantized, ready for photos' bytes.

        model = EdgeModel("nano")
        image = images.load("cat.jpg", model.height, model.width)
        probabilities = model.predict(image[None])[0]
        print(model.labels[probabilities.argmax()], probabilities.max())

    Several threads may use it at once: each gets an interpreter of its own. A file that did not come with this package
    is first tried in a process of its own; `from_bytes` trusts its caller.

    Args:
        path: the file, or a name for `find_model`; its card says what the graph does not.
        threads: how many LiteRT may use for one image.
        labels: class names in the order of the outputs, if there is no card to say them.
        pixel_range: what the input takes for black and white, if there is no card to say it.
        image_size: height and width in pixels, for a graph that takes images of any size.

    Attributes:
        path: where it came from.
        content: the file's bytes.
        card: the file's card, or None.
        note: what was assumed because neither card nor arguments say it, or which argument does not count because
            the card says something else; "" if nothing.
        labels: class names, in the order of the outputs.
        pixel_range: what the input takes for black and white.
        image_size: as given.
        height: of the images, in pixels.
        width: of the images, in pixels.
        dtype: of the graph's input: float32, uint8, int8 or int16.
        input_quantization: the input's scale and zero point; scale 0 if it is float.
        output_quantization: the output's.
        accelerated: whether LiteRT has handed the graph to XNNPACK, which is several times as quick.

    Raises:
        UsageError: no such file, not as many labels as outputs, or a pixel range without contrast.
        ModelError: not a TFLite image classifier, or its card does not describe it, or it crashes LiteRT.
    """

    def __init__(
        self,
        path: str | Path,
        threads: int = 1,
        labels: Sequence[str] | None = None,
        pixel_range: tuple[float, float] | None = None,
        image_size: Size | None = None,
    ) -> None:
        found = find_model(path)
        content = read_model(found)
        card = read_card(content, found)
        if found.parent != MODELS:
            try_out(content, found, image_size)
        self._set_up(content, found, card, threads, labels, pixel_range, image_size)

    @classmethod
    def from_bytes(
        cls,
        content: bytes,
        name: str,
        threads: int = 1,
        labels: Sequence[str] | None = None,
        pixel_range: tuple[float, float] | None = None,
        image_size: Size | None = None,
    ) -> Self:
        """Make a model of a `.tflite` file's bytes; `name` stands for its path, the rest is as for the class."""
        model = cls.__new__(cls)
        model._set_up(content, Path(name), read_card(content, Path(name)), threads, labels, pixel_range, image_size)
        return model

    def _set_up(
        self,
        content: bytes,
        path: Path,
        card: Card | None,
        threads: int,
        labels: Sequence[str] | None,
        pixel_range: tuple[float, float] | None,
        image_size: Size | None,
    ) -> None:
        self.path, self.content, self.card, self.image_size, self._threads = path, content, card, image_size, threads
        interpreter = open_interpreter(content, threads, str(path))
        self._read_graph(interpreter)
        classes = self._interface.classes
        self.accelerated = self._is_accelerated(interpreter)
        self._free: dict[int, list[Any]] = {1: [interpreter], BATCH: []}  # by images a call; those no thread is using
        if card:
            self._check_card(card, classes)
        if labels is not None and len(labels) == 1 == self._interface.outputs:
            labels = (f"not {labels[0]}", *labels)
        if labels is not None and len(labels) != classes:
            raise UsageError(f"{path}: {len(labels)} labels for {classes} outputs; give as many, in the outputs' order")
        natural = _natural_range(self.dtype, *self.input_quantization)
        self.labels = tuple(card.labels if card else map(str, range(classes)) if labels is None else labels)
        self.pixel_range = card.pixel_range if card else pixel_range or natural
        self._encoding = _encoding(self.dtype, self.input_quantization, self.pixel_range)
        if not np.isfinite(self._encoding).all() or self._encoding[0] == self._encoding[-1]:
            wrong = UsageError if pixel_range and not card else ModelError
            raise wrong(f"{path}: pixels from {{:g}} to {{:g}} are all the same to it".format(*self.pixel_range))
        self._takes_bytes = self.dtype == np.uint8 and np.array_equal(self._encoding, np.arange(256))
        self._logits = self._batches = False
        small = self.height * self.width <= SMALL
        if card is None:
            self._logits = not are_probabilities(self.predict(self._noise(BATCH // 4 if small else 1)))
        if self._logits and self._interface.outputs == 1:
            raise ModelError(f"{path}: {objection((1, self.height, self.width, 3), (1, 1))}")
        if self.dtype.kind in "iu" and small:
            self._batches = self._does_batches(self._noise(BATCH))
        self.note = self._overruled(card, labels, pixel_range) if card else self._assumed(labels, pixel_range)

    def _noise(self, count: int) -> NDArray[np.uint8]:
        """Return random images, the first one the brightest, so that answers differ."""
        bright = np.linspace(256, 16, count, dtype=int)[:, None, None, None]
        shape = (count, self.height, self.width, 3)
        return np.random.default_rng(0).integers(0, bright if count > 1 else 256, shape, np.uint8)

    def _is_accelerated(self, interpreter: Any) -> bool:
        try:
            return any(operation["op_name"] == "DELEGATE" for operation in interpreter._get_ops_details())
        except Exception as error:  # such as for a name that is not UTF-8
            raise refusal(str(self.path), error) from error

    def _read_graph(self, interpreter: Any) -> None:
        """Take over what the graph says of its input and output."""
        try:
            sources, targets = interpreter.get_input_details(), interpreter.get_output_details()
        except Exception as error:  # as above
            raise refusal(str(self.path), error) from error
        takes, gives = ([_shape(detail) for detail in details] for details in (sources, targets))
        any_size = any(None in shape[1:] for shape in takes)
        if not any_size:
            allocated(interpreter, None, str(self.path))
        if not {np.dtype(detail["dtype"]).kind for detail in (*sources, *targets)} <= set("fiu"):
            raise ModelError(f"{self.path}: not an image classifier: takes or gives other than numbers")
        self._interface = interface_of(str(self.path), takes, gives, self.image_size)
        (source,), (target,) = sources, targets
        self.height, self.width = self._interface.height, self._interface.width
        if any_size:
            allocated(interpreter, self._interface.entering(self._noise(1)).shape, str(self.path))
        self.dtype: np.dtype[Any] = np.dtype(source["dtype"])
        self.input_quantization, self.output_quantization = _quantization(source), _quantization(target)
        self._input, self._output = source["index"], target["index"]
        classes = self._interface.classes
        if not (0 < self.height * self.width <= MOST_PIXELS and 0 < classes <= MOST_LABELS):
            raise ModelError(
                f"{self.path}: takes {self.width}x{self.height} pixels and has {classes} classes; "
                f"use a model of at most {MOST_PIXELS:,} pixels and {MOST_LABELS:,} classes"
            )
        for scale, _ in (self.input_quantization, self.output_quantization):
            if not 0 <= scale < math.inf:
                raise ModelError(f"{self.path}: is quantized with a scale of {scale:g}; export it again")

    @staticmethod
    def _overruled(card: Card, labels: Sequence[str] | None, pixel_range: tuple[float, float] | None) -> str:
        """Say which arguments do not count, because the card says something else."""
        given = {
            "labels": labels and tuple(labels) != card.labels,
            "pixel range": pixel_range not in (None, card.pixel_range),
        }
        contradicted = " and ".join(name for name, other in given.items() if other)
        count = "counts, not the one" if contradicted == "pixel range" else "count, not the ones"
        return contradicted and f"its card's {contradicted} {count} given"

    def _assumed(self, labels: Sequence[str] | None, pixel_range: tuple[float, float] | None) -> str:
        """Say what was assumed, because neither a card nor an argument says it."""
        guesses = {
            "numbers for labels": labels is None,
            "pixels from {:g} to {:g}".format(*self.pixel_range): pixel_range is None,
            "logits for scores": self._logits,
        }
        assumed = ", ".join(guess for guess, made in guesses.items() if made)
        return assumed and f"carries no card; assumed {assumed} (--labels, --pixel-range)"

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify images.

        What an image gets does not depend on the others.

        Args:
            images: uint8, (N, height, width, 3), RGB, 0-255.

        Returns:
            Probabilities, float32, (N, classes).

        Raises:
            UsageError: images of another shape or type.
            ModelError: LiteRT refuses.
        """
        if images.dtype != np.uint8 or images.shape[1:] != (self.height, self.width, 3):
            raise UsageError(
                f"{self.path}: takes uint8 images (N, {self.height}, {self.width}, 3), "
                f"not {images.dtype} {images.shape}"
            )
        probabilities = np.empty((len(images), self._interface.outputs), np.float32)
        batched = len(images) // BATCH * BATCH if self._batches else 0
        for first, last, size in ((0, batched, BATCH), (batched, len(images), 1)):
            for start in range(first, last, size):
                probabilities[start : start + size] = self._scores(images[start : start + size])
        scale, zero_point = self.output_quantization
        if scale:
            probabilities = (probabilities - zero_point) * np.float32(scale)
        if self._interface.outputs == 1:
            return np.hstack([1 - probabilities, probabilities])
        return _softmax(probabilities) if self._logits else probabilities

    def _scores(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the output for one image or `BATCH` images, from an interpreter that no other thread uses."""
        free = self._free[len(images)]
        entering = self._interface.entering(images)
        try:
            interpreter = free.pop()
        except IndexError:
            interpreter = load_interpreter(self.content, self._threads, entering.shape, str(self.path))
        encoded = entering if self._takes_bytes else self._encoding[entering]
        try:
            interpreter.set_tensor(self._input, encoded)
            interpreter.invoke()
            output: NDArray[Any] = interpreter.get_tensor(self._output)
        except Exception as error:
            raise refusal(str(self.path), error) from error
        scores = self._interface.leaving(output, len(images))
        if scores is None:
            raise ModelError(f"{self.path}: gives scores {output.shape} for {len(images)} images; export it again")
        free.append(interpreter)
        return scores

    def _does_batches(self, noise: NDArray[np.uint8]) -> bool:
        """Tell whether the graph also takes `BATCH` images a call, with the same answers as one by one.

        An image takes no less time in a batch. But each call gives up Python's lock, and to get it back among threads
        that read tiny photos may take as long as the call did. Only integer graphs are tried: in a batch, sums of
        floats may be rounded differently. A graph with the shape of one image's features in a constant refuses.
        """
        try:
            together = self._scores(noise)
        except ModelError:
            return False
        return np.array_equal(together[::4], np.concatenate([self._scores(image[None]) for image in noise[::4]]))

    def _check_card(self, card: Card, classes: int) -> None:
        """Raise `ModelError` unless the card says of the graph what the graph says of itself."""
        if len(card.labels) != classes:
            reason = f"{len(card.labels)} labels for {classes} outputs"
        elif (card.height, card.width) != (self.height, self.width):
            reason = f"{card.width}x{card.height} pixels for a graph of {self.width}x{self.height}"
        elif (card.input_quantization, card.output_quantization) != (self.input_quantization, self.output_quantization):
            reason = "another quantization than the graph"
        else:
            return
        raise ModelError(f"{self.path}: its card has {reason}; copy or export the model again")


def are_probabilities(scores: NDArray[np.float32]) -> bool:
    """Tell whether a classifier's scores for random images can be probabilities; if not, they are logits."""
    return bool(((scores > -ROUNDING) & (scores < 1 + ROUNDING)).all())


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _shape(detail: Mapping[str, Any]) -> list[int | None]:
    """Return a tensor's shape, None where it may have any size."""
    return [None if size < 0 else size for size in detail["shape_signature"].tolist() or detail["shape"].tolist()]


def _quantization(detail: Mapping[str, Any]) -> tuple[float, int]:
    """Return scale and zero point of an input or output; (0, 0) for floats, whatever the graph says of them."""
    quantization: tuple[float, int] = (0.0, 0) if np.dtype(detail["dtype"]).kind == "f" else detail["quantization"]
    return quantization


def _natural_range(dtype: np.dtype[Any], scale: float, zero_point: int) -> tuple[float, float]:
    """Return the default for black and white: 0 and 255, or the ends of an 8-bit input's range."""
    if not scale or dtype.itemsize > 1:
        return 0.0, 255.0
    limits = np.iinfo(dtype)
    return (limits.min - zero_point) * scale, (limits.max - zero_point) * scale


@np.errstate(all="ignore")  # a range that overflows has no contrast, and is refused
def _encoding(dtype: np.dtype[Any], quantization: tuple[float, int], pixel_range: tuple[float, float]) -> NDArray[Any]:
    """Return the graph's input value for each pixel value 0-255.

    A quantized tensor stands for the real numbers `(q - zero_point) * scale`, so a pixel p enters as
    `q = p / scale + zero_point`; a float tensor has scale 0 and takes the number as it is.
    """
    scale, zero_point = quantization
    pixels = np.linspace(*pixel_range, 256)
    if not scale:
        return pixels.astype(dtype)
    limits = np.iinfo(dtype)
    encoded: NDArray[Any] = np.clip(np.rint(pixels / scale) + zero_point, limits.min, limits.max).astype(dtype)
    return encoded
