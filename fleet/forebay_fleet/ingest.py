"""What becomes of each record: stored, known already, or refused.

Runs inside the writer's transaction. Owns the decisions. Must not know sessions, threads or gRPC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.envelope import Content, Refused, identity, judge
from forebay_fleet.gaps import counts
from forebay_fleet.ledger import CUT, MAX_ISLANDS
from forebay_fleet.store.writer import LineKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from forebay_fleet.limits import Limits
    from forebay_fleet.store.writer import Greeted, Known, Line, StoreWriter

ALL_HEADS = 1000
"""A Hello with fewer heads of a stream names all of its epochs from the oldest one named on."""
MAX_NUMBER = 1 << 62
"""Above every seq and epoch that can occur. No database holds more than 2^63 - 1, and what follows
from a number, such as the place behind another line, must have room too."""


class SessionEnded(Exception):
    """The session cannot go on.

    `status` is the name of the gRPC status code that the gateway gets.
    """

    def __init__(self, status: str, message: str) -> None:
        """Keep the status and what is wrong."""
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class _Touched:
    """What a parcel did to a line: the seqs in it, those that Gaps had, and what was refused."""

    seqs: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    rejected: list[uplink_pb2.Rejection] = field(default_factory=list)


class Ingest:
    """Applies what gateways send to the store."""

    def __init__(
        self,
        store: StoreWriter,
        limits: Limits,
        now_ns: Callable[[], int],
        max_islands: int = MAX_ISLANDS,
    ) -> None:
        """Use `now_ns` (wall time) for the times of receipt; refuse what makes more holes."""
        self._max_islands = max_islands
        self._store = store
        self._limits = limits
        self._now_ns = now_ns

    def greet(self, hello: uplink_pb2.Hello) -> tuple[int, uplink_pb2.Welcome]:
        """Open a session: give the gateway's number and what it may send from where.

        What is only told of by gaps is named: a gateway whose journal was put back in time has it
        again. Positions before a head's `first_seq` will never come: they are covered as not held.
        Raises SessionEnded.
        """
        check_heads(hello.heads, self._limits.max_heads)
        greeted = self._store.greet(hello, self._now_ns(), self._limits.max_gateways)
        if greeted is None:
            raise SessionEnded("RESOURCE_EXHAUSTED", "this server takes no more gateways")
        welcome = uplink_pb2.Welcome(
            incarnation=self._store.incarnation,
            credit_bytes=self._limits.credit_bytes,
            max_record_bytes=self._limits.max_record_bytes,
        )
        for head in hello.heads:
            key = LineKey(greeted.gateway, head.stream, head.epoch)
            if head.next_seq == 1 and self._store.find_line(key) is None:
                continue
            line = self._store.line(key)
            line.next_seq = max(line.next_seq, head.next_seq)
            self._first_told(greeted, line)
            if head.first_seq - 1 > line.coverage.committed:
                self._cover_absent(line, 1, head.first_seq - 1)
            committed = _committed(line)
            for first, last in self._store.gaps.lacking(line, head.first_seq, head.next_seq - 1):
                committed.gapped.add(first_seq=first, last_seq=last)
            welcome.committed.append(committed)
        self._end_epochs(greeted, hello.heads)
        welcome.newest_epoch = self._store.newest_epoch(greeted.gateway)
        return greeted.gateway, welcome

    def note_twin(self, gateway: int) -> None:
        """Keep the alarm that a second box comes as this gateway."""
        self._store.note_twin(gateway, self._now_ns())

    def _first_told(self, greeted: Greeted, line: Line) -> None:
        """Remember what was written before the gateway came here: who knows where that went."""
        if line.era == self._store.era:
            return
        line.era = self._store.era
        if line.key.epoch <= greeted.horizon:
            line.earlier = max(line.earlier, line.next_seq)

    def _end_epochs(self, greeted: Greeted, heads: Iterable[uplink_pb2.Head]) -> None:
        """Close the epochs that are older than another one of their stream.

        A gateway offers all from the oldest that is not delivered on, but for some before the
        newest if they are very many. So what is missing in one that it does not offer will not
        come, if it knows what this server has: not so in its first session with a restored store,
        when it goes by what the lost one had.
        """
        offered: dict[int, list[int]] = {}
        for head in heads:
            offered.setdefault(head.stream, []).append(head.epoch)
        for stream, epochs in offered.items():
            for line in self._store.unoffered(greeted.gateway, stream, max(epochs)):
                gone = line.key.epoch not in epochs
                if gone and not greeted.again:
                    continue
                if not line.ended:
                    cut = gone and 0 <= line.era < self._store.era
                    line.ended = CUT if cut else 1
                line.next_seq = max(line.next_seq, line.coverage.end)
                if line.key.epoch < min(epochs) or (gone and len(epochs) < ALL_HEADS):
                    self._first_told(greeted, line)
                    self._cover_absent(line, 1, line.next_seq - 1)

    def take(
        self, gateway: int, records: Iterable[uplink_pb2.Record]
    ) -> Callable[[], list[uplink_pb2.Ack]]:
        """Apply records in order; the result gives the acks, and is to be called after the commit.

        Raises SessionEnded for a record that no gateway may send; what was applied before it stays.
        """
        now_ns = self._now_ns()
        touched: dict[LineKey, _Touched] = {}
        try:
            for record in records:
                check_position(record)
                key = LineKey(gateway, record.stream, record.epoch)
                at = touched.setdefault(key, _Touched())
                at.seqs.append(record.seq)
                try:
                    self._take(self._store.line(key), record, at, now_ns)
                except Refused as refused:
                    at.rejected.append(
                        uplink_pb2.Rejection(
                            seq=record.seq, code=refused.code, permanent=refused.permanent
                        )
                    )
        finally:
            for key, at in touched.items():
                if at.late:
                    self._recount(self._store.line(key), min(at.late), max(at.late))
        return lambda: [self._ack(key, at) for key, at in touched.items()]

    def _take(self, line: Line, record: uplink_pb2.Record, at: _Touched, now_ns: int) -> None:
        """Raises Refused or SessionEnded."""
        name = identity(record)
        if 0 < record.absent_from < record.seq:
            self._cover_absent(line, record.absent_from, record.seq - 1)
        known = self._known(line, record.seq)
        if known is not None and known.hash != name:
            self._store.insert_fork(line, record, name, now_ns)
            raise Refused("Forked", "another record has this position here")
        if known is not None and not known.rejected:
            line.duplicates += 1
            return
        late = line.coverage.covers(record.seq) if known is None else known.late
        if known is not None or late:
            at.late.append(record.seq)
        try:
            content = self._judge(line, record)
        except Refused as refused:
            if refused.permanent:
                refusal = (refused.code, str(refused))
                self._store.reject(line, record, name, refusal, now_ns, late=late)
            raise
        self._store.insert(line, record, content.schema_id, now_ns, late=late)
        if record.kind == uplink_pb2.BATCH:
            line.samples += record.samples
            if record.thinned:
                self._store.gaps.insert_thinned(line, record)
        if content.gap is not None:
            self._account(line, record.seq, content.gap)

    def _known(self, line: Line, seq: int) -> Known | None:
        """Give what is at a position. Raises SessionEnded for one hole too many."""
        if line.coverage.covers(seq):
            return self._store.known(line, seq)
        if len(line.coverage.islands) >= self._max_islands:
            raise SessionEnded("RESOURCE_EXHAUSTED", "too many holes: send records in order")
        return None

    def _judge(self, line: Line, record: uplink_pb2.Record) -> Content:
        gateway = line.key.gateway
        content = judge(
            record, self._limits.max_record_bytes, lambda id_: self._store.columns(gateway, id_)
        )
        schema = content.schema
        if schema is not None and not self._store.insert_schema(gateway, schema, record.payload):
            raise Refused("SchemaConflict", f"another schema has the id {schema.message.id:016x}")
        return content

    def _account(self, line: Line, seq: int, gap: batch_pb2.Gap) -> None:
        """Let a Gap record stand for the positions it names, which are of its own stream."""
        if not gap.seq_to:
            self._store.gaps.insert(line, seq, gap, None)
            return
        target = self._store.line(line.key._replace(epoch=gap.epoch))
        self._store.gaps.insert(line, seq, gap, target)
        self._recount(target, gap.seq_from, gap.seq_to)
        self._store.cover(target, gap.seq_from, gap.seq_to)

    def _recount(self, target: Line, first: int, last: int) -> None:
        """Bring up to date what the Gaps count that name any of `first..last`."""
        gaps = self._store.gaps
        named = gaps.naming(target, first, last)
        if not named:
            return
        lowest, highest = min(gap.first for gap in named), max(gap.last for gap in named)
        around = gaps.naming(target, lowest, highest)
        found = counts(around, gaps.holdings(target), [gap.id for gap in named])
        for gap in named:
            if found[gap.id] != gap.counted:
                line = self._store.line(target.key._replace(epoch=gap.epoch))
                gaps.recount(line, gap, found[gap.id])

    def _cover_absent(self, line: Line, first: int, last: int) -> None:
        """Account for what the gateway says will not come: such holes must not stop the acks."""
        for hole in line.coverage.holes(first, last):
            self._store.gaps.insert_not_held(line, *hole)
        self._store.cover(line, first, last)

    def _ack(self, key: LineKey, at: _Touched) -> uplink_pb2.Ack:
        line = self._store.find_line(key)
        assert line is not None
        return uplink_pb2.Ack(
            committed=_committed(line, at.seqs),
            rejected=at.rejected,
            credit_bytes=self._limits.credit_bytes,
        )


def _committed(line: Line, touched: Sequence[int] = ()) -> uplink_pb2.Committed:
    message = uplink_pb2.Committed(
        stream=cast("uplink_pb2.Stream", line.key.stream),
        epoch=line.key.epoch,
        committed_seq=line.coverage.committed,
        chain=line.chain,
    )
    for first, last in line.coverage.reported(touched):
        message.islands.add(first_seq=first, last_seq=last)
    return message


def check_heads(heads: Iterable[uplink_pb2.Head], most: int) -> None:
    """Raise SessionEnded for heads that no gateway may name."""
    for number, head in enumerate(heads):
        if number >= most:
            raise SessionEnded("INVALID_ARGUMENT", f"more than {most} heads")
        if not (_is_stream(head.stream) and 0 < head.epoch < MAX_NUMBER):
            raise SessionEnded("INVALID_ARGUMENT", "a head of no stream or epoch")
        if not 1 <= head.first_seq <= head.next_seq <= MAX_NUMBER:
            raise SessionEnded("INVALID_ARGUMENT", "a head with impossible numbers")


def check_position(record: uplink_pb2.Record) -> None:
    """Raise SessionEnded for a record that no gateway may send."""
    if not (_is_stream(record.stream) and 0 < record.epoch < MAX_NUMBER):
        raise SessionEnded("INVALID_ARGUMENT", "a record of no stream or epoch")
    if not 1 <= record.seq < MAX_NUMBER:
        raise SessionEnded("INVALID_ARGUMENT", "a record with an impossible number")


def _is_stream(number: int) -> bool:
    return uplink_pb2.AUDIT <= number <= uplink_pb2.BULK
