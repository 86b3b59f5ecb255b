"""Latency and accuracy of `.tflite` models, on clean and on noisy images; needs only the base install."""
