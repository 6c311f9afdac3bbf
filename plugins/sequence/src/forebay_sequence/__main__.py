"""The plugin process."""

from __future__ import annotations

from forebay_plugin import serve
from forebay_sequence.plugin import SequencePlugin

if __name__ == "__main__":
    serve(SequencePlugin)
