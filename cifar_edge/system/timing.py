"""Timing in turns: if something slows the computer down, it slows down everything that is compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Call = Callable[[], object]

Progress = Callable[[int, int], None]
"""Called with the number of rounds done, and of all rounds."""

ROUNDS = 40

WARM_UP = 5  # rounds that do not count
MOST, FEWEST = 25, 3  # calls a turn, as many as fit into
TURN = 0.02  # seconds
SETTLE = 2  # calls at a turn's start that do not count: the caches hold what others left there


@dataclass(frozen=True)
class Latency:
    """Time of a call, in microseconds.

    Attributes:
        median: over all calls.
        best: of the rounds' medians, the lowest: nothing else had the computer.
        p95: 95th percentile.
        p99: 99th percentile.
        spread: interquartile range of the rounds' medians: how far the median moves while it is measured.
        ratio: to the baseline, median of the rounds' ratios; None without a baseline.
    """

    median: float
    best: float
    p95: float
    p99: float
    spread: float
    ratio: float | None


def measure(
    calls: Sequence[Call], baseline: int | None = 0, rounds: int = ROUNDS, progress: Progress = lambda *_: None
) -> list[Latency]:
    """Time calls in turn.

    Args:
        calls: what to time; each is called a few times a round.
        baseline: which of them the others are compared with.
        rounds: how often each has its turn, apart from those that warm up.
        progress: called after each of these rounds.

    Returns:
        The figures of each call, in their order.
    """
    seconds = in_turn(calls, rounds, progress)
    medians = [np.median(times, axis=1) for times in seconds]
    found = []
    for times, of_rounds in zip(seconds, medians, strict=True):
        median, p95, p99 = (1e6 * float(figure) for figure in np.percentile(times, (50, 95, 99)))
        spread = 1e6 * float(np.subtract(*np.percentile(of_rounds, (75, 25))))
        ratio = None if baseline is None else float(np.median(of_rounds / medians[baseline]))
        found.append(Latency(median, 1e6 * float(of_rounds.min()), p95, p99, spread, ratio))
    return found


def in_turn(
    calls: Sequence[Call], rounds: int = ROUNDS, progress: Progress = lambda *_: None
) -> list[NDArray[np.float64]]:
    """Time calls in turn: the first, the second, ..., the first again; arguments as for `measure`.

    Returns:
        Seconds of each call, (rounds, calls a turn); a slow one is called less often in a turn.
    """
    warm = [[_turn(call, FEWEST) for call in calls] for _ in range(WARM_UP)][-1]
    bursts = [int(np.clip(TURN / np.median(times), FEWEST, MOST)) for times in warm]
    turns = []
    for done in range(1, rounds + 1):
        turns.append([_turn(call, burst) for call, burst in zip(calls, bursts, strict=True)])
        progress(done, rounds)
    return [np.array(times) for times in zip(*turns, strict=True)]


def _turn(call: Call, count: int) -> list[float]:
    for _ in range(SETTLE):
        call()
    times = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return times
