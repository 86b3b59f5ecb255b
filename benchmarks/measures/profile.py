"""The time of each operation of a model.

LiteRT's Python interface does not measure it, so the model is cut after each operation and the pieces are
timed in turn: an operation takes what its piece takes more than the one before. All costs add up to
the whole; what LiteRT fuses is charged to the operation that makes it possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cifar_edge.benchmarks.measures.graphs import prefixes
from cifar_edge.system.timing import ROUNDS, Progress, in_turn
from cifar_edge.tflite.graph import operations
from cifar_edge.tflite.interpreter import load_interpreter


@dataclass(frozen=True)
class OperationTime:
    """The time of one operation.

    Attributes:
        name: the operation's, as in "CONV_2D".
        output: shape of its output.
        macs: its multiply-accumulates.
        time: in microseconds; the difference of two medians, so a quick one may be below zero.
        error: standard error of `time`, in microseconds.
    """

    name: str
    output: tuple[int, ...]
    macs: int
    time: float
    error: float


def profile(
    path: Path, threads: int = 1, rounds: int = ROUNDS, progress: Progress = lambda *_: None
) -> list[OperationTime]:
    """Time each operation of a `.tflite` model, in the order they run; the first one bears the call itself.

    Args:
        path: the model's file.
        threads: that LiteRT may use.
        rounds: how often each piece has its turn.
        progress: called after each round.
    """
    content = path.read_bytes()
    pieces = [load_interpreter(piece, threads).invoke for piece in prefixes(content, str(path))]
    medians = 1e6 * np.array([np.median(times, axis=1) for times in in_turn(pieces, rounds, progress)])
    costs = np.diff(medians, axis=0, prepend=0)
    middle = np.median(costs, axis=1)
    # Of a median, from the quartiles: a busy computer's outliers do not count.
    errors = np.subtract(*np.percentile(costs, (75, 25), axis=1)) / 1.349 * 1.2533 / np.sqrt(costs.shape[1])
    return [
        OperationTime(
            operation.name,
            operation.outputs[0].shape if operation.outputs else (),
            operation.macs,
            float(time),
            float(error),
        )
        # After the main graph's operations come those of loops and branches, which are part of these.
        for operation, time, error in zip(operations(content, str(path)), middle, errors, strict=False)
    ]
