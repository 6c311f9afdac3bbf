"""The process that the gateway starts."""

from __future__ import annotations

from forebay_plugin import serve
from forebay_vision.plugin import Vision

if __name__ == "__main__":
    serve(Vision)
