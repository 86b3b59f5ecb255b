"""Train on CIFAR-10, export to TFLite, classify folders of photos on a Raspberry Pi."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_edge.data import load_cifar10
    from cifar_edge.folder import classify_folder
    from cifar_edge.model import EdgeModel

__all__ = ["EdgeModel", "classify_folder", "load_cifar10"]
__version__ = "0.1.0"

_HOME = {"EdgeModel": "model", "classify_folder": "folder", "load_cifar10": "data"}


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that `cifar-edge --help` does not wait for NumPy."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
