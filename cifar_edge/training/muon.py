"""Muon for convolutions: each step is a nearly orthogonal matrix.

Source: Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

TINY = 1e-7
"""A kernel without a gradient stays as it is, instead of becoming NaN."""


@keras.saving.register_keras_serializable("cifar_edge")
class Muon(keras.optimizers.Muon):  # type: ignore[misc] # Keras has no type information
    """Keras' Muon for the kernels of convolutions only; Keras' own takes matrices only, and leaves these to AdamW.

    A kernel is a matrix of (height * width * channels, filters). Its norm stays what it was in the beginning, for
    networks that normalize after each convolution, where scale has no effect; so the learning rate is the change of a
    step relative to it, and there is no weight decay. The momentum is Nesterov's. All other variables are AdamW's, at
    `adam_lr_ratio` times the learning rate.
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 4

    def _use_weight_decay(self, variable: Any) -> bool:
        return self._should_use_adamw(variable) and bool(super()._use_weight_decay(variable))

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign(m, gradient + self.momentum * m)
        kernel, ahead = (ops.reshape(x, (-1, variable.shape[-1])) for x in (variable, gradient + self.momentum * m))
        step = self.zeropower_via_newtonschulz5(ahead, self.ns_steps)
        norm = ops.norm(kernel)
        changed = kernel - lr * norm / (ops.norm(step) + TINY) * step
        self.assign(variable, ops.reshape(changed * norm / (ops.norm(changed) + TINY), variable.shape))
