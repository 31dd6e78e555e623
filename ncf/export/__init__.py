"""Models in the formats of other servers: ONNX and Triton. The only room that imports onnx."""
