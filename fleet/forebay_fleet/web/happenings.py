"""Events and alarms that devices of a box told: the newest, as lines for a person.

Owns how an event becomes a line. Must not know how it is drawn.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay_fleet.decode import decode_batch, decode_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay_fleet.decode import SchemaView
    from forebay_fleet.store.reader import StoreReader

GROUP = "events"
"""The group under which drivers tell events, a row of columns for each; see EVENTS in uplink.proto.
"""
MOST = 30
EVERYTHING = (-(1 << 62), 1 << 62)
_BAD = 0x8000_0000


class Event(NamedTuple):
    """One event; `active` is None for one that is no alarm, `severity` -1 where none was told."""

    time_ns: int
    device: str
    source: str
    message: str
    severity: int
    active: bool | None


def newest(store: StoreReader, name: str, most: int = MOST) -> list[Event]:
    """Give the newest events of a box, the newest first.

    Raises:
        DecodingError: the store holds a batch or a schema that cannot be read.
    """
    number = store.gateway_id(name)
    if number is None:
        return []
    ids = sorted({row.schema_id for row in store.history.tags(number) if row.tag == "message"})
    found: list[Event] = []
    for schema_id in ids:
        schema = decode_schema(store.history.schema(number, schema_id) or b"")
        if schema.message.group == GROUP:
            found += _of(store, number, schema, most)
    return heapq.nlargest(most, found, key=lambda event: event.time_ns)


def _of(store: StoreReader, gateway: int, schema: SchemaView, most: int) -> list[Event]:
    """Give at least the newest `most` of one device, from as few batches as that takes."""
    found: list[Event] = []
    for record in store.history.newest(gateway, schema.message.id, EVERYTHING):
        kept = heapq.nlargest(most, (event.time_ns for event in found))
        if len(kept) == most and kept[-1] > record.time_max_ns:
            break
        batch = decode_batch(record.payload, schema)
        if batch.index is None:
            found += _rows(batch.times_ns.tolist(), schema, batch)
    return found


def _rows(times_ns: list[int], schema: SchemaView, batch: Any) -> Iterator[Event]:  # noqa: ANN401 - a BatchView
    places = {tag.name: column for column, tag in enumerate(schema.message.tags)}
    cells: dict[str, list[Any]] = {}
    for name in ("source", "message", "severity", "active"):
        if name in places:
            series = batch.series(places[name])
            bad = (series.quality & _BAD).tolist()
            values = series.values.tolist()
            cells[name] = [None if no else value for value, no in zip(values, bad, strict=True)]
    nothing = [None] * len(times_ns)
    for row, time_ns in enumerate(times_ns):
        severity, active = (cells.get(name, nothing)[row] for name in ("severity", "active"))
        yield Event(
            time_ns,
            schema.message.source,
            str(cells.get("source", nothing)[row] or "")[:200],
            str(cells.get("message", nothing)[row] or "")[:500],
            -1 if severity is None else int(severity),
            None if active is None else bool(active),
        )
