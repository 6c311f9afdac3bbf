"""A model beside the real asset: `python -m forebay_twin`, started by the gateway."""

from __future__ import annotations

from forebay_twin.plugin import Twin

__all__ = ["Twin"]
