"""What the audit stream says of a write: a deed before it goes out, and a deed of how it ended.

Owns the columns of these records. Must not know the gate, nor how records are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forebay.model import Batch, Schema, Stream, Tag, ValueType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.clock import Stamp

MAX_DETAIL_CHARACTERS = 1_000
INTENT, OUTCOME = "intent", "outcome"


class Deed(NamedTuple):
    """One line of the audit.

    `step` is `intent` (it is about to go out) or `outcome`; `outcome` is empty in an intent.
    `value` and `read_back` are JSON of what a person sees, `value` of a call a list. `took_ms` is
    from the request to the device's answer, 0 if none came.
    """

    id: str
    step: str
    action: str
    target: str
    value: str
    who: str
    reason: str
    outcome: str = ""
    detail: str = ""
    read_back: str = ""
    took_ms: float = 0.0

    def asks(self, other: Deed) -> bool:
        """Whether both are about the same request."""
        return (self.id, self.action, self.target, self.value) == (
            other.id,
            other.action,
            other.target,
            other.value,
        )


TEXTS = Deed._fields[:-1]
SCHEMA = Schema(
    "_writes",  # no device can be called so
    "audit",
    (
        *(Tag(name, "", ValueType.STRING) for name in TEXTS),
        Tag("took_ms", "", ValueType.FLOAT64, "ms"),
    ),
)
CONFIGURATIONS = Schema("_config", "audit", SCHEMA.tags)
"""Of what was done to the configuration: the same columns."""
COMMANDS = Schema("_commands", "audit", SCHEMA.tags)
"""Of what the fleet server had done: the same columns."""
CARRIED = Schema("_carried", "audit", SCHEMA.tags)
"""Of the data that a person carried away, and of the answers that came back: the same columns."""


def to_batch(deed: Deed, at: Stamp, schema: Schema = SCHEMA) -> Batch:
    """Give the batch of one deed, which happened at `at`."""
    texts = deed._replace(detail=deed.detail[:MAX_DETAIL_CHARACTERS])[:-1]
    lanes = {
        ValueType.STRING: np.array([texts], object),
        ValueType.FLOAT64: np.array([[deed.took_ms]], np.float64),
    }
    return Batch(
        schema,
        np.array([at.wall_ns], np.int64),
        np.array([at.wall_ns], np.int64),
        tuple(lanes[lane.type] for lane in SCHEMA.lanes),
        boottime_ns=np.array([at.boottime_ns], np.int64),
        stream=Stream.AUDIT,
    )


def from_batch(batch: Batch) -> Iterator[Deed]:
    """Give the deeds of a batch of SCHEMA, or of one with its columns."""
    of = {lane.type: values for lane, values in zip(SCHEMA.lanes, batch.values, strict=True)}
    for texts, took in zip(of[ValueType.STRING], of[ValueType.FLOAT64], strict=True):
        yield Deed._make((*texts, float(took[0])))


def sentence(deed: Deed) -> str:
    """Give a deed as a person reads it, in one line."""
    done = f"{deed.action} {deed.target}".rstrip()
    if deed.action == "write":
        done += f" = {deed.value}"
    elif deed.value:
        done += f" with {deed.value}"
    by = f"{deed.who}: {deed.reason}" if deed.reason else deed.who
    if deed.step == INTENT:
        return f"{deed.id} intent: {done} ({by})"
    parts = [f"{deed.id} {deed.outcome.upper()}: {done}"]
    if deed.read_back:
        parts.append(f"reads {deed.read_back}")
    if deed.took_ms:
        parts.append(f"{deed.took_ms:.1f} ms")
    if deed.detail:
        parts.append(deed.detail)
    return f"{', '.join(parts)} ({by})"
