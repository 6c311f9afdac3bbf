"""Configurations that are offered, from RECEIVED to COMMITTED or ROLLED_BACK.

Owns who goes before whom, and the way to STAGED: a newer offer takes the place of an older one; a
trial goes on until a newer configuration is staged. Must not know where offers come from
(`control`, the fleet's link), how files lie (`generations`), or how what is staged comes to run
(`trying`).

    offer ─▶ RECEIVED ─▶ VALIDATED ─▶ STAGED ─▶ APPLYING ─▶ PROBATION ─▶ COMMITTED
               └────────────┴─▶ FAILED, SUPERSEDED   └─────────┴─▶ ROLLED_BACK, SUPERSEDED

The book is written before each step (`management.book`), so that a start after a cut goes on from
there. Nothing is applied that is not in the audit first; the way back needs no audit.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from forebay.config import places
from forebay.config.attempts import Phase
from forebay.config.bounds import check_limits
from forebay.config.bundle import check_files, config_hash
from forebay.config.limits import read_limits
from forebay.errors import ConfigError, Fault, ForebayError, IdentityUnusable, RequestInvalid
from forebay.identity import current
from forebay.management import standing
from forebay.management.book import ROLLBACK
from forebay.management.booting import explained
from forebay.management.notes import Notes
from forebay.management.staging import Staging
from forebay.management.trying import Staged, Trying
from forebay.management.validating import validate as in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from forebay.config.attempts import Attempt, Offer, Status
    from forebay.config.limits import Limits
    from forebay.config.load import LoadedConfig
    from forebay.interfaces import Intake, Seams
    from forebay.management.book import Book
    from forebay.management.booting import Booting
    from forebay.management.staging import Validate
    from forebay.management.views import Live

_NEWER = "a newer configuration was offered"
_AGAIN = "offer it again, as another offer: what failed is not tried twice by itself"


def installed_limits() -> Limits:
    """Give the bounds that root set on this machine. Raises ConfigError."""
    return read_limits(places.limits_path(os.environ))


class Rollout:
    """Implements `config.attempts.Rolling`. One task runs `run`."""

    def __init__(
        self,
        boot: Booting,
        live: Live,
        intake: Intake,
        seams: Seams,
        validate: Validate = in_child,
        limits: Callable[[], Limits] = installed_limits,
    ) -> None:
        """Touch nothing before `run`; `intake` takes the audit."""
        self._boot, self._live, self._seams, self._limits = boot, live, seams, limits
        self._notes = Notes(boot.generations, intake, seams)
        self._staging = Staging(boot.generations, validate)
        self._trying = Trying(boot, live, self._notes, seams, self.memory_limit)
        self._wanted, self._read = asyncio.Event(), asyncio.Event()
        self._pending: tuple[int, Offer] | None = None

    async def run(self) -> None:
        """Take offers and judge what is on trial, for as long as the agent runs."""
        with suppress(OSError):  # the start has told of it
            self._notes.book = await asyncio.to_thread(self._boot.generations.read)
        await self._trying.resume()
        self._read.set()
        await self._notes.look_again()  # who looked before it was read saw nothing
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._trying.watch(), name="rollout.watch")
            tasks.create_task(self._work(), name="rollout.work")

    # --- what is asked from outside ---------------------------------------------------------------

    async def offer(self, offer: Offer) -> int:
        """See `Rolling.offer`."""
        check_files(offer.files)
        await self._read.wait()
        hash_, book = config_hash(offer.files).hex(), self._notes.book
        last = book.last
        if last is not None and (last.hash, last.offer_id) == (hash_, offer.offer_id):
            again = last.phase is Phase.FAILED and not book.refuses(hash_, offer.offer_id)
            if not again:
                return last.id
        attempt = await self._notes.begin(
            hash_, offer.offer_id, offer.source, offer.who, offer.reason
        )
        replaced, self._pending = self._pending, (attempt.id, offer)
        self._wanted.set()
        if replaced is not None:  # one change was under way, and this one never had its turn
            await self._notes.end(replaced[0], Phase.SUPERSEDED, _NEWER, "")
        return attempt.id

    async def rollback(self, who: str, reason: str) -> int:
        """See `Rolling.rollback`."""
        await self._read.wait()
        async with self._trying.turn:
            book = self._notes.book
            if book.trial is not None:
                ended = book.trial.attempt
                await self._trying.back(f"{who} asked for it: {reason}".removesuffix(": "), "")
                return ended
            number = book.before()
            if number == book.running:
                raise RequestInvalid(
                    "there is nothing to go back to: the file runs, and nothing was applied",
                    hint="see `forebay config history`",
                )
            kept = book.kept.get(number)
            hash_ = kept.hash if kept else await asyncio.to_thread(self._boot.file_hash)
            source = kept.source if kept else "file"
            offer_id = f"{ROLLBACK}{self._seams.rng.getrandbits(64):016x}"
            attempt = await self._notes.begin(hash_, offer_id, "local", who, reason)
            await self._notes.phase(attempt.id, Phase.STAGED, generation=number)
            await self._trying.switch(Staged(attempt.id, number, hash_, source))
            return attempt.id

    async def status(self) -> Status:
        """See `Rolling.status`."""
        quarantined, left_s = self._live.loaded.quarantined, self._trying.left_s()
        return await asyncio.to_thread(
            standing.status, self._notes.book, self._boot, quarantined, left_s
        )

    def attempts(self) -> tuple[Attempt, ...]:
        """See `Rolling.attempts`."""
        return self._notes.book.attempts

    def trying(self) -> bool:
        """Whether an attempt is under way."""
        attempts = self._notes.book.attempts
        return bool(attempts) and not attempts[-1].phase.ended

    async def contents(self, which: str) -> Mapping[str, bytes]:
        """See `Rolling.contents`."""
        return await asyncio.to_thread(standing.contents, self._notes.book, self._boot, which)

    async def changed(self, seen: int) -> int:
        """See `Rolling.changed`."""
        return await self._notes.changed(seen)

    # --- from RECEIVED to STAGED ------------------------------------------------------------------

    async def _work(self) -> None:
        """Make ready what is offered, the newest; then have it run."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            assert self._pending is not None
            (id_, offer), self._pending = self._pending, None
            ready = asyncio.create_task(self._ready(id_, offer), name="rollout.ready")
            newer = asyncio.create_task(self._wanted.wait(), name="rollout.newer")
            try:
                await asyncio.wait((ready, newer), return_when=asyncio.FIRST_COMPLETED)
            finally:
                newer.cancel()
                if not ready.done():
                    ready.cancel()
                    await asyncio.wait([ready])
            if ready.cancelled():
                await self._notes.end(id_, Phase.SUPERSEDED, _NEWER, "")
            elif ready.exception() is not None:
                await self._notes.end(id_, Phase.FAILED, f"a defect: {ready.exception()!r}", _AGAIN)
            elif (staged := ready.result()) is not None:
                await self._try(staged)

    async def _try(self, staged: Staged) -> None:
        """Have it run, unless something else was decided meanwhile."""
        async with self._trying.turn:
            last = self._notes.book.last
            if last is None or last.id == staged.attempt:
                await self._trying.switch(staged)
                return
        await self._notes.end(staged.attempt, Phase.SUPERSEDED, _NEWER, "")

    async def _ready(self, id_: int, offer: Offer) -> Staged | None:
        """Stage an offer; None if it ended otherwise, which is noted."""
        hash_, book, notes = config_hash(offer.files).hex(), self._notes.book, self._notes
        if book.refuses(hash_, offer.offer_id):
            await notes.end(id_, Phase.FAILED, "it failed before, under this very offer", _AGAIN)
            return None
        if offer.expires_s is not None and self._seams.clock.monotonic_s() > offer.expires_s:
            await notes.end(id_, Phase.FAILED, "it has expired", "offer it again", deny=False)
            return None
        same = self._same(hash_, book)
        if same is not None:
            return Staged(id_, same, hash_, offer.source)
        number = book.next
        try:
            await self._staging.fill(number, offer)
            await notes.change(lambda b: b.note(id_, generation=number))  # see book.cut_off
            await self._staging.check(number, self._trying.working())
            await self._staging.seal(number, offer)
            await self._bounded(number, offer)
            await notes.phase(id_, Phase.VALIDATED)
            await notes.change(
                lambda b: b.keep(number, hash_, offer.source).note(
                    id_, phase=Phase.STAGED, generation=number
                )
            )
        except ConfigError as error:
            await notes.end(id_, Phase.FAILED, explained(error), error.hint)
        except RequestInvalid as error:
            await notes.end(id_, Phase.FAILED, str(error), error.hint)
        except ForebayError as error:
            await notes.end(id_, Phase.FAILED, str(error), error.hint, deny=False)
        else:
            return Staged(id_, number, hash_, offer.source)
        return None

    def _same(self, hash_: str, book: Book) -> int | None:
        """Give the generation that is this very configuration, of those that run or last did."""
        if hash_ == self._boot.running.hash:
            return book.running
        kept = book.kept.get(book.committed)
        return book.committed if kept is not None and kept.hash == hash_ else None

    async def _bounded(self, number: int, offer: Offer) -> None:
        """Hold a generation against the bounds that root set. Raises ConfigError.

        Who could write the agent's own file as well, root and the agent's user, is held to none.
        """
        if offer.source == "local" and offer.who in ("uid:0", f"uid:{os.geteuid()}"):
            return
        limits = await asyncio.to_thread(self._limits)
        loaded = await asyncio.to_thread(self._boot.one, number)
        faults = await asyncio.to_thread(check_limits, loaded, limits, self._live.loaded)
        faults += await asyncio.to_thread(self._renamed, loaded)
        if faults:
            raise ConfigError(faults)

    def _renamed(self, loaded: LoadedConfig) -> list[Fault]:
        """Find that it would make this box another: the configuration of that one, by mistake.

        It may keep the name that it has, or take that under which it was enrolled.
        """
        names = {self._live.loaded.config.gateway.id}
        with suppress(IdentityUnusable):
            identity = current(self._live.loaded.state, self._seams.disk)
            names |= {identity.gateway} if identity is not None else set()
        name = loaded.config.gateway.id
        if name in names:
            return []
        hint = "push it to that one; or change this one's name by hand, and enroll it anew"
        return [Fault("gateway.id", f"it is the configuration of {name}, another gateway", hint)]

    def package_limit(self) -> int:
        """Give how large a package may be, in bytes; 0 where nobody can say."""
        try:
            return self._limits().package_size
        except ConfigError:
            return 0

    def memory_limit(self) -> int | None:
        """Give the most memory that the agent may take, in bytes; None: any."""
        try:
            return self._limits().memory
        except ConfigError:
            return None
