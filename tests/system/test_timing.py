from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from cifar_edge.system import timing as latency_module
from cifar_edge.system.timing import FEWEST, SETTLE, WARM_UP, in_turn, measure


class Clock:
    """Stands still but for calls that take known times."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def call(self, rounds: Sequence[Sequence[float]]) -> Callable[[], None]:
        """Make a call that takes so many milliseconds in each round, and 10 or, at a turn's start, 1,000 before."""
        warm = [[10.0] * FEWEST] * WARM_UP
        times = iter([time for turn in [*warm, *rounds] for time in [1000.0] * SETTLE + [*turn]])

        def pass_time() -> None:
            self.now += next(times) / 1000

        return pass_time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(latency_module, "time", clock)
    return clock


def test_calls_take_turns() -> None:
    called: list[str] = []
    times = in_turn([lambda: called.append("a"), lambda: called.append("b"), lambda: called.append("c")], rounds=4)
    turns = [name for name, _ in itertools.groupby(called)]
    assert turns == ["a", "b", "c"] * (WARM_UP + 4)
    assert {of_one.shape[0] for of_one in times} == {4}
    warm = WARM_UP * (SETTLE + FEWEST)
    assert called.count("a") == warm + 4 * SETTLE + times[0].size


def test_figures_by_hand(clock: Clock) -> None:
    moving = clock.call([(10, 11, 12), (22, 20, 21), (31, 30, 32), (12, 11, 10)])  # medians 11, 21, 31, 11
    steady = clock.call([(20, 22, 29), (21, 22, 22), (22, 20, 29), (22, 22, 22)])  # and 22
    first, second = measure([moving, steady], baseline=1, rounds=4)
    assert first.median == pytest.approx(16_000)
    assert first.best == pytest.approx(11_000)
    assert first.p95 == pytest.approx(31_450)
    assert first.p99 == pytest.approx(31_890)
    assert first.spread == pytest.approx(12_500)
    assert first.ratio == pytest.approx((11 / 22 + 21 / 22) / 2)
    assert (second.ratio, second.spread) == (1, pytest.approx(0))


def test_the_baseline_is_chosen(clock: Clock) -> None:
    calls = [clock.call([(10, 10, 10)] * 2), clock.call([(20, 20, 20)] * 2)]
    assert [latency.ratio for latency in measure(calls, baseline=0, rounds=2)] == pytest.approx([1, 2])
    assert measure([clock.call([(10, 10, 10)] * 2)], baseline=None, rounds=2)[0].ratio is None
