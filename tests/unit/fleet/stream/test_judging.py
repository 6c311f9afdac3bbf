"""What is decided of records without a store."""

from __future__ import annotations

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.ledger import MAX_ISLANDS, Coverage, Island
from forebay_fleet.stream.judging import (
    ENVELOPE_BYTES,
    PARCEL_BYTES,
    Lines,
    acks,
    covered,
    for_box,
    grouped,
    judged,
)
from support.fleet import anchor, record
from support.fleet_ingest import EPOCH, batch, codes, gap

MOST = 1 << 20
KEY = (uplink_pb2.TELEMETRY, EPOCH)


def told(*records: uplink_pb2.Record, lines: Lines | None = None) -> list[uplink_pb2.Ack]:
    known: Lines = {} if lines is None else lines
    return acks(judged(records, known, MOST), known, 7)


def test_what_is_sound_is_published_and_covered() -> None:
    lines: Lines = {KEY: Coverage(3)}
    records = [anchor(4), batch(5, 3), anchor(8), anchor(9)]
    verdicts = judged(records, lines, MOST)
    assert verdicts.publish == records
    (ack,) = acks(verdicts, lines, 7)
    assert (ack.committed.committed_seq, ack.credit_bytes) == (5, 7)
    assert [(one.first_seq, one.last_seq) for one in ack.committed.islands] == [(8, 9)]
    (ack,) = told(anchor(6), anchor(7), lines=lines)
    assert ack.committed.committed_seq == 9


def test_what_was_damaged_on_its_way_comes_again() -> None:
    damaged = anchor(1)
    damaged.crc ^= 1
    verdicts = judged([damaged, anchor(2)], {}, MOST)
    assert [one.seq for one in verdicts.publish] == [2]
    (ack,) = acks(verdicts, {}, 7)
    assert codes(ack) == [(1, "BadDecodingError", False)]
    assert ack.committed.committed_seq == 0


def test_what_is_refused_for_good_is_told_and_accounted_for() -> None:
    large = record(2, uplink_pb2.ANCHOR, bytes(MOST + 1))
    verdicts = judged([record(1, uplink_pb2.BATCH, b"\xff"), large], {}, MOST)
    assert [(one.seq, len(one.payload)) for one in verdicts.publish] == [(1, 1), (2, 0)]
    (ack,) = acks(verdicts, {}, 7)
    assert codes(ack) == [
        (1, "BadDecodingError", True),
        (2, "BadEncodingLimitsExceeded", True),
    ]
    assert ack.committed.committed_seq == 2


def test_gaps_cover_what_they_name() -> None:
    (ack,) = told(gap(5, 1, 4))
    assert ack.committed.committed_seq == 5
    lines: Lines = {}
    (ack,) = told(gap(1, 2, 9, epoch=EPOCH - 1), lines=lines)
    assert ack.committed.epoch == EPOCH
    assert lines[uplink_pb2.TELEMETRY, EPOCH - 1].covers(9)
    absent = anchor(7)
    absent.absent_from = 2
    (ack,) = told(anchor(1), absent)
    assert ack.committed.committed_seq == 7


def test_what_no_gateway_may_send_ends_the_session_behind_the_rest() -> None:
    verdicts = judged([anchor(1), anchor(1 << 62), anchor(2)], {}, MOST)
    assert [one.seq for one in verdicts.publish] == [1]
    assert verdicts.ended is not None
    assert verdicts.ended.status == "INVALID_ARGUMENT"


def test_holes_are_bounded() -> None:
    holes = Coverage(0, [Island(seq, seq) for seq in range(3, 2 * MAX_ISLANDS + 3, 2)])
    verdicts = judged([anchor(3), anchor(2 * MAX_ISLANDS + 9)], {KEY: holes}, MOST)
    assert [one.seq for one in verdicts.publish] == [3]
    assert verdicts.ended is not None
    assert verdicts.ended.status == "RESOURCE_EXHAUSTED"


def test_a_box_is_told_some_of_all_islands() -> None:
    welcome = uplink_pb2.Welcome()
    line = welcome.committed.add(committed_seq=4, chain=b"x")
    for seq in range(6, 200, 2):
        line.islands.add(first_seq=seq, last_seq=seq)
    (told_line,) = for_box(welcome).committed
    assert len(told_line.islands) == 16
    assert told_line.chain == b""
    assert covered(line).count == 4 + 97


def test_groups_are_bounded_but_for_one_large_record() -> None:
    sizes = [PARCEL_BYTES // 3] * 4 + [3 * PARCEL_BYTES, 10]
    records = [record(seq, uplink_pb2.ANCHOR, bytes(size)) for seq, size in enumerate(sizes)]
    found = [[one.seq for one in group] for group in grouped(records)]
    assert found == [[0, 1], [2, 3], [4], [5]]


def test_what_is_odd_and_large_becomes_no_message_that_nothing_takes() -> None:
    """One record that NATS does not take would hold up all boxes of its part."""
    hashed, padded, both = anchor(1), anchor(2), anchor(3)
    hashed.hash = bytes(MOST)
    unknown = b"\xf2\x07\x80\x80\x40" + bytes(MOST)  # field 126, 1 MiB
    padded.MergeFromString(unknown)
    both.hash = bytes(MOST)
    both.MergeFromString(unknown)
    payload = anchor(2).payload
    assert min(one.ByteSize() for one in (hashed, padded, both)) > MOST
    verdicts = judged([hashed, padded, both], {}, MOST)
    assert all(one.ByteSize() < ENVELOPE_BYTES + 50 for one in verdicts.publish)
    assert [one.payload for one in verdicts.publish] == [b"", payload, b""]
    (ack,) = acks(verdicts, {}, 7)
    assert codes(ack) == [(1, "BadDecodingError", True), (3, "BadDecodingError", True)]
    assert ack.committed.committed_seq == 3
