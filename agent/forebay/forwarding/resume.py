"""Where a session begins: the journal's heads against what the destination says it has.

Owns the rule that the destination is the authority, and the proof that both mean the same records.
Must not know sessions or files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from forebay.forwarding.coverage import Coverage
from forebay.interfaces import Resume
from forebay.model import Position, Stream, epoch_number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from forebay.forwarding.journal_view import CursorView, JournalView
    from forebay.interfaces import Head, Terms

INCARNATION_MAX = 128
"""Characters of a destination's incarnation that are kept and compared."""
MOST_HEADS = 1023
"""Epochs of a stream that are offered at most: a server takes 4,096 in all."""
MOST_BELIEVED = 1 << 30
"""No run of any journal has a number from here on: half of them are left, whoever says what."""

Epoch = tuple[Stream, int]


class Doubt(NamedTuple):
    """An epoch in which both sides may mean different records by one number.

    They agree up to `agreed`. What we have from there up to `last` is sent again: what the
    destination has alike is a duplicate, what it has differently it refuses.
    """

    agreed: int
    last: int


@dataclass(frozen=True, slots=True)
class Start:
    """Where a session begins.

    Sending begins behind `after[stream]`; `there[stream, epoch]` need not be sent. `owed` is what
    the destination counts as gone, and so as known, and is sent all the same.
    """

    after: Mapping[Stream, Position]
    there: Mapping[Epoch, Coverage]
    doubts: Mapping[Epoch, Doubt] = field(default_factory=dict)
    owed: Mapping[Epoch, Coverage] = field(default_factory=dict)


def offered(
    heads: Iterable[Head], cursor: CursorView, *, everything: bool = False
) -> tuple[Head, ...]:
    """Choose the heads to offer: of each stream the newest, and before it MOST_HEADS - 1.

    They begin with the oldest epoch that is not delivered on, or with the oldest of all if
    `everything` is in question.
    """
    chosen: list[Head] = []
    for stream in Stream:
        of = sorted((h for h in heads if h.stream is stream), key=lambda head: head.epoch)
        begin = 0 if everything else cursor.get(stream).epoch
        due = [head for head in of[:-1] if head.epoch >= begin]
        chosen += [*due[: MOST_HEADS - 1], *of[-1:]]
    return tuple(chosen)


def delivered(cursor: CursorView) -> tuple[Resume, ...]:
    """Give how far the cursor is in each stream that has begun, with the islands beyond that."""
    known: dict[Epoch, Coverage] = {}
    for stream in Stream:
        place = cursor.get(stream)
        if place.epoch:
            known[place[:2]] = Coverage([(1, place.seq)])
        for first, last in cursor.islands(stream):
            known.setdefault(first[:2], Coverage()).add(first.seq, last.seq)
    return tuple(
        Resume(*epoch, runs.whole, islands=tuple(runs)[runs.whole > 0 :])
        for epoch, runs in known.items()
    )


def plan(
    heads: Sequence[Head],
    resumes: Sequence[Resume],
    aside: Iterable[Position] = (),
    doubts: Mapping[Epoch, Doubt] | None = None,
    owed: Mapping[Epoch, Coverage] | None = None,
) -> Start:
    """Give where to begin each stream.

    Walks a stream's epochs from the oldest that is offered: what is there whole is passed, the
    first that is not is continued behind what is. Positions that are set `aside` are not sent, and
    so count as there. In an epoch in doubt, the destination's word counts up to where both agreed.
    What is `owed` is not there.
    """
    doubts, owed = doubts or {}, owed or {}
    there = _there(resumes, doubts, owed)
    for position in aside:
        there.setdefault(position[:2], Coverage()).add(position.seq, position.seq)
    after = {stream: Position(stream, 0, 0) for stream in Stream}
    open_streams = set(Stream)
    for head in sorted(heads, key=lambda h: h.epoch):
        stream, epoch = head.stream, head.epoch
        if stream not in open_streams:
            continue
        seq = there[stream, epoch].whole if (stream, epoch) in there else 0
        if seq or not after[stream].epoch:
            after[stream] = Position(stream, epoch, seq)
        if seq + 1 < head.next_seq:
            open_streams.discard(stream)
    return Start(after, there, doubts, owed)


def _there(
    resumes: Iterable[Resume], doubts: Mapping[Epoch, Doubt], owed: Mapping[Epoch, Coverage]
) -> dict[Epoch, Coverage]:
    there: dict[Epoch, Coverage] = {}
    for told in resumes:
        runs = there.setdefault((told.stream, told.epoch), Coverage())
        doubt = doubts.get((told.stream, told.epoch))
        if doubt is not None:
            runs.add(1, doubt.agreed)
            continue
        for first, last in ((1, told.committed_seq), *told.islands):
            runs.add(first, last)
    for key, lacking in owed.items():
        for first, last in lacking:
            there[key].remove(first, last)
    return there


def ahead(heads: Iterable[Head], resumes: Iterable[Resume], current: int) -> list[Resume]:
    """Give what the destination says to have of the `current` epoch and we have not written.

    Then this journal went back in time while it ran (a virtual machine's snapshot with memory).
    What it writes next under those numbers would be discarded as duplicates.
    """
    written = {(h.stream, h.epoch): h.next_seq - 1 for h in heads}
    return [
        told
        for told in resumes
        if told.epoch == current and _top(told) > written.get((told.stream, told.epoch), 0)
    ]


