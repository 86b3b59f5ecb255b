from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cifar_edge import EdgeModel, classify_folder
from cifar_edge.classify.options import set_up
from cifar_edge.errors import UsageError
from cifar_edge.photos import decode
from tests.conftest import PHOTOS


def test_the_card_s_fit_or_the_one_asked_for(model: EdgeModel, tmp_path: Path) -> None:
    photo = PHOTOS / "automobile" / "red_beetle.png"
    told = {fit: next(classify_folder(photo, model, fit=fit, top_k=10)).top for fit in (None, *decode.FITS)}
    assert len(set(told.values())) == 3
    assert told[None] == told[model.card.fit]
    with pytest.raises(UsageError, match="must be one of crop, pad, stretch"):
        classify_folder(photo, model, fit="zoom")


@pytest.mark.parametrize(("given", "number"), [(0.3, 0.3), ("auto", 0.6)])
def test_the_confidence_may_be_the_models_own(given: float | str, number: float) -> None:
    model = EdgeModel("nano")
    assert model.card is not None
    model.card = dataclasses.replace(model.card, threshold=0.6)
    assert set_up(model, min_confidence=given).options.min_confidence == number


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("auto", "has no threshold of its own; give a number"),
        ("high", "high: a probability"),
        (2, "2:"),
    ],
)
def test_a_confidence_that_is_none(given: float | str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        set_up("nano", min_confidence=given)
