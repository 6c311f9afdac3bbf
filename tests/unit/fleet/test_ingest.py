"""What the store holds after records came twice, out of order, damaged, forked, or not at all."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.audit import verify
from forebay_fleet.errors import StoreError, StoreLocked
from forebay_fleet.ingest import Ingest, SessionEnded
from forebay_fleet.ledger import GENESIS, MAX_ISLANDS, extend
from forebay_fleet.limits import Limits
from forebay_fleet.store.opening import FILE
from forebay_fleet.store.reader import LineRow, StoreReader
from forebay_fleet.store.writer import StoreWriter
from support.fleet import anchor, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EPOCH = 1 << 48
LIMITS = Limits(max_gateways=2, max_record_bytes=1 << 20)


class Server:
    """Ingest on a real store, without gRPC and threads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.open()

    def open(self) -> None:
        self.store = StoreWriter(self.directory)
        self.ingest = Ingest(self.store, LIMITS, lambda: 1_000_000_000)

    def hello(
        self, *heads: tuple[int, int], name: str = "g", epoch: int = EPOCH
    ) -> uplink_pb2.Welcome:
        hello = uplink_pb2.Hello(gateway=name)
        for first, following in heads:
            hello.heads.add(
                stream=uplink_pb2.TELEMETRY, epoch=epoch, first_seq=first, next_seq=following
            )
        with self.store.transaction():
            self.gateway, welcome = self.ingest.greet(hello)
        return welcome

    def send(self, *records: uplink_pb2.Record) -> uplink_pb2.Ack:
        """Send records of one line and give its ack, as the committer does."""
        with self.store.transaction():
            told: Callable[[], list[uplink_pb2.Ack]] | SessionEnded
            try:
                told = self.ingest.take(self.gateway, records)
            except SessionEnded as ended:
                told = ended
        if isinstance(told, SessionEnded):
            raise told
        (ack,) = told()
        return ack

    def line(self) -> LineRow:
        with StoreReader(self.directory) as reader:
            (line,) = reader.lines()
        return line

    def verified(self) -> list[str]:
        with StoreReader(self.directory) as reader:
            return verify(reader).problems


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.hello()
    yield server
    server.store.close()


def islands(ack: uplink_pb2.Ack) -> list[tuple[int, int]]:
    return [(island.first_seq, island.last_seq) for island in ack.committed.islands]


def codes(ack: uplink_pb2.Ack) -> list[tuple[int, str, bool]]:
    return [(r.seq, r.code, r.permanent) for r in ack.rejected]


def gap(
    seq: int,
    first: int,
    last: int,
    samples: int = 0,
    epoch: int = EPOCH,
    cause: batch_pb2.GapCause = batch_pb2.CORRUPT,
) -> uplink_pb2.Record:
    payload = batch_pb2.Gap(cause=cause, epoch=epoch, seq_from=first, seq_to=last, samples=samples)
    return record(seq, uplink_pb2.GAP, payload.SerializeToString(), samples=samples)


def schema(seq: int) -> uplink_pb2.Record:
    message = batch_pb2.Schema(id=7, source="press", group="fast")
    message.tags.add(name="t", type=batch_pb2.BOOL)
    return record(seq, uplink_pb2.SCHEMA, message.SerializeToString())


def batch(seq: int, rows: int) -> uplink_pb2.Record:
    """A dense batch of one BOOL column: as many samples as rows."""
    message = batch_pb2.Batch(schema_id=7, rows=rows, compression=batch_pb2.NONE)
    for role, kind, width in (
        (batch_pb2.TIME, batch_pb2.INT64, 8),
        (batch_pb2.RECEIVED, batch_pb2.INT64, 8),
        (batch_pb2.VALUES, batch_pb2.BOOL, 1),
    ):
        message.columns.add(role=role, type=kind, transform=batch_pb2.PLAIN, bytes=rows * width)
    times = b"".join((1_000_000 * seq + row).to_bytes(8, "little") for row in range(rows))
    message.data = times + times + bytes(rows)
    message.raw_bytes = len(message.data)
    return record(seq, uplink_pb2.BATCH, message.SerializeToString(), samples=rows)


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


