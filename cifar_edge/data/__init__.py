"""CIFAR-10 as verified uint8 arrays, wherever it comes from."""

from cifar_edge.data.cifar10 import CLASSES, Cifar10, Split, hold_out, load_cifar10, load_split

__all__ = ["CLASSES", "Cifar10", "Split", "hold_out", "load_cifar10", "load_split"]
