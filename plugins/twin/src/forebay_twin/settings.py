"""The plugin's settings, checked; and the models that they name.

Owns the words of `[settings]`. Must not know data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forebay_plugin import PluginError
from forebay_twin.drift import Rule
from forebay_twin.models import How, Model, PumpHead, PumpPower, Tank

if TYPE_CHECKING:
    from collections.abc import Mapping

LEARN_LEAST, LEARN_MAX = 30, 100_000
INPUTS = {"pump-head": (1, 2), "pump-power": (2, 2), "tank": (1, 2)}
"""How many inputs each kind of first principles takes, at least and at most."""


@dataclass(frozen=True)
class Settings:
    """`model` is None where it is to be fitted; `learn` 0: what is normal is read from a file."""

    model: Model | None
    learn: int
    how: How
    rule: Rule

    @classmethod
    def of(cls, given: Mapping[str, Any], inputs: int) -> Settings:
        """Check what a person set, for so many inputs. Raises PluginError."""
        learn = int(_number(given, "learn", 0, LEARN_MAX))
        if 0 < learn < LEARN_LEAST:
            raise PluginError(f"settings.learn must be 0, or {LEARN_LEAST} at least")
        model = _model(given, inputs)
        return cls(
            model=model,
            learn=learn,
            how=How(
                int(_number(given, "lags", 1, 100)),
                _number(given, "ridge", 0, 1e6),
                given.get("squares") is True,
            ),
            rule=Rule(
                _number(given, "slack", 0, 100),
                _number(given, "limit", 1e-3, 1e6) * _repeats(model),
                _number(given, "clip", 1e-3, 1e6),
            ),
        )


def _repeats(model: Model | None) -> int:
    """In how many residuals one row has its part: so many are off together."""
    return model.before if isinstance(model, Tank) else 1


def _model(given: Mapping[str, Any], inputs: int) -> Model | None:
    kind = given.get("kind")
    if kind == "fitted":
        return None
    if kind not in INPUTS:
        raise PluginError(f"settings.kind must be one of fitted, {', '.join(INPUTS)}")
    least, most = INPUTS[kind]
    if not least <= inputs <= most:
        raise PluginError(f"{kind} takes {least} to {most} inputs, and there are {inputs}")
    if kind == "pump-head":
        return PumpHead(
            _number(given, "head_zero", 1e-9, 1e6),
            _number(given, "bend", 0, 1e6),
            _number(given, "speed", 1e-9, 1e6),
        )
    if kind == "pump-power":
        return PumpPower(
            _number(given, "density", 1e-9, 1e5), _number(given, "efficiency", 1e-3, 1)
        )
    return Tank(_number(given, "area", 1e-9, 1e9), int(_number(given, "horizon", 1, 3600)))


def _number(given: Mapping[str, Any], key: str, least: float, most: float) -> float:
    value = given.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise PluginError(f"settings.{key} must be a number from {least:g} to {most:g}")
    return float(value)
