from __future__ import annotations

import pytest

from cifar_edge.benchmarks.studies import search
from cifar_edge.data import Cifar10
from cifar_edge.training.networks import residual


def test_each_candidate_is_trained_converted_and_timed(
    tiny: Cifar10, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "CANDIDATES", {"little": lambda name: residual(name, (4, 2), ((8, 2),))})
    monkeypatch.setattr(search, "EPOCHS", 1)
    monkeypatch.setattr(search, "load_cifar10", lambda: tiny)
    search.main()
    *_, row = (line for line in capsys.readouterr().out.splitlines() if line.startswith("|"))
    name, macs, parameters, latency, _, _ = (cell.strip() for cell in row.strip("|").split("|"))
    assert (name, latency) == ("little", "1.00")
    assert float(macs) > 0
    assert int(parameters.replace(",", "")) > 1000


def test_plain_candidates_halve_the_image_at_each_stage() -> None:
    network = search.CANDIDATES["plain 32x2, 64x2, 128x3"]("candidate")
    sizes = [layer.output.shape[1:] for layer in network.layers if "conv2d" in layer.name]
    assert sizes == [(16, 16, 32)] * 2 + [(8, 8, 64)] * 2 + [(4, 4, 128)] * 3
