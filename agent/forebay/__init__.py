"""Forebay, the edge gateway of a factory.

`docs/ARCHITECTURE.md` says where to start reading; `forebay.model` holds the words that everything
else uses.
"""

from __future__ import annotations

__version__ = "0.1.0"
