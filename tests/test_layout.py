"""Tests follow modules: the same tree, one test file for each."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT

HOMES = {"cifar_edge": "tests", "export": "tests/export", "benchmarks": "tests/benchmarks"}

ELSEWHERE = {
    "cifar_edge/__init__.py": "tests/cli/test_app.py",
    "cifar_edge/__main__.py": "tests/cli/test_app.py",
    "cifar_edge/cli/doctor.py": "tests/classify/test_doctor.py",
    "cifar_edge/cli/models.py": "tests/test_models.py",
    "cifar_edge/cli/watch.py": "tests/classify/watch/test_watch.py",
    "cifar_edge/classify/watch/watch.py": "tests/classify/watch/test_watch.py",
}
"""Modules whose tests have another name."""


@pytest.mark.parametrize("home", HOMES)
def test_each_module_has_a_test_file_of_its_name(home: str) -> None:
    for module in sorted((ROOT / home).rglob("*.py")):
        name = str(module.relative_to(ROOT))
        if module.name == "__init__.py" and name not in ELSEWHERE:
            continue
        place = module.relative_to(ROOT / home).with_name(f"test_{module.name}")
        test = ROOT / ELSEWHERE.get(name, f"{HOMES[home]}/{place}")
        assert test.exists(), f"{name}: write {test.relative_to(ROOT)}"
