"""A candidate that computes what the active model does, and is only compared.

Owns the figures of agreement. What it gives reaches no output; what it breaks is counted.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin.models.errors import ModelUnfit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from forebay_plugin.models.folder import Arrays
    from forebay_plugin.models.manifest import ModelManifest
    from forebay_plugin.models.runtime import Model

SLOW_RUNS_MAX = 3
"""Runs over the budget, until the candidate is left out: it must not cost the active one time."""


class Shadow:
    """`model` beside the active one; verdicts are compared where the manifest has a threshold."""

    def __init__(
        self,
        model: Model,
        active: ModelManifest,
        budget_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self._budget_s, self._clock = model, budget_s, clock
        self._thresholds = [
            (name, value, model.manifest.thresholds.get(name, value))
            for name, value in active.thresholds.items()
        ]
        self._rows = self._failed = self._slow = 0
        self._values = 0
        self._difference = self._most = 0.0
        self._verdicts = self._agreed = self._only_active = self._only_candidate = 0

    def compare(self, inputs: Mapping[str, npt.NDArray[Any]], active: Arrays) -> None:
        """Compute the same rows as the active model, whose outputs are given."""
        if self._slow >= SLOW_RUNS_MAX:
            return
        begun = self._clock()
        try:
            computed = self.model.run(inputs)
        except ModelUnfit:
            self._failed += 1
            return
        if self._budget_s and self._clock() - begun > self._budget_s:
            self._slow += 1
        for name, ours in active.items():
            theirs = computed[name]
            if ours.shape != theirs.shape or ours.dtype.kind not in "fiub":
                self._failed += 1
                return
            apart = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
            self._difference += float(np.nansum(apart))
            self._values += apart.size
            self._most = max(self._most, float(np.nanmax(apart, initial=0.0)))
        self._rows += len(next(iter(active.values())))
        for name, limit, limit_of_candidate in self._thresholds:
            ours, theirs = active[name] >= limit, computed[name] >= limit_of_candidate
            self._verdicts += ours.size
            self._agreed += int((ours == theirs).sum())
            self._only_active += int((ours & ~theirs).sum())
            self._only_candidate += int((~ours & theirs).sum())

    def figures(self) -> dict[str, float]:
        """Give rows, mean and largest difference, share of equal verdicts, and what differs."""
        figures: dict[str, float] = {
            "rows": self._rows,
            "failed_runs": self._failed,
            "slow_runs": self._slow,
            "mean_difference": round(self._difference / max(self._values, 1), 9),
            "largest_difference": round(self._most, 9),
        }
        if self._thresholds:
            figures |= {
                "same_verdict": round(self._agreed / max(self._verdicts, 1), 6),
                "only_active_finds": self._only_active,
                "only_candidate_finds": self._only_candidate,
            }
        return figures
