"""How far an ordered reader may go: the position up to which a stream is accounted for.

Pure: owns the rule. Must not know where lines of the ledger come from.

A stream's epochs follow each other, a run of the agent each; one that this server first heard of
when a younger one had records comes behind that one. An epoch has ended when a Hello named a newer
one of its stream: from then on it is known how long it is. The watermark passes an epoch
that has ended once all of it is accounted for (stored, refused, or named by a Gap), and stands in
the first epoch that is not like that, at its last position without a hole before it. It never goes
back.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forebay_fleet.store.reader import LineRow


class Watermark(NamedTuple):
    """Of one stream of one gateway.

    Everything up to (`epoch`, `seq`), this position included, is accounted for; (0, 0) if nothing
    is. `open` counts the positions behind it that the gateway has told of, or that lie before a
    stored one, and that are not accounted for yet.
    """

    gateway: str
    stream: int
    epoch: int
    seq: int
    open: int

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and seq of the record."""
        return self.epoch, self.seq


def watermarks(lines: Iterable[LineRow]) -> list[Watermark]:
    """Give the watermark of every stream in `lines`, which are sorted as `StoreReader.lines`."""
    found = []
    for (gateway, stream), of_stream in groupby(lines, lambda line: (line.gateway, line.stream)):
        epoch = seq = missing = 0
        passing = True
        for line in of_stream:
            end = max(line.coverage.end, line.next_seq)
            missing += end - 1 - line.coverage.count
            if passing and line.coverage.committed:
                epoch, seq = line.epoch, line.coverage.committed
            passing = passing and line.ended > 0 and line.coverage.committed + 1 == end
        found.append(Watermark(gateway, stream, epoch, seq, missing))
    return found
