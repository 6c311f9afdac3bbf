"""What a reader of values is told beside them: losses, order, and clocks that were wrong."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.losses import Loss, losses
from forebay_fleet.query import Clock, TagHistory, ordered, query
from forebay_fleet.store.reader import StoreReader
from support.fleet import record
from support.fleet_ingest import EPOCH, SECOND_NS, Server, batch, gap, schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEXT = 2 << 32
ALWAYS = (-(1 << 62), 1 << 62)
NOW_S = 1_795_000_000


@pytest.fixture
def server(data: Path) -> Iterator[Server]:
    server = Server(data)
    server.hello()
    server.send(schema(1))
    yield server
    server.store.close()


@contextmanager
def reading(server: Server, *, raw_times: bool = False) -> Iterator[TagHistory]:
    with StoreReader(server.directory) as reader:
        yield TagHistory(reader, "g", "press/t", raw_times=raw_times)


def seconds(server: Server, *span_s: int, limit: int = 1000, raw_times: bool = False) -> list[int]:
    """The whole seconds of the values that a query gives."""
    span_ns = (span_s[0] * SECOND_NS, span_s[1] * SECOND_NS) if span_s else ALWAYS
    with reading(server, raw_times=raw_times) as history:
        return [v.time_ns // SECOND_NS for v in query(history, span_ns, limit).values]


def missing(server: Server, *span_s: int) -> list[Loss]:
    span_ns = (span_s[0] * SECOND_NS, span_s[1] * SECOND_NS) if span_s else ALWAYS
    with reading(server) as history:
        return losses(history, span_ns)


def lost(
    seq: int,
    span_s: tuple[int, int],
    cause: batch_pb2.GapCause,
    *,
    positions: tuple[int, int] = (0, 0),
    samples: int | None = 5,
    source: str = "",
) -> uplink_pb2.Record:
    """A Gap record that says when."""
    payload = batch_pb2.Gap(
        cause=cause,
        time_from_ns=span_s[0] * SECOND_NS,
        time_to_ns=span_s[1] * SECOND_NS,
        samples=samples,
        source=source,
        epoch=EPOCH if positions[1] else 0,
        seq_from=positions[0],
        seq_to=positions[1],
    )
    return record(seq, uplink_pb2.GAP, payload.SerializeToString())


def tie(
    seq: int, wall_s: int, boottime_s: int, state: batch_pb2.ClockState, *, epoch: int = EPOCH
) -> uplink_pb2.Record:
    """An Anchor."""
    payload = batch_pb2.Anchor(
        boot_id="boot",
        wall_ns=wall_s * SECOND_NS,
        monotonic_ns=boottime_s * SECOND_NS,
        state=state,
    )
    return record(seq, uplink_pb2.ANCHOR, payload.SerializeToString(), epoch=epoch)


def test_gaps_are_told_with_the_values(server: Server) -> None:
    server.send(
        batch(2, 3),
        lost(3, (3, 4), batch_pb2.RING_OVERFLOW, source="press"),
        lost(4, (3, 4), batch_pb2.RING_OVERFLOW, source="oven"),
        lost(5, (5, 6), batch_pb2.NOT_POLLED, samples=0),
        lost(6, (7, 8), batch_pb2.UNCLEAN_SHUTDOWN, samples=None),
        lost(7, (7, 9), batch_pb2.NOT_COMPUTED, samples=0, source="score"),
        batch(9, 3),
    )
    assert missing(server) == [
        Loss("RING_OVERFLOW", 3 * SECOND_NS, 4 * SECOND_NS, 5, "press"),
        Loss("NOT_POLLED", 5 * SECOND_NS, 6 * SECOND_NS, 0, ""),
        Loss("UNCLEAN_SHUTDOWN", 7 * SECOND_NS, 8 * SECOND_NS, None, ""),
    ]
    assert [loss.cause for loss in missing(server, 6, 7)] == ["NOT_POLLED", "UNCLEAN_SHUTDOWN"]


def test_a_gap_in_what_is_here_is_not_told(server: Server) -> None:
    server.send(batch(2, 3), batch(3, 3))
    server.send(lost(9, (2, 3), batch_pb2.RETENTION_BYTES, positions=(2, 3), samples=6))
    assert missing(server) == []
    server.send(lost(10, (2, 4), batch_pb2.RETENTION_BYTES, positions=(2, 4), samples=10))
    assert missing(server) == [Loss("RETENTION_BYTES", 2 * SECOND_NS, 4 * SECOND_NS, 4, "")]
    server.send(lost(11, (2, 4), batch_pb2.RETENTION_BYTES, positions=(2, 4), samples=10))
    assert len(missing(server)) == 1  # said again


def test_thinned_stretches_are_told_once_each(server: Server) -> None:
    first = batch(2, 9).hash
    server.send(
        batch(2, 4, thinned=6, first=first),
        batch(3, 2, thinned=8, first=first),
        batch(4, 5),
        batch(5, 1, thinned=9, first=first),
    )
    assert missing(server) == [
        Loss("THINNED", 2 * SECOND_NS, 3 * SECOND_NS + 1, 14, "press"),
        Loss("THINNED", 5 * SECOND_NS, 5 * SECOND_NS, 9, "press"),
    ]
    assert [loss.samples for loss in missing(server, 4, 9)] == [9]


def test_an_ordered_reader_goes_by_position_and_stops_at_the_first_hole(server: Server) -> None:
    """Live values are ahead of the backlog: a dashboard sees them, an ordered reader not yet."""
    server.hello((1, 6), (1, 9, NEXT))
    server.send(batch(4, 1), batch(2, 1))
    server.send(batch(7, 1, epoch=NEXT))
    assert seconds(server) == [2, 4, 7]
    with reading(server) as history:
        page = ordered(history, (0, 0), 100)
        assert [(v.epoch, v.seq) for v in page.values] == [(EPOCH, 2)]
        assert page.watermark is not None
        assert page.after == page.watermark.position == (EPOCH, 2)
    server.send(batch(3, 2), batch(5, 1))
    server.send(*(tie(seq, 1, 1, batch_pb2.SYNCED, epoch=NEXT) for seq in range(1, 7)))
    with reading(server) as history:
        following = ordered(history, page.after, 100)
        assert [(v.epoch, v.seq) for v in following.values] == [
            *((EPOCH, 3), (EPOCH, 3), (EPOCH, 4), (EPOCH, 5), (NEXT, 7))
        ]
        assert following.after == (NEXT, 7)
        assert ordered(history, following.after, 100).values == []


def test_pages_of_an_ordered_reader_hold_whole_records_and_every_value_once(
    server: Server,
) -> None:
    server.send(*(batch(seq, 3) for seq in range(2, 12)))
    seen: list[int] = []
    after = (0, 0)
    with reading(server) as history:
        for _ in range(20):
            page = ordered(history, after, 4)
            seen.extend(value.time_ns for value in page.values)
            assert len(page.values) in {0, 6}
            after = page.after
    assert seen == sorted(set(seen))
    assert len(seen) == 30


def test_a_boot_at_1970_is_mended_for_the_reader_only(server: Server) -> None:
    """Stamped 2 s to 4 s after 1970; the clock was set 10 s after the boot at `NOW_S`."""
    server.send(
        tie(2, 2, 2, batch_pb2.UNSYNCED),
        batch(3, 2),
        batch(4, 2),
        tie(5, NOW_S + 10, 10, batch_pb2.SYNCED),
    )
    right = [NOW_S + 3, NOW_S + 3, NOW_S + 4, NOW_S + 4]
    assert seconds(server) == right
    assert seconds(server, NOW_S + 4, NOW_S + 5) == right[2:]
    assert seconds(server, 0, 100) == []
    assert seconds(server, limit=1) == right[3:]
    assert seconds(server, 0, 100, raw_times=True) == [3, 3, 4, 4]
    with reading(server) as history:
        assert {v.clock for v in query(history, ALWAYS, 9).values} == {Clock.MENDED}
        assert {v.clock for v in ordered(history, (0, 0), 9).values} == {Clock.MENDED}
    with reading(server, raw_times=True) as history:
        assert {v.clock for v in query(history, ALWAYS, 9).values} == {Clock.UNSYNCED}
    assert server.finding().sound


@pytest.mark.parametrize("wrong_s", [3600, -3600, 10 * 365 * 86_400, -10 * 365 * 86_400])
def test_values_around_a_step_come_in_the_order_in_which_they_were_read(
    server: Server, wrong_s: int
) -> None:
    """Right at first, then `wrong_s` off for two records, then right again."""
    base = 1_000_000_000

    def stamped(seq: int, by_s: int) -> uplink_pb2.Record:
        made = batch(seq, 1)
        message = batch_pb2.Batch.FromString(made.payload)
        message.base_time_ns = (base + by_s) * SECOND_NS
        span = ((base + seq + by_s) * SECOND_NS,) * 2
        return record(seq, uplink_pb2.BATCH, message.SerializeToString(), samples=1, times_ns=span)

    server.send(
        tie(2, base + 2, 2, batch_pb2.SYNCED),
        *(stamped(3, 0), stamped(4, 0)),
        tie(5, base + 5 + wrong_s, 5, batch_pb2.UNSYNCED),
        *(stamped(6, wrong_s), stamped(7, wrong_s)),
        tie(8, base + 8, 8, batch_pb2.SYNCED),
        stamped(9, 0),
    )
    assert seconds(server) == [base + n for n in (3, 4, 6, 7, 9)]
    assert seconds(server, base + 6, base + 8) == [base + 6, base + 7]
    assert seconds(server, limit=3) == [base + n for n in (6, 7, 9)]
    raw = [base + 3, base + 4, base + 6 + wrong_s, base + 7 + wrong_s, base + 9]
    assert seconds(server, raw_times=True) == sorted(raw)


def test_losses_of_a_wrong_clock_are_mended_too(server: Server) -> None:
    server.send(
        tie(2, 2, 2, batch_pb2.UNSYNCED),
        batch(3, 4, thinned=6, first=batch(3, 9).hash),
        lost(4, (4, 5), batch_pb2.RING_OVERFLOW),
        tie(5, NOW_S + 10, 10, batch_pb2.SYNCED),
    )
    assert [(loss.cause, loss.time_from_ns // SECOND_NS) for loss in missing(server)] == [
        ("THINNED", NOW_S + 3),
        ("RING_OVERFLOW", NOW_S + 4),
    ]
    assert [loss.cause for loss in missing(server, NOW_S + 4, NOW_S + 9)] == ["RING_OVERFLOW"]


def test_what_a_gap_names_is_dated_by_the_clock_of_what_it_names(server: Server) -> None:
    """Retention tells of old data, by the times that the old clock gave it."""
    server.send(
        tie(2, 2, 2, batch_pb2.UNSYNCED),
        tie(5, NOW_S + 10, 10, batch_pb2.SYNCED),
        lost(6, (3, 4), batch_pb2.RETENTION_AGE, positions=(3, 4)),
    )
    (loss,) = missing(server)
    assert loss.time_from_ns == (NOW_S + 3) * SECOND_NS


def test_times_that_nobody_can_mend_are_marked(server: Server) -> None:
    server.send(tie(2, 2, 2, batch_pb2.UNSYNCED), batch(3, 1))
    assert seconds(server) == [3]
    with reading(server) as history:
        (value,) = query(history, ALWAYS, 9).values
    assert value.clock is Clock.UNSYNCED


def test_gap_in_an_older_run(server: Server) -> None:
    server.send(gap(1, 5, 7, samples=3, at=NEXT))
    (loss,) = missing(server)
    assert (loss.cause, loss.samples) == ("CORRUPT", 3)
