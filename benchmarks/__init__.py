"""Latency and accuracy of `.tflite` models, clean and noisy; only `plots` needs more than the base install."""
