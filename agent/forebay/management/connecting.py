"""Tries another way to a fleet server: proved, it is kept; else the box goes on by the one it has.

Owns the steps: the candidate is reached beside the stream that there is, then the next stream is
opened by it, and only what was said on that stream makes it the box's own, by one write of the
identity. Until then nothing on disk names it, so that a restart comes by the old way. Must not know
what settings must be (`candidates`), nor how a stream is held (`link`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from forebay._proto import fleet_pb2 as pb
from forebay.errors import FleetError, FleetRefused, FleetUnavailable, IdentityUnusable
from forebay.identity import FOLDER, IdentityStore
from forebay.management.candidates import (
    MAX_ERROR,
    Record,
    applied,
    read_record,
    settings_of,
    verify,
    write_record,
)
from forebay.management.events import FLEET_MOVE_FAILED, FLEET_MOVED
from forebay.management.offers import digest
from forebay.model import ClockState

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.config.attempts import Rolling
    from forebay.identity import Identity
    from forebay.interfaces import Seams
    from forebay.management.renewal import Renewal
    from forebay.management.runtime import Runtime

REACH_S = 30.0
"""How long a candidate is called before it is given up. The stream there goes on meanwhile."""
TRY_S = 60.0
"""How long the box may then take to come by it, and to hear enough."""
ANSWERS = 3
"""Messages of the server on one stream that prove a way: the last of them seconds after the first.
"""
AGAIN_S = 3.0
LOOK_S = 1.0


class Connecting:
    """Of one agent: a `parts.Part`. `run` until cancelled; `by` is the way of the link."""

    capabilities = 0

    def __init__(self, rolling: Rolling, renewal: Renewal, runtime: Runtime, seams: Seams) -> None:
        """Touch nothing yet."""
        self._folder = runtime.loaded.state / FOLDER
        self._runtime = runtime
        self._store = IdentityStore(self._folder, seams.disk)
        self._rolling, self._renewal, self._seams = rolling, renewal, seams
        self._wanted: tuple[pb.Signed, Identity] | None = None
        self._asked, self._proved = asyncio.Event(), asyncio.Event()
        self._candidate: pb.ConnectionSettings | None = None
        self._heard = 0
        self._said: pb.ConnectionStatus | None = None
        self._before = b""
        self.why: Callable[[], str] = lambda: ""
        """Gives what ended the last stream; set by who builds the link."""
        self.news: Callable[[], None] = lambda: None
        """See `Part.news`."""

    def by(self, identity: Identity) -> Identity:
        """Give what the next stream is to be opened by: the candidate while one is tried."""
        return identity if self._candidate is None else applied(identity, self._candidate)

    def report(self, message: pb.AgentToServer, *, full: bool) -> None:
        """See `Part.report`."""
        if full:
            self._heard = 0  # another stream
        if self._said is not None:
            now = self._said.SerializeToString(deterministic=True)
            if full or now != self._before:
                message.connection.CopyFrom(self._said)
                self._before = now

    async def take(self, message: pb.ServerToAgent, identity: Identity) -> None:
        """See `Part.take`."""
        if self._candidate is not None and identity == applied(identity, self._candidate):
            self._heard += 1
            if self._heard >= ANSWERS:
                self._proved.set()
            self.news()  # asks for the next answer
        if message.HasField("connection"):
            self._wanted = message.connection, identity
            self._asked.set()

    async def run(self) -> None:
        """Try what is wanted, one after the other; the newest counts."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            assert self._wanted is not None
            try:
                await self._one(*self._wanted)
            except FleetError as error:
                self._tell(self._wanted[0], str(error), error.hint)
            except Exception as error:  # noqa: BLE001 - the supervisor: no way is worth the data
                self._tell(self._wanted[0], f"a defect: {error!r}", "report it")
            finally:
                self._candidate = None

    async def _one(self, signed: pb.Signed, identity: Identity) -> None:
        """Try these settings unless that was done. Raises FleetError where they are not taken."""
        instance = identity.instance_uid.hex()
        known = await asyncio.to_thread(read_record, self._folder, self._seams.disk, instance)
        vouched = self._runtime.pipeline.anchors.state is not ClockState.UNSYNCED
        now_ns = self._seams.clock.now_ns() if vouched else None
        settings = verify(signed, identity, known, now_ns)
        if known.payload == digest(signed) and known.ended:
            self._said = _status(known)
            self.news()
            return
        record = Record(settings.version, digest(signed), instance, settings.offer_id[:64])
        await self._note(record)
        error = ""
        try:
            await self._settled()
            await self._tried(settings)
            await self._keep(settings, instance)
        except FleetError as failed:
            error = str(failed)[:MAX_ERROR] or "it failed"
            self._seams.events.emit(FLEET_MOVE_FAILED, error=error, hint=failed.hint)
        else:
            self._seams.events.emit(FLEET_MOVED, address=settings.address)
        finally:
            self._candidate = None
        ended = replace(record, ended=True, error=error)
        self._said = _status(ended)
        self.news()
        await self._note(ended)

    async def _settled(self) -> None:
        """Wait until no configuration is being tried: its judge takes a lost server for a fault."""
        while (found := self._rolling.attempts()) and not found[-1].phase.ended:
            await self._seams.clock.sleep(LOOK_S)

    async def _tried(self, settings: pb.ConnectionSettings) -> None:
        """Come by the candidate. Raises FleetError where that does not go."""
        identity = await self._current()
        candidate = applied(identity, settings)
        if candidate == identity:
            return
        await self._reached(identity, candidate)
        self._proved.clear()
        self._heard, self._candidate = 0, settings
        proved = asyncio.create_task(self._proved.wait(), name="connecting.proved")
        late = asyncio.create_task(self._seams.clock.sleep(TRY_S), name="connecting.late")
        try:
            await asyncio.wait((proved, late), return_when=asyncio.FIRST_COMPLETED)
        finally:
            proved.cancel()
            late.cancel()
        if not self._proved.is_set():
            why = self.why() or "it did not answer enough"
            text = f"no stream held by {candidate.address} for {TRY_S:g} s: {why}"
            raise FleetUnavailable(text, hint="it goes on by the address that it had")

    async def _reached(self, identity: Identity, candidate: Identity) -> None:
        """See that a server of this fleet, which knows this box, answers there. FleetError."""
        from forebay.management import asking

        clock = self._seams.clock
        until_s = clock.monotonic_s() + REACH_S
        while True:
            try:
                await asking.reach(candidate)
                if candidate.enrollment_address != identity.enrollment_address:
                    await asking.reach_enrollment(candidate)
            except FleetUnavailable:
                if clock.monotonic_s() + AGAIN_S > until_s:
                    raise
                await clock.sleep(AGAIN_S)
            else:
                return

    async def _keep(self, settings: pb.ConnectionSettings, instance: str) -> None:
        """Make it the box's own, by one write. Raises IdentityUnusable."""
        until_s = self._seams.clock.monotonic_s() + TRY_S
        while (lock := await asyncio.to_thread(self._store.lock)) is None:
            if self._seams.clock.monotonic_s() > until_s:
                raise IdentityUnusable("another command holds the identity", hint="move it again")
            await self._seams.clock.sleep(LOOK_S)
        try:
            identity = await self._current()
            if identity.instance_uid.hex() != instance:
                raise FleetRefused("the box was enrolled anew", hint="move it again", code="gone")
            after = applied(identity, settings)
            await asyncio.to_thread(self._store.amend, after)
            self._renewal.identity = after  # before the candidate goes: the stream stays open
        finally:
            lock.close()

    async def _current(self) -> Identity:
        identity = await asyncio.to_thread(self._store.current)
        if identity is None:
            raise FleetRefused("the box is not enrolled", hint="enroll it", code="gone")
        return identity

    async def _note(self, record: Record) -> None:
        await asyncio.to_thread(write_record, self._folder, self._seams.disk, record)

    def _tell(self, signed: pb.Signed, error: str, hint: str) -> None:
        """Say that settings were not taken; whose they are is told as they say it."""
        settings = settings_of(signed)
        status = pb.ConnectionStatus(offer_id=settings.offer_id[:64], error=error[:MAX_ERROR])
        if self._said != status:
            self._said = status
            self._seams.events.emit(FLEET_MOVE_FAILED, error=error[:MAX_ERROR], hint=hint)
        self.news()


def _status(record: Record) -> pb.ConnectionStatus:
    return pb.ConnectionStatus(
        offer_id=record.offer_id, applied=not record.error, error=record.error
    )
