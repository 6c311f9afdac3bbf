"""Nothing is lost or bent between the model and the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay import uplinkproto
from forebay._proto import uplink_pb2 as pb
from forebay.errors import UplinkMisbehaved, UplinkUnavailable
from forebay.interfaces import Head, Offer, Receipt, Resume
from forebay.model import Position, Record, RecordKind, Stream
from forebay.testing.records import make_record

records = st.builds(
    Record,
    position=st.builds(
        Position,
        st.sampled_from(Stream),
        st.integers(1, 2**63 - 1),
        st.integers(1, 2**64 - 1),
    ),
    kind=st.sampled_from(RecordKind),
    samples=st.integers(0, 2**64 - 1),
    time_min_ns=st.integers(-(2**63), 2**63 - 1),
    time_max_ns=st.integers(-(2**63), 2**63 - 1),
    revision=st.integers(0, 2**32 - 1),
    hash=st.binary(min_size=32, max_size=32),
    crc=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=300),
)


@given(st.lists(records, max_size=5))
def test_records_cross_the_wire_unchanged(sent: list[Record]) -> None:
    message = pb.FromGateway.FromString(
        uplinkproto.group(sent, historical=True).SerializeToString()
    )
    got = [
        Record(
            position=Position(Stream.of(r.stream), r.epoch, r.seq),
            kind=RecordKind(r.kind),
            samples=r.samples,
            time_min_ns=r.time_min_ns,
            time_max_ns=r.time_max_ns,
            revision=r.revision,
            hash=r.hash,
            crc=r.crc,
            payload=r.payload,
            thinned=r.thinned,
        )
        for r in message.records.records
    ]
    assert got == sent


def test_the_epoch_that_is_written_in_is_a_head_of_every_stream() -> None:
    heads = (Head(Stream.TELEMETRY, 7, 3, 9), Head(Stream.TELEMETRY, 8, 1, 4))
    sent = uplinkproto.hello(Offer("g", "boot", 1, heads, epoch=8), 0, "1").hello.heads
    assert sorted((h.stream, h.epoch, h.first_seq, h.next_seq) for h in sent) == [
        *((pb.AUDIT, 8, 1, 1), (pb.EVENTS, 8, 1, 1)),
        *((pb.TELEMETRY, 7, 3, 9), (pb.TELEMETRY, 8, 1, 4), (pb.BULK, 8, 1, 1)),
    ]
    assert len(uplinkproto.hello(Offer("g", "boot", 1, heads), 0, "1").hello.heads) == 2
    assert uplinkproto.terms(pb.Welcome(newest_epoch=9)).newest_epoch == 9


def test_kinds_and_streams_have_the_numbers_of_the_wire() -> None:
    assert {kind.name: int(kind) for kind in RecordKind} == {
        name: number for name, number in pb.RecordKind.items() if number
    }
    assert {stream.name: stream.number for stream in Stream} == {
        name: number for name, number in pb.Stream.items() if number
    }


def test_holes_are_told_beside_the_records_behind_them() -> None:
    sent = [make_record(seq) for seq in (1, 4, 5)]
    message = uplinkproto.group(sent, historical=False, absent_from=[0, 2, 0])
    assert [r.absent_from for r in message.records.records] == [0, 2, 0]


def test_hello() -> None:
    offer = Offer("press-hall-1", "boot", 7, (Head(Stream.EVENTS, 2**63 - 1, 3, 9),))
    hello = uplinkproto.hello(offer, 123, "1.0").hello
    assert (hello.gateway, hello.boot_id, hello.session, hello.wall_ns, hello.version) == (
        "press-hall-1",
        "boot",
        7,
        123,
        "1.0",
    )
    assert [(h.stream, h.epoch, h.first_seq, h.next_seq) for h in hello.heads] == [
        (pb.EVENTS, 2**63 - 1, 3, 9)
    ]


def test_welcome() -> None:
    welcome = pb.Welcome(
        incarnation="a",
        committed=[
            pb.Committed(stream=pb.AUDIT, epoch=5, committed_seq=6),
            pb.Committed(stream=pb.BULK, epoch=5, committed_seq=6, chain=bytes(range(32))),
            pb.Committed(
                stream=pb.EVENTS,
                epoch=5,
                committed_seq=6,
                chain=b"short",
                gapped=[pb.Island(first_seq=1, last_seq=2), pb.Island(first_seq=4, last_seq=4)],
            ),
            pb.Committed(stream=9, epoch=5, committed_seq=6),  # type: ignore[arg-type]
        ],
        credit_bytes=10,
    )
    terms = uplinkproto.terms(welcome)
    assert terms.resume == (
        Resume(Stream.AUDIT, 5, 6),
        Resume(Stream.BULK, 5, 6, bytes(range(32))),
        Resume(Stream.EVENTS, 5, 6, gapped=((1, 2), (4, 4))),
    )
    assert (terms.incarnation, terms.credit_bytes) == ("a", 10)
    assert terms.max_record_bytes == uplinkproto.DEFAULT_MAX_RECORD_BYTES


@pytest.mark.parametrize("runs", [[(0, 2)], [(3, 2)], [(1, 2), (3, 4)], [(5, 6), (1, 2)]])
def test_a_welcome_with_runs_that_cannot_be_is_misbehaviour(runs: list[tuple[int, int]]) -> None:
    gapped = [pb.Island(first_seq=first, last_seq=last) for first, last in runs]
    committed = pb.Committed(stream=pb.BULK, epoch=5, committed_seq=9, gapped=gapped)
    with pytest.raises(UplinkMisbehaved, match="impossible run"):
        uplinkproto.terms(pb.Welcome(committed=[committed]))


def test_ack_with_a_record_refused_for_good() -> None:
    committed = pb.Committed(stream=pb.BULK, epoch=5, committed_seq=6, chain=bytes(32))
    ack = pb.Ack(committed=committed, credit_bytes=1)
    ack.rejected.add(seq=4, code="BadDecodingError", permanent=True)
    expected = Receipt(
        Resume(Stream.BULK, 5, 6, bytes(32)),
        1,
        ((Position(Stream.BULK, 5, 4), "BadDecodingError"),),
    )
    assert uplinkproto.receipt(ack) == expected
    ack.answered = 0
    assert uplinkproto.receipt(ack).answered == 0


def test_ack_with_a_record_refused_for_now_ends_the_session() -> None:
    ack = pb.Ack(committed=pb.Committed(stream=pb.BULK, epoch=5, committed_seq=3))
    ack.rejected.add(seq=4, code="BadResourceUnavailable")
    with pytest.raises(UplinkUnavailable, match="bulk 4 now: BadResourceUnavailable"):
        uplinkproto.receipt(ack)


def test_ack_of_an_unknown_stream_is_misbehaviour() -> None:
    with pytest.raises(UplinkMisbehaved, match="stream numbered 0"):
        uplinkproto.receipt(pb.Ack())
