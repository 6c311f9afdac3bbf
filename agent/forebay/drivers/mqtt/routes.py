"""Which tags a topic feeds, and the batches that its messages become.

Owns the way from a message to samples: route, parse, date, mark. Pure. Must not know brokers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.drivers.mqtt.address import parse_address, parse_pointer
from forebay.drivers.mqtt.payload import (
    UNDECODABLE,
    Reading,
    parse_document,
    read_json,
    read_text,
    read_time_ns,
)
from forebay.model import Batch, Quality, ValueType, is_bad

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from forebay.clock import Stamp
    from forebay.drivers.mqtt.config import MqttTag
    from forebay.model import Schema


class Message(NamedTuple):
    """One message as the broker gave it.

    `payload` is None where it was too large to keep. `mid` is its packet id, 0 for QoS 0.
    """

    topic: str
    payload: bytes | None
    retained: bool
    mid: int
    received: Stamp


@dataclass(frozen=True, slots=True)
class _Target:
    """One tag fed by a topic.

    `pointer` is None for a payload that is the value; `time` is empty without a source time.
    """

    schema: int
    column: int
    type: ValueType
    pointer: tuple[str, ...] | None
    time: tuple[str, ...]


@dataclass(slots=True)
class _Rows:
    """Samples of one schema in the making."""

    columns: list[int] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    received: list[Stamp] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)


class Routes:
    """The tags of all subscribed groups, by topic."""

    def __init__(self, schemas: Sequence[Schema], tags: Mapping[str, MqttTag]) -> None:
        """Read every address once; `tags` holds the rows by name."""
        self._schemas = tuple(schemas)
        self._targets: dict[str, list[_Target]] = {}
        for number, schema in enumerate(schemas):
            for column, tag in enumerate(schema.tags):
                address = parse_address(tag.address)
                time = parse_pointer(tags[tag.name].time)
                target = _Target(number, column, tag.type, address.pointer, time)
                self._targets.setdefault(address.topic, []).append(target)

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic that feeds a tag."""
        return tuple(self._targets)

    @property
    def widest(self) -> int:
        """The most tags that one topic feeds."""
        return max(map(len, self._targets.values()), default=1)

    def __contains__(self, topic: str) -> bool:
        return topic in self._targets

    def tags_of(self, topics: Iterable[str]) -> list[str]:
        """Give the names of the tags that `topics` feed."""
        targets = [target for topic in topics for target in self._targets.get(topic, ())]
        return [self._schemas[t.schema].tags[t.column].name for t in targets]

    def batches(self, messages: Iterable[Message]) -> tuple[list[Batch], set[str]]:
        """Give one batch a schema, and the names of tags that their document does not have."""
        rows = [_Rows() for _ in self._schemas]
        absent: set[str] = set()
        for message in messages:
            self._route(message, rows, absent)
        pairs = zip(self._schemas, rows, strict=True)
        return [_batch(schema, r) for schema, r in pairs if r.columns], absent

    def refused(self, topics: Iterable[str], status: int, now: Stamp) -> list[Batch]:
        """Give a sample without value for every tag of `topics`."""
        rows = [_Rows() for _ in self._schemas]
        for topic in topics:
            for target in self._targets.get(topic, ()):
                _add(rows[target.schema], target, Reading(None, status), now.wall_ns, now)
        pairs = zip(self._schemas, rows, strict=True)
        return [_batch(schema, r) for schema, r in pairs if r.columns]

    def _route(self, message: Message, rows: Sequence[_Rows], absent: set[str]) -> None:
        targets = self._targets.get(message.topic, ())
        document, broken = _parse(message, targets)
        for target in targets:
            time_ns: int | None = message.received.wall_ns
            reading: Reading | None = UNDECODABLE
            if message.payload is None or (target.pointer is not None and broken):
                pass
            elif target.pointer is None:
                reading = read_text(message.payload, target.type)
            else:
                reading = read_json(document, target.pointer, target.type)
                time_ns = read_time_ns(document, target.time) if target.time else time_ns
            if reading is None:
                absent.add(self._schemas[target.schema].tags[target.column].name)
                continue
            if not is_bad(reading.quality):
                reading = reading._replace(quality=_quality(message, target, time_ns))
            dated_ns = message.received.wall_ns if time_ns is None else time_ns
            _add(rows[target.schema], target, reading, dated_ns, message.received)


def _parse(message: Message, targets: Sequence[_Target]) -> tuple[object, bool]:
    """Parse the payload once if any target wants a document; say whether that failed."""
    if message.payload is None or all(target.pointer is None for target in targets):
        return None, False
    try:
        return parse_document(message.payload), False
    except ValueError:
        return None, True


def _quality(message: Message, target: _Target, time_ns: int | None) -> int:
    """Give the quality of a value that is there.

    Uncertain if its time is not, and if the broker kept it: nobody knows since when it held.
    """
    if target.time:
        return Quality.UNCERTAIN if time_ns is None else Quality.GOOD
    return Quality.UNCERTAIN_LAST_USABLE_VALUE if message.retained else Quality.GOOD


def _add(rows: _Rows, target: _Target, reading: Reading, time_ns: int, received: Stamp) -> None:
    rows.columns.append(target.column)
    rows.times_ns.append(time_ns)
    rows.received.append(received)
    rows.readings.append(reading)


def _batch(schema: Schema, rows: _Rows) -> Batch:
    lanes: list[list[Any]] = [[] for _ in schema.lanes]
    for column, reading in zip(rows.columns, rows.readings, strict=True):
        lane = schema.lane_of[column]
        empty = "" if schema.lanes[lane].type is ValueType.STRING else 0
        lanes[lane].append(empty if reading.value is None else reading.value)
    quality = np.array([reading.quality for reading in rows.readings], np.uint32)
    received_ns, boottime_ns = np.array(rows.received, np.int64).T.copy()
    return Batch(
        schema,
        np.array(rows.times_ns, np.int64),
        received_ns,
        tuple(
            np.array(values, lane.type.dtype)
            for values, lane in zip(lanes, schema.lanes, strict=True)
        ),
        quality if quality.any() else None,
        np.array(rows.columns, np.uint32),
        boottime_ns,
    )
