"""Boxes, pre-processing, decoding and the inference session: one implementation for factory and device.

Stands on numpy, pillow and onnxruntime alone. Decides how a picture becomes a tensor and a tensor becomes boxes;
whoever measures a detector (float, ONNX, INT8, on the device) measures it through here.
"""
