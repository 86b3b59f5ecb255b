"""Train on CIFAR-10, export to TFLite, classify folders of photos on a Raspberry Pi."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_edge.classify.folder import classify_folder
    from cifar_edge.data import load_cifar10
    from cifar_edge.tflite.model import EdgeModel

__all__ = ["EdgeModel", "classify_folder", "load_cifar10"]
__version__ = "0.1.0"

# TensorFlow reads these when it is imported, by any module, so they are set here. The user's own values stay.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On x86 without int8 instructions TensorFlow chooses Eigen; with oneDNN an epoch takes a sixth to a third less time.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_HOME = {
    "EdgeModel": "tflite.model:EdgeModel",
    "classify_folder": "classify.folder:classify_folder",
    "load_cifar10": "data:load_cifar10",
    "images": "photos.decode:",
}
"""Where the public names live: module, colon, name in it; `images` is a module itself."""


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that `cifar-edge --help` does not wait for NumPy."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, attribute = _HOME[name].partition(":")
    home = import_module(f"{__name__}.{module}")
    return getattr(home, attribute) if attribute else home