@settings(max_examples=25)
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
    server.send(anchor(1), anchor(2))
    with pytest.raises(SessionEnded) as ended:
        server.send(anchor(2, salt=1))
    assert ended.value.status == "FAILED_PRECONDITION"
    assert "fork" in str(ended.value)
    line = server.line()
    assert (line.records, line.forks) == (2, 1)


def test_the_same_numbers_in_another_epoch_or_stream_are_no_fork(server: Server) -> None:
    server.send(anchor(1))
    server.send(anchor(1, salt=1, epoch=2 << 48))
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


def test_a_gap_accounts_for_what_is_not_there(server: Server) -> None:
    ack = server.send(anchor(1), anchor(5), gap(6, 2, 4, samples=30))
    assert ack.committed.committed_seq == 6
    line = server.line()
    assert (line.gapped, line.records) == (30, 3)
    assert codes(server.send(anchor(3))) == [(3, "AccountedFor", True)]
    assert server.verified() == []


def test_a_gap_may_speak_of_an_older_epoch(server: Server) -> None:
    server.send(anchor(1))
    payload = batch_pb2.Gap(cause=batch_pb2.RETENTION_AGE, epoch=EPOCH, seq_from=2, seq_to=9)
    server.send(record(1, uplink_pb2.GAP, payload.SerializeToString(), epoch=2 << 48))
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
    with StoreReader(server.directory) as reader:
        assert verify(reader).sound


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
    server.store.close()
    with contextlib.closing(sqlite3.connect(server.directory / FILE)) as store, store:
        store.execute("UPDATE lines SET gapped = 4")
    assert "counts 4 gapped samples, not 5" in server.verified()[0]
    server.open()


def test_what_the_journal_no_longer_holds_is_not_waited_for(server: Server) -> None:
    server.send(anchor(1))
    assert server.hello((8, 12)).committed[0].committed_seq == 7
    with StoreReader(server.directory) as reader:
        finding = verify(reader)
    assert (finding.unexplained, finding.problems, finding.sound) == (6, [], False)
    assert finding.missing == [
        f"g telemetry {EPOCH:016x}: 6 positions are not here, and no Gap says what they held"
    ]
    assert server.send(anchor(8), gap(9, 2, 7)).committed.committed_seq == 9
    with StoreReader(server.directory) as reader:
        finding = verify(reader)
    assert (finding.unexplained, finding.missing, finding.sound) == (0, [], True)


def test_a_hole_inside_the_journal_is_not_waited_for(server: Server) -> None:
    after_hole = anchor(5)
    after_hole.absent_from = 3
    assert server.send(anchor(1), anchor(2), after_hole).committed.committed_seq == 5
    with StoreReader(server.directory) as reader:
        finding = verify(reader)
    assert (finding.problems, finding.unexplained) == ([], 2)


def test_a_hole_is_believed_even_if_its_record_came_before(server: Server) -> None:
    server.send(anchor(1), anchor(5))
    again = anchor(5)
    again.absent_from = 2
    assert server.send(again).committed.committed_seq == 5
    assert server.line().duplicates == 1


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


def test_a_store_has_one_writer(server: Server) -> None:
    with pytest.raises(StoreLocked):
        StoreWriter(server.directory)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(random.Random(1).randbytes(9000))
    with pytest.raises(StoreError, match="no store"):
        StoreWriter(tmp_path)


def test_verify_finds_a_flipped_bit(server: Server) -> None:
    payload = batch_pb2.Anchor(boot_id="needle".ljust(250, "-")).SerializeToString()
    server.send(record(1, uplink_pb2.ANCHOR, payload))
    server.store.close()
    path = server.directory / FILE
    stored = path.read_bytes()
    assert stored.count(b"needle") == 1
    path.write_bytes(stored.replace(b"needle", b"nfedle"))
    assert server.verified() == [f"g telemetry {EPOCH:016x} 1: the payload has another hash"]
    server.open()
