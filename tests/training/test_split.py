from __future__ import annotations

import hashlib

import numpy as np
import pytest

from cifar_edge.photos.class_folders import HELD_OUT, TEST, TRAIN
from cifar_edge.training.split import FOLDS, LEFT_OUT, folds, need_folds, places_of, split


def places(count: int, seed: int = 0, first: int = 0) -> list[float]:
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(first, first + count)]
    return places_of(digests, [*range(count)], [(np.inf, str(number)) for number in range(count)], seed)


def test_each_class_has_its_share_of_each_side() -> None:
    labels = [number % 3 for number in range(3000)]
    sides = split(places(3000), labels, [*range(3000)], [""] * 3000)
    for label in range(3):
        own = sides[np.array(labels) == label]
        assert (own == TEST).mean() == pytest.approx(0.15, abs=0.04)
        assert (own == HELD_OUT).mean() == pytest.approx(0.15, abs=0.04)


@pytest.mark.parametrize("cut", [split, folds])
@pytest.mark.parametrize("seed", range(3))
def test_photos_that_are_added_move_no_others(cut: object, seed: int) -> None:
    place = places(300, seed)
    before = cut(place[:200], [0, 1] * 100, [*range(200)], [""] * 200)  # type: ignore[operator]
    after = cut(place, [0, 1] * 150, [*range(300)], [""] * 300)  # type: ignore[operator]
    assert (after[:200] == before).all()
    other = cut(places(200, seed + 100), [0, 1] * 100, [*range(200)], [""] * 200)  # type: ignore[operator]
    assert (other != before).any()


def test_groups_stay_together_where_their_first_photo_goes() -> None:
    digests = [f"{number:064x}" for number in range(60)]
    groups = [number // 6 for number in range(60)]
    order = [(np.inf, f"IMG_{number:03}.jpg") for number in range(60)]
    place = places_of(digests, groups, order, seed=1)
    sides = split(place, [0] * 30 + [1] * 30, groups, [""] * 60)
    assert all(len(set(sides[6 * group : 6 * group + 6])) == 1 for group in range(10))
    alone = places_of(digests[::6], groups[::6], order[::6], seed=1)
    assert alone == place[::6]


@pytest.mark.parametrize(
    ("place", "expected"),
    [(0.0, {TEST, TRAIN}), (0.2, {TEST, HELD_OUT, TRAIN}), (0.9, {TEST, HELD_OUT, TRAIN})],
)
def test_a_class_is_on_more_sides_than_one_whatever_its_hashes(place: float, expected: set[str]) -> None:
    labels = [0] * 50 + [1] * 50
    values = [place + number * 1e-4 for number in range(100)]
    sides = split(values, labels, [*range(100)], [""] * 100)
    for label in (0, 1):
        assert set(sides[np.array(labels) == label]) == expected


def test_a_side_that_folders_give_stays_and_its_copies_are_left_out() -> None:
    given = [TEST] * 20 + [TRAIN] * 80
    groups = [*range(100)]
    groups[20] = 0
    place = places(100)
    sides = split(place, [0, 1] * 50, groups, given)
    assert set(sides[:20]) == {TEST}
    assert sides[20] == LEFT_OUT
    assert set(sides[21:]) == {TRAIN, HELD_OUT}
    assert folds(place, [0, 1] * 50, groups, given)[:21].tolist() == [-1] * 21


@pytest.mark.parametrize("count", [5, 10, 40])
def test_every_photo_is_in_a_fold_and_no_class_in_one_alone(count: int) -> None:
    for seed in range(40):
        labels = [0] * count + [1] * count
        fold = folds(places(2 * count, seed), labels, [*range(2 * count)], [""] * 2 * count)
        assert set(fold.tolist()) <= set(range(FOLDS))
        assert len(set(fold[:count])) > 1
        assert len(set(fold[count:])) > 1


@pytest.mark.parametrize(
    ("counts", "given", "needed"),
    [((50, 50), "", False), ((49, 90), "", True), ((49, 90), HELD_OUT, False), ((60, 60), TEST, True)],
)
def test_small_classes_need_folds(counts: tuple[int, int], given: str, needed: bool) -> None:
    labels = [0] * counts[0] + [1] * counts[1]
    sides = [given if number % 4 == 0 else "" for number in range(len(labels))]
    assert need_folds(labels, sides) == needed
