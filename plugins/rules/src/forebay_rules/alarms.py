"""The states of an alarm, after ISA-18.2 (IEC 62682), clause on alarm states. Pure.

Owns which state follows which. Must not know expressions: it is told what holds at each row.

    normal ──raise──▶ unacknowledged ──acknowledge──▶ acknowledged
      ▲  ▲              │        ▲                        │
      │  └─acknowledge─ returned ┘ raise                  │
      └───────────────────────── clear ───────────────────┘

Beside these it may be shelved (by a person, until a time), suppressed by design (by a condition),
or out of service (by the settings): then it makes no news, and when that ends it begins anew with
what holds by then. A latched alarm does not return by itself: it stays until it is acknowledged
while its condition is clear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from forebay_rules.rows import Times

    Bools = npt.NDArray[np.bool_]


class State(IntEnum):
    """The state that people are shown; the number is what a tag of that alarm holds."""

    NORMAL = 0
    UNACKNOWLEDGED = 1
    ACKNOWLEDGED = 2
    RETURNED = 3
    SHELVED = 4
    SUPPRESSED = 5
    OUT_OF_SERVICE = 6

    @property
    def words(self) -> str:
        """For people."""
        return {
            State.UNACKNOWLEDGED: "active, unacknowledged",
            State.ACKNOWLEDGED: "active, acknowledged",
            State.RETURNED: "returned to normal, unacknowledged",
        }.get(self, self.name.lower().replace("_", " "))

    @property
    def active(self) -> bool:
        """Whether it calls for somebody: unacknowledged or acknowledged."""
        return self in (State.UNACKNOWLEDGED, State.ACKNOWLEDGED)


INHIBITED = (State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE)


@dataclass(frozen=True)
class Manner:
    """How an alarm behaves: latched, and whether it is acknowledged by anybody at all.

    One that is not (`acknowledged` False) returns to normal by itself.
    """

    latched: bool = False
    acknowledged: bool = False


@dataclass(frozen=True)
class Memory:
    """What is known of one alarm between rows: its state, and what held last.

    `condition` is what was said last of it, kept over bad data. `acknowledge` and `suppress` are
    what these expressions said last, None if they never did.
    """

    state: State = State.NORMAL
    condition: bool = False
    acknowledge: bool | None = None
    suppress: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {**self.__dict__, "state": int(self.state)}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Memory:
        """Undo `to_json`."""
        return cls(**{**given, "state": State(given["state"])})


@dataclass(frozen=True)
class Facts:
    """What holds at each row (rows): all that alarms are judged by.

    Attributes:
        up: the condition has held for the on-delay.
        down: it has been clear for the off-delay; where neither is True, all stays as it was.
        acknowledge: (rows) 1, 0, or NaN where it is bad.
        suppress: the same.
        inhibit: state that is imposed at the row, or 0.
    """

    times: Times
    up: Bools
    down: Bools
    acknowledge: npt.NDArray[np.float64]
    suppress: npt.NDArray[np.float64]
    inhibit: npt.NDArray[np.int64]


def step(
    memory: Memory,
    manner: Manner,
    *,
    up: bool = False,
    down: bool = False,
    acknowledged: bool = False,
    inhibit: State | None = None,
) -> Memory:
    """Give what is known after one row; who acknowledges has seen the row before it."""
    condition = True if up else False if down else memory.condition
    state = memory.state
    if inhibit is not None:
        return replace(memory, state=inhibit, condition=condition)
    if state in INHIBITED:
        return replace(
            memory, state=State.UNACKNOWLEDGED if condition else State.NORMAL, condition=condition
        )
    if acknowledged and state is not State.NORMAL:
        state = State.ACKNOWLEDGED if memory.condition else State.NORMAL
    if condition and not memory.condition:
        state = State.UNACKNOWLEDGED
    elif memory.condition and not condition and not manner.latched:
        unseen = state is State.UNACKNOWLEDGED and manner.acknowledged
        state = State.RETURNED if unseen else State.NORMAL
    return replace(memory, state=state, condition=condition)


def judge(memory: Memory, manner: Manner, facts: Facts) -> tuple[Memory, list[tuple[int, State]]]:
    """Follow an alarm over rows; give what is known behind them, and its changes (time, state)."""
    changes: list[tuple[int, State]] = []
    for row in _of_interest(facts):
        acknowledge, suppress = float(facts.acknowledge[row]), float(facts.suppress[row])
        pressed = acknowledge == 1 and memory.acknowledge is False
        if not np.isnan(suppress):
            memory = replace(memory, suppress=suppress == 1)
        imposed = int(facts.inhibit[row])
        inhibit = State(imposed) if imposed else State.SUPPRESSED if memory.suppress else None
        before = memory.state
        memory = step(
            memory,
            manner,
            up=bool(facts.up[row]),
            down=bool(facts.down[row]),
            acknowledged=pressed,
            inhibit=inhibit,
        )
        if not np.isnan(acknowledge):
            memory = replace(memory, acknowledge=acknowledge == 1)
        if memory.state is not before:
            changes.append((int(facts.times[row]), memory.state))
    return memory, changes


def _of_interest(facts: Facts) -> list[int]:
    """Rows at which something is otherwise than at the row before: the first is one."""
    if not len(facts.times):
        return []
    columns = [
        facts.up,
        facts.down,
        facts.inhibit,
        np.nan_to_num(facts.acknowledge, nan=2.0),
        np.nan_to_num(facts.suppress, nan=2.0),
    ]
    differs = np.logical_or.reduce([np.diff(column.astype(np.int64)) != 0 for column in columns])
    return [0, *(np.flatnonzero(differs) + 1).tolist()]
