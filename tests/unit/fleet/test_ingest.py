"""What the store holds after records came twice, out of order, damaged, forked, or not at all."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.errors import StoreError, StoreLocked
from forebay_fleet.ingest import SessionEnded
from forebay_fleet.ledger import GENESIS, MAX_ISLANDS, MAX_REPORTED_ISLANDS, extend
from forebay_fleet.store.opening import FILE
from forebay_fleet.store.reader import StoreReader
from forebay_fleet.store.writer import StoreWriter
from support.fleet import anchor, record
from support.fleet_ingest import EPOCH, LIMITS, Server, batch, codes, gap, islands, schema
from support.fuzz import examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(data: Path) -> Iterator[Server]:
    server = Server(data)
    server.hello()
    yield server
    server.store.close()


def test_records_are_stored_once_however_often_they_come(server: Server) -> None:
    records = [anchor(seq) for seq in (1, 2, 3)]
    for _ in range(3):
        assert server.send(*records).committed.committed_seq == 3
    assert server.send(*records, *records, anchor(4)).committed.committed_seq == 4
    line = server.line()
    assert (line.records, line.duplicates, line.coverage.committed) == (4, 12, 4)
    assert server.verified() == []


def test_holes_make_islands_and_filling_them_joins(server: Server) -> None:
    assert islands(server.send(anchor(3), anchor(7), anchor(4))) == [(3, 4), (7, 7)]
    assert server.send(anchor(1)).committed.committed_seq == 1
    ack = server.send(anchor(2))
    assert (ack.committed.committed_seq, islands(ack)) == (4, [(7, 7)])
    assert server.send(anchor(6), anchor(5)).committed.committed_seq == 7
    assert server.verified() == []


@examples(25)
@given(order=st.permutations(list(range(1, 13))), data=st.data())
def test_chain_and_ledger_do_not_depend_on_the_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], data: st.DataObject
) -> None:
    server = Server(tmp_path_factory.mktemp("store"))
    server.hello()
    for seq in order:
        again = data.draw(st.sampled_from(order))
        ack = server.send(anchor(seq), *([anchor(again)] if data.draw(st.booleans()) else []))
    chain = GENESIS
    for seq in range(1, 13):
        if seq <= ack.committed.committed_seq:
            chain = extend(chain, anchor(seq).hash)
    assert ack.committed.committed_seq == 12
    assert ack.committed.chain == chain
    assert server.verified() == []
    server.store.close()


def test_the_ledger_survives_a_restart(server: Server) -> None:
    before = server.send(anchor(1), anchor(2), anchor(5)).committed
    incarnation = server.store.incarnation
    server.store.close()
    server.open()
    assert server.store.incarnation == incarnation
    welcome = server.hello((1, 9))
    assert list(welcome.committed) == [before]
    assert server.send(anchor(2), anchor(3)).committed.committed_seq == 3
    assert server.line().duplicates == 1


def test_a_fork_is_refused_and_noted(server: Server) -> None:
    before = server.send(anchor(1), anchor(2)).committed
    forked = anchor(2, salt=1)
    forked.samples, forked.thinned = 5, 2
    ack = server.send(forked)
    assert (codes(ack), ack.committed) == ([(2, "Forked", True)], before)
    server.send(forked, anchor(1, salt=1), anchor(3))
    line = server.line()
    assert (line.records, line.forks, line.forked, line.coverage.committed) == (3, 2, 7, 3)
    with StoreReader(server.directory) as reader:
        forks = {fork.seq: fork for fork in reader.forks("g")}
        assert reader.forks("another") == []
    assert (forks[2].times, forks[2].samples, forks[1].times) == (2, 7, 1)
    assert (forks[2].kept, forks[2].refused) == (anchor(2).hash, forked.hash)
    assert server.finding().sound


def test_a_fork_of_a_refused_record_is_a_fork(server: Server) -> None:
    server.send(record(1, uplink_pb2.BATCH, b"\xff\xff"))
    assert codes(server.send(anchor(1))) == [(1, "Forked", True)]
    assert server.line().forks == 1


def test_the_same_numbers_in_another_epoch_or_stream_are_no_fork(server: Server) -> None:
    server.send(anchor(1))
    server.send(anchor(1, salt=1, epoch=2 << 32))
    server.send(anchor(1, salt=1, stream=uplink_pb2.EVENTS))
    with StoreReader(server.directory) as reader:
        assert [line.records for line in reader.lines()] == [1, 1, 1]


def test_what_is_refused_for_good_does_not_stop_the_rest(server: Server) -> None:
    garbage = record(2, uplink_pb2.BATCH, b"\xff\xff")
    huge = record(3, uplink_pb2.ANCHOR, bytes(LIMITS.max_record_bytes + 1))
    ack = server.send(anchor(1), garbage, huge, anchor(4))
    assert ack.committed.committed_seq == 4
    assert codes(ack) == [(2, "BadDecodingError", True), (3, "BadEncodingLimitsExceeded", True)]
    assert codes(server.send(garbage)) == [(2, "BadDecodingError", True)]
    line = server.line()
    assert (line.records, line.rejections) == (2, 2)
    assert server.verified() == []


def test_a_damaged_envelope_leaves_a_hole_that_the_next_session_fills(server: Server) -> None:
    damaged = anchor(2)
    damaged.crc ^= 1
    ack = server.send(anchor(1), damaged, anchor(3))
    assert codes(ack) == [(2, "BadDecodingError", False)]
    assert (ack.committed.committed_seq, islands(ack)) == (1, [(3, 3)])
    assert server.send(anchor(2)).committed.committed_seq == 3


def test_a_refused_record_that_comes_again_sound_is_stored(server: Server) -> None:
    sound = anchor(1)
    damaged = anchor(1)
    damaged.payload = b"x" + damaged.payload
    before = server.send(damaged, anchor(2)).committed
    assert server.line().rejections == 1
    ack = server.send(sound)
    assert (codes(ack), ack.committed) == ([], before)  # the chain has named it by its hash
    line = server.line()
    assert (line.rejections, line.records, line.duplicates) == (0, 2, 0)
    assert server.send(sound).rejected == []
    assert server.line().duplicates == 1
    assert server.verified() == []


def test_what_the_journal_no_longer_holds_is_not_waited_for(server: Server) -> None:
    server.send(anchor(1))
    server.hello((1, 2))
    assert server.hello((8, 12)).committed[0].committed_seq == 7
    finding = server.finding()
    assert (finding.unexplained, finding.problems, finding.sound) == (6, [], False)
    assert finding.missing == [
        f"g telemetry {EPOCH:016x}: 6 positions are not here, and no Gap says what they held"
    ]
    assert server.send(anchor(8), gap(9, 2, 7)).committed.committed_seq == 9
    finding = server.finding()
    assert (finding.unexplained, finding.missing, finding.sound) == (0, [], True)


def test_what_was_gone_before_the_gateway_first_came_is_told_apart(data: Path) -> None:
    server = Server(data)
    server.hello((8, 12), (1, 5, 2 << 32))
    server.send(*(anchor(seq) for seq in range(8, 12)))
    finding = server.finding()
    assert (finding.unexplained, finding.earlier, finding.sound) == (0, 7, True)
    assert "7 positions are from before this server's time" in finding.notes[0]
    server.hello((15, 20), (1, 5, 2 << 32))  # what it dropped since then has to be explained
    assert (server.finding().unexplained, server.finding().earlier) == (3, 7)
    # And so has what it began to write since then. What it no longer offers will not come.
    server.hello((3, 9, 3 << 32))
    assert (server.finding().unexplained, server.finding().earlier) == (3 + 5 + 2, 7 + 4)
    server.store.close()


def test_a_hole_inside_the_journal_is_not_waited_for(server: Server) -> None:
    after_hole = anchor(5)
    after_hole.absent_from = 3
    assert server.send(anchor(1), anchor(2), after_hole).committed.committed_seq == 5
    assert (server.verified(), server.finding().unexplained) == ([], 2)


def test_a_hole_is_believed_even_if_its_record_came_before(server: Server) -> None:
    server.send(anchor(1), anchor(5))
    again = anchor(5)
    again.absent_from = 2
    assert server.send(again).committed.committed_seq == 5
    assert server.line().duplicates == 1


def lacking(welcome: uplink_pb2.Welcome) -> list[tuple[int, int]]:
    return [(run.first_seq, run.last_seq) for run in welcome.committed[0].gapped]


def test_what_only_a_gap_tells_of_is_named_and_taken_when_it_comes(server: Server) -> None:
    """The gateway's journal was put back in time: what it had dropped is there again."""
    second = 2 << 32
    server.send(schema(1), batch(2, 5))
    server.send(gap(1, 3, 8, samples=30, at=second))
    server.hello((9, 12), (1, 2, second))  # 9 to 11 were written, and never came
    server.hello((1, 1, 3 << 32))
    welcome = server.hello((1, 12))
    assert welcome.committed[0].committed_seq == 11
    assert lacking(welcome) == [(3, 11)]
    assert lacking(server.hello((5, 7))) == [(5, 6)], "only what the gateway has"
    assert server.send(batch(4, 5), batch(9, 2)).committed.committed_seq == 11
    assert lacking(server.hello((1, 12))) == [(3, 3), (5, 8), (10, 11)]
    assert sum(line.gapped for line in server.lines()) == 25
    server.send(batch(3, 5), *(batch(seq, 5) for seq in (5, 6, 7, 8)), batch(10, 2), batch(11, 2))
    assert lacking(server.hello((1, 12))) == []
    lines = server.lines()
    assert (sum(line.samples for line in lines), sum(line.gapped for line in lines)) == (41, 0)
    assert server.finding().sound


