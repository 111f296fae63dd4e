"""A trained model as a value: files, ONNX, export, predictions."""
