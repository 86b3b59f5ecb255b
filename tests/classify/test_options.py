from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge import EdgeModel, classify_folder
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