def owed(
    resumes: Sequence[Resume],
    journal: JournalView,
    cursor: CursorView,
    *,
    everything: bool = False,
) -> dict[Epoch, Coverage]:
    """Give what the destination was told is gone, and is not: it was put back with the directory.

    That is what stands in a segment behind the cursor; what of it cannot be read is passed over as
    ever. With `everything` the cursor says nothing: it tells of a store that is no more.
    """
    found: dict[Epoch, Coverage] = {}
    segments = journal.segments() if any(told.gapped for told in resumes) else ()
    for told in resumes:
        own = [s for s in segments if (s.stream, s.epoch) == (told.stream, told.epoch)]
        passed = Position(told.stream, 0, 0) if everything else cursor.get(told.stream)
        behind = passed._replace(seq=passed.seq + 1)
        for first_seq, last_seq in told.gapped:
            first = max(Position(told.stream, told.epoch, first_seq), behind)
            runs = [(max(first.seq, s.first_seq), min(last_seq, s.last_seq)) for s in own]
            for run in runs if first.epoch == told.epoch else ():
                if run[0] <= run[1]:
                    found.setdefault(first[:2], Coverage()).add(*run)
    return found


def outrun(newest: int | None, epoch: int) -> bool:
    """Whether the destination knows a `newest` epoch that is younger than the journal's.

    Then that is not the journal of which it heard last: it began anew, or came out of a backup.
    """
    return 0 < epoch < (newest or 0) and epoch_number(newest or 0) < MOST_BELIEVED


def lost_tails(
    heads: Iterable[Head], resumes: Iterable[Resume], current: int
) -> list[tuple[Position, int]]:
    """Give the holes behind our end of epochs that are not written any more: position, last seq.

    The destination has something behind them, so it waits for what stood there. This disk has it
    no more, and knows of it only now.
    """
    written = {(h.stream, h.epoch): h.next_seq - 1 for h in heads}
    found: list[tuple[Position, int]] = []
    for told in resumes:
        end = written.get((told.stream, told.epoch))
        if end is None or told.epoch == current:
            continue
        due = max(end, told.committed_seq) + 1
        for first, last in told.islands:
            if due < first:
                found.append((Position(told.stream, told.epoch, due), first - 1))
            due = max(due, last + 1)
    return found


async def doubtful(
    terms: Terms,
    heads: Iterable[Head],
    journal: JournalView,
    cursor: CursorView,
    forked: Collection[Epoch] = (),
) -> dict[Epoch, Doubt]:
    """Find the epochs in which the destination may mean other records than we.

    Three signs: it has more than we have written, though the cursor does not say that we delivered
    all of ours; its hash chain is another; it has refused a record as `forked`. The chain is
    reckoned from the last one that the same destination told, else from the epoch's beginning.
    Where the journal cannot reckon it, because records are gone, or the destination skips what it
    has only a gap for, nothing is compared.
    """
    written = {(h.stream, h.epoch): h.next_seq - 1 for h in heads}
    found: dict[Epoch, Doubt] = {}
    for told in terms.resume:
        key = (told.stream, told.epoch)
        if key not in written:
            continue
        last = cursor.witness(told.stream)
        known = last is not None and last.incarnation == terms.incarnation[:INCARNATION_MAX]
        since = (last.position, last.chain) if last is not None and known else None
        if since and (since[0].epoch != told.epoch or since[0].seq > told.committed_seq):
            since = None
        agreed = since[0].seq if since else 0
        same = await _same_chain(told, since, journal)
        if same:
            agreed = told.committed_seq
        end = Position(told.stream, told.epoch, written[key])
        more = _top(told) > end.seq and cursor.get(told.stream) < end
        if (same is False or more or key in forked) and agreed < end.seq:
            found[key] = Doubt(agreed, end.seq)
    return found


async def _same_chain(
    told: Resume, since: tuple[Position, bytes] | None, journal: JournalView
) -> bool | None:
    """Whether the destination has what we wrote up to its committed seq; None: nobody can tell."""
    begin = since[0].seq if since else 0
    skips = any(last > begin and first <= told.committed_seq for first, last in told.gapped)
    if skips or not (told.chain and told.committed_seq):
        return None
    ours = await journal.chain(Position(told.stream, told.epoch, told.committed_seq), since)
    return None if ours is None else ours == told.chain


def testify(resumes: Iterable[Resume], incarnation: str, cursor: CursorView) -> None:
    """Keep, for `doubtful` in a later session, each stream's chain in the newest epoch told."""
    name = incarnation[:INCARNATION_MAX]
    for told in sorted(resumes, key=lambda r: r.epoch):
        if told.chain and told.committed_seq:
            position = Position(told.stream, told.epoch, told.committed_seq)
            last = cursor.witness(told.stream)
            if last is None or last.incarnation != name or last.position <= position:
                cursor.testify(position, told.chain, name)


def is_known(incarnation: str, cursor: CursorView) -> bool:
    """Whether no stream was last delivered to another incarnation of the destination."""
    witnesses = [cursor.witness(stream) for stream in Stream]
    name = incarnation[:INCARNATION_MAX]
    return all(witness is None or witness.incarnation == name for witness in witnesses)


def _top(told: Resume) -> int:
    return max([told.committed_seq, *(last for _, last in told.islands)])
