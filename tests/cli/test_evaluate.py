from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def test_evaluate_agrees_for_run_keras_and_tflite(run: Path, cifar_edge: Command) -> None:
    models = (run, run / "model.keras", run / "cnn-float32.tflite")
    texts = [cifar_edge("evaluate", model, "--data", "sample").out for model in models]
    assert len({text.split(",")[0] for text in texts}) == 1
    assert "on 1,000 images" in texts[0]
    assert "automobile" in texts[0]
    assert "on 500 images" in cifar_edge("evaluate", run, "--data", "sample", "--validation").out
