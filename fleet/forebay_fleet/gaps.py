"""How many of a Gap's samples are lost to this server.

Owns the arithmetic. Must not know what becomes of the result, nor change the store.

A gateway says a gap once for all its uplinks: another server may lack what this one holds, and a
gap that may not have reached every server is said again, alone or as part of a longer one. So a Gap
counts here only for positions that are neither held nor named by an earlier Gap.

What is known of samples is one sum for all the positions a Gap names. A gateway leaves out of it
what a gap of another cause has named, for those samples it has counted there. From that sum goes
what the store holds of the rest (a refused record counts as held: its samples are under `refused`)
and what earlier gaps inside it have counted; what remains belongs to the missing positions. Where
an earlier gap reaches beyond this one, nobody can know how its samples lie in it: none of them is
taken off, so that a loss may be told too large but never too small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay_fleet._proto import batch_pb2
from forebay_fleet.ledger import Coverage

if TYPE_CHECKING:
    from forebay_fleet.store.gaps import GapTable
    from forebay_fleet.store.writer import Line


def gapped_samples(table: GapTable, line: Line, gap: batch_pb2.Gap) -> int:
    """Give how many samples a Gap that names positions of `line` adds to what is lost.

    0 if it does not know its samples itself.
    """
    if not gap.samples:
        return 0
    cause = batch_pb2.GapCause.Name(gap.cause)
    others, alike = Coverage(), Coverage()
    before = table.named(line, gap.seq_from, gap.seq_to)
    for named in before:
        (alike if named.cause == cause else others).add(named.first, named.last)
    missing, known = 0, 0
    for own in others.holes(gap.seq_from, gap.seq_to):
        known += table.held(line, *own).samples
        for hole in alike.holes(*own):
            missing += hole.last - hole.first + 1 - table.held(line, *hole).positions
    if not missing:
        return 0
    known += sum(
        named.counted
        for named in before
        if named.cause == cause and gap.seq_from <= named.first and named.last <= gap.seq_to
    )
    return max(0, gap.samples - known)
