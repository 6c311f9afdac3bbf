"""The plugin process."""

from __future__ import annotations

from forebay_plugin import serve
from forebay_replenish.plugin import Replenish

if __name__ == "__main__":
    serve(Replenish)
