"""The book in use: what was written last, who waits for news of it, what audit and log say of it.

Owns the order of these: the disk first, then whoever waits. Must not know why a book changes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from forebay.clock import stamp
from forebay.config.attempts import Phase
from forebay.errors import JournalFull, RequestFailed
from forebay.management.book import Book
from forebay.management.events import CONFIG_PHASE, CONFIG_ROLLED_BACK
from forebay.management.finishing import finished
from forebay.writing.audit import CONFIGURATIONS, INTENT, OUTCOME, Deed, to_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.config.attempts import Attempt
    from forebay.interfaces import Intake, Seams
    from forebay.management.generations import Generations

AUDIT_S = 10.0
"""How long a change waits for its intent to be durable; then it does not happen."""
OUTCOME_S = 5.0


class Notes:
    """One book, on disk and in hand."""

    def __init__(self, generations: Generations, intake: Intake, seams: Seams) -> None:
        """Hold an empty book until one is read."""
        self._generations, self._intake, self._seams = generations, intake, seams
        self.book = Book()
        """As far as it was noted; it may be ahead of a disk that takes nothing."""
        self.version = 1
        self._began_s: dict[int, float] = {}
        self._started_s = seams.clock.monotonic_s()
        self._news, self._one = asyncio.Condition(), asyncio.Lock()

    async def change(self, step: Callable[[Book], Book]) -> Book:
        """Take one step, true on disk before anybody hears of it; give the book after it.

        Raises RequestFailed, with nothing changed.
        """
        async with self._one:
            after = step(self.book)
            try:
                await finished(self._generations.write, after)
            except OSError as error:
                raise RequestFailed(
                    f"the state directory does not take it: {error.strerror or error}",
                    hint="free some space there, or check the disk",
                ) from error
            except asyncio.CancelledError:
                self.book, self.version = after, self.version + 1  # the disk has it by now
                raise
            return await self._take(after)

    async def change_anyway(self, step: Callable[[Book], Book]) -> Book:
        """Take one step even where the disk takes nothing: a way back must not wait for it.

        A start goes by what is on disk: a trial, whose starts are counted and which has a deadline.
        """
        async with self._one:
            after = step(self.book)
            try:
                with suppress(OSError):
                    await finished(self._generations.write, after)
            except asyncio.CancelledError:
                self.book, self.version = after, self.version + 1
                raise
            return await self._take(after)

    async def _take(self, book: Book) -> Book:
        async with self._news:
            self.book = book
            self.version += 1
            self._news.notify_all()
        return book

    async def changed(self, seen: int) -> int:
        """Wait until the version is another than `seen`, and give it."""
        async with self._news:
            await self._news.wait_for(lambda: self.version != seen)
            return self.version

    async def look_again(self) -> None:
        """Have whoever follows look again: what stands beside the book has changed."""
        async with self._news:
            self.version += 1
            self._news.notify_all()

    # --- attempts ---------------------------------------------------------------------------------

    async def begin(self, hash_: str, offer_id: str, source: str, who: str, reason: str) -> Attempt:
        """Begin an attempt. Raises RequestFailed."""
        now_ns = self._seams.clock.now_ns()
        book = await self.change(lambda b: b.begin(hash_, offer_id, source, who, reason, now_ns))
        attempt = book.last
        assert attempt is not None
        self._began_s[attempt.id] = self._seams.clock.monotonic_s()
        self._tell(attempt)
        return attempt

    def took_s(self, id_: int) -> float:
        """Give the time since an attempt began; since the start of the agent for one before it."""
        return self._seams.clock.monotonic_s() - self._began_s.get(id_, self._started_s)

    async def phase(self, id_: int, phase: Phase, **changes: object) -> None:
        """Note how far an attempt is."""
        book = await self.change_anyway(lambda b: b.note(id_, phase=phase, **changes))
        attempt = book.attempt(id_)
        if attempt is not None:
            self._tell(attempt)

    async def end(
        self, id_: int, phase: Phase, error: str, hint: str, *, deny: bool = True
    ) -> None:
        """End an attempt that never ran; with `deny`, one that FAILED is refused from now on."""
        now_ns, took_s = self._seams.clock.now_ns(), self.took_s(id_)

        def step(book: Book) -> Book:
            attempt = book.attempt(id_)
            after = book.note(
                id_, phase=phase, error=error, hint=hint, ended_ns=now_ns, took_s=took_s
            ).bounded()
            if attempt is not None and attempt.generation not in book.kept:
                after = after.note(id_, generation=0)  # it was never whole
            if attempt is not None and deny and phase is Phase.FAILED:
                after = after.deny(attempt.hash, attempt.offer_id)
            return after

        await self.change_anyway(step)
        await self.told(id_)

    async def told(self, id_: int) -> None:
        """Put the end of an attempt into audit and log, and let go of what nobody needs.

        What runs by now may be another than when the end was noted: whoever reports looks again.
        """
        await self.look_again()
        with suppress(TimeoutError, JournalFull):
            async with asyncio.timeout(OUTCOME_S):
                await self._commit(id_, OUTCOME)
        self._began_s.pop(id_, None)
        attempt = self.book.attempt(id_)
        if attempt is not None:
            self._tell(attempt)
        with suppress(OSError):
            await asyncio.to_thread(self._generations.prune, self.book)

    def _tell(self, attempt: Attempt) -> None:
        event = CONFIG_ROLLED_BACK if attempt.phase is Phase.ROLLED_BACK else CONFIG_PHASE
        error = {"error": attempt.error, "hint": attempt.hint} if attempt.error else {}
        self._seams.events.emit(
            event,
            phase=attempt.phase.value,
            attempt=attempt.id,
            hash=attempt.hash[:12],
            source=attempt.source,
            **error,
        )

    # --- audit ------------------------------------------------------------------------------------

    async def intend(self, id_: int) -> None:
        """Put an attempt on record before it changes anything. Raises RequestFailed."""
        try:
            async with asyncio.timeout(AUDIT_S):
                await self._commit(id_, INTENT)
        except (TimeoutError, JournalFull) as error:
            raise RequestFailed(
                "the audit could not be written, and nothing was changed",
                hint="see `forebay journal status`: the disk",
            ) from error

    async def _commit(self, id_: int, step: str) -> None:
        attempt = self.book.attempt(id_)
        if attempt is None:
            return
        done = step != INTENT
        deed = Deed(
            id=f"config-{attempt.id}",
            step=step,
            action="configure",
            target=f"generation {attempt.generation}",
            value=attempt.hash,
            who=attempt.who or attempt.source,
            reason=attempt.reason,
            outcome=attempt.phase.value if done else "",
            detail=(attempt.error or ", ".join(attempt.changed)) if done else "",
            took_ms=attempt.took_s * 1e3 if done else 0.0,
        )
        await self._intake.commit(to_batch(deed, stamp(self._seams.clock), CONFIGURATIONS))