def test_a_record_that_came_after_its_gap_is_not_chained(server: Server) -> None:
    """Whatever comes before or behind it later: a gap stands for it in the chain of its line."""
    told = gap(4, 2, 3)
    server.send(told)
    server.send(anchor(3))
    ack = server.send(anchor(1))
    assert ack.committed.committed_seq == 4
    assert ack.committed.chain == extend(extend(GENESIS, anchor(1).hash), told.hash)
    assert server.line().late == 1
    finding = server.finding()
    assert (finding.sound, finding.wrong_chains) == (True, 0), finding


def test_a_refused_record_is_not_lacking(server: Server) -> None:
    server.send(gap(1, 3, 4, at=2 << 32))
    assert codes(server.send(record(4, uplink_pb2.BATCH, b"\xff\xff")))
    assert lacking(server.hello((1, 5))) == [(3, 3)]


def test_runs_that_are_lacking_are_bounded(server: Server) -> None:
    server.send(*(anchor(seq) for seq in range(2, 100, 2)))
    server.send(gap(1, 1, 99, at=2 << 32))
    runs = lacking(server.hello((1, 101)))
    assert runs == [*((seq, seq) for seq in range(1, 31, 2)), (31, 99)]
    assert len(runs) == MAX_REPORTED_ISLANDS


