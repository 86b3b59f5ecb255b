"""Keras model -> float and int8 `.tflite`; needs the extra `train`."""
