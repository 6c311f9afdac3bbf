"""The plugin process."""

from __future__ import annotations

from forebay_features.plugin import Features
from forebay_plugin import serve

if __name__ == "__main__":
    serve(Features)
