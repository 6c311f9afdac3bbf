"""Energy a unit, and advice on set-points: `python -m forebay_advisor`, started by the gateway."""

from __future__ import annotations

from forebay_advisor.plugin import Advisor

__all__ = ["Advisor"]
