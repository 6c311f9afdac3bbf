"""How the plant's quantities run: smooth, never quite the same, the same at every start.

Owns the mathematics. Pure: a value is a function of the time since the plant started.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from zlib import crc32

_RATIOS = (1.0, 2.618, 6.854)
"""Ratios of the three periods of a wave; they share no common period."""
_SHARES = (0.65, 0.25, 0.10)


@dataclass(frozen=True, slots=True)
class Wave:
    """A quantity that swings about `mean` by at most `swing`, slowest in `period_s` seconds."""

    mean: float
    swing: float
    period_s: float

    def at(self, name: str, time_s: float) -> float:
        """Give the value; `name` sets the phase, so that no two quantities run alike."""
        phase = crc32(name.encode()) / 0xFFFF_FFFF
        total = sum(
            share * math.sin(math.tau * (time_s * ratio / self.period_s + phase * (index + 1)))
            for index, (ratio, share) in enumerate(zip(_RATIOS, _SHARES, strict=True))
        )
        return self.mean + self.swing * total


@dataclass(frozen=True, slots=True)
class Load:
    """A quantity that follows what the whole plant draws, with a ripple of its own."""

    mean: float
    swing: float
    period_s: float

    def at(self, name: str, time_s: float) -> float:
        """Give the value; those of one `period_s` run alike but for a tenth."""
        common = Wave(self.mean, 0.9 * self.swing, self.period_s).at("load", time_s)
        return common + Wave(0.0, 0.1 * self.swing, self.period_s / 3).at(name, time_s)


@dataclass(frozen=True, slots=True)
class Count:
    """A counter that stood at `start` and gains `per_s` a second."""

    start: int
    per_s: float

    def at(self, name: str, time_s: float) -> int:  # noqa: ARG002 - as Wave.at
        """Give the count."""
        return self.start + int(self.per_s * time_s)


@dataclass(frozen=True, slots=True)
class Stroke:
    """The position of a press, 0 to `height`, once in `period_s`, with a dwell at the bottom."""

    height: float
    period_s: float

    def at(self, name: str, time_s: float) -> float:  # noqa: ARG002 - as Wave.at
        """Give the position."""
        turn = (time_s / self.period_s) % 1.0
        return self.height * max(0.0, 0.45 + 0.55 * math.cos(math.tau * turn))


@dataclass(frozen=True, slots=True)
class Share:
    """True for `share` of each `period_s`."""

    share: float
    period_s: float

    def at(self, name: str, time_s: float) -> bool:
        """Give the state; `name` sets the phase."""
        phase = crc32(name.encode()) / 0xFFFF_FFFF
        return (time_s / self.period_s + phase) % 1.0 < self.share


@dataclass(frozen=True, slots=True)
class Choice:
    """One of `words`, each for `period_s`."""

    words: tuple[str, ...]
    period_s: float

    def at(self, name: str, time_s: float) -> str:  # noqa: ARG002 - as Wave.at
        """Give the word."""
        return self.words[int(time_s / self.period_s) % len(self.words)]


Signal = Wave | Load | Count | Stroke | Share | Choice
