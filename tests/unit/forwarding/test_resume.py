"""The destination's word decides where a session begins."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.forwarding import resume
from forebay.forwarding.resume import Doubt
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
        ([Head(T, 5, 1, 10)], [], (5, 0)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 0)], (5, 0)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 4)], (5, 4)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 9)], (5, 9)),
        ([Head(T, 5, 7, 10)], [Resume(T, 5, 2)], (5, 2)),
        ([Head(T, 5, 1, 10)], [Resume(T, 4, 99)], (5, 0)),
        ([Head(T, 5, 1, 10)], [Resume(Stream.BULK, 5, 4)], (5, 0)),
        ([Head(T, 5, 1, 10), Head(T, 6, 1, 3)], [Resume(T, 5, 9)], (5, 9)),
        ([Head(T, 5, 1, 10), Head(T, 6, 1, 3)], [Resume(T, 5, 9), Resume(T, 6, 1)], (6, 1)),
        ([Head(T, 6, 1, 3), Head(T, 5, 1, 10)], [Resume(T, 5, 8), Resume(T, 6, 1)], (5, 8)),
        ([Head(T, 5, 1, 10)], [Resume(T, 5, 2), Resume(T, 5, 4)], (5, 4)),
        ([Head(T, 5, 1, 1)], [], (5, 0)),
    ],
)
def test_where_to_begin(heads: list[Head], resumes: list[Resume], after: tuple[int, int]) -> None:
    assert begin(heads, resumes) == Position(T, *after)


@pytest.mark.parametrize(
    "told", [Resume(T, 5, 10), Resume(T, 5, 2**60), Resume(T, 5, 3, islands=((11, 12),))]
)
def test_a_destination_ahead_of_the_journal_means_it_went_back_in_time(told: Resume) -> None:
    assert resume.ahead([Head(T, 5, 1, 10)], [told], 5) == [told]
    assert resume.ahead([Head(T, 5, 1, 10)], [told], 6) == [], "nothing is written there any more"


def test_a_destination_that_is_behind_is_not_ahead() -> None:
    heads = [Head(T, 5, 1, 10)]
    assert resume.ahead(heads, [Resume(T, 5, 9), Resume(T, 4, 99)], 5) == []


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
            assert committed == start.there[T, head.epoch].covers(seq)
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


HEADS = [Head(T, E, 1, 10)]


async def test_a_chain_that_differs_is_a_doubt() -> None:
    journal = MemoryJournal(*RECORDS)
    cursor = journal.cursor("cloud")
    for seq in (1, 5, 8):
        same, other = chain_of(*RECORDS[:seq]), chain_of(*OTHERS[:seq])
        assert await resume.doubtful(terms(seq, same), HEADS, journal, cursor) == {}
        found = await resume.doubtful(terms(seq, other), HEADS, journal, cursor)
        assert found == {(T, E): Doubt(0, 9)}


async def test_a_doubt_begins_where_both_last_agreed() -> None:
    journal = MemoryJournal(*RECORDS)
    cursor = journal.cursor("cloud")
    resume.testify(terms(4, chain_of(*RECORDS[:4])).resume, "one", cursor)
    told = terms(6, chain_of(*RECORDS[:4], *OTHERS[4:6]))
    assert await resume.doubtful(told, HEADS, journal, cursor) == {(T, E): Doubt(4, 9)}
    start = resume.plan(HEADS, told.resume, (), {(T, E): Doubt(4, 9)})
    assert start.after[T] == Position(T, E, 4)
    assert list(start.there[T, E]) == [(1, 4)]


async def test_more_than_we_wrote_is_a_doubt_unless_all_of_ours_is_delivered() -> None:
    journal = MemoryJournal(*RECORDS)
    cursor = journal.cursor("cloud")
    told = terms(12, chain_of(*OTHERS))
    assert await resume.doubtful(told, HEADS, journal, cursor) == {(T, E): Doubt(0, 9)}
    cursor.advance(Position(T, E, 9))
    assert await resume.doubtful(told, HEADS, journal, cursor) == {}


async def test_what_was_refused_as_forked_is_a_doubt() -> None:
    journal = MemoryJournal(*RECORDS)
    found = await resume.doubtful(
        terms(5, b""), HEADS, journal, journal.cursor("cloud"), {(T, E), (T, 1)}
    )
    assert found == {(T, E): Doubt(0, 9)}


async def test_what_cannot_be_reckoned_is_not_compared() -> None:
    journal = MemoryJournal(*RECORDS)
    cursor = journal.cursor("cloud")
    assert await resume.doubtful(terms(5, b""), HEADS, journal, cursor) == {}
    assert await resume.doubtful(terms(0, bytes(32)), HEADS, journal, cursor) == {}
    journal.drop(T, 3)
    told = terms(5, chain_of(*OTHERS[:5]))
    assert await resume.doubtful(told, HEADS, journal, cursor) == {}


async def test_the_destinations_last_word_is_where_reckoning_begins() -> None:
    """What it has before that it may have got without the records that this journal dropped."""
    journal = MemoryJournal(*RECORDS)
    cursor = journal.cursor("cloud")
    theirs = chain_of(RECORDS[3])
    resume.testify(terms(4, theirs).resume, "one", cursor)
    journal.drop(T, 3)

    async def doubts(told: Terms) -> bool:
        return bool(await resume.doubtful(told, HEADS, journal, cursor))

    assert not await doubts(terms(6, chain_of(*RECORDS[3:6])))
    assert await doubts(terms(6, chain_of(RECORDS[3], *OTHERS[4:6])))
    assert not await doubts(terms(6, chain_of(*OTHERS[:6]), "two"))
    assert not await doubts(terms(3, chain_of(*OTHERS[:3])))


def test_the_witness_stays_in_the_newest_epoch() -> None:
    cursor = MemoryJournal().cursor("cloud")
    for epoch, incarnation in ((2, "one"), (1, "one"), (1, "two")):
        resume.testify([Resume(T, epoch, 3, bytes(32))], incarnation, cursor)
        witness = cursor.witness(T)
        assert witness is not None
        assert (witness.position.epoch, witness.incarnation) == (
            (1, "two") if incarnation == "two" else (2, "one")
        )
    assert resume.is_known("two", cursor)
    assert not resume.is_known("one", cursor)


def test_offered_are_the_epochs_that_are_not_delivered_on_and_always_the_newest() -> None:
    heads = [Head(T, epoch, 1, 2) for epoch in range(1, 3001)]
    journal = MemoryJournal()
    cursor = journal.cursor("cloud")
    cursor.advance(Position(T, 100, 1))
    epochs = [head.epoch for head in resume.offered(heads, cursor)]
    assert epochs == [*range(100, 100 + 1022), 3000]
    epochs = [head.epoch for head in resume.offered(heads, cursor, everything=True)]
    assert epochs == [*range(1, 1023), 3000]
    cursor.advance(Position(T, 3001, 0))
    assert [head.epoch for head in resume.offered(heads, cursor)] == [3000]
    every = [Head(stream, epoch, 1, 2) for stream in Stream for epoch in range(1, 3001)]
    assert len(resume.offered(every, journal.cursor("other"))) == 4096 - len(Stream)


def test_delivered_is_where_the_cursor_is() -> None:
    cursor = MemoryJournal().cursor("cloud")
    assert resume.delivered(cursor) == ()
    cursor.advance(Position(T, 7, 3))
    assert resume.delivered(cursor) == (Resume(T, 7, 3),)
    cursor.keep(T, [(Position(T, 7, 6), Position(T, 7, 9)), (Position(T, 8, 1), Position(T, 8, 2))])
    assert resume.delivered(cursor) == (Resume(T, 7, 3, islands=((6, 9),)), Resume(T, 8, 2))


def test_islands_and_what_is_set_aside_need_not_be_sent() -> None:
    told = Resume(T, 5, 3, islands=((6, 7),))
    start = resume.plan([Head(T, 5, 1, 10)], [told], [Position(T, 5, 4), Position(T, 5, 9)])
    assert start.after[T] == Position(T, 5, 4)
    assert list(start.there[T, 5]) == [(1, 4), (6, 7), (9, 9)]


def test_holes_behind_the_end_of_a_closed_epoch_are_lost() -> None:
    heads = [Head(T, 5, 1, 10), Head(T, 6, 1, 3)]
    islands = ((7, 8), (15, 20), (22, 22))
    told = [Resume(T, 5, 4, islands=islands), Resume(T, 6, 0, islands=((9, 9),))]
    assert resume.lost_tails(heads, told, 6) == [(Position(T, 5, 10), 14), (Position(T, 5, 21), 21)]
    assert resume.lost_tails(heads, [Resume(T, 5, 30)], 6) == []


def test_what_the_destination_has_only_a_gap_for_is_sent_if_it_is_there() -> None:
    """The directory was put back in time: what was dropped, and told as gone, is there again."""
    journal = MemoryJournal(*RECORDS)
    cursor = journal.cursor("cloud")
    told = [Resume(T, E, 9, islands=((11, 12),), gapped=((2, 4), (8, 12)))]
    owed = resume.owed(told, journal, cursor)
    assert {key: list(runs) for key, runs in owed.items()} == {(T, E): [(2, 4), (8, 9)]}
    start = resume.plan(HEADS, told, (), {}, owed)
    assert start.after[T] == Position(T, E, 1)
    assert list(start.there[T, E]) == [(1, 1), (5, 7), (11, 12)]
    assert start.owed == owed
    kept_aside = resume.plan(HEADS, told, [Position(T, E, seq) for seq in (2, 3, 4)], {}, owed)
    assert kept_aside.after[T] == Position(T, E, 7), "it was refused, and is in quarantine"


@pytest.mark.parametrize(
    ("passed", "left"),
    [((E, 3), [(4, 4), (8, 9)]), ((E, 9), []), ((E + 1, 0), []), ((E - 1, 99), [(2, 4), (8, 9)])],
)
def test_what_the_cursor_has_passed_is_owed_to_nobody(
    passed: tuple[int, int], left: list[tuple[int, int]]
) -> None:
    journal = MemoryJournal(*RECORDS)
    cursor = journal.cursor("cloud")
    cursor.advance(Position(T, *passed))
    told = [Resume(T, E, 9, gapped=((2, 4), (8, 12)))]
    owed = resume.owed(told, journal, cursor)
    assert [run for runs in owed.values() for run in runs] == left
    restored = resume.owed(told, journal, cursor, everything=True)
    assert list(restored[T, E]) == [(2, 4), (8, 9)], "what it had taken it has lost"


async def test_a_chain_that_leaves_out_what_is_gapped_says_nothing() -> None:
    journal = MemoryJournal(*RECORDS)
    cursor = journal.cursor("cloud")
    skipping = chain_of(*RECORDS[:2], *RECORDS[4:8])
    for gapped, known in (((), {(T, E): Doubt(0, 9)}), (((3, 4),), {}), (((9, 9),), None)):
        told = Terms("one", (Resume(T, E, 8, skipping, gapped=gapped),), 1, 1)
        found = await resume.doubtful(told, HEADS, journal, cursor)
        assert found == ({(T, E): Doubt(0, 9)} if known is None else known)
    resume.testify(terms(4, chain_of(*RECORDS[:2])).resume, "one", cursor)
    since = chain_of(*RECORDS[:2])
    for record in OTHERS[4:8]:
        since = hashlib.sha256(since + record.hash).digest()
    told = Terms("one", (Resume(T, E, 8, since, gapped=((3, 4),)),), 1, 1)
    assert await resume.doubtful(told, HEADS, journal, cursor) == {(T, E): Doubt(4, 9)}
