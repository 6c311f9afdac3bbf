"""Works that a feed gave and that are not ended: which may go out, what a failure does to them.

Pure: knows no process and no journal. Owns the order, which is the feed's, and the second try.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Sequence

    from forebay.pluginhost.seams import Results, Work

MAX_OWED = 1 << 17
"""Windows of all works that are out, tried one by one: more than a batch and all in flight hold."""


@dataclass(slots=True, eq=False)
class Owed:
    """One work that is not ended. `answer` is there while it is out; `tried` after a failure."""

    work: Work
    tried: bool = False
    answer: asyncio.Future[Results] | None = None


class Ledger:
    """Works in the order in which the feed gave them."""

    def __init__(self, in_flight: int) -> None:
        """Let at most `in_flight` be out at once."""
        self._in_flight = in_flight
        self._owed: deque[Owed] = deque(maxlen=MAX_OWED)

    def __len__(self) -> int:
        """Give how many works are not ended."""
        return len(self._owed)

    @property
    def wants(self) -> bool:
        """Whether another work may be taken from the feed: not while one is tried again.

        One more than may be out: what is read meanwhile can go as soon as an answer comes.
        """
        return len(self._owed) <= self._in_flight and not any(owed.tried for owed in self._owed)

    @property
    def head(self) -> Owed | None:
        """The work whose results come next."""
        return self._owed[0] if self._owed else None

    def add(self, work: Work) -> None:
        """Take over what the feed gave."""
        self._owed.append(Owed(work))

    def sendable(self) -> Iterator[Owed]:
        """Give what may go out now, in order: what is tried again goes alone."""
        out = 0
        for before, owed in enumerate(self._owed):
            if out >= self._in_flight or (owed.tried and before):
                return
            if owed.answer is None:
                yield owed
            out += owed.answer is None or not owed.answer.done()
            if owed.tried:
                return

    def end(self) -> Work:
        """Take the head out: it is done, or given up."""
        return self._owed.popleft().work

    def recall(self) -> None:
        """Say that the process is gone: what was out is not."""
        for owed in self._owed:
            owed.answer = None

    def blame(self, split: Callable[[Work], Sequence[Work]]) -> Work | None:
        """Lay a failure on the work that was in hand, the head, if it was out; then `recall`.

        The first time its windows are to be tried one by one. The second time, give the work that
        is to be given up: it is still the head, for the caller to end.
        """
        head = self.head
        was_out = head is not None and head.answer is not None
        self.recall()
        if head is None or not was_out:
            return None
        if head.tried:
            return head.work
        self._owed.popleft()
        self._owed.extendleft(Owed(piece, tried=True) for piece in reversed(split(head.work)))
        return None
