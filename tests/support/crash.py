"""Seeded lives of a journal on a disk whose power fails and that others fill; what must hold.

The oracle is a plain list: what was submitted, what was acknowledged as durable, and what any read
has shown so far. `simulate` raises AssertionError on the first promise that is broken.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field

from forebay.columnar import decode_gap
from forebay.errors import JournalFailed, JournalFull
from forebay.journal.entry import gap_entry
from forebay.journal.journal import Entry, Journal, JournalLimits
from forebay.journal.record import sha256
from forebay.model import Gap, GapCause, Position, Record, RecordKind, Stream
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
from support.journal import DIRECTORY, ENCODED_SCHEMA, PLENTY, entry, read_all, seams
from support.telemetry import scans

STREAMS = (Stream.TELEMETRY, Stream.TELEMETRY, Stream.TELEMETRY, Stream.EVENTS)
STEPS_PER_LIFE = 40
LIVES_MOST = 4
CHANGES_PER_LIFE_MOST = 220
ROOMY_BYTES = 1 << 30
TIGHT_BYTES = 64 << 10
SHARED_BYTES = 256 << 10


@dataclass
class Oracle:
    """Everything that was promised so far."""

    submitted: dict[int, Entry] = field(default_factory=dict)
    names: dict[bytes, int] = field(default_factory=dict)
    durable: set[int] = field(default_factory=set)
    durable_gap_samples: dict[Stream, int] = field(default_factory=lambda: defaultdict(int))
    gap_samples: dict[Stream, int] = field(default_factory=lambda: defaultdict(int))
    seen: dict[Position, tuple[RecordKind, bytes]] = field(default_factory=dict)
    revisions: dict[Position, int] = field(default_factory=dict)
    given: dict[Position, bytes] = field(default_factory=dict)
    advanced: dict[Stream, Position] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)

    def saw(self, records: list[Record]) -> None:
        """A position names the same bytes for ever, and only what was submitted is ever read.

        But for thinning, which says what it took, and never gives it back.
        """
        for record in records:
            shown = (record.kind, record.hash)
            assert self.seen.setdefault(record.position, shown) == shown, record.position
            assert self.revisions.get(record.position, 0) <= record.revision, record.position
            self.revisions[record.position] = record.revision
            assert (sha256(record.payload) == record.hash) == (record.revision == 0)
            if record.kind is RecordKind.BATCH:
                first = self.submitted[self.name(record)]
                assert record.samples + record.thinned == first.samples
                assert (record.thinned > 0) == (record.revision > 0)

    def name(self, record: Record) -> int:
        """Give the name of a batch, whatever was thinned from it."""
        return self.names[record.hash]


class _Life:
    """One process: uses a journal at random until the steps are done or the power is gone."""

    def __init__(
        self,
        journal: Journal,
        disk: FaultyDisk,
        clock: FakeClock,
        rng: random.Random,
        oracle: Oracle,
        *,
        shared: bool,
    ) -> None:
        self._journal, self._clock, self._rng, self._oracle = journal, clock, rng, oracle
        self._disk, self._shared = disk, shared
        self._cursor = journal.cursor("cloud")
        self._waiting: list[tuple[asyncio.Future[None], list[Entry]]] = []
        for stream in set(STREAMS):
            reached = oracle.advanced.get(stream, Position(stream, 0, 0))
            assert self._cursor.get(stream) <= reached

    async def run(self) -> None:
        """Live."""
        steps = (self._submit, self._submit, self._submit, self._settle, self._read, self._advance)
        others = (self._others,) if self._shared else ()
        for _ in range(self._rng.randint(1, STEPS_PER_LIFE)):
            await self._rng.choice((*steps, self._time, *others))()
        if self._rng.random() < 0.5:
            await self._settle()

    async def _submit(self) -> None:
        entries = [self._entry() for _ in range(self._rng.randint(1, 4))]
        try:
            self._waiting.append((self._journal.submit(entries), entries))
        except JournalFull:
            for refused in entries:
                if refused.kind is RecordKind.GAP:
                    self._oracle.gap_samples[refused.stream] -= _gap_samples(refused)

    async def _settle(self) -> None:
        """Wait for what was submitted; what the journal acknowledges is durable from here on."""
        while self._waiting:
            future, entries = self._waiting.pop(0)
            while not future.done():
                if self._journal.stats().trouble:
                    self._disk.others_bytes = 0
                    await self._clock.advance(1.0)
                await asyncio.wait((future,), timeout=0.002)
            await future
            for made in entries:
                if made.kind is RecordKind.BATCH:
                    self._oracle.durable.add(self._oracle.names[sha256(made.payload)])
                else:
                    self._oracle.durable_gap_samples[made.stream] += _gap_samples(made)

    async def _read(self) -> None:
        stream, size = self._rng.choice(STREAMS), self._rng.randint(1, 20_000)
        self._oracle.saw(await read_all(self._journal, stream, size))

    async def _advance(self) -> None:
        stream, size = self._rng.choice(STREAMS), self._rng.randint(1, 20_000)
        records = await self._journal.read(self._cursor.get(stream), size, self._cursor)
        self._oracle.saw(records)
        for record in () if self._shared else records:  # without room for marks they are lost
            given = self._oracle.given.setdefault(record.position, record.payload)
            assert given == record.payload, "changed in flight"
        if records:
            done = records[: self._rng.randint(1, len(records))]
            self._oracle.taken |= {self._oracle.name(r) for r in done if r.kind is RecordKind.BATCH}
            self._oracle.advanced[stream] = done[-1].position
            self._cursor.advance(done[-1].position)

    async def _time(self) -> None:
        await self._clock.advance(1.0)

    async def _others(self) -> None:
        """Somebody else fills the disk, all of it or nearly, or lets go of it."""
        room = self._disk.room() + self._disk.others_bytes
        self._disk.others_bytes = max(0, room - self._rng.choice((0, 0, 3_000, 20_000, room)))

    def _entry(self) -> Entry:
        rng, oracle = self._rng, self._oracle
        stream = rng.choice(STREAMS)
        if rng.random() < 0.1:
            samples = rng.randint(1, 50)
            oracle.gap_samples[stream] += samples
            return gap_entry(stream, Gap(GapCause.RING_OVERFLOW, 1, 2, samples, "press"))
        name = len(oracle.submitted) + 1
        size = rng.choice((8, 100, 700, rng.randint(8, 6_000)))
        size += 12_000 * (size > 5_000)  # such a payload is written before its header
        schema = ENCODED_SCHEMA if stream is Stream.TELEMETRY else None
        samples = rng.randint(0, 99)
        made = entry(name, stream=stream, size=size, samples=samples, schema=schema)
        if stream is Stream.TELEMETRY and rng.random() < 0.5:
            made = batch_entry(scans(name, rows=rng.choice((4, 32))))
        oracle.submitted[name] = made
        oracle.names[sha256(made.payload)] = name
        return made


def _gap_samples(made: Entry) -> int:
    return decode_gap(made.payload).samples or 0


async def _live(
    disk: FaultyDisk, limits: JournalLimits, rng: random.Random, oracle: Oracle, *, shared: bool
) -> None:
    clock = FakeClock()
    async with Journal(DIRECTORY, limits, seams(disk, clock, rng.getrandbits(32))) as journal:
        await _Life(journal, disk, clock, rng, oracle, shared=shared).run()


def simulate(seed: int) -> None:
    """Live a few lives with a power cut in each, then check everything."""
    rng = random.Random(seed)
    roomy = rng.random() < 0.6
    shared = not roomy and rng.random() < 0.5
    limits = JournalLimits(
        max_bytes=ROOMY_BYTES if roomy else TIGHT_BYTES,
        max_age_s=1e9,
        segment_bytes=rng.choice((4096, 12_288, 65_536)),
        ring_bytes=rng.choice((20_000, 1 << 20)),
    )
    oracle, disk = Oracle(), FaultyDisk(capacity_bytes=SHARED_BYTES if shared else ROOMY_BYTES * 2)
    for left in reversed(range(rng.randint(1, LIVES_MOST))):
        disk.cut_after(rng.randint(1, CHANGES_PER_LIFE_MOST))
        try:
            asyncio.run(_live(disk, limits, rng, oracle, shared=shared))
        except JournalFailed:
            assert disk.off, "only the power may fail here"
        if left and rng.random() < 0.3:
            disk.revive()  # only the process was killed: what it never flushed is there for now
        else:
            disk = disk.reboot(rng)
    disk.others_bytes = -2 * PLENTY.max_bytes  # on a larger disk, on which nothing has to go
    asyncio.run(_judge(disk, oracle, roomy=roomy))


async def _judge(disk: FaultyDisk, oracle: Oracle, *, roomy: bool) -> None:
    """Look at everything, with limits that let nothing go meanwhile."""
    async with Journal(DIRECTORY, PLENTY, seams(disk, seed=9)) as journal:
        for stream in sorted(set(STREAMS)):
            records = await read_all(journal, stream, 10_000)
            oracle.saw(records)
            _judge_order(records, oracle, stream)
            _judge_holes(records, journal.cursor("cloud").get(stream), roomy=roomy)
            _judge_ledger(journal, records, oracle, stream, roomy=roomy)
            _judge_damage(records, oracle, stream)
            if roomy:
                there = {record.position for record in records}
                missing = [p for p in oracle.seen if p.stream is stream and p not in there]
                assert not missing, f"once read, now gone: {missing}"


def _judge_order(records: list[Record], oracle: Oracle, stream: Stream) -> None:
    names = [oracle.name(r) for r in records if r.kind is RecordKind.BATCH]
    assert names == sorted(set(names)), "twice or out of order"
    first = min(names, default=1 << 60)
    lost = {n for n in oracle.durable if oracle.submitted[n].stream is stream and n > first}
    assert lost <= set(names), f"durable and gone: {sorted(lost - set(names))}"


def _judge_holes(records: list[Record], cursor: Position, *, roomy: bool) -> None:
    """A seq that is not there is named by a gap, unless the cursor passed it before it went."""
    gaps = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
    named = {(g.epoch, seq) for g in gaps for seq in range(g.seq_from, g.seq_to + 1)}
    last: Position | None = None
    for position in (record.position for record in records):
        if last is not None and position.epoch == last.epoch:
            first = last.seq + 1
        elif last is not None or roomy or cursor.epoch < position.epoch:
            first = 1
        else:
            first = cursor.seq + 1 if cursor.epoch == position.epoch else position.seq
        holes = {(position.epoch, seq) for seq in range(first, position.seq)}
        assert holes <= named, f"nobody accounts for {holes - named}"
        last = position


def _judge_damage(records: list[Record], oracle: Oracle, stream: Stream) -> None:
    """Nothing rots here: what anybody has ever read is not said to be damaged."""
    gaps = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
    for gap in gaps:
        if gap.cause is GapCause.CORRUPT:
            named = [Position(stream, gap.epoch, n) for n in range(gap.seq_from, gap.seq_to + 1)]
            assert not oracle.seen.keys() & set(named), gap


def _judge_ledger(
    journal: Journal, records: list[Record], oracle: Oracle, stream: Stream, *, roomy: bool
) -> None:
    cursor = journal.cursor("cloud")
    account = journal.ledger(stream, cursor)
    parts = (account.delivered, account.pending, account.gapped, account.quarantined)
    assert min(parts) >= 0, account
    assert account.balanced, account
    batches = [r for r in records if r.kind is RecordKind.BATCH]
    behind = [r.samples for r in batches if r.position > cursor.get(stream)]
    assert account.pending == sum(behind), account
    mine = {n: e.samples for n, e in oracle.submitted.items() if e.stream is stream}
    least = sum(samples for n, samples in mine.items() if n in oracle.durable)
    least += oracle.durable_gap_samples[stream]
    most = sum(mine.values()) + oracle.gap_samples[stream]
    assert least <= account.produced <= most, (least, account, most)
    gone = oracle.durable - {oracle.name(r) for r in batches}
    taken = sum(samples for n, samples in mine.items() if n in oracle.taken)
    untaken = sum(samples for n, samples in mine.items() if n in gone - oracle.taken)
    assert account.delivered <= taken, (account, taken)
    assert account.gapped >= untaken + oracle.durable_gap_samples[stream], (account, untaken)
    if roomy:
        assert account.delivered + account.pending == sum(r.samples for r in batches), account
