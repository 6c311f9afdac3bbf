"""Where a session begins: the journal's heads against what the destination says it has.

Owns the rule that the destination is the authority, and the proof that both mean the same records.
Must not know sessions or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forebay.errors import UplinkMisbehaved
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from forebay.forwarding.journal_view import CursorView, JournalView
    from forebay.interfaces import Head, Resume, Terms

INCARNATION_MAX = 128
"""Characters of a destination's incarnation that are kept and compared."""

Epoch = tuple[Stream, int]
_RESTORED = (
    "the journal directory was restored from an older copy: move it away and restart, "
    "so that a new journal begins with a new epoch"
)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a session begins.

    Sending begins behind `after[stream]`; `committed[stream, epoch]` is the destination's word.
    """

    after: Mapping[Stream, Position]
    committed: Mapping[Epoch, int]


def plan(heads: Sequence[Head], resumes: Sequence[Resume]) -> Start:
    """Give where to begin each stream.

    Walks a stream's epochs from the oldest: what is committed whole is passed, the first that is
    not is continued behind its committed seq. A stream of which the destination knows nothing
    begins at the journal's first record.

    Raises UplinkMisbehaved when the destination holds records of a stream's newest epoch that we
    have not written: this journal went back in time (a restored disk image), and what it writes
    next under those numbers would be discarded as duplicates. In an older epoch nothing is written
    any more: there the destination may hold a tail that this disk has lost.
    """
    committed: dict[Epoch, int] = {}
    for resume in resumes:
        key = (resume.stream, resume.epoch)
        committed[key] = max(committed.get(key, 0), resume.committed_seq)
    after = {stream: Position(stream, 0, 0) for stream in Stream}
    newest = {head.stream: head.epoch for head in sorted(heads, key=lambda h: h.epoch)}
    open_streams = set(Stream)
    for head in sorted(heads, key=lambda h: h.epoch):
        seq = committed.get((head.stream, head.epoch), 0)
        if seq >= head.next_seq and head.epoch == newest[head.stream]:
            raise _rolled_back(head, seq)
        if head.stream in open_streams:
            if seq:
                after[head.stream] = Position(head.stream, head.epoch, seq)
            if seq + 1 < head.next_seq:
                open_streams.discard(head.stream)
    return Start(after, committed)


async def verify(terms: Terms, journal: JournalView, cursor: CursorView) -> None:
    """Compare the hash chains: what the destination has must be what this journal wrote.

    The chain is reckoned from the last one that the same destination told, else from the epoch's
    beginning. Where the journal cannot reckon it, because records are gone, nothing is compared.

    Raises UplinkMisbehaved when they differ: this journal went back in time and has given numbers
    that the destination knows to other records, even if it has more of them by now.
    """
    for told in terms.resume:
        if not (told.chain and told.committed_seq):
            continue
        position = Position(told.stream, told.epoch, told.committed_seq)
        last = cursor.witness(told.stream)
        since = None
        if last is not None and last.incarnation == terms.incarnation[:INCARNATION_MAX]:
            same = last.position.epoch == told.epoch and last.position.seq <= told.committed_seq
            since = (last.position, last.chain) if same else None
        ours = await journal.chain(position, since)
        if ours is not None and ours != told.chain:
            raise UplinkMisbehaved(
                f"the destination has other records than we in {told.stream} {told.epoch:x} "
                f"up to {told.committed_seq}",
                hint=_RESTORED,
            )


def testify(resumes: Iterable[Resume], incarnation: str, cursor: CursorView) -> None:
    """Keep, for `verify` in a later session, each stream's chain in the newest epoch told."""
    for told in sorted(resumes, key=lambda r: r.epoch):
        if told.chain and told.committed_seq:
            position = Position(told.stream, told.epoch, told.committed_seq)
            cursor.testify(position, told.chain, incarnation[:INCARNATION_MAX])


def _rolled_back(head: Head, seq: int) -> UplinkMisbehaved:
    return UplinkMisbehaved(
        f"the destination has {head.stream} up to {seq}, we only up to {head.next_seq - 1}",
        hint=_RESTORED,
    )
