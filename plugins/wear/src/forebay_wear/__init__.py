"""Remaining life of a machine in cycles: `python -m forebay_wear`, started by the gateway."""

from __future__ import annotations

from forebay_wear.plugin import Wear

__all__ = ["Wear"]
