"""Whether residuals have left what is normal: a two-sided CUSUM (E. Page, 1954). Pure.

Owns the sums and the alarm. Must not know models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from forebay_twin.models import Numbers


@dataclass(frozen=True)
class Rule:
    """When drift is told.

    Attributes:
        slack: deviations that a residual may be off all the time.
        limit: sum at which the alarm begins; it ends at half of it.
        clip: one residual counts at most as so many deviations, so that none makes an alarm alone.
    """

    slack: float
    limit: float
    clip: float


@dataclass
class Sums:
    """What is summed up of residuals over and under the model, and whether there is an alarm."""

    over: float = 0.0
    under: float = 0.0
    drift: bool = False

    def take(self, normalised: Numbers, rule: Rule) -> tuple[Numbers, list[tuple[int, bool]]]:
        """Take (rows) in deviations, NaN where there is none.

        Gives (rows) the larger of both sums as a part of the limit, and the rows at which the alarm
        began (True) or ended.
        """
        sums, turns = np.empty(len(normalised)), []
        for at, z in enumerate(np.clip(normalised, -rule.clip, rule.clip).tolist()):
            if z == z:  # noqa: PLR0124 - NaN: nothing is known, nothing changes
                most = 2 * rule.limit
                self.over = min(max(self.over + z - rule.slack, 0.0), most)
                self.under = min(max(self.under - z - rule.slack, 0.0), most)
            largest = max(self.over, self.under)
            if self.drift != (largest > (rule.limit / 2 if self.drift else rule.limit)):
                self.drift = not self.drift
                turns.append((at, self.drift))
            sums[at] = largest / rule.limit
        return sums, turns
