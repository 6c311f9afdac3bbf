"""The process that the gateway starts."""

from __future__ import annotations

from forebay_advisor.plugin import Advisor
from forebay_plugin import serve

if __name__ == "__main__":
    serve(Advisor)
