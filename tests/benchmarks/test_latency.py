from __future__ import annotations

import itertools

from cifar_edge.benchmarks.latency import FEWEST, SETTLE, WARM_UP, in_turn, measure


def test_calls_take_turns() -> None:
    called: list[str] = []
    times = in_turn([lambda: called.append("a"), lambda: called.append("b"), lambda: called.append("c")], rounds=4)
    turns = [name for name, _ in itertools.groupby(called)]
    assert turns == ["a", "b", "c"] * (WARM_UP + 4)
    assert {of_one.shape[0] for of_one in times} == {4}
    warm = WARM_UP * (SETTLE + FEWEST)
    assert called.count("a") == warm + 4 * SETTLE + times[0].size


def test_figures_and_their_order() -> None:
    quick, slow = measure([lambda: None, lambda: sum(range(10_000))], baseline=1, rounds=5)
    for latency in (quick, slow):
        assert 0 < latency.median <= latency.p95 <= latency.p99
        assert latency.spread >= 0
    assert slow.ratio == 1
    assert quick.ratio is not None
    assert measure([lambda: None], baseline=None, rounds=2)[0].ratio is None
