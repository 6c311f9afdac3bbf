"""The journal against a plain list: any sequence of actions gives what a list would give."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from forebay.columnar import decode_gap
from forebay.journal.journal import Journal, JournalLimits
from forebay.journal.writer import Job
from forebay.model import Position, Record, RecordKind
from forebay.testing.disk import FaultyDisk
from support.journal import DIRECTORY, T, entry, name_of, read_all, seams

if TYPE_CHECKING:
    from forebay.journal.cursor import Cursor

SIZES = st.lists(st.sampled_from((3000, 700, 8)), min_size=1, max_size=5)
SUBMIT = st.tuples(st.just("submit"), SIZES)
ACTIONS = st.one_of(
    SUBMIT,
    SUBMIT,
    SUBMIT,
    st.tuples(st.just("advance"), st.integers(1, 12)),
    st.tuples(st.just("reject"), st.integers(1, 3)),
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
        self.taken: dict[int, int] = {}
        self.refused: dict[int, int] = {}

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
        await _quiet(journal)
        try:
            for number, (action, value) in enumerate(actions):
                await self._act(journal, cursor, action, value)
                await self._check(journal, cursor)
                if action in ("restart", "crash"):
                    return actions[number + 1 :]
        finally:
            await journal.__aexit__(None, None, None)
        return []

    async def _act(self, journal: Journal, cursor: Cursor, action: str, value: object) -> None:
        if action == "submit":
            assert isinstance(value, list)
            first = len(self.samples)
            self.samples += [size % 97 for size in value]
            await journal.submit(
                [
                    entry(first + n, size=size, samples=self.samples[first + n])
                    for n, size in enumerate(value)
                ]
            )
            await _quiet(journal)
        elif action in ("advance", "reject"):
            assert isinstance(value, int)
            records = (await journal.read(cursor.get(T), 1 << 20))[:value]
            for record in records if action == "reject" else ():
                cursor.reject(record.position, record.samples)
                if record.kind is RecordKind.BATCH:
                    self.refused[name_of(record)] = record.samples
            if records and action == "advance":
                cursor.advance(records[-1].position)
                self._take(records)
        elif action == "save":
            journal._cursors.save()  # noqa: SLF001 - what happens each second
        elif action == "crash":
            journal._cursors.save()  # noqa: SLF001 - so that the list knows what is remembered
            journal._writer.fail(OSError("crash"))  # noqa: SLF001 - a crash has no interface

    def _take(self, records: list[Record]) -> None:
        for record in records:
            if record.kind is RecordKind.BATCH:
                self.taken[name_of(record)] = record.samples

    async def _check(self, journal: Journal, cursor: Cursor) -> None:
        records = await read_all(journal, T, 10_000)
        there = {name_of(r): r.samples for r in records if r.kind is RecordKind.BATCH}
        assert list(there) == list(range(len(self.samples) - len(there), len(self.samples)))
        assert all(self.samples[name] == samples for name, samples in there.items())
        account = journal.ledger(T, cursor)
        assert account.balanced
        quarantined = {n: s for n, s in self.refused.items() if n in self.taken}
        assert account.produced == sum(self.samples)
        assert account.pending == sum(s for n, s in there.items() if n not in self.taken)
        assert account.quarantined == sum(quarantined.values())
        assert account.delivered == sum(self.taken.values()) - account.quarantined
        gone = [
            samples
            for name, samples in enumerate(self.samples)
            if name not in there and name not in self.taken
        ]
        assert account.gapped == sum(gone)
        behind = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
        first = records[0].position if records else Position(T, 0, 0)
        ranges = [range(g.seq_from, g.seq_to + 1) for g in behind if g.epoch == first.epoch]
        named = {seq for seqs in ranges for seq in seqs}
        if cursor.get(T) < first and gone:
            after = cursor.get(T).seq if cursor.get(T).epoch == first.epoch else 0
            assert set(range(after + 1, first.seq)) <= named


async def _quiet(journal: Journal) -> None:
    """Let retention, which follows each commit on the writer thread, come to its end.

    Its gaps may fill a segment, which makes it look again: until nothing changes any more.
    """
    before: object = None
    while before != (before := [s.file for s in journal.segments()]):
        for _ in range(2):
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            journal._writer.submit(Job(done))  # noqa: SLF001 - an empty commit behind it
            await done


@settings(max_examples=80)
@given(st.lists(ACTIONS, max_size=25))
async def test_roomy(actions: list[tuple[str, object]]) -> None:
    await Model(JournalLimits(1 << 30, 1e9, 4096, 1 << 20)).run(actions)


@settings(max_examples=120)
@given(st.lists(ACTIONS, min_size=15, max_size=50))
async def test_tight(actions: list[tuple[str, object]]) -> None:
    await Model(JournalLimits(24 << 10, 1e9, 4096, 1 << 20)).run(actions)


@settings(max_examples=60)
@given(st.lists(ACTIONS, min_size=15, max_size=50), st.data())
async def test_a_loss_that_nobody_names_shows(
    actions: list[tuple[str, object]], data: st.DataObject
) -> None:
    """After any history, a segment that goes without a gap is missing from the account."""
    model = Model(JournalLimits(24 << 10, 1e9, 4096, 1 << 20))
    await model.run(actions)
    async with Journal(DIRECTORY, model.limits, seams(model.disk)) as journal:
        cursor = journal.cursor("cloud")
        await _quiet(journal)
        catalog = journal._catalog  # noqa: SLF001 - behind the journal's back is the point
        unread = [
            segment
            for segment in catalog.segments(T)[:-1]
            if segment.first > cursor.get(T) and segment.summary.samples
        ]
        assume(unread)
        assert journal.ledger(T, cursor).balanced
        segment = data.draw(st.sampled_from(unread))
        model.disk.unlink(segment.path)
        catalog.drop(segment)
        account = journal.ledger(T, cursor)
        parts = account.delivered + account.pending + account.gapped + account.quarantined
        assert not account.balanced
        assert account.produced - parts == segment.summary.samples
