"""The project's own wheel and the aarch64 wheels of what it needs, on the Debian that Raspberry Pi OS is built on.

`make test-pi` runs it; pytest does not collect it by itself. The processor is emulated (qemu): what comes out is
right, how long it took says nothing about a Raspberry Pi.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge import EdgeModel, classify_folder
from cifar_edge.data import load_split
from cifar_edge.photos.decode import is_photo
from cifar_edge.tflite.names import MODELS
from tests.conftest import PHOTOS, ROOT
from tests.own_photos import write_class_folders
from tests.photos.containers import FORMATS, coded

HERE = Path(__file__).parent
DEBIANS = {"bookworm": "3.11", "trixie": "3.13"}  # 12 and 13, and their Python
TAGS = [f"manylinux_2_{minor}_aarch64" for minor in (17, 27, 28)] + ["manylinux2014_aarch64"]
GUIDE = (ROOT / "cifar_edge" / "README.md").read_text()

ELSEWHERE = {
    "pip wheel --no-deps .": "on the laptop; the fixture `pi` does the same",
    "scp cifar_edge-*.whl runs/*/quick-int8.tflite pi:": "the fixture `pi` copies them",
    "sudo apt install python3-venv": "the root has been made with it",
    "sudo systemctl enable --now cifar-edge-watch": "no systemd runs there; tests/classify/watch checks the unit",
    "sudo tail /var/lib/cifar-edge/results.jsonl": "written by the service",
    "journalctl -u cifar-edge-watch": "written by the service",
}
PROCESSORS = {"cortex-a72": "Raspberry Pi 4; 3 and Zero 2 W alike", "cortex-a76": "Raspberry Pi 5, int8 dot products"}

COMPARED = {"nano": 1000, "small": 200}
"""Models, and how many of the 1,000 images: emulated, `small` takes five times as long."""

SAMPLE = """
import sys
import numpy
from cifar_edge import EdgeModel, classify_folder
from cifar_edge.data import load_split
name, count = sys.argv[1:]
numpy.save("sample.npy", EdgeModel(name).predict(load_split("test", "sample").images[:int(count)]))
"""


class Pi:
    """An arm64 Debian, its home folder, and a shell in it."""

    def __init__(self, suite: str, root: Path) -> None:
        self.suite = suite
        self.root = root
        self.home = root / "root"

    def run(self, command: str, code: int = 0, processor: str = "cortex-a72") -> str:
        """Run a line of bash in the home folder, as a Raspberry Pi 4 unless another processor is named."""
        line = f'cd; sudo() {{ "$@"; }}; set -o pipefail; {command}'
        enter = [HERE / "enter.sh", self.root, "bash", "-c", line]
        result = subprocess.run(enter, capture_output=True, text=True, env=os.environ | {"QEMU_CPU": processor})
        assert result.returncode == code, f"{command}\n{result.stdout}\n{result.stderr}"
        return result.stdout


@pytest.fixture(scope="module", params=DEBIANS)
def pi(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pi]:
    """A Debian as a new Pi has it, with a wheel, a model and photos in the home folder; the guide comes first."""
    root = tmp_path_factory.mktemp(request.param) / "root"
    subprocess.run([HERE / "make_root.sh", request.param, root], check=True)
    pi = Pi(request.param, root)
    with (Path(tempfile.gettempdir()) / "cifar-edge-wheel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # setuptools builds in the tree, one at a time
        command = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", pi.home, ROOT]
        subprocess.run(command, check=True)
    shutil.copy(MODELS / "nano-int8.tflite", pi.home / "quick-int8.tflite")  # stands for one of the user's own
    shutil.copytree(PHOTOS, pi.home / "photos")
    wheel = next(pi.home.glob("*.whl"))
    platform = [option for tag in TAGS for option in ("--platform", tag)]
    # Nothing but wheels: no compiler is needed on the Pi.
    download = ["download", "-qq", "--only-binary=:all:", "--python-version", DEBIANS[request.param], *platform]
    subprocess.run([sys.executable, "-m", "pip", *download, "--dest", root / "wheels", wheel, "watchdog"], check=True)
    (root / "etc" / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    yield pi
    shutil.rmtree(root)


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def ending(command: str) -> str:
    """Return a command as it is, or so that it ends: emulated matrix products take minutes, and watching for ever."""
    if command.startswith("cifar-edge bench"):
        return f"{command} --rounds 1"
    if output := re.search(r"^cifar-edge watch .*--output (\S+)", command):
        return f"{command} 2>&1 & {until(output[1], len(photos()))}; seen=$?; kill $!; wait $! && exit $seen"
    return command


def until(output: str, rows: int) -> str:
    """Return what waits for rows in a file, but not for ever."""
    return f"timeout 120 bash -c 'until [ $(cat {output} | wc -l) = {rows} ]; do sleep 1; done'"


def test_the_guide_works(pi: Pi) -> None:
    assert set(ELSEWHERE) <= set(commands())
    for command in commands():
        if command not in ELSEWHERE:
            began = time.monotonic()
            said = pi.run(ending(command))
            print(f"{time.monotonic() - began:5.1f} s  {command}")
            if "bench" in command:
                assert f"Python {DEBIANS[pi.suite]}" in said
                assert "aarch64" in said
                assert "nano-int8 (int8, LiteRT)" in said
            if "--on-label" in command:
                cats = [line.split() for line in said.splitlines() if line.startswith("found: ")]
                assert len(cats) >= 1
                assert all(path.startswith("/root/photos/") and label == "cat" for _, path, label, _ in cats)
    rows = [json.loads(line) for line in (pi.home / "results.jsonl").read_text().splitlines()]
    assert sorted(row["path"] for row in rows) == sorted(f"/root/photos/{path}" for path in photos())
    assert all(row["label"] and not row["error"] for row in rows)
    assert "report" in (pi.home / "report.html").read_text()
    assert (
        "ExecStart=/opt/cifar-edge/bin/cifar-edge"
        in (pi.root / "etc/systemd/system/cifar-edge-watch.service").read_text()
    )


def photos() -> list[str]:
    return [str(path.relative_to(PHOTOS)) for path in PHOTOS.rglob("*.*") if is_photo(path.name)]


def test_a_killed_run_is_resumed(pi: Pi) -> None:
    run = "cifar-edge classify photos --model quick-int8.tflite --output resumed.csv --resume"
    pi.run(f"timeout -s KILL 2.5 {run}; exit $?", code=137)  # without more, bash would become timeout
    pi.run(run)
    both = [list(csv.DictReader((pi.home / name).open())) for name in ("results.csv", "resumed.csv")]
    kept = [[(row["path"].removeprefix("./"), row["label"], row["confidence"]) for row in rows] for rows in both]
    assert kept[0] == kept[1]
    assert len(kept[0]) == len(photos())


def test_heic_and_avif_are_read_as_on_x86(pi: Pi) -> None:
    folder = pi.home / "phone"
    folder.mkdir()
    with Image.open(PHOTOS / "cat" / "chelsea.jpg") as photo:
        for suffix in FORMATS:
            (folder / f"cat.{suffix}").write_bytes(coded(photo, suffix))
    pi.run("cifar-edge classify phone --model nano --output phone.csv")
    there = list(csv.DictReader((pi.home / "phone.csv").open()))
    here = list(classify_folder(folder, "nano"))
    assert [row["label"] for row in there] == [row.label for row in here] == ["cat", "cat"]
    assert all(
        abs(float(row["confidence"]) - (one.confidence or 0)) < 0.02 for row, one in zip(there, here, strict=True)
    )


def test_folders_are_searched_without_watchdog(pi: Pi) -> None:
    (package,) = (pi.root / "opt/cifar-edge").glob("lib/*/site-packages/watchdog")
    package.rename(package.with_name("moved"))
    try:
        pi.run(
            "mkdir arriving; cp photos/cat/*.jpg arriving; "
            "cifar-edge watch arriving --model nano --output searched.jsonl & "
            f"{until('searched.jsonl', 3)} && cp photos/dog/*.jpg arriving && {until('searched.jsonl', 5)}; "
            "seen=$?; kill $!; wait $! && exit $seen"
        )
    finally:
        package.with_name("moved").rename(package)


def test_a_model_of_own_classes_answers_as_here(pi: Pi, tmp_path: Path) -> None:
    from cifar_edge.export.source import load_source
    from cifar_edge.export.write import export
    from cifar_edge.training import own_classes
    from cifar_edge.training.photo_set import Photos
    from cifar_edge.training.photo_views import sizes_for
    from cifar_edge.training.recipe import photo_recipe_for

    pets = write_class_folders(tmp_path / "pets", load_split("train", "sample"), {"cat": 20, "ship": 20})
    recipe = photo_recipe_for("lite0", image_size=64, epochs=0)
    photos = Photos.of(pets, recipe.fit, sizes_for(recipe))
    own_classes.train(recipe, photos, tmp_path / "run")
    (model,) = export(load_source(tmp_path / "run" / "model.keras"), photos, ("int8",), max_drop=100)
    shutil.copy(model.path, pi.home / "pets-int8.tflite")
    pi.run("cifar-edge classify photos/cat photos/ship --model pets-int8.tflite --output pets.csv")
    there = [(row["label"], float(row["confidence"])) for row in csv.DictReader((pi.home / "pets.csv").open())]
    here = [*classify_folder([PHOTOS / "cat", PHOTOS / "ship"], model.path)]
    assert [label for label, _ in there] == [row.label for row in here]
    assert np.allclose([confidence for _, confidence in there], [row.confidence for row in here], atol=0.03)


@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize("processor", PROCESSORS)
def test_predictions_are_those_of_x86(processor: str, name: str, pi: Pi) -> None:
    (pi.home / "sample.py").write_text(SAMPLE)
    pi.run(f"/opt/cifar-edge/bin/python sample.py {name} {COMPARED[name]}", processor=processor)
    there = np.load(pi.home / "sample.npy")
    here = EdgeModel(name).predict(load_split("test", "sample").images[: COMPARED[name]])
    different = there.argmax(axis=1) != here.argmax(axis=1)
    largest = abs(there - here).max()
    print(
        f"{pi.suite}, {processor} ({PROCESSORS[processor]}), {name}: {different.sum()} of {len(here)} classes differ; "
        f"scores of {(there != here).any(axis=1).sum()} images differ, by {largest:.4f} at most"
    )
    assert len(there) == COMPARED[name]
    assert largest < 0.02  # 5 steps of int8
    second, first = np.sort(here[different], axis=1)[:, -2:].T
    assert (first - second <= 2 * largest).all()  # both are as good
    assert different.sum() <= 2


def test_size_and_start(pi: Pi) -> None:
    files = [path for path in (pi.root / "opt/cifar-edge").rglob("*") if path.is_file() and not path.is_symlink()]
    installed = [path for path in files if not path.is_relative_to(pi.root / "opt/cifar-edge/bin")]
    packages = [path for path in installed if "/pip" not in str(path) and "/setuptools" not in str(path)]
    places: Counter[str] = Counter()
    for path in packages:
        inside = path.relative_to(pi.root / "opt/cifar-edge").parts
        places[inside[min(3, len(inside) - 1)]] += path.stat().st_size
    size = places.total()
    print(", ".join(f"{name} {taken / 1e6:.0f} MB" for name, taken in places.most_common(16)))
    print(f"{pi.suite}: {len(packages):,} files, {size / 1e6:.0f} MB, without pip")
    for what in ("cifar-edge --help", "/opt/cifar-edge/bin/python -c 'import cifar_edge.classify.folder'"):
        began = time.monotonic()
        pi.run(what)
        print(f"{pi.suite}: {what}: {time.monotonic() - began:.2f} s, emulated")
    assert size < 200e6
