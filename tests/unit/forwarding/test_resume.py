"""The destination's word decides where a session begins."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import UplinkMisbehaved
from forebay.forwarding import resume
from forebay.interfaces import Head, Resume, Terms
from forebay.model import Position, Stream
from forebay.testing.records import make_record
from support.memory_journal import MemoryJournal

if TYPE_CHECKING:
    from forebay.model import Record

T = Stream.TELEMETRY


def begin(heads: list[Head], resumes: list[Resume]) -> Position:
    return resume.plan(heads, resumes).after[T]


@pytest.mark.parametrize(
    ("heads", "resumes", "after"),
    [
        ([], [], (0, 0)),
        ([Head(T, 5, 1, 10)], [], (0, 0)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 0)], (0, 0)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 4)], (5, 4)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 9)], (5, 9)),
        ([Head(T, 5, 7, 10)], [Resume(T, 5, 2)], (5, 2)),
        ([Head(T, 5, 1, 10)], [Resume(T, 4, 99)], (0, 0)),
        ([Head(T, 5, 1, 10)], [Resume(Stream.BULK, 5, 4)], (0, 0)),
        ([Head(T, 5, 1, 10), Head(T, 6, 1, 3)], [Resume(T, 5, 9)], (5, 9)),
        ([Head(T, 5, 1, 10), Head(T, 6, 1, 3)], [Resume(T, 5, 9), Resume(T, 6, 1)], (6, 1)),
        ([Head(T, 6, 1, 3), Head(T, 5, 1, 10)], [Resume(T, 5, 8), Resume(T, 6, 1)], (5, 8)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 2), Resume(T, 5, 4)], (5, 4)),
        ([Head(T, 5, 1, 1)], [], (0, 0)),
    ],
)
def test_where_to_begin(heads: list[Head], resumes: list[Resume], after: tuple[int, int]) -> None:
    assert begin(heads, resumes) == Position(T, *after)


@pytest.mark.parametrize("committed", [10, 11, 2**60])
def test_a_destination_ahead_of_the_journal_means_it_went_back_in_time(committed: int) -> None:
    with pytest.raises(UplinkMisbehaved, match="we only up to 9") as caught:
        begin([Head(T, 5, 1, 10)], [Resume(T, 5, committed)])
    assert "restored from an older copy" in caught.value.hint


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_nothing_uncommitted_is_passed_over(epochs: list[tuple[int, int]], rng: object) -> None:
    """Whatever the destination lacks lies behind the beginning, and is not marked committed."""
    heads = [Head(T, n + 1, 1, records + 1) for n, (records, _) in enumerate(epochs)]
    done = {n + 1: min(records, wanted) for n, (records, wanted) in enumerate(epochs)}
    start = resume.plan(heads, [Resume(T, epoch, seq) for epoch, seq in done.items()])
    for head in heads:
        for seq in range(1, head.next_seq):
            committed = seq <= done[head.epoch]
            assert committed == (seq <= start.committed.get((T, head.epoch), 0))
            if not committed:
                assert (head.epoch, seq) > start.after[T][1:]


def test_a_tail_that_the_disk_has_lost_of_an_older_epoch_holds_nothing_up() -> None:
    heads = [Head(Stream.TELEMETRY, 1, 1, 10), Head(Stream.TELEMETRY, 2, 1, 4)]
    start = resume.plan(heads, [Resume(Stream.TELEMETRY, 1, 12), Resume(Stream.TELEMETRY, 2, 1)])
    assert start.after[Stream.TELEMETRY] == Position(Stream.TELEMETRY, 2, 1)


def chain_of(*records: Record) -> bytes:
    chain = bytes(32)
    for record in records:
        chain = hashlib.sha256(chain + record.hash).digest()
    return chain


RECORDS = [make_record(seq, bytes([seq])) for seq in range(1, 10)]
OTHERS = [make_record(seq, bytes([seq, seq])) for seq in range(1, 10)]
E = RECORDS[0].position.epoch


def terms(seq: int, chain: bytes, incarnation: str = "one") -> Terms:
    return Terms(incarnation, (Resume(T, E, seq, chain),), 1, 1)


async def test_a_chain_that_differs_is_refused() -> None:
    journal = MemoryJournal(*RECORDS)
    cursor = journal.cursor("cloud")
    for seq in (1, 5, 9):
        await resume.verify(terms(seq, chain_of(*RECORDS[:seq])), journal, cursor)
        with pytest.raises(UplinkMisbehaved, match="other records") as caught:
            await resume.verify(terms(seq, chain_of(*OTHERS[:seq])), journal, cursor)
        assert "restored from an older copy" in caught.value.hint


async def test_what_cannot_be_reckoned_is_not_compared() -> None:
    journal = MemoryJournal(*RECORDS)
    cursor = journal.cursor("cloud")
    await resume.verify(terms(5, b""), journal, cursor)
    await resume.verify(terms(0, bytes(32)), journal, cursor)
    journal.drop(T, 3)
    await resume.verify(terms(5, chain_of(*OTHERS[:5])), journal, cursor)


async def test_the_destinations_last_word_is_where_reckoning_begins() -> None:
    """What it has before that it may have got without the records that this journal dropped."""
    journal = MemoryJournal(*RECORDS)
    cursor = journal.cursor("cloud")
    theirs = chain_of(RECORDS[3])
    resume.testify(terms(4, theirs).resume, "one", cursor)
    journal.drop(T, 3)
    await resume.verify(terms(6, chain_of(*RECORDS[3:6])), journal, cursor)
    with pytest.raises(UplinkMisbehaved):
        await resume.verify(terms(6, chain_of(RECORDS[3], *OTHERS[4:6])), journal, cursor)
    await resume.verify(terms(6, chain_of(*OTHERS[:6]), "two"), journal, cursor)
    await resume.verify(terms(3, chain_of(*OTHERS[:3])), journal, cursor)
