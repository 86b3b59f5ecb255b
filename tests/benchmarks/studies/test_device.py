from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.benchmarks.studies import device
from cifar_edge.errors import UsageError


def test_a_group_has_the_limit_of_the_kernel_s_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "GROUPS", tmp_path)
    for file in ("memory.max", "memory.limit_in_bytes"):
        with device.limited(1000) as group:
            assert (group / file).read_text() == "1000"
            (group / file).unlink()  # the kernel's files go with the folder
        assert not group.exists()
        (tmp_path / "memory").mkdir(exist_ok=True)


def test_without_root_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "GROUPS", tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no control group can be made .* run it as root"), device.limited(1000):
        pass
