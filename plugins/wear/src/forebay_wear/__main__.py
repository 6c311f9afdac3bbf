"""The process that the gateway starts."""

from __future__ import annotations

from forebay_plugin import serve
from forebay_wear.plugin import Wear

if __name__ == "__main__":
    serve(Wear)
