"""The wheel alone, in an empty environment, as on a Raspberry Pi."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import PHOTOS, ROOT
from tests.photos.containers import FORMATS, coded


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `cifar-edge` of an environment that holds nothing but the wheel and what it asks for."""
    environment = tmp_path_factory.mktemp("pi") / "venv"
    venv.create(environment, with_pip=False)
    subprocess.run([*pip(environment), "install", "--quiet", "--no-compile", wheel], check=True)
    return environment / "bin" / "cifar-edge"


def pip(environment: Path) -> list[str | Path]:
    """The pip of the tests, at work in another environment: to give it one of its own takes longer than all else."""
    return [sys.executable, "-m", "pip", "--python", environment / "bin" / "python"]


def tree() -> set[str]:
    """Every module of the repository, under the name it is installed by."""
    homes = {"cifar_edge": "cifar_edge", "export": "cifar_edge/export", "benchmarks": "cifar_edge/benchmarks"}
    return {
        f"{installed}/{path.relative_to(ROOT / folder)}"
        for folder, installed in homes.items()
        for path in (ROOT / folder).rglob("*.py")
    }


def test_the_wheel_holds_every_module_and_only_what_a_pi_needs(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    data = {"py.typed", "classify/report.html", "classify/watch/cifar-edge-watch.service"}
    data |= {"data/sample/README.md", "data/sample/test.webp"}
    models = {f"{name}-{kind}.tflite" for name in ("nano", "small") for kind in ("int8", "float32")}
    data |= {f"models/{name}" for name in (*models, "bench.json", "README.md")}
    assert names == tree() | {f"cifar_edge/{name}" for name in data}
    assert wheel.stat().st_size < 14_000_000


def test_a_photo_is_classified_with_the_base_install(command: Path, run: Path, tmp_path: Path) -> None:
    photo = PHOTOS / "horse" / "zaniskari.jpg"
    arguments = ["classify", photo, "--model", run / "cnn-int8.tflite", "-o", "-"]
    result = subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert row["path"] == str(photo)
    assert row["label"]
    shipped = subprocess.run([command, "classify", photo, "-o", "-"], cwd=tmp_path, capture_output=True, text=True)
    assert "horse" in shipped.stdout
    assert "XNNPACK" not in result.stderr


def test_heic_and_avif_are_read_with_the_base_install(command: Path, run: Path, tmp_path: Path) -> None:
    with Image.open(PHOTOS / "horse" / "zaniskari.jpg") as photo:
        for suffix in FORMATS:
            (tmp_path / f"photo.{suffix}").write_bytes(coded(photo.resize((128, 96)), suffix))
    arguments = ["classify", tmp_path, "--model", run / "cnn-int8.tflite", "-o", "-"]
    result = subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [bool(row["label"]) for row in csv.DictReader(io.StringIO(result.stdout))] == [True, True]


def test_bench_and_evaluate_run_with_the_base_install(command: Path, run: Path, tmp_path: Path) -> None:
    model = run / "cnn-int8.tflite"
    subprocess.run([command, "evaluate", model, "--data", "sample"], cwd=tmp_path, check=True, capture_output=True)
    options = ["--rounds", "2", "--runtime", "--profile", "--output", "bench.json"]
    arguments = ["bench", model, "--data", "sample", *options]
    result = subprocess.run([command, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "MAX_POOL_2D" in result.stdout
    assert "TensorFlow: not measured, for want of tensorflow and keras" in result.stderr
    assert (tmp_path / "bench.json").exists()
    refused = subprocess.run([command, *arguments, "--plot", "pictures"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: this needs matplotlib: install the extra `bench`")


@pytest.mark.parametrize("arguments", [["train", "--data", "sample"], ["export", "model.keras"]])
def test_without_tensorflow_one_line_says_what_to_install(command: Path, arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "model.keras").touch()
    result = subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert (
        result.stderr == "error: this needs keras: install the extra `train`, in a clone by `pip install '.[train]'`\n"
    )


def test_the_base_install_is_small(command: Path) -> None:
    packages = subprocess.run([*pip(command.parent.parent), "list"], capture_output=True, text=True, check=True).stdout
    assert "ai-edge-litert" in packages
    for heavy in ("tensorflow", "keras", "matplotlib", "jax"):
        assert heavy not in packages
