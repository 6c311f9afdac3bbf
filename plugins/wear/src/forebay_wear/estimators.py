"""Two ways to tell the life that remains: by a model of many lives, or by trends to limits.

Both take the last cycles of a machine and give the life with its band. Must not know windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_plugin import BAD, PluginError
from forebay_plugin.models import GovernedModel, Policy, order
from forebay_wear import trend
from forebay_wear.features import CYCLES, features, sensors_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from forebay_wear.features import Numbers

CONSTANTS = ("centre", "spread", "most", "band_at", "band_low", "band_high")


@dataclass(frozen=True)
class Estimate:
    """Cycles that remain, the ends of the band, and how far they can be trusted (StatusCode)."""

    value: float
    low: float
    high: float
    quality: int


NOTHING = Estimate(float("nan"), float("nan"), float("nan"), BAD)


class ByModel:
    """A model of features of the last cycles; the band was calibrated when it was trained.

    Attributes:
        columns: index of the tag of each sensor of the model.
        cycles: so many are looked at.
        sure: so many are needed for a full answer.
    """

    cycles = sure = CYCLES

    def __init__(
        self, tags: Sequence[str], settings: Mapping[str, Any], directory: Path | None
    ) -> None:
        self._model = GovernedModel.open(directory, Policy.of(settings))
        manifest = self._model.active.manifest
        port, constants = manifest.inputs.get("x"), self._model.active.constants
        missing = [name for name in CONSTANTS if name not in constants]
        if port is None or "remaining" not in manifest.outputs or missing:
            raise PluginError("the model must be one of plugins/wear/train.py")
        sensors = sensors_of(list(port.names))
        named = replace(port, names=tuple(sensors), shape=("batch", len(sensors)))
        self.columns = order(named, tags, settings)
        self._centre, self._spread = constants["centre"], constants["spread"]
        self._most = float(constants["most"])
        self._band_at = constants["band_at"]
        self._bands = np.stack([constants["band_low"], constants["band_high"]])

    def estimate(self, histories: Sequence[Numbers]) -> list[Estimate]:
        """Give one estimate for each (cycles, sensors)."""
        rows = [features((one - self._centre) / self._spread) for one in histories]
        answer = self._model.run({"x": np.stack(rows).astype(np.float32)})
        values = np.asarray(answer.outputs["remaining"], np.float64).reshape(len(rows))
        values = np.clip(values, 0.0, self._most)
        estimates = []
        for value, quality, one in zip(values.tolist(), answer.quality, histories, strict=True):
            low, high = self._band(value, short=len(one) < self.sure)
            estimates.append(Estimate(value, low, high, int(quality)))
        return estimates

    def _band(self, value: float, *, short: bool) -> tuple[float, float]:
        low, high = (np.interp(value, self._band_at, one[int(short)]) for one in self._bands)
        return (
            float(np.clip(value + low, 0.0, value)),
            float(np.clip(value + high, value, self._most)),
        )

    def facts(self) -> dict[str, str]:
        """What `forebay plugins show` tells."""
        return self._model.facts()

    def state(self) -> str:
        """Counts of the model, JSON."""
        return self._model.state()


class ByTrend:
    """The soonest of several sensors, each carried on to its limit. Attributes as of `ByModel`."""

    def __init__(self, tags: Sequence[str], settings: Mapping[str, Any]) -> None:
        limits = settings.get("limits", {})
        if not isinstance(limits, dict) or not limits:
            raise PluginError(
                "settings.limits must name sensors: { Vibration = { limit = 7.1, rising = true } }"
            )
        self.columns = [_index(name, tags) for name in limits]
        self._limits = [_limit(name, table) for name, table in limits.items()]
        self.cycles = int(number(settings, "trend_cycles", trend.LEAST, 10_000))
        self.sure = min(self.cycles, 3 * trend.LEAST)
        self._most = number(settings, "most", 1, 1e9)

    def estimate(self, histories: Sequence[Numbers]) -> list[Estimate]:
        """Give one estimate for each (cycles, sensors)."""
        return [self._soonest(one) for one in histories]

    def _soonest(self, cycles: Numbers) -> Estimate:
        lives = [
            trend.life(cycles[:, index], limit, rising=rising, most=self._most)
            for index, (limit, rising) in enumerate(self._limits)
        ]
        known = [life for life in lives if life is not None]
        if len(known) < len(lives):
            return NOTHING
        return Estimate(
            min(life.value for life in known),
            min(life.low for life in known),
            min(life.high for life in known),
            0,
        )

    def facts(self) -> dict[str, str]:
        """What `forebay plugins show` tells."""
        return {"by": f"trend of {self.cycles} cycles"}

    def state(self) -> str:
        """Nothing is counted."""
        return "{}"


def number(settings: Mapping[str, Any], key: str, least: float, most: float) -> float:
    """Read a number. Raises PluginError where it is none, or outside."""
    value = settings.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise PluginError(f"settings.{key} must be a number from {least:g} to {most:g}")
    return float(value)


def _limit(name: str, table: object) -> tuple[float, bool]:
    if not isinstance(table, dict) or table.keys() != {"limit", "rising"}:
        raise PluginError(f"settings.limits.{name} must be {{ limit = 7.1, rising = true }}")
    if not isinstance(table["rising"], bool):
        raise PluginError(f"settings.limits.{name}.rising must be true or false")
    return number(table, "limit", -1e12, 1e12), table["rising"]


def _index(name: str, tags: Sequence[str]) -> int:
    found = [index for index, tag in enumerate(tags) if tag == name or tag.endswith(f"/{name}")]
    if len(found) != 1:
        raise PluginError(f"settings.limits.{name}: {len(found)} tags of the inputs are called so")
    return found[0]
