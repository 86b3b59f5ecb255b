from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.data import Cifar10
from cifar_edge.errors import UsageError
from cifar_edge.training.loop import train
from cifar_edge.training.recipe import recipe_for
from cifar_edge.training.run import Run


def test_a_run_knows_its_data(run: Path, tmp_path: Path) -> None:
    assert Run(run).data_source == "sample"
    assert Run(tmp_path).data_source is None


def test_what_an_older_record_lacks_is_not_taken_from_the_network_s_recipe(tmp_path: Path) -> None:
    assert recipe_for("nano").cycle > 0
    (tmp_path / "run.json").write_text('{"recipe": {"model": "nano", "epochs": 3}, "data": {}}')
    recipe = Run(tmp_path).recipe
    assert (recipe.model, recipe.epochs, recipe.cycle, recipe.teacher) == ("nano", 3, 0, "")


@pytest.mark.parametrize("content", ["[]", "{}", "no json", '{"recipe": {"model": "ann", "colour": 1}, "data": {}}'])
def test_a_damaged_record_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UsageError, match=r"run\.json"):
        _ = Run(tmp_path).recipe


def test_a_run_s_folder_is_not_overwritten(tiny: Cifar10, run: Path) -> None:
    with pytest.raises(UsageError, match="already in use"):
        train(recipe_for("ann"), tiny, run)
