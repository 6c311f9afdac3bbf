"""The process that the gateway starts."""

from __future__ import annotations

from forebay_plugin import serve
from forebay_twin.plugin import Twin

if __name__ == "__main__":
    serve(Twin)
