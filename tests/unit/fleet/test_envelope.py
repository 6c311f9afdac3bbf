"""What is checked on each record, and what a gateway is told about it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.envelope import Refused, judge
from support.fleet import anchor, record

LIMIT = 1 << 20


def no_schema(_schema_id: int) -> int | None:
    return None


@pytest.mark.parametrize(
    ("crc", "hash_", "verdict"),
    [(True, True, None), (False, True, False), (True, False, True), (False, False, True)],
    ids=["sound", "crc wrong", "hash wrong", "both wrong"],
)
def test_the_table_of_damage(crc: bool, hash_: bool, verdict: bool | None) -> None:  # noqa: FBT001
    message = anchor(1)
    message.crc ^= 0 if crc else 1
    message.hash = message.hash if hash_ else bytes(32)
    if verdict is None:
        judge(message, LIMIT, no_schema)
        return
    with pytest.raises(Refused) as refused:
        judge(message, LIMIT, no_schema)
    assert (refused.value.code, refused.value.permanent) == ("BadDecodingError", verdict)


def test_a_thinned_record_is_proved_by_its_crc() -> None:
    message = anchor(1)
    message.revision, message.hash = 1, bytes(32)
    judge(message, LIMIT, no_schema)
    message.crc ^= 1
    with pytest.raises(Refused):
        judge(message, LIMIT, no_schema)


def batch(rows: int = 2, *, sparse: bool = False) -> batch_pb2.Batch:
    role = batch_pb2.INDEX if sparse else batch_pb2.QUALITY
    message = batch_pb2.Batch(schema_id=7, rows=rows, compression=batch_pb2.NONE)
    message.columns.add(role=batch_pb2.TIME, bytes=16 * rows)
    message.columns.add(role=role, bytes=0)
    message.data = bytes(16 * rows)
    message.raw_bytes = 16 * rows
    return message


@pytest.mark.parametrize(
    ("columns", "sparse", "samples", "sound"),
    [
        (5, False, 10, True),
        (5, False, 9, False),
        (None, False, 9, True),
        (5, True, 2, True),
        (None, True, 3, False),
    ],
)
def test_samples_are_what_the_payload_holds(
    columns: int | None,
    sparse: bool,  # noqa: FBT001
    samples: int,
    sound: bool,  # noqa: FBT001
) -> None:
    payload = batch(sparse=sparse).SerializeToString()
    message = record(1, uplink_pb2.BATCH, payload, samples=samples)
    with contextlib.nullcontext() if sound else pytest.raises(Refused, match="samples"):
        assert judge(message, LIMIT, lambda _: columns).schema_id == 7


def gap(epoch: int = 0, seq_from: int = 0, seq_to: int = 0, samples: int = 0) -> bytes:
    return batch_pb2.Gap(
        cause=batch_pb2.CORRUPT, epoch=epoch, seq_from=seq_from, seq_to=seq_to, samples=samples
    ).SerializeToString()


@pytest.mark.parametrize(
    "payload",
    [
        gap(epoch=1 << 32, seq_from=5, seq_to=9),  # accounts for itself: its seq is 9
        gap(epoch=2 << 32, seq_from=1, seq_to=1),  # for an epoch that has not begun
        gap(epoch=1, seq_from=2, seq_to=1),
        gap(epoch=0, seq_from=1, seq_to=1),
        gap(epoch=1, seq_to=1),
        gap(samples=1 << 63),
        b"\xff",
    ],
)
def test_gaps_that_cannot_be(payload: bytes) -> None:
    with pytest.raises(Refused) as refused:
        judge(record(9, uplink_pb2.GAP, payload), LIMIT, no_schema)
    assert refused.value.permanent


def test_too_large_is_said_so() -> None:
    with pytest.raises(Refused) as refused:
        judge(record(1, uplink_pb2.ANCHOR, bytes(LIMIT + 1)), LIMIT, no_schema)
    assert refused.value.code == "BadEncodingLimitsExceeded"


def test_unknown_kinds_are_said_so() -> None:
    message = anchor(1)
    message.kind = 9  # type: ignore[assignment] # what a newer agent may send
    with pytest.raises(Refused) as refused:
        judge(message, LIMIT, no_schema)
    assert refused.value.code == "BadDataEncodingUnsupported"


@given(st.sampled_from([1, 2, 3, 4]), st.binary(max_size=300), st.integers(0, (1 << 64) - 1))
def test_garbage_is_refused_and_nothing_worse(
    kind: uplink_pb2.RecordKind, payload: bytes, samples: int
) -> None:
    with contextlib.suppress(Refused):
        judge(record(3, kind, payload, samples=samples), LIMIT, lambda _: 3)
