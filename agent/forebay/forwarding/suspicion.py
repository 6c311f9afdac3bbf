"""Which record a destination breaks on, told from which destination is sick.

Pure: owns the verdict. A record is poison only if the destination breaks on it alone, takes another
one, and breaks on it again right after. A destination that breaks on the other one too is sick, and
one that recovers meanwhile takes the suspect: neither may cost a record. Must not know sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection

    from forebay.model import Position

PATIENCE = 5
"""Sessions that break with the same oldest record in flight before it is looked at alone."""
NEIGHBOURS = (1, 8, 64)
"""How far behind the suspect the others lie that are tried: poison may come in a row."""


class Suspicion:
    """Remembers how sessions ended, from one to the next.

    counting ──5 times the same──▶ alone ──breaks──▶ neighbour ──taken, then breaks──▶ convicted
        ▲                            │ taken             │ it breaks on each, or takes both
        └────────────────────────────┴───────────────────┘
    """

    def __init__(self) -> None:
        self._counts: dict[Position, int] = {}
        self._stage: Literal["counting", "alone", "neighbour", "convicted"] = "counting"
        self._suspect: Position | None = None
        self._tried = 0
        self._taken = False
        self.lonely = False
        """Whether there is no other record yet that the suspect could be compared with."""

    @property
    def held(self) -> str:
        """Say why the suspect is neither taken nor set aside; empty: there is none, or it goes."""
        if self._suspect is None or not self.lonely:
            return ""
        stream, epoch, seq = self._suspect
        where = f"{stream} {epoch:x}/{seq}"
        return f"the destination breaks on {where}, which waits for another to compare with"

    @property
    def is_asking(self) -> bool:
        """Whether a session is to find out about one record, sent alone."""
        return self._stage in ("alone", "neighbour")

    @property
    def alone(self) -> Position | None:
        """The record that the next session sends alone, before anything else."""
        return self._suspect if self._stage == "alone" else None

    @property
    def compared(self) -> tuple[Position, int] | None:
        """The suspect whose neighbour the next session sends first, and how far behind that lies.

        If that is taken, the suspect goes right after it.
        """
        if self._stage != "neighbour" or self._suspect is None:
            return None
        return self._suspect, NEIGHBOURS[self._tried]

    @property
    def convicted(self) -> Position | None:
        """The record that is poison."""
        return self._suspect if self._stage == "convicted" else None

    def ask_alone(self, position: Position) -> None:
        """Note that the record before was taken alone, and that this one goes alone now."""
        self._stage, self._suspect = "alone", position

    def neighbour_taken(self) -> None:
        """Note that the destination has taken the neighbour, and gets the suspect now."""
        self._taken = True

    def broke(self, oldest: Collection[Position], *, on_its_way: bool = False) -> None:
        """Note a session that ended by itself, and the oldest records of its lanes in flight.

        One with nothing in flight says nothing. `on_its_way`: a slow line may still have been
        carrying what was in flight; then nothing is poison for that.
        """
        if not oldest:
            return
        if self._stage == "alone":
            if self._suspect in oldest:
                self._stage = "neighbour"
        elif self._stage == "neighbour":
            if on_its_way:
                self._taken = False
            else:
                self._compare(self._suspect in oldest)
        elif self._stage == "counting":
            self._counts = {at: self._counts.get(at, 0) + 1 for at in oldest}
            worst = [at for at, count in self._counts.items() if count >= PATIENCE]
            if worst:
                self._stage, self._suspect = "alone", min(worst)

    def _compare(self, on_suspect: bool) -> None:  # noqa: FBT001 - one fact, named where it is told
        if on_suspect:
            self._stage = "convicted" if self._taken else "neighbour"
        elif self._tried + 1 < len(NEIGHBOURS):
            self._tried += 1
        else:
            self.clear()

    def clear(self) -> None:
        """Begin anew: the suspect was taken, is gone or set aside; or the destination is sick."""
        self._counts, self._stage, self._suspect = {}, "counting", None
        self._tried, self._taken, self.lonely = 0, False, False
