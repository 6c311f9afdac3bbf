"""One anomaly score for many tags: `python -m forebay_anomaly`, started by the gateway."""

from __future__ import annotations

from forebay_anomaly.plugin import Anomaly

__all__ = ["Anomaly"]