def test_a_schema_id_names_one_schema(server: Server) -> None:
    first = batch_pb2.Schema(id=7, source="press", group="fast")
    first.tags.add(name="t", type=batch_pb2.INT16)
    other = batch_pb2.Schema(id=7, source="press", group="slow")
    other.tags.add(name="t", type=batch_pb2.INT16)
    ack = server.send(
        record(1, uplink_pb2.SCHEMA, first.SerializeToString()),
        record(2, uplink_pb2.SCHEMA, first.SerializeToString()),
        record(3, uplink_pb2.SCHEMA, other.SerializeToString()),
    )
    assert codes(ack) == [(3, "SchemaConflict", True)]


@pytest.mark.parametrize(
    ("stream", "epoch", "seq"),
    [(3, EPOCH, 0), (3, 0, 1), (3, 1 << 63, 1), (0, EPOCH, 1), (5, EPOCH, 1), (3, EPOCH, 1 << 62)],
)
def test_positions_that_cannot_be_end_the_session(
    server: Server, stream: uplink_pb2.Stream, epoch: int, seq: int
) -> None:
    with pytest.raises(SessionEnded) as ended:
        server.send(anchor(seq, stream=stream, epoch=epoch))
    assert ended.value.status == "INVALID_ARGUMENT"


@pytest.mark.parametrize("head", [(0, 5), (6, 5), (1, 1 << 63)])
def test_heads_that_cannot_be_end_the_session(server: Server, head: tuple[int, int]) -> None:
    with pytest.raises(SessionEnded):
        server.hello(head)


