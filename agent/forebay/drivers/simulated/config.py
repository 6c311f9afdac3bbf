"""What a person writes about a simulated tag: a signal and its figures, such as `sine high=50`.

Owns the forms of an address and what each type can hold. Must not know how signals are computed.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from pydantic import model_validator

from forebay.model import MAX_STRING_BYTES, ValueType
from forebay.settings import DeviceSettings, TagSettings, parse_duration

FIGURES = {
    "sine": ("low", "high", "period", "phase"),
    "ramp": ("low", "high", "period", "phase"),
    "square": ("low", "high", "period", "phase"),
    "walk": ("low", "high", "step"),
    "counter": ("step",),
}
"""The signals and the figures that each may be given; `constant` takes a value instead."""

DEFAULTS = {"low": 0.0, "high": 100.0, "period": 60.0, "phase": 0.0, "step": 1.0}
LARGEST = 2.0**53
"""Beyond this a float, which the signals are computed with, no longer holds every integer."""

_EXAMPLE = "write for example `sine low=0 high=100 period=60s`, `counter` or `constant 42`"


class Signal(NamedTuple):
    """A parsed address.

    `figures` hold every figure of the kind: `low`, `high` and `step` in raw units, `period` in
    seconds, `phase` in periods. `constant` is the value of a constant, else None.
    """

    kind: str
    figures: dict[str, float]
    constant: bool | int | float | str | None = None


def parse_signal(text: str, of: ValueType) -> Signal:
    """Read an address for a tag of type `of`; ValueError says what is wrong and what to write."""
    kind, _, rest = text.strip().partition(" ")
    if kind == "constant":
        return Signal(kind, {}, _constant(rest.strip(), of))
    if kind not in FIGURES:
        known = ", ".join([*FIGURES, "constant"])
        raise ValueError(f"there is no signal {kind!r}, only {known}; {_EXAMPLE}")
    figures = {name: DEFAULTS[name] for name in FIGURES[kind]}
    for part in rest.split():
        name, equals, value = part.partition("=")
        if not equals or name not in figures:
            raise ValueError(
                f"{part!r} says nothing to a {kind}; it takes {', '.join(figures)}, as name=value"
            )
        figures[name] = _figure(name, value)
    if of is ValueType.STRING or (of is ValueType.BOOL and kind != "square"):
        raise ValueError(f"a {kind} cannot be a {of}; choose another type, or a constant")
    if of is not ValueType.BOOL:
        _check_range(figures, of)
    return Signal(kind, figures)


def _figure(name: str, value: str) -> float:
    try:
        figure = float(parse_duration(value) if name == "period" else value)
    except ValueError:
        figure = float("nan")
    if not abs(figure) <= LARGEST or (name == "period" and figure <= 0):
        raise ValueError(f"{value!r} is no {name}; write a number, and for a period more than 0")
    return figure


def _check_range(figures: dict[str, float], of: ValueType) -> None:
    """Raise ValueError unless a column of this type holds everything from low to high."""
    low, high = figures.get("low", 0.0), figures.get("high", 0.0)
    if low > high:
        raise ValueError(f"low {low:g} lies above high {high:g}; exchange them")
    least, most = _range(of)
    if low < least or high > most:
        raise ValueError(f"a {of} holds {least:g} to {most:g}; change low, high or the type")
    if figures.get("step", 0.0) < 0 or (of.dtype.kind in "iu" and figures.get("step", 1.0) % 1):
        raise ValueError(f"step {figures['step']:g} does not suit a {of}; write a whole number")


def _range(of: ValueType) -> tuple[float, float]:
    if of.dtype.kind == "f":
        return float(np.finfo(of.dtype).min), float(np.finfo(of.dtype).max)
    return int(np.iinfo(of.dtype).min), int(np.iinfo(of.dtype).max)


def _constant(text: str, of: ValueType) -> bool | int | float | str:
    """Read the value of a constant exactly."""
    if of is ValueType.STRING:
        if len(text.encode()) > MAX_STRING_BYTES:
            raise ValueError("the text is too long; shorten it")
        return text
    if of is ValueType.BOOL:
        if text not in {"true", "false"}:
            raise ValueError(f"{text!r} is no bool; write true or false")
        return text == "true"
    try:
        number = float(text) if of.dtype.kind == "f" else int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no {of}; write a number") from None
    least, most = _range(of)
    if not least <= number <= most:
        raise ValueError(f"a {of} cannot hold {text}; choose a larger type")
    return number


class SimulatedSettings(DeviceSettings):
    """One simulated device. It is always there, so it has nothing of its own to set."""


class SimulatedTag(TagSettings):
    """One simulated value; its address is a signal."""

    @property
    def signal(self) -> Signal:
        """The parsed address."""
        return parse_signal(self.address, self.type)

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_signal(self.address, self.type)
        if self.type in {ValueType.BOOL, ValueType.STRING} and (self.scale, self.offset) != (1, 0):
            raise ValueError(f"a {self.type} cannot be scaled; leave out scale and offset")
        return self
