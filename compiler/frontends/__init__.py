"""From torch modules and ONNX files to networks of cell graphs."""
