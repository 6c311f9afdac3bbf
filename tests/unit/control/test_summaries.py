"""What a record's line says, without decoding more than that takes and beside the event loop."""

from __future__ import annotations

import hashlib
import threading

import google_crc32c
import numpy as np

from forebay.clock import Stamp
from forebay.columnar import (
    encode_anchor,
    encode_batch,
    encode_gap,
    encode_schema,
)
from forebay.control.summaries import Summaries
from forebay.model import (
    Anchor,
    Batch,
    ClockState,
    Gap,
    GapCause,
    Position,
    Record,
    RecordKind,
    Schema,
    Stream,
    Tag,
    ValueType,
)
from forebay.writing.audit import INTENT, OUTCOME, Deed, to_batch

USED = Schema("press", "fast", (Tag("force", "holding:0", ValueType.INT16),))
OLD = Schema("press", "slow", (Tag("heat", "holding:1", ValueType.INT16),))


def record(kind: RecordKind, payload: bytes, seq: int = 1) -> Record:
    return Record(
        position=Position(Stream.TELEMETRY, 1 << 32, seq),
        kind=kind,
        samples=0,
        time_min_ns=1,
        time_max_ns=2,
        revision=0,
        hash=hashlib.sha256(payload).digest(),
        crc=google_crc32c.value(payload),
        payload=payload,
    )


def batch(schema: Schema) -> Record:
    times = np.array([1], np.int64)
    values = (np.array([[5]], np.int16),)
    payload = encode_batch([Batch(schema, times, times, values, None, None)])
    return record(RecordKind.BATCH, payload)


def no_schema(schema_id: int) -> Schema:
    raise KeyError(schema_id)


async def texts(summaries: Summaries, *records: Record) -> list[str]:
    return [summary.text for summary in await summaries.of(records)]


async def test_each_kind_says_what_it_is_about() -> None:
    gap = Gap(GapCause.RING_OVERFLOW, 1, 2, 30, "press")
    unknown = Gap(GapCause.UNCLEAN_SHUTDOWN, 1, 2, None)
    records = [
        batch(USED),
        record(RecordKind.SCHEMA, encode_schema(USED)),
        record(RecordKind.GAP, encode_gap(gap)),
        record(RecordKind.GAP, encode_gap(unknown)),
        record(RecordKind.ANCHOR, encode_anchor(Anchor("0123456789", 1, 2, ClockState.UNSYNCED))),
    ]
    assert await texts(Summaries([USED], no_schema), *records) == [
        "press fast",
        "press fast: 1 tags",
        "ring_overflow: 30 samples press",
        "unclean_shutdown: an unknown number of samples",
        "boot 01234567, clock unsynced",
    ]


async def test_a_summary_has_the_records_place_and_size() -> None:
    payload = encode_schema(USED)
    (summary,) = await Summaries([], no_schema).of([record(RecordKind.SCHEMA, payload, seq=7)])
    assert (summary.stream, summary.epoch, summary.seq) == ("telemetry", 1 << 32, 7)
    assert (summary.kind, summary.bytes) == ("schema", len(payload))
    assert (summary.time_min_ns, summary.time_max_ns) == (1, 2)


async def test_schemas_in_use_are_not_looked_for_and_others_not_on_the_loop() -> None:
    asked: list[tuple[int, bool]] = []

    def find(schema_id: int) -> Schema:
        asked.append((schema_id, threading.current_thread() is threading.main_thread()))
        return {OLD.id: OLD}[schema_id]

    newer = Schema("press", "other", USED.tags)
    found = await texts(Summaries([USED], find), batch(USED), batch(OLD), batch(newer))
    assert found == ["press fast", "press slow", "of an unknown schema"]
    assert asked == [(OLD.id, False), (newer.id, False)]


async def test_copies_of_a_schema_are_looked_at_once() -> None:
    """Each segment begins with one; a copy with the same hash need not even be readable."""
    first = record(RecordKind.SCHEMA, encode_schema(USED))
    summaries = Summaries([], no_schema)
    copy = Record(**{**{n: getattr(first, n) for n in Record.__slots__}, "payload": b"\xff"})
    assert await texts(summaries, first, copy) == ["press fast: 1 tags"] * 2


async def test_what_cannot_be_read_does_not_hide_the_rest() -> None:
    damaged = [record(kind, b"\xff\xff") for kind in RecordKind]
    *bad, good = await texts(Summaries([USED], no_schema), *damaged, batch(USED))
    assert good == "press fast"
    assert all("damaged" in text for text in bad)


async def test_the_audit_says_who_wrote_what_and_how_it_ended() -> None:
    intent = Deed("w1", INTENT, "write", "press/force", "42.5", "control socket", "why")
    ended = intent._replace(
        step=OUTCOME, outcome="good", read_back="40.0", took_ms=3.25, detail="it clips"
    )
    called = Deed("c1", OUTCOME, "call", "press/Start", "[7]", "a test", "", "refused", "no rule")
    records = [
        record(RecordKind.BATCH, encode_batch([to_batch(deed, Stamp(1, 1))]))
        for deed in (intent, ended, called)
    ]
    assert await texts(Summaries((), no_schema), *records) == [
        "w1 intent: write press/force = 42.5 (control socket: why)",
        "w1 GOOD: write press/force = 42.5, reads 40.0, 3.2 ms, it clips (control socket: why)",
        "c1 REFUSED: call press/Start with [7], no rule (a test)",
    ]
