from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.system.machine import default_workers, photo_memory, state, this_machine, warnings


def write(root: Path, **files: str) -> None:
    places = {
        "cpuinfo": "proc/cpuinfo",
        "meminfo": "proc/meminfo",
        "board": "proc/device-tree/model",
        "clock": "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
        "max_clock": "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq",
        "governor": "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "temperature": "sys/class/thermal/thermal_zone0/temp",
        "mountinfo": "proc/self/mountinfo",
        "throttled": "sys/devices/platform/soc/soc:firmware/get_throttled",
    }
    for name, text in files.items():
        path = root / places[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a Raspberry Pi that is well."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    write(
        tmp_path,
        cpuinfo="processor\t: 0\nBogoMIPS\t: 108.00\nCPU part\t: 0xd08\n",
        meminfo="MemTotal:        3884364 kB\n",
        board="Raspberry Pi 4 Model B Rev 1.4\0",
        clock="1500000\n",
        max_clock="1800000\n",
        governor="performance\n",
        temperature="51121\n",
        throttled="0\n",
    )
    return tmp_path


def test_a_raspberry_pi_is_described(pi: Path) -> None:
    machine = this_machine(pi)
    assert machine.cpu.startswith("Raspberry Pi 4 Model B Rev 1.4 (")
    assert (machine.memory, machine.governor, machine.max_clock) == (3884364 * 1024, "performance", 1800.0)
    now = state(pi)
    assert (now.clock, now.temperature, now.throttled) == (1500.0, 51.121, ())
    assert warnings(machine, now, now) == []


def test_processors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, cpuinfo="cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n")
    assert this_machine(tmp_path).cpu == "AMD EPYC, cpu family 25, model 17"


def test_a_computer_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    machine, now = this_machine(tmp_path), state(tmp_path)
    assert machine.cpu
    assert (machine.memory, machine.governor, now.clock, now.temperature) == (None, None, None, None)
    assert warnings(machine, now, now) == []


def test_throttling_is_warned_of(pi: Path) -> None:
    before = state(pi)
    write(pi, throttled="50005\n", temperature="82000\n")
    (warning,) = warnings(this_machine(pi), before, state(pi))
    assert "slowed down (it is throttled, its supply voltage is low)" in warning


def test_a_pi_that_was_slowed_down_only_before_is_told_apart(pi: Path) -> None:
    write(pi, throttled="50000\n")
    now = state(pi)
    (warning,) = warnings(this_machine(pi), now, now)
    assert "though not now: cool it" in warning
    (warning,) = warnings(this_machine(pi), state(Path("nowhere")), now)
    assert "is being slowed down" in warning  # it began and ended in between


def test_vcgencmd_is_asked_where_the_kernel_does_not_tell(pi: Path) -> None:
    (pi / "sys/devices/platform/soc/soc:firmware/get_throttled").unlink()
    command = pi / "bin" / "vcgencmd"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho throttled=0x8\n")
    command.chmod(0o755)
    assert state(pi).throttled == ("it is hot",)


def test_heat_and_governor_are_warned_of(pi: Path) -> None:
    before = state(pi)
    write(pi, temperature="80000\n", governor="ondemand\n")
    heat, governor = warnings(this_machine(pi), before, state(pi))
    assert heat.startswith("80 °C")
    assert "`ondemand`" in governor


@pytest.mark.parametrize(
    ("megabytes", "processors", "workers"),
    [(427, 4, 2), (427, 1, 1), (250, 4, 1), (950, 4, 4), (3800, 4, 4), (3800, 2, 2), (3800, 1, 1)],
)
def test_workers_are_as_many_as_processors_and_memory_allow(
    megabytes: int, processors: int, workers: int, pi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(processors), raising=False)
    write(pi, meminfo=f"MemTotal: {megabytes * 1000} kB\n")
    assert default_workers(pi) == workers


def test_what_a_photo_may_take_depends_on_memory_and_workers(tmp_path: Path) -> None:
    write(tmp_path, meminfo="MemTotal:        512000 kB\n")
    assert photo_memory(1, tmp_path) > 135e6
    assert photo_memory(2, tmp_path) == photo_memory(1, tmp_path) / 2
    assert photo_memory(4, tmp_path) == 65e6  # a phone's HEIC of 12 megapixels
    write(tmp_path, meminfo="MemTotal:        64000000 kB\n")
    assert photo_memory(1, tmp_path) == 1e9
