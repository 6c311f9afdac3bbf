"""The stream to the fleet server: kept open, and shared by the parts of the agent.

Owns when the stream is opened and anew, the order of its messages, and what is known of it. A
server that is gone, slow or wrong costs the data nothing. Must not know what is said on it: that is
the affair of its `parts`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay._proto import fleet_pb2 as pb
from forebay.cancellation import StrayCancellation, end, strict
from forebay.config.linked import LinkStatus
from forebay.errors import FleetError, FleetUnavailable
from forebay.forwarding import retry
from forebay.identity import current
from forebay.management import report
from forebay.management.events import FLEET_CONNECTED, FLEET_LOST
from forebay.settings import BackoffSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from forebay.identity import Identity
    from forebay.interfaces import Seams
    from forebay.management.fetching import Fetching
    from forebay.management.parts import Part
    from forebay.management.renewal import Renewal

LOOK_S = 5.0
"""How soon an enrollment or a renewal is noticed, at most."""
REPORT_S = 10.0
"""How often the box says that it is there, at least."""
LEAST_S = 1.0
"""The time between two messages, at least."""
MAX_TEXT = 2_000
"""Characters of an error, as a person is told it."""
BACKOFF = BackoffSettings(first=2.0, most=120.0)


class Standing(NamedTuple):
    """What is known of the stream. Times are monotonic, s.

    `since_s` is when the server first answered on the one that is open, None if there is none that
    it answered on; `next_try_s` when the next is opened, None unless that is waited for. The error
    is that of the last stream that ended, as long as no other is answered on.
    """

    address: str = ""
    since_s: float | None = None
    next_try_s: float | None = None
    error: str = ""
    hint: str = ""


class Link:
    """Of one agent. `run` until cancelled."""

    def __init__(
        self, state: Path, parts: Sequence[Part], renewal: Renewal, fetching: Fetching, seams: Seams
    ) -> None:
        """Touch nothing yet; `fetching` goes by the same channel."""
        self._state, self._parts = state, parts
        self._renewal, self._fetching, self._seams = renewal, fetching, seams
        self._identity: Identity | None = None
        self._news, self._full = asyncio.Event(), True
        self._told = ""
        self.standing = Standing()
        """See `Standing`."""
        self.by: Callable[[Identity], Identity] = lambda identity: identity
        """Gives what the next stream is to be opened by: another address may be on trial."""
        for part in parts:
            part.news = self._news.set

    def connected(self) -> bool | None:
        """Whether the server has answered on the stream that is open; None: not enrolled."""
        return None if self._identity is None else self.standing.since_s is not None

    def status(self) -> LinkStatus:
        """Give what a person is told of the stream."""
        found, now_s = self.standing, self._seams.clock.monotonic_s()
        if self._identity is None:
            return LinkStatus("unenrolled")
        state = "connecting"
        if found.since_s is not None:
            state = "connected"
        elif found.next_try_s is not None:
            state = "waiting"
        return LinkStatus(
            state,
            address=found.address,
            connected_s=now_s - found.since_s if found.since_s is not None else 0.0,
            next_try_s=max(0.0, (found.next_try_s or now_s) - now_s),
            last_error=found.error[:MAX_TEXT],
            last_hint=found.hint[:MAX_TEXT],
        )

    async def run(self) -> None:
        """Keep a stream open for as long as the agent runs."""
        failures = 0
        clock, rng = self._seams.clock, self._seams.rng
        while True:
            began_s = clock.monotonic_s()
            try:
                self._identity = await asyncio.to_thread(current, self._state, self._seams.disk)
                if self._identity is None:
                    self.standing = Standing()
                    await clock.sleep(LOOK_S)
                    continue
                await self._session(self.by(self._identity))
                failures = 0
                continue  # it has another certificate
            except FleetError as error:
                found = error
            except Exception as error:  # noqa: BLE001 - the supervisor: no link is worth the data
                found = FleetUnavailable(f"a defect: {error!r}", hint="report it")
            now_s, progressed = clock.monotonic_s(), self.standing.since_s is not None
            failures = retry.failures_after(
                failures, progressed=progressed, lasted_s=now_s - began_s, backoff=BACKOFF
            )
            asked_s = getattr(found, "wait_s", None)
            wait_s = retry.wait_s(failures, BACKOFF, rng.random(), asked_s)
            self._lost(found, now_s + wait_s)
            await clock.sleep(wait_s)

    def _lost(self, error: FleetError, again_s: float) -> None:
        """Note it, and tell each kind of trouble once, until it is over."""
        self.standing = self.standing._replace(
            since_s=None, next_try_s=again_s, error=str(error), hint=error.hint
        )
        if self._told != type(error).__name__:
            self._told = type(error).__name__
            self._seams.events.emit(FLEET_LOST, error=str(error), hint=error.hint)

    # --- one stream -------------------------------------------------------------------------------

    async def _session(self, identity: Identity) -> None:
        """Talk until the stream ends; return when the certificate was replaced.

        Raises FleetError.
        """
        import grpc

        from forebay._proto import fleet_pb2_grpc
        from forebay.management import asking

        before = self.standing
        self.standing = Standing(identity.address, error=before.error, hint=before.hint)
        async with asking.channel(identity.address, asking.credentials(identity)) as channel:
            fleet = fleet_pb2_grpc.FleetStub(channel)
            call = fleet.Connect()
            work = {
                asyncio.create_task(self._read(call, fleet, identity), name="link.read"),
                asyncio.create_task(self._write(call, identity), name="link.write"),
                asyncio.create_task(self._renewed(identity), name="link.renewed"),
            }
            try:
                done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            except grpc.aio.AioRpcError as error:
                raise asking.from_status(error) from None
            except (StrayCancellation, asyncio.InvalidStateError):
                raise await self._ended(call) from None
            finally:
                self._fetching.use(None)
                await end(work)
                for task in work:  # reader and writer end of the same cause: one was told of
                    if not task.cancelled():
                        task.exception()
                call.cancel()

    async def _ended(self, call: Any) -> FleetError:  # noqa: ANN401 - grpc has no types
        """Give why a stream ended that takes no more messages."""
        import grpc

        from forebay.management import asking

        if call.done() and await call.code() is not grpc.StatusCode.OK:
            code, text = await call.code(), await call.details()
            trailers = await call.trailing_metadata()
            found = grpc.aio.AioRpcError(code, None, trailers, text)
            return asking.from_status(found)
        return FleetUnavailable("the stream ended", hint="it is opened anew")

    async def _renewed(self, identity: Identity) -> None:
        """Return when the box has another certificate, or server."""
        while (now := self._renewal.identity) is None or self.by(now) == identity:
            await self._seams.clock.sleep(1.0)

    async def _write(self, call: Any, identity: Identity) -> None:  # noqa: ANN401 - grpc has no types
        number = 0
        self._full = True
        while True:
            self._news.clear()
            number += 1
            full, self._full = self._full, False
            message = pb.AgentToServer(
                instance_uid=identity.instance_uid, sequence_num=number, full_state=full
            )
            if full:
                message.description.CopyFrom(report.description())
                message.generation = identity.generation
                for part in self._parts:
                    message.capabilities |= part.capabilities
            for part in self._parts:
                part.report(message, full=full)
            await strict(call.write, message)
            await self._pause()

    async def _pause(self) -> None:
        """Wait for news, or for the time to show a sign of life; at most one message a second."""
        clock = self._seams.clock
        await clock.sleep(LEAST_S)
        waits = {
            asyncio.create_task(self._news.wait(), name="link.news"),
            asyncio.create_task(clock.sleep(REPORT_S - LEAST_S), name="link.heartbeat"),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def _read(self, call: Any, fleet: Any, identity: Identity) -> None:  # noqa: ANN401 - grpc
        import grpc

        while True:
            message = await strict(call.read)
            if message is grpc.aio.EOF:
                raise await self._ended(call)
            if message.HasField("error"):
                error = message.error
                wait_s = error.retry_after_s or None
                raise FleetUnavailable(
                    f"{error.code}: {error.message}"[:500], hint=error.hint[:300], wait_s=wait_s
                )
            if self.standing.since_s is None:
                self._told = ""
                self.standing = Standing(identity.address, self._seams.clock.monotonic_s())
                self._fetching.use(fleet)
                self._seams.events.emit(FLEET_CONNECTED)
            if message.flags & pb.RENEW_CERTIFICATE:
                self._renewal.renew_now()
            if message.flags & pb.REPORT_FULL_STATE:
                self._full = True
                self._news.set()
            for part in self._parts:
                await part.take(message, identity)
