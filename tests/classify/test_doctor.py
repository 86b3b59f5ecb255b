from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cifar_edge.classify.doctor import Finding, examine
from cifar_edge.system.machine import storage
from tests.conftest import Outcome
from tests.system.test_machine import pi, write

__all__ = ["pi"]


def found(root: Path, model: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine([model], root, root)}


def test_a_raspberry_pi_that_is_well(pi: Path, run: Path) -> None:
    place = str(pi).replace("p", r"\160")  # as a blank would be written
    mounts = f"24 1 179:2 / {place} rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n"
    write(pi, meminfo="MemTotal: 3884364 kB\nMemAvailable: 3000000 kB\n", mountinfo=mounts)
    findings = found(pi, run / "cnn-int8.tflite")
    assert [finding.wrong for finding in findings.values()] == [""] * len(findings)
    assert "Raspberry Pi 4" in findings["computer"].found
    assert "plain SIMD" in findings["cores"].found
    assert findings["clock"].found == "1500 of 1800 MHz, governor performance"
    assert findings["temperature"].found == "51 °C"
    assert "SD card (/dev/mmcblk0p2, ext4)" in findings["disk"].found
    assert "by XNNPACK" in findings["model"].found


def test_it_says_what_is_wrong_and_what_to_do(pi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    mounts = f"24 1 179:2 / {pi} rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw,errors=remount-ro\n"
    write(
        pi,
        cpuinfo="Features\t: fp asimd asimddp\n",
        meminfo="MemTotal: 427000 kB\nMemAvailable: 90000 kB\n",
        mountinfo=mounts,
        throttled="50005\n",
        temperature="84000\n",
    )
    findings = found(pi, tmp_path / "nowhere.tflite")
    assert "dot products" in findings["cores"].found
    assert "cool it, or give it a better supply" in findings["temperature"].wrong
    assert "--workers 1" in findings["memory"].wrong
    assert "worn SD card" in findings["disk"].wrong
    assert "no such model file" in findings["model"].wrong


def test_past_throttling_is_told_with_what_to_do(pi: Path, run: Path) -> None:
    write(pi, throttled="50000\n")
    temperature = found(pi, run / "cnn-int8.tflite")["temperature"]
    assert "it is throttled" in temperature.found
    assert "though not now: cool it, or give it a better supply" in temperature.wrong


@pytest.mark.parametrize(
    ("file_system", "device", "kind"),
    [
        ("cifs", "//nas/photos", "network"),
        ("fuse.s3fs", "s3fs", "network"),
        ("fuse.gvfsd-fuse", "gvfsd-fuse", "network"),
        ("virtiofs", "photos", "network"),
        ("fuseblk", "/dev/sda1", "USB or SATA disk"),
    ],
)
def test_a_share_of_the_network_is_known(file_system: str, device: str, kind: str, pi: Path) -> None:
    write(pi, mountinfo=f"24 1 0:44 / {pi} rw shared:1 - {file_system} {device} rw\n")
    assert storage(pi, pi).kind == kind


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_the_command(option: list[str], cifar_edge: Callable[..., Outcome], run: Path) -> None:
    wrong = cifar_edge("doctor", "nowhere.tflite", run / "cnn-int8.tflite", *option)
    assert wrong.code == 1
    if option:
        *_, missing, model = json.loads(wrong.out)
        assert "no such model file" in missing["wrong"]
        assert "10 classes" in model["found"]
    else:
        assert "wrong model" in wrong.out
        assert "ok    model" in wrong.out