def test_holes_are_bounded(server: Server) -> None:
    server.send(*(anchor(2 * n) for n in range(1, MAX_ISLANDS + 1)))
    with pytest.raises(SessionEnded) as ended:
        server.send(anchor(2 * MAX_ISLANDS + 2))
    assert ended.value.status == "RESOURCE_EXHAUSTED"


def test_gateways_are_bounded(server: Server) -> None:
    server.hello(name="second")
    server.hello(name="g")
    with pytest.raises(SessionEnded) as ended:
        server.hello(name="third")
    assert ended.value.status == "RESOURCE_EXHAUSTED"


def test_a_restored_backup_gets_a_new_incarnation(tmp_path: Path) -> None:
    store = StoreWriter(tmp_path)
    first = store.incarnation
    store.close()
    backup = (tmp_path / FILE).read_bytes()
    store = StoreWriter(tmp_path)
    assert store.incarnation == first
    store.close()
    (tmp_path / FILE).write_bytes(backup)
    store = StoreWriter(tmp_path)
    assert store.incarnation != first
    store.close()


def test_a_restored_store_tells_what_is_gone_from_the_gateway_too(tmp_path: Path) -> None:
    """Two runs were delivered since the backup; of the first the gateway has nothing any more."""
    server = Server(tmp_path)
    server.hello((1, 4))
    server.send(*(anchor(seq) for seq in range(1, 4)))
    server.store.close()
    backup = (tmp_path / FILE).read_bytes()
    server.open()
    server.hello((1, 9), (1, 9, 2 << 32))
    server.store.close()
    (tmp_path / FILE).write_bytes(backup)
    server.open()
    welcome = server.hello((8, 9, 3 << 32))  # what it has not delivered to the store that was lost
    assert welcome.incarnation == server.store.incarnation
    assert server.finding().notes[0].startswith("g telemetry 0000000300000000: 7 positions")
    server.hello((5, 9, 2 << 32), (8, 9, 3 << 32))  # all it has
    server.send(*(anchor(seq, epoch=2 << 32) for seq in range(5, 9)))
    server.send(anchor(8, epoch=3 << 32))
    finding = server.finding()
    assert (finding.sound, finding.earlier) == (True, 4 + 7)
    assert "restored before this run ended" in finding.notes[0]
    assert [line.ended for line in server.lines()] == [2, 1, 0]
    server.store.close()


def test_a_store_has_one_writer(server: Server) -> None:
    with pytest.raises(StoreLocked):
        StoreWriter(server.directory)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(random.Random(1).randbytes(9000))
    with pytest.raises(StoreError, match="no store"):
        StoreWriter(tmp_path)


def test_verify_finds_a_flipped_bit(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.hello()
    payload = batch_pb2.Anchor(boot_id="needle".ljust(250, "-")).SerializeToString()
    server.send(record(1, uplink_pb2.ANCHOR, payload))
    server.store.close()
    path = server.directory / FILE
    stored = path.read_bytes()
    assert stored.count(b"needle") == 1
    path.write_bytes(stored.replace(b"needle", b"nfedle"))
    assert server.verified() == [f"g telemetry {EPOCH:016x} 1: the payload has another hash"]
