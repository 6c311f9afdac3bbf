"""The journal against a plain list: any sequence of actions gives what a list would give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import assume, given
from hypothesis import strategies as st

from forebay.columnar import decode_gap
from forebay.journal.journal import Journal, JournalLimits
from forebay.journal.record import sha256
from forebay.model import Position, Record, RecordKind
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
from support.fuzz import examples
from support.journal import DIRECTORY, T, calm, entry, read_all, seams
from support.quarantine import set_aside
from support.telemetry import scans

if TYPE_CHECKING:
    from forebay.journal.catalog import Catalog, Segment
    from forebay.journal.cursor import Cursor
    from forebay.journal.journal import Entry

SIZES = st.lists(st.sampled_from((3000, 700, 8)), min_size=1, max_size=5)
SUBMIT = st.tuples(st.just("submit"), SIZES)
POLL = st.tuples(st.just("poll"), st.integers(1, 6))
ROWS = 32
ACTIONS = st.one_of(
    SUBMIT,
    SUBMIT,
    POLL,
    POLL,
    st.tuples(st.just("begin"), st.none()),
    st.tuples(st.just("advance"), st.integers(1, 12)),
    st.tuples(st.just("reject"), st.integers(1, 3)),
    st.tuples(st.just("drop"), st.integers(0, 3)),
    st.tuples(st.just("save"), st.none()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("crash"), st.none()),
)


class Model:
    """A list of all samples ever submitted, and what one consumer did with them."""

    def __init__(self, limits: JournalLimits) -> None:
        """Start with an empty disk."""
        self.limits, self.disk = limits, FaultyDisk()
        self.samples: list[int] = []
        self.names: dict[bytes, int] = {}
        self.taken: dict[int, tuple[int, int]] = {}
        self.refused: dict[int, tuple[Position, int]] = {}
        self.most_thinned = 0
        self.flying: dict[int, Record] = {}

    async def run(self, actions: list[tuple[str, object]]) -> None:
        """Do the actions, restarting where they say so."""
        left = list(actions)
        while True:
            left = await self._one_run(left)
            if not left:
                return

    async def _one_run(self, actions: list[tuple[str, object]]) -> list[tuple[str, object]]:
        journal = Journal(DIRECTORY, self.limits, seams(self.disk))
        await journal.__aenter__()
        cursor = journal.cursor("cloud")
        await calm(journal)
        try:
            for number, (action, value) in enumerate(actions):
                await self._act(journal, cursor, action, value)
                if action != "crash":
                    await calm(journal)
                await self._check(journal, cursor)
                if action in ("restart", "crash"):
                    return actions[number + 1 :]
        finally:
            await journal.__aexit__(None, None, None)
        return []

    async def _act(self, journal: Journal, cursor: Cursor, action: str, value: object) -> None:
        first = len(self.samples)
        if action == "submit":
            assert isinstance(value, list)
            await self._submit(
                journal,
                [entry(first + n, size=size, samples=size % 97) for n, size in enumerate(value)],
            )
        elif action == "poll":
            assert isinstance(value, int)
            await self._submit(
                journal, [batch_entry(scans(first + n, rows=ROWS)) for n in range(value)]
            )
        elif action == "begin":
            self._begin(journal, cursor)
        elif action in ("advance", "reject", "drop"):
            assert isinstance(value, int)
            await getattr(self, f"_{action}")(journal, cursor, value)
        elif action == "save":
            journal._cursors.save()  # noqa: SLF001 - what happens each second
        elif action == "crash":
            journal._cursors.save()  # noqa: SLF001 - so that the list knows what is remembered
            journal._writer.fail(OSError("crash"))  # noqa: SLF001 - a crash has no interface

    async def _advance(self, journal: Journal, cursor: Cursor, most: int) -> None:
        records = await self._read(journal, cursor, most)
        if records:
            cursor.advance(records[-1].position)
            self._take(records)

    async def _reject(self, journal: Journal, cursor: Cursor, most: int) -> None:
        for record in await self._read(journal, cursor, most):
            await set_aside(journal, record)
            if record.kind is RecordKind.BATCH:
                name = self.names[record.hash]
                self.refused.setdefault(name, (record.position, record.samples))

    async def _read(self, journal: Journal, cursor: Cursor, most: int) -> list[Record]:
        records = (await journal.read(cursor.get(T), 8000, cursor))[:most]
        self._fly(records)
        return records

    async def _drop(self, journal: Journal, _: Cursor, which: int) -> None:
        for copy in journal.quarantine.copies()[which : which + 1]:
            await journal.quarantine.drop(copy.id)

    def _begin(self, journal: Journal, cursor: Cursor) -> None:
        """Begin a session as a forwarder does: what has no copy any more is to be sent again."""
        aside = {copy.position for copy in journal.quarantine.copies("cloud")}
        for copy in journal.quarantine.copies("cloud"):
            cursor.reject(copy.position, copy.samples)
        cursor.begin(T, cursor.get(T), [(at, at) for at in sorted(aside)])
        self.flying.clear()
        self.refused = {
            name: (at, samples)
            for name, (at, samples) in self.refused.items()
            if at in aside or at <= cursor.get(T)
        }

    async def _submit(self, journal: Journal, entries: list[Entry]) -> None:
        for made in entries:
            self.names[sha256(made.payload)] = len(self.samples)
            self.samples.append(made.samples)
        await journal.submit(entries)

    def _fly(self, records: list[Record]) -> None:
        """What was given since the session began is given again as it was."""
        for record in records:
            if record.kind is RecordKind.BATCH:
                name = self.names[record.hash]
                assert self.flying.setdefault(name, record) == record, "changed in flight"

    def _take(self, records: list[Record]) -> None:
        for record in records:
            if record.kind is RecordKind.BATCH:
                self.taken[self.names[record.hash]] = record.samples, record.thinned

    async def _check(self, journal: Journal, cursor: Cursor) -> None:
        records = await read_all(journal, T, 10_000)
        there = {
            self.names[r.hash]: (r.samples, r.thinned)
            for r in records
            if r.kind is RecordKind.BATCH
        }
        assert list(there) == list(range(len(self.samples) - len(there), len(self.samples)))
        assert all(self.samples[name] == sum(counts) for name, counts in there.items())
        account = journal.ledger(T, cursor)
        assert account.balanced
        kept = {copy.position for copy in journal.quarantine.copies("cloud")}
        passed = {n: (at, s) for n, (at, s) in self.refused.items() if at <= cursor.get(T)}
        quarantined = sum(samples for at, samples in passed.values() if at in kept)
        untaken = sum(samples for name, (_, samples) in passed.items() if name in self.taken)
        assert account.produced == sum(self.samples)
        pending = [counts for name, counts in there.items() if name not in self.taken]
        assert account.pending == sum(samples for samples, _ in pending)
        assert account.quarantined == quarantined
        taken = self.taken.values()
        assert account.delivered == sum(n for n, _ in taken) - untaken
        gone = [
            samples
            for name, samples in enumerate(self.samples)
            if name not in there and name not in self.taken
        ]
        thinned = sum(n for _, n in taken) + sum(n for _, n in pending)
        assert account.gapped == sum(gone) + thinned + untaken - quarantined
        self.most_thinned = max(self.most_thinned, thinned)
        behind = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
        first = records[0].position if records else Position(T, 0, 0)
        ranges = [range(g.seq_from, g.seq_to + 1) for g in behind if g.epoch == first.epoch]
        named = {seq for seqs in ranges for seq in seqs}
        if cursor.get(T) < first and gone:
            after = cursor.get(T).seq if cursor.get(T).epoch == first.epoch else 0
            assert set(range(after + 1, first.seq)) <= named


@examples(80)
@given(st.lists(ACTIONS, max_size=25))
async def test_roomy(actions: list[tuple[str, object]]) -> None:
    await Model(JournalLimits(1 << 30, 1e9, 4096, 1 << 20)).run(actions)


@examples(120)
@given(st.lists(ACTIONS, min_size=15, max_size=50))
async def test_tight(actions: list[tuple[str, object]]) -> None:
    await Model(JournalLimits(24 << 10, 1e9, 4096, 1 << 20)).run(actions)


async def test_the_histories_thin() -> None:
    """What the other tests hold the journal against does happen."""
    model = Model(JournalLimits(24 << 10, 1e9, 4096, 1 << 20))
    await model.run([("poll", 4), ("advance", 1), ("begin", None), ("poll", 5), ("restart", None)])
    await model.run([("poll", 6)] * 4)
    assert model.most_thinned > 500


def _named(catalog: Catalog, segment: Segment) -> bool:
    """Whether a gap names a record of the segment: one that was refused, and its copy dropped."""
    last = segment.last.seq
    return any(
        gap.epoch == segment.header.epoch
        and gap.seq_from <= last
        and gap.seq_to >= segment.first.seq
        for gap in (journaled.gap for journaled in catalog.gaps(T))
    )


@examples(60)
@given(st.lists(ACTIONS, min_size=15, max_size=50), st.data())
async def test_a_loss_that_nobody_names_shows(
    actions: list[tuple[str, object]], data: st.DataObject
) -> None:
    """After any history, a segment that goes without a gap is missing from the account."""
    model = Model(JournalLimits(24 << 10, 1e9, 4096, 1 << 20))
    await model.run(actions)
    async with Journal(DIRECTORY, model.limits, seams(model.disk)) as journal:
        cursor = journal.cursor("cloud")
        await calm(journal)
        catalog = journal._catalog  # noqa: SLF001 - behind the journal's back is the point
        unread = [
            segment
            for segment in catalog.segments(T)[:-1]
            if segment.first > cursor.get(T)
            and segment.summary.samples
            and not _named(catalog, segment)
        ]
        assume(unread)
        assert journal.ledger(T, cursor).balanced
        segment = data.draw(st.sampled_from(unread))
        model.disk.unlink(segment.path)
        catalog.drop(segment)
        account = journal.ledger(T, cursor)
        parts = account.delivered + account.pending + account.gapped + account.quarantined
        assert not account.balanced
        lost = segment.summary.samples + segment.summary.thinned
        epochs = {s.header.epoch for s in catalog.segments(T)} | {cursor.get(T).epoch}
        if epochs == {segment.header.epoch}:
            assert account.produced - parts == lost
        else:  # where a hole spans epochs, gaps that reach beyond it count for a share
            assert account.produced > parts
