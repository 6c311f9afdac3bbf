"""The process that the gateway starts."""

from __future__ import annotations

from forebay_onnx.plugin import Onnx
from forebay_plugin import serve

if __name__ == "__main__":
    serve(Onnx)
