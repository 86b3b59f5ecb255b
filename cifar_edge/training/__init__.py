"""Keras networks for CIFAR-10, their recipes and the training loop; needs the extra `train`."""
