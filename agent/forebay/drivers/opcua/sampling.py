"""What a person may say of a subscribed group and of its tags, and what that asks of the server.

Owns sampling interval, queue, discard policy and filter of a monitored item (OPC UA Part 4, 5.13.1
and 7.22.2). Pure. Must not know asyncua.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from forebay.model import ValueType
from forebay.settings import GroupSettings, Seconds

FASTEST_PUBLISH_S = 0.1
"""Publishing more often costs a message each; sampling may well be faster, the queue carries it."""
MOST_QUEUED = 10_000
_DEADBAND = re.compile(r"^(\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?)\s*(%?)$", re.ASCII)
_TRIGGERS = {"status": 0, "value": 1, "timestamp": 2}
_WITHOUT_DISTANCE = (ValueType.BOOL, ValueType.STRING)


@dataclass(frozen=True, slots=True)
class Deadband:
    """The smallest change that is told: in the value's own unit, or in % of its EURange."""

    value: float
    percent: bool


def parse_deadband(text: str) -> Deadband | None:
    """Read `0.5` or `2 %`; None for nothing. ValueError says what is wrong."""
    if not text:
        return None
    match = _DEADBAND.match(text)
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError(f"{text[:40]!r} is not a deadband; write 0.5, or 2 % of the node's range")
    value, percent = float(match[1]), bool(match[2])
    if percent and value > 100:
        raise ValueError(f"{text[:40]!r} is more than the whole range; write at most 100 %")
    return Deadband(value, percent) if value else None


def _text(value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds; pydantic checks what comes out
    return f"{value:.15g}" if type(value) in (int, float) else value


def _check(text: str) -> str:
    parse_deadband(text)
    return text


DeadbandText = Annotated[str, BeforeValidator(_text), Field(max_length=40), AfterValidator(_check)]
Trigger = Literal["status", "value", "timestamp"]


class OpcUaGroup(GroupSettings):
    """Tags that are read together: one subscription, or one series of reads.

    All but `mode` and `period` is for subscriptions, and a tag may have its own.
    """

    mode: Annotated[
        Literal["poll", "subscribe"],
        Field(description="`subscribe` lets the server send changes; `poll` asks every `period`."),
    ] = "subscribe"
    period: Annotated[
        Seconds,
        Field(
            ge=0.001,
            le=86_400,
            description="Time between two polls, or between two messages of changes.",
        ),
    ] = 1.0
    sampling: Annotated[
        Seconds | None,
        Field(
            ge=0.001,
            le=86_400,
            description="How often the server looks; by default every `period`.",
        ),
    ] = None
    queue_size: Annotated[
        int | None,
        Field(
            ge=1,
            le=MOST_QUEUED,
            description="Changes the server keeps of each tag; by default the device's.",
        ),
    ] = None
    discard: Annotated[
        Literal["oldest", "newest"], Field(description="What goes first from a full queue.")
    ] = "oldest"
    deadband: Annotated[
        DeadbandText,
        Field(
            description="Smallest change of a number that is told: `0.5` in the node's own unit, or"
            " `2 %` of its EURange; empty for any change."
        ),
    ] = ""
    trigger: Annotated[
        Trigger,
        Field(
            description="What makes a change: the `status`; or also the `value`; or also the source"
            " `timestamp`, so that a value is told again though it is the same."
        ),
    ] = "value"


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is asked for one monitored item.

    `queue` is in values; `trigger` is the number of DataChangeTrigger (Part 4, 7.22.2).
    """

    interval_s: float
    queue: int
    discard_oldest: bool
    trigger: int
    deadband: Deadband | None

    @property
    def filtered(self) -> bool:
        """Whether a filter has to be sent: the server's own default is status and value."""
        return self.deadband is not None or self.trigger != _TRIGGERS["value"]

    @property
    def simpler(self) -> Sampling | None:
        """The same with less of a filter, for a server that refused this one; None if none is."""
        if self.deadband is not None:
            return replace(self, deadband=None)
        return replace(self, trigger=_TRIGGERS["value"]) if self.filtered else None


@dataclass(frozen=True, slots=True)
class OwnSampling:
    """What one tag says for itself; None, or empty, for what its group says."""

    sampling_s: float | None = None
    queue_size: int | None = None
    deadband: str = ""
    trigger: Trigger | None = None


def sampling(
    own: OwnSampling, kind: ValueType, group: OpcUaGroup, queue_size: int, publish_s: float
) -> Sampling:
    """Give what to ask for a tag of type `kind`.

    `queue_size` is the device's, lengthened where more is sampled between two messages. A deadband
    is for numbers alone.
    """
    interval_s = own.sampling_s or group.sampling or group.period
    usual = max(queue_size, round(2 * publish_s / interval_s))
    deadband = parse_deadband(own.deadband or group.deadband)
    return Sampling(
        interval_s,
        min(MOST_QUEUED, own.queue_size or group.queue_size or usual),
        discard_oldest=group.discard == "oldest",
        trigger=_TRIGGERS[own.trigger or group.trigger],
        deadband=None if kind in _WITHOUT_DISTANCE else deadband,
    )
