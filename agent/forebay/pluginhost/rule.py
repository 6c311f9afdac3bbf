"""How the windows of a plugin are cut.

Owns what the settings of a window mean. Must not know rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.pluginhost.manifest import WindowSettings

GRACE_S = 1.0
"""How long windows wait for axes that are behind, where nobody says."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How windows are cut: by `rows` and `stride`, or else by `every_ns` and `length_ns`."""

    rows: int
    stride: int
    every_ns: int
    length_ns: int
    grace_ns: int

    @classmethod
    def of(cls, settings: WindowSettings) -> Rule:
        """Give the rule that settings mean: one row by itself where they say nothing."""
        rows = settings.rows or 1
        every_ns = round((settings.every or 0.0) * 1e9)
        length_ns = every_ns if settings.length is None else round(settings.length * 1e9)
        grace_s = GRACE_S if settings.grace is None else settings.grace
        return cls(rows, settings.stride or rows, every_ns, length_ns, round(grace_s * 1e9))
