"""Text to speech: Kokoro-82M on ONNX Runtime. The voices beside this file are Apache-2.0, as it is."""
