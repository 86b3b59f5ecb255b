"""One `.tflite` file."""
