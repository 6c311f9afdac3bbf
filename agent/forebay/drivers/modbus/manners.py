"""How the units of one line behave: who is silent, how fast they answer, when all is lost.

Pure. Owns what the demotion of a silent unit is decided by. Must not know connections or requests.
Outlives connections.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

PATIENCE_LEAST_S = 0.02
"""A silent unit is given at least this long to show that it is back."""
FULL_PROBE_EVERY = 8
"""Of so many probes in a row one waits for the whole timeout: a unit may have become slow.

Only where a late answer cannot be told from another, and so does not show that by itself.
"""
FULL_PROBES_FIRST = 2
"""So many first probes of a unit of which no good answer is known wait so, too."""
_USUAL_SHARE = 0.1
"""How much one scan counts for the usual answer time."""
_SLOWEST_DECAY = 0.98
"""What is left of a unit's slowest answer after each scan that was faster."""


@dataclass(slots=True)
class _Unit:
    """One unit. `known`: it has answered or been silent before; `spoke`: on this connection."""

    known: bool = False
    silent: bool = False
    spoke: bool = False
    slowest_s: float = 0.0
    probes: int = 0


class Manners:
    """What is known of the units of one line.

    `late_answers` counts answers that came after they were given up.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._units: dict[int, _Unit] = {}
        self._members: Counter[int] = Counter()
        self._usual_s = 0.0
        self._unheard: set[int] = set()
        self._lost_voices = 0
        self.late_answers = 0

    def joined(self, unit: int) -> None:
        """Count one more device that asks `unit`."""
        self._members[unit] += 1

    def left(self, unit: int) -> None:
        """Count one less."""
        self._members[unit] -= 1
        if self._members[unit] <= 0:
            del self._members[unit]

    @property
    def members(self) -> int:
        """How many different units are asked on this line now."""
        return len(self._members)

    def opened(self) -> None:
        """Begin a new connection."""
        for unit in self._units.values():
            unit.spoke = False
        self._heard()

    def answered(self, unit: int, slowest_s: float, mean_s: float) -> None:
        """Note a scan that was answered: its longest wait, and the mean one."""
        known = self._of(unit)
        known.known = known.spoke = True
        known.silent, known.probes = False, 0
        known.slowest_s = max(slowest_s, known.slowest_s * _SLOWEST_DECAY)
        share = _USUAL_SHARE if self._usual_s else 1.0
        self._usual_s += (mean_s - self._usual_s) * share
        self._heard()

    def late(self, unit: int, took_s: float) -> None:
        """Note an answer that came after it was given up: the unit lives, and is that slow."""
        known = self._of(unit)
        known.spoke = True
        known.slowest_s = max(took_s, known.slowest_s)
        self.late_answers += 1
        self._heard()

    def told_silent(self, unit: int) -> None:
        """Note that a gateway said that `unit` is silent: the connection itself is good."""
        known = self._of(unit)
        known.known = known.silent = True
        self._heard()

    def lost_patience(self, unit: int) -> None:
        """Note that `unit` did not answer a probe for which others did not want to wait."""
        self._of(unit).silent = True

    def fell_silent(self, unit: int) -> bool:
        """Note that `unit` did not answer; give whether the connection itself is to be doubted.

        It is when no unit at all is heard any more, or when two answers in a row failed to come
        from units that had answered on this very connection. Otherwise only this unit is silent.
        """
        known = self._of(unit)
        known.known = known.silent = True
        self._unheard.add(unit)
        self._lost_voices += known.spoke
        return self._lost_voices > 1 or self._unheard.issuperset(self._members)

    def doubt(self, unit: int) -> None:
        """Note that `unit` has to show that it is there, though it may be no fault of its own."""
        known = self._of(unit)
        if not known.silent:
            known.silent, known.probes = True, 0

    def to_probe(self, unit: int) -> bool:
        """Whether `unit` is to show that it is there before it is scanned.

        So if it was silent; or if nobody knows, and others on the line would have to wait.
        """
        known = self._of(unit)
        return known.silent or (not known.known and self.members > 1)

    def patience_s(self, unit: int, timeout_s: float, *, numbered: bool) -> float:
        """Give how long the next probe of `unit` may hold up others, and count that probe.

        `numbered`: answers carry transaction ids, so that a late one is seen and teaches.
        """
        known = self._of(unit)
        known.probes += 1
        stranger = not known.slowest_s and known.probes <= FULL_PROBES_FIRST
        if not numbered and (stranger or known.probes % FULL_PROBE_EVERY == 0):
            return timeout_s
        return min(timeout_s, max(4 * self._usual_s, 2 * known.slowest_s, PATIENCE_LEAST_S))

    def _of(self, unit: int) -> _Unit:
        return self._units.setdefault(unit, _Unit())

    def _heard(self) -> None:
        """Note that somebody answered: the connection carries."""
        self._unheard.clear()
        self._lost_voices = 0
