"""The plugin process."""

from __future__ import annotations

from forebay_plugin import serve
from forebay_rules.plugin import Rules

if __name__ == "__main__":
    serve(Rules)
