from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge import EdgeModel
from cifar_edge.errors import UsageError
from cifar_edge.results.request import Options, check_request, request


@pytest.fixture(scope="module")
def model() -> EdgeModel:
    return EdgeModel("nano")


def test_the_same_request_is_taken_and_another_one_refused_by_name(model: EdgeModel) -> None:
    asked = request([Path("photos")], model, Options("crop"))
    check_request("out.csv", asked, request([Path("photos")], model, Options("crop")))
    for other, name in (
        (request([Path("others")], model, Options("crop")), "choice of paths"),
        (request([Path("photos")], model, Options("pad")), "fit"),
        (request([Path("photos")], model, Options("crop", top_k=2)), "top-k"),
        (request([Path("photos")], model, Options("crop"), sort_into="sorted"), "folder to sort into"),
        (request([Path("photos")], EdgeModel("small"), Options("crop")), "model"),
    ):
        with pytest.raises(UsageError, match=f"out.csv: began with another {name} "):
            check_request("out.csv", asked, other)


@pytest.mark.parametrize("earlier", [b"", b"no json", b"[]", b"{}", b'{"fit": "crop"}'])
def test_what_no_run_of_this_version_has_left_is_named(earlier: bytes, model: EdgeModel) -> None:
    with pytest.raises(UsageError, match=r"out\.csv: not what a stopped run of this version leaves"):
        check_request("out.csv", earlier, request([Path("photos")], model, Options("crop")))


def test_a_relative_path_is_that_of_one_folder_only(
    model: EdgeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request([Path("photos")], model, Options("crop"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="another working folder"):
        check_request("out.csv", asked, request([Path("photos")], model, Options("crop")))
