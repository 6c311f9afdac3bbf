"""How many samples a Gap costs this server, whatever order Gaps and records come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.gaps import NamedGap, counts
from forebay_fleet.store.gaps import NOT_HELD, THINNED
from forebay_fleet.store.reader import GapRow, StoreReader
from support.fleet import anchor, record
from support.fleet_ingest import EPOCH, Server, batch, changed_by_hand, codes, gap, schema
from support.fuzz import examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEXT = 2 << 32


@pytest.fixture
def server(data: Path) -> Iterator[Server]:
    server = Server(data)
    server.hello()
    yield server
    server.store.close()


def rows(server: Server, cause: str) -> list[GapRow]:
    with StoreReader(server.directory) as reader:
        gaps = [gap for line in reader.lines() for gap in reader.gaps(line.id)]
    return [gap for gap in gaps if gap.cause == cause]


def test_a_gap_accounts_for_what_is_not_there(server: Server) -> None:
    ack = server.send(anchor(1), anchor(5), gap(6, 2, 4, samples=30))
    assert ack.committed.committed_seq == 6
    line = server.line()
    assert (line.gapped, line.records) == (30, 3)
    assert server.verified() == []


def test_a_gap_may_speak_of_an_older_epoch(server: Server) -> None:
    server.send(anchor(1))
    payload = batch_pb2.Gap(cause=batch_pb2.RETENTION_AGE, epoch=EPOCH, seq_from=2, seq_to=9)
    server.send(record(1, uplink_pb2.GAP, payload.SerializeToString(), epoch=2 << 32))
    assert server.hello((2, 10)).committed[0].committed_seq == 9
    assert server.verified() == []


def test_a_gap_in_what_is_here_is_no_loss(server: Server) -> None:
    """It was another server that lacks these positions."""
    server.send(schema(1), batch(2, 10), batch(3, 10), gap(4, 2, 3, samples=20))
    line = server.line()
    assert (line.samples, line.gapped) == (20, 0)
    assert server.verified() == []


def test_a_gap_that_is_said_again_counts_once(server: Server) -> None:
    server.send(schema(1), batch(6, 10), gap(7, 2, 3, samples=20), gap(8, 2, 3, samples=20))
    assert server.line().gapped == 20
    server.send(gap(9, 2, 5, samples=50))  # said again, joined with the next one
    assert server.line().gapped == 50
    server.send(gap(10, 4, 4, samples=10))
    assert server.line().gapped == 50
    assert server.verified() == []


def test_a_gap_in_what_is_partly_here_counts_the_rest(server: Server) -> None:
    server.send(schema(1), batch(2, 10), batch(4, 7), gap(6, 2, 5, samples=40))
    line = server.line()
    assert (line.samples, line.gapped) == (17, 23)
    assert server.verified() == []


def test_refused_samples_are_not_gapped_too(server: Server) -> None:
    garbage = record(2, uplink_pb2.BATCH, b"\xff\xff", samples=10)
    server.send(schema(1), garbage, gap(4, 2, 3, samples=30))
    line = server.line()
    assert (line.refused, line.gapped) == (10, 20)


def test_a_gap_takes_over_the_samples_of_a_gap_without_positions(server: Server) -> None:
    """Retention dropped both; this server got the first one and not the batch behind it."""
    lost = gap(2, 0, 0, samples=5, epoch=0, cause=batch_pb2.RING_OVERFLOW)
    server.send(schema(1), lost, gap(4, 2, 3, samples=15, cause=batch_pb2.RETENTION_BYTES))
    assert server.line().gapped == 15
    assert server.verified() == []


def test_a_gap_leaves_out_what_one_of_another_cause_has_named(server: Server) -> None:
    server.send(
        *(schema(1), batch(2, 10), batch(6, 10)),
        gap(7, 3, 3, samples=4),
        gap(8, 2, 5, samples=30, cause=batch_pb2.RETENTION_AGE),
    )
    assert server.line().gapped == 4 + 20
    assert server.verified() == []


def test_a_gap_counts_for_what_the_journal_no_longer_held_before(server: Server) -> None:
    server.hello((4, 9))
    server.send(schema(4), gap(5, 1, 3, samples=12), gap(6, 1, 3, samples=12))
    assert server.line().gapped == 12
    assert server.finding().sound


def test_samples_without_a_position_count_once_for_the_record(server: Server) -> None:
    lost = [gap(seq, 0, 0, samples=5, epoch=0) for seq in (1, 2)]
    server.send(*lost, *lost)
    assert server.line().gapped == 10
    assert server.verified() == []


def test_no_number_of_samples_can_overflow_the_ledger(server: Server) -> None:
    most = (1 << 48) - 1
    server.send(*(gap(seq, 0, 0, samples=most, epoch=0) for seq in range(1, 41)))
    server.send(*(record(seq, uplink_pb2.BATCH, b"\xff", samples=1 << 62) for seq in (41, 42, 43)))
    line = server.line()
    assert (line.gapped, line.rejections) == (1 << 53, 3)
    assert codes(server.send(gap(44, 0, 0, samples=most + 1))) == [(44, "BadDecodingError", True)]
    assert server.send(gap(46, 1, 45, samples=1)).committed.committed_seq == 46
    assert server.verified() == []


def test_a_gap_of_a_cause_that_is_not_known_is_refused(server: Server) -> None:
    newer = record(1, uplink_pb2.GAP, b"\x08\x63")  # field 1, varint 99
    assert codes(server.send(newer)) == [(1, "BadDataEncodingUnsupported", True)]


def test_verify_finds_a_wrong_sum_of_gaps(server: Server) -> None:
    server.send(gap(1, 0, 0, samples=5, epoch=0))
    changed_by_hand(server, "UPDATE lines SET gapped = 4")
    assert "counts 4 gapped samples, not 5" in server.verified()[0]
    server.open()


def test_a_record_that_comes_after_its_gap_takes_its_count_back(server: Server) -> None:
    """A live lane tells the gap before a backfill lane sends the record, or quarantine did."""
    quarantined = gap(4, 2, 2, samples=10, cause=batch_pb2.QUARANTINED)
    acked = server.send(schema(1), batch(3, 7), quarantined).committed
    assert (acked.committed_seq, server.line().gapped) == (4, 10)
    assert server.verified() == []
    ack = server.send(batch(2, 10))
    assert (codes(ack), ack.committed) == ([], acked)  # the chain goes without it
    line = server.line()
    assert (line.samples, line.gapped, line.late, line.records) == (17, 0, 1, 4)
    assert server.finding().sound
    server.send(batch(2, 10), anchor(5))
    assert server.line().duplicates == 1
    assert server.finding().sound


def test_a_record_that_comes_late_and_is_refused_is_refused_and_not_gapped(server: Server) -> None:
    server.send(schema(1), batch(3, 7), gap(4, 2, 2, samples=10))
    garbage = record(2, uplink_pb2.BATCH, b"\xff\xff", samples=10)
    assert codes(server.send(garbage)) == [(2, "BadDecodingError", True)]
    line = server.line()
    assert (line.refused, line.gapped) == (10, 0)
    assert server.verified() == []


def test_what_came_late_of_a_longer_gap_leaves_the_rest_of_it(server: Server) -> None:
    server.send(schema(1), gap(9, 2, 8, samples=100))
    server.send(batch(4, 30), batch(5, 1))
    assert server.line().gapped == 69
    assert server.finding().sound


def test_what_a_hello_said_is_gone_may_come_after_all(data: Path) -> None:
    server = Server(data)
    server.hello((4, 9))
    server.send(schema(4), batch(2, 5))
    line = server.line()
    assert (line.samples, line.late, line.coverage.committed) == (5, 1, 4)
    assert (server.verified(), server.finding().earlier) == ([], 2)
    server.store.close()


def test_quarantine_gives_way_to_what_retention_says_later(server: Server) -> None:
    """What is in quarantine is still in the journal: retention counts it when it drops it."""
    server.send(
        *(schema(1), batch(2, 10), batch(4, 10)),
        gap(5, 3, 3, samples=10, cause=batch_pb2.QUARANTINED),
        gap(6, 2, 4, samples=30, cause=batch_pb2.RETENTION_BYTES),
    )
    assert server.line().gapped == 10
    assert server.finding().sound


@pytest.mark.parametrize("cause", [batch_pb2.NOT_POLLED, batch_pb2.STREAM_FULL])
def test_causes_that_name_no_positions(server: Server, cause: batch_pb2.GapCause) -> None:
    samples = 0 if cause == batch_pb2.NOT_POLLED else 40
    server.send(gap(1, 0, 0, samples=samples, epoch=0, cause=cause), anchor(2))
    assert server.line().gapped == samples
    assert rows(server, batch_pb2.GapCause.Name(cause))[0].samples == samples
    assert server.finding().sound


def test_a_thinned_record_is_its_own_gap(server: Server) -> None:
    full = batch(2, 10)
    thinned = batch(2, 4, thinned=6, first=full.hash)
    server.send(schema(1), thinned, anchor(3))
    line = server.line()
    assert (line.samples, line.gapped, line.thinned) == (4, 6, 6)
    (row,) = rows(server, THINNED)
    assert (row.seq, row.seq_from, row.seq_to, row.counted) == (2, 2, 2, 6)
    assert (row.time_from_ns, row.time_to_ns) == (thinned.time_min_ns, thinned.time_max_ns)
    assert server.finding().sound
    server.send(full)  # the first revision committed wins
    line = server.line()
    assert (line.samples, line.gapped, line.duplicates) == (4, 6, 1)


def test_a_record_that_is_here_in_full_is_not_thinned_later(server: Server) -> None:
    full = batch(2, 10)
    server.send(schema(1), full, batch(2, 4, thinned=6, first=full.hash))
    line = server.line()
    assert (line.samples, line.gapped, line.duplicates) == (10, 0, 1)
    assert server.finding().sound


def test_a_gap_over_thinned_records_counts_neither_what_is_left_nor_what_was_taken(
    server: Server,
) -> None:
    thinned = batch(2, 4, thinned=6, first=batch(2, 10).hash)
    server.send(schema(1), thinned, gap(4, 2, 3, samples=20, cause=batch_pb2.RETENTION_BYTES))
    line = server.line()
    assert (line.samples, line.gapped, line.thinned) == (4, 16, 6)
    assert server.finding().sound


@pytest.mark.parametrize("samples", [3, 5])
def test_a_thinned_record_has_to_hold_what_it_says(server: Server, samples: int) -> None:
    thinned = batch(2, 4, thinned=6, first=batch(2, 10).hash)
    thinned.samples = samples
    assert codes(server.send(schema(1), thinned)) == [(2, "BadDecodingError", True)]
    line = server.line()
    assert (line.samples, line.gapped, line.refused) == (0, 0, samples + 6)
    assert server.verified() == []


def test_a_record_of_the_first_revision_lost_nothing(server: Server) -> None:
    wrong = batch(2, 4)
    wrong.thinned = 6
    assert codes(server.send(schema(1), wrong)) == [(2, "BadDecodingError", True)]


def test_verify_finds_a_thinned_row_that_is_missing(server: Server) -> None:
    server.send(schema(1), batch(2, 4, thinned=6, first=batch(2, 10).hash))
    changed_by_hand(server, "DELETE FROM gaps", "UPDATE lines SET gapped = 0")
    (problem,) = server.verified()
    assert "do not match the thinned records" in problem
    server.open()


def test_verify_finds_a_gap_that_counts_what_is_here(server: Server) -> None:
    server.send(schema(1), batch(2, 10), gap(3, 2, 2, samples=10))
    changed_by_hand(server, "UPDATE gaps SET counted = 10", "UPDATE lines SET gapped = 10")
    (problem,) = server.verified()
    assert "counts 10 samples of 2-2, not 0" in problem
    server.open()


def test_gaps_that_overlap_in_part_are_told_too_large_and_by_how_much(server: Server) -> None:
    server.send(schema(1), gap(9, 2, 5, samples=40), gap(10, 4, 8, samples=30))
    assert server.line().gapped == 70
    finding = server.finding()
    assert (finding.overlapping, finding.sound) == (30, True)
    assert "up to 30 samples" in finding.notes[0]


def test_gaps_that_overlap_only_in_what_is_here_are_exact(server: Server) -> None:
    server.send(schema(1), batch(4, 9), gap(9, 2, 4, samples=40), gap(10, 4, 8, samples=30))
    assert server.line().gapped == 31 + 21
    assert server.finding().overlapping == 0


def test_positions_that_nobody_dated_have_no_times(server: Server) -> None:
    server.send(schema(1))
    server.hello((4, 9))
    (row,) = rows(server, NOT_HELD)
    assert (row.seq, row.samples, row.counted) == (None, None, 0)


class Plant:
    """What a gateway wrote and lost: positions 2 to 13, of which `here` reach the server.

    Retention dropped a prefix in two steps and told both; one record was damaged, before or after.
    """

    def __init__(self, data: st.DataObject) -> None:
        self.sizes = {seq: data.draw(st.integers(1, 9)) for seq in range(2, 14)}
        self.here = data.draw(st.sets(st.sampled_from(sorted(self.sizes))))
        short, long = sorted(data.draw(st.tuples(st.integers(2, 12), st.integers(2, 12))))
        damaged = data.draw(st.integers(2, 13))
        corrupt_at = data.draw(st.sampled_from([1, 4]))
        left_out = damaged if corrupt_at == 1 or damaged > long else 0
        self.named = {*range(2, long + 1), damaged}
        self.records = [batch(seq, self.sizes[seq]) for seq in sorted(self.here)]
        for at, last in ((2, short), (3, long), (5, long)):
            samples = sum(self.sizes[n] for n in range(2, last + 1) if n != left_out)
            self.records.append(gap(at, 2, last, samples, cause=batch_pb2.RETENTION_BYTES, at=NEXT))
        self.records.append(gap(corrupt_at, damaged, damaged, self.sizes[damaged], at=NEXT))

    @property
    def lost(self) -> int:
        return sum(self.sizes[seq] for seq in self.named - self.here)


@examples(60)
@given(data=st.data())
def test_what_is_gapped_is_what_is_lost_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    server = Server(tmp_path_factory.mktemp("store"))
    server.hello()
    server.send(schema(1))
    plant = Plant(data)
    for one in data.draw(st.permutations(plant.records)):
        server.send(one)
    lines = server.lines()
    assert sum(line.samples for line in lines) == sum(plant.sizes[seq] for seq in plant.here)
    assert sum(line.gapped for line in lines) == plant.lost
    finding = server.finding()
    assert (finding.problems, finding.overlapping) == ([], 0)
    server.store.close()


class Nothing:
    """Holdings of a line of which nothing came."""

    def positions(self, _first: int, _last: int) -> int:
        return 0

    def samples(self, _first: int, _last: int) -> int:
        return 0


def test_a_thousand_gaps_inside_each_other_cost_little() -> None:
    """What a long outage could make: each loss told again with the next one."""
    gaps = [NamedGap(n, EPOCH, 10_000 + n, "CORRUPT", 1, n, n, 0) for n in range(1, 1001)]
    found = counts(gaps, Nothing(), [gap.id for gap in gaps])
    assert found == {n: 1000 if n == 1000 else 0 for n in range(1, 1001)}
