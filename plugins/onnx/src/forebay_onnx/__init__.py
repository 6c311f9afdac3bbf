"""Any ONNX model on windows of tags: `python -m forebay_onnx`, started by the gateway."""

from __future__ import annotations

from forebay_onnx.plugin import Onnx

__all__ = ["Onnx"]
