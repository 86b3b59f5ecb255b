from __future__ import annotations

import keras
import numpy as np
import pytest

from cifar_edge.training.muon import Muon


def test_muon_changes_all_directions_of_a_kernel_alike_and_keeps_its_norm() -> None:
    rng = np.random.default_rng(0)
    before = rng.standard_normal((3, 3, 16, 32), dtype=np.float32)
    kernel = keras.Variable(before)
    # The gradient itself is twenty times as long in some directions as in others.
    gradient = rng.standard_normal(before.shape, dtype=np.float32) * np.geomspace(0.05, 1, 32, dtype=np.float32)
    Muon(learning_rate=0.03, weight_decay=0.1).apply([keras.ops.convert_to_tensor(gradient)], [kernel])
    after = keras.ops.convert_to_numpy(kernel)
    assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before), rel=1e-5)
    assert np.linalg.norm(after - before) == pytest.approx(0.03 * np.linalg.norm(before), rel=1e-2)
    lengths = np.linalg.svd((after - before).reshape(-1, 32), compute_uv=False)
    assert lengths.max() < 2 * lengths.min()
