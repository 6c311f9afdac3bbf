"""What is known of a station between two moments, and its form in JSON.

Owns the shapes. Must not know what is right or wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from forebay_sequence.torque import Taught

Value = float | str
Reason = tuple[str, str]
"""A code for machines, a text for people."""


@dataclass
class Run:
    """One step of one unit; what is wrong is of its last run.

    Attributes:
        runs: how often it was begun.
        began_ns: of the last run. `took_ns` is None while it is under way.
        slow: it was told that it takes too long.
        least, most: smallest and largest value so far, by check.
        base: what a counter held when it began, by check; None: not known.
        torque, angle: points of a curve so far, by check.
        readings: CHECK.NAME -> what was read, for the record.
    """

    runs: int = 0
    began_ns: int = 0
    took_ns: int | None = None
    slow: bool = False
    wrong: list[Reason] = field(default_factory=list)
    doubts: list[Reason] = field(default_factory=list)
    least: dict[str, float] = field(default_factory=dict)
    most: dict[str, float] = field(default_factory=dict)
    base: dict[str, float | None] = field(default_factory=dict)
    torque: dict[str, list[float]] = field(default_factory=dict)
    angle: dict[str, list[float]] = field(default_factory=dict)
    readings: dict[str, Value] = field(default_factory=dict)

    @property
    def under_way(self) -> bool:
        """Whether it has begun and not ended."""
        return self.runs > 0 and self.took_ns is None

    @property
    def well(self) -> bool:
        """Whether it ended, and nothing is wrong or in doubt."""
        return self.took_ns is not None and not self.wrong and not self.doubts

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Run:
        """Undo `to_json`."""
        made = cls(**given)
        made.wrong = [(code, text) for code, text in made.wrong]
        made.doubts = [(code, text) for code, text in made.doubts]
        return made


@dataclass
class Unit:
    """The unit that is under way.

    Attributes:
        wrong, doubts: beside those of its steps.
        held: for so many reasons the line was held already.
    """

    serial: str
    began_ns: int
    wrong: list[Reason] = field(default_factory=list)
    doubts: list[Reason] = field(default_factory=list)
    steps: dict[str, Run] = field(default_factory=dict)
    held: int = 0

    def doubt(self, code: str, text: str) -> None:
        """Note a doubt, once of each code."""
        if all(code != known for known, _ in self.doubts):
            self.doubts.append((code, text))

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {**vars(self), "steps": {name: run.to_json() for name, run in self.steps.items()}}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Unit:
        """Undo `to_json`."""
        made = cls(**given)
        made.wrong = [(code, text) for code, text in made.wrong]
        made.doubts = [(code, text) for code, text in made.doubts]
        made.steps = {name: Run.from_json(run) for name, run in given["steps"].items()}
        return made


@dataclass
class Station:
    """All that is known.

    Attributes:
        last_ns: the last moment of data that was looked at.
        values: DEVICE/TAG -> its last value; None while it is bad.
        truths: condition -> whether it held when it was last known.
        serial: the last serial number that was known; None if none ever was.
        unsure: triggers of which nothing was seen since a restart: what they did is not known.
        hold: whether the line is held. `told_ns` is when silence was last told of.
        used: CHECK -> part numbers that were used once.
        taught: STEP/CHECK -> what its envelope was taught.
        counts: verdict -> units.
    """

    last_ns: int = 0
    values: dict[str, Value | None] = field(default_factory=dict)
    truths: dict[str, bool] = field(default_factory=dict)
    serial: str | None = None
    unsure: list[str] = field(default_factory=list)
    unit: Unit | None = None
    hold: bool = False
    told_ns: int = 0
    used: dict[str, list[str]] = field(default_factory=dict)
    taught: dict[str, Taught] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {"OK": 0, "NOK": 0, "UNKNOWN": 0})

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            **vars(self),
            "unit": self.unit.to_json() if self.unit else None,
            "taught": {key: dict(vars(one)) for key, one in self.taught.items()},
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Station:
        """Undo `to_json`; nothing in it is what nothing known is."""
        if not given:
            return cls()
        made = cls(**given)
        made.unit = Unit.from_json(given["unit"]) if given["unit"] else None
        made.taught = {key: Taught(**one) for key, one in given["taught"].items()}
        return made
