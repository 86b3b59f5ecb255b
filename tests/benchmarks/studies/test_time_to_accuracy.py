from __future__ import annotations

from dataclasses import replace

import pytest

from cifar_edge.benchmarks.studies import time_to_accuracy
from cifar_edge.benchmarks.studies.time_to_accuracy import Training, measure
from cifar_edge.data import Cifar10
from cifar_edge.training.networks import NETWORKS
from tests.little import little_network


def test_trainings_take_turns_under_clocks_of_their_own(tiny: Cifar10, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "ann", little_network)
    monkeypatch.setattr(time_to_accuracy, "BUDGET", 1.0)
    monkeypatch.setattr(time_to_accuracy, "PLAIN", replace(time_to_accuracy.PLAIN, model="ann", epochs=2))
    monkeypatch.setattr(time_to_accuracy, "DEFAULT", "ann")
    trainings = measure(tiny.train, tiny.test)
    assert [training.recipe.model for training in trainings] == ["ann", "ann", "ann"]
    for training in trainings:
        assert training.seconds == sorted(training.seconds)
        assert len(training.seconds) == len(training.accuracy) <= training.recipe.epochs
        assert 0 < training.in_steps < training.seconds[-1]


def test_the_first_time_a_goal_is_reached_counts() -> None:
    training = Training("", time_to_accuracy.PLAIN, seconds=[10, 20, 30], accuracy=[0.7, 0.81, 0.79])
    assert (training.seconds_to(0.75), training.seconds_to(0.81), training.seconds_to(0.9)) == (20, 20, None)
