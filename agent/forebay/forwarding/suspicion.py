"""Which record a destination breaks on, told from which destination is sick.

Pure: owns the verdict. A record is poison only if the destination breaks on it alone and takes
another one right after. Must not know sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection

    from forebay.model import Position

PATIENCE = 5
"""Sessions that break with the same oldest record in flight before it is looked at alone."""


class Suspicion:
    """Remembers how sessions ended, from one to the next.

    counting ──5 times the same──▶ alone ──breaks──▶ neighbour ──taken──▶ verdict
        ▲                            │ taken             │ breaks
        └────────────────────────────┴───────────────────┘ (the destination is sick)
    """

    def __init__(self) -> None:
        self._counts: dict[Position, int] = {}
        self._stage: Literal["counting", "alone", "neighbour"] = "counting"
        self._suspect: Position | None = None

    @property
    def alone(self) -> Position | None:
        """The record that the next session sends alone, before anything else."""
        return self._suspect if self._stage == "alone" else None

    @property
    def before_neighbour(self) -> Position | None:
        """The record behind which the next session takes one and sends it alone, first of all."""
        return self._suspect if self._stage == "neighbour" else None

    def broke(self, oldest: Collection[Position]) -> None:
        """Note a session that ended by itself, and the oldest records of its lanes in flight.

        One with nothing in flight says nothing.
        """
        if not oldest:
            return
        if self._stage == "alone":
            if self._suspect in oldest:
                self._stage = "neighbour"
        elif self._stage == "neighbour":
            if self._suspect not in oldest:
                self.clear()
        else:
            self._counts = {at: self._counts.get(at, 0) + 1 for at in oldest}
            worst = [at for at, count in self._counts.items() if count >= PATIENCE]
            if worst:
                self._stage, self._suspect = "alone", min(worst)

    def clear(self) -> None:
        """Begin anew: the suspect was taken, is gone or set aside; or the destination is sick."""
        self._counts, self._stage, self._suspect = {}, "counting", None
