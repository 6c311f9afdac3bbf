"""The stream to the fleet server: what this box is told comes in, what became of it goes out.

Owns when the stream is opened and anew, and the order of its messages. A server that is gone, slow
or wrong costs the data nothing. Must not know what a state must be (`offers`), how it comes to run
(`config.attempts.Rolling`), or how a report looks (`report`).
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from forebay._proto import fleet_pb2 as pb
from forebay.cancellation import StrayCancellation, end, strict
from forebay.config.attempts import Offer
from forebay.errors import (
    FleetError,
    FleetRefused,
    FleetUnavailable,
    RequestFailed,
    RequestInvalid,
)
from forebay.events import FLEET_CONNECTED, FLEET_LOST, FLEET_STATE_REFUSED
from forebay.forwarding import retry
from forebay.identity import FOLDER, current
from forebay.management import report
from forebay.management.offers import (
    Expected,
    Seen,
    StateRefused,
    digest,
    files_of,
    read_seen,
    verify,
    write_seen,
)
from forebay.model import ClockState
from forebay.settings import BackoffSettings

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.config.attempts import Rolling
    from forebay.config.bundle import File
    from forebay.identity import Identity
    from forebay.interfaces import Seams
    from forebay.management.commands import Commands
    from forebay.management.renewal import Renewal
    from forebay.management.runtime import Runtime

LOOK_S = 5.0
"""How soon an enrollment or a renewal is noticed, at most."""
REPORT_S = 10.0
"""How often the box says that it is there, at least."""
BACKOFF = BackoffSettings(first=2.0, most=120.0)
FETCH_TRIES = 10
FETCH_AGAIN_S = 2.0


class Link:
    """Of one agent. `run` until cancelled."""

    def __init__(
        self,
        state: Path,
        rolling: Rolling,
        runtime: Runtime,
        renewal: Renewal,
        commands: Commands,
        seams: Seams,
    ) -> None:
        """Touch nothing yet."""
        self._folder, self._state = state / FOLDER, state
        self._rolling, self._runtime, self._renewal, self._seams = rolling, runtime, renewal, seams
        self._identity: Identity | None = None
        self._fleet: Any = None
        self._up = False
        self._refused: StateRefused | None = None
        self._began_s = seams.clock.monotonic_s()
        self._news, self._full = asyncio.Event(), True
        self._told = ""
        self._commands = commands
        commands.news = self._news.set

    def connected(self) -> bool | None:
        """Whether the server has answered on the stream that is open; None: not enrolled."""
        return None if self._identity is None else self._up

    async def run(self) -> None:
        """Keep a stream open for as long as the agent runs."""
        failures = 0
        clock, rng = self._seams.clock, self._seams.rng
        while True:
            asked_s, began_s = None, clock.monotonic_s()
            try:
                self._identity = await asyncio.to_thread(current, self._state, self._seams.disk)
                if self._identity is None:
                    await clock.sleep(LOOK_S)
                    continue
                await self._session(self._identity)
                failures = 0
                continue  # it has another certificate
            except FleetError as error:
                asked_s = getattr(error, "wait_s", None)
                self._tell(error)
            except Exception as error:  # noqa: BLE001 - the supervisor: no link is worth the data
                self._tell(FleetUnavailable(f"a defect: {error!r}", hint="report it"))
            lasted_s, progressed = clock.monotonic_s() - began_s, self._up
            self._up = False
            failures = retry.failures_after(
                failures, progressed=progressed, lasted_s=lasted_s, backoff=BACKOFF
            )
            await clock.sleep(retry.wait_s(failures, BACKOFF, rng.random(), asked_s))

    def _tell(self, error: FleetError) -> None:
        """Tell each kind of trouble once, until it is over."""
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

        async with asking.channel(identity.address, asking.credentials(identity)) as channel:
            self._fleet = fleet_pb2_grpc.FleetStub(channel)
            call = self._fleet.Connect()
            work = {
                asyncio.create_task(self._read(call), name="link.read"),
                asyncio.create_task(self._write(call, identity), name="link.write"),
                asyncio.create_task(self._follow(), name="link.follow"),
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
                self._fleet = None
                await end(work)
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
        while self._renewal.identity in (None, identity):
            await self._seams.clock.sleep(1.0)

    async def _follow(self) -> None:
        """Notice what changes in the configuration's standing."""
        seen = 0
        while True:
            seen = await self._rolling.changed(seen)
            self._news.set()

    async def _write(self, call: Any, identity: Identity) -> None:  # noqa: ANN401 - grpc has no types
        number, before = 0, b""
        self._full = True
        while True:
            self._news.clear()
            number += 1
            full, self._full = self._full, False
            clock = self._seams.clock
            message = pb.AgentToServer(
                instance_uid=identity.instance_uid,
                sequence_num=number,
                health=report.health(self._runtime.vitals(), clock.monotonic_s() - self._began_s),
                full_state=full,
            )
            if full:
                message.description.CopyFrom(report.description())
                message.capabilities = (
                    pb.AGENT_REPORTS_HEALTH | pb.AGENT_ACCEPTS_CONFIG | pb.AGENT_ACCEPTS_COMMANDS
                )
                message.generation = identity.generation
            message.results.extend(self._commands.results())
            stands = report.config(await self._rolling.status(), self._refused)
            now = stands.SerializeToString(deterministic=True)
            if full or now != before:
                message.config.CopyFrom(stands)
                before = now
            await strict(call.write, message)
            await self._pause()

    async def _pause(self) -> None:
        """Wait for news, or for the time to show a sign of life; at most one message a second."""
        clock = self._seams.clock
        await clock.sleep(1.0)
        waits = {
            asyncio.create_task(self._news.wait(), name="link.news"),
            asyncio.create_task(clock.sleep(REPORT_S - 1.0), name="link.heartbeat"),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def _read(self, call: Any) -> None:  # noqa: ANN401 - grpc has no types
        import grpc

        while True:
            message = await strict(call.read)
            if message is grpc.aio.EOF:
                raise await self._ended(call)
            if not self._up:
                self._up, self._told = True, ""
                self._seams.events.emit(FLEET_CONNECTED)
            if message.HasField("error"):
                error = message.error
                wait_s = error.retry_after_s or None
                raise FleetUnavailable(
                    f"{error.code}: {error.message}"[:500], hint=error.hint[:300], wait_s=wait_s
                )
            if message.flags & pb.RENEW_CERTIFICATE:
                self._renewal.renew_now()
            if message.flags & pb.REPORT_FULL_STATE:
                self._full = True
                self._news.set()
            await self._commands.accepted(message.accepted_results)
            assert self._identity is not None
            for signed in message.commands:
                self._commands.take(signed, self._identity)
            if message.HasField("desired"):
                await self._desired(message.desired)

    # --- what is desired --------------------------------------------------------------------------

    async def _desired(self, signed: pb.Signed) -> None:
        """Believe a state or refuse it, and say so; what is new is tried."""
        assert self._identity is not None
        now_ns = self._seams.clock.now_ns()
        vouched = self._runtime.pipeline.anchors.state is not ClockState.UNSYNCED
        try:
            instance = self._identity.instance_uid.hex()
            seen = await asyncio.to_thread(read_seen, self._folder, self._seams.disk, instance)
            expected = Expected(
                self._identity.gateway,
                self._identity.signing_keys,
                seen,
                now_ns if vouched else None,
            )
            state = verify(signed, expected)
            issued_ns = max(state.issued_ns, seen.issued_ns)
            newest = Seen(state.version, digest(signed), issued_ns, instance)
            if newest != seen:
                await asyncio.to_thread(write_seen, self._folder, self._seams.disk, newest)
            self._refused = None
            if state.files and (newest != seen or self._open(state)):
                await self._rolling.offer(self._offer(state, vouched=vouched))
        except StateRefused as error:
            self._refused = error
            self._seams.events.emit(
                FLEET_STATE_REFUSED, code=error.code, error=str(error), hint=error.hint
            )
        except (RequestInvalid, RequestFailed) as error:
            raise FleetUnavailable(str(error), hint=error.hint) from error
        self._news.set()

    def _open(self, state: pb.DesiredState) -> bool:
        """Whether a state that was seen before was never begun, or is for the rollout to judge.

        What ended, and was followed by something else, is not begun with again.
        """
        attempts = self._rolling.attempts()
        last = attempts[-1] if attempts else None
        began = any(one.offer_id == state.offer_id for one in attempts)
        return not began or (last is not None and last.offer_id == state.offer_id)

    def _offer(self, state: pb.DesiredState, *, vouched: bool) -> Offer:
        clock, files = self._seams.clock, files_of(state)
        left_s = (state.expires_ns - clock.now_ns()) / 1e9
        by_hash = {file.sha256: file for file in files}

        async def content(sha256: bytes) -> bytes:
            return await self._fetched(by_hash[sha256])

        return Offer(
            files=files,
            content=content,
            offer_id=state.offer_id[:64],
            source="fleet",
            who=state.issuer[:64],
            reason=state.reason[:200],
            expires_s=clock.monotonic_s() + left_s if vouched else None,
        )

    async def _fetched(self, file: File) -> bytes:
        """Fetch a content, going on where a stream broke off. Raises FleetError."""
        import grpc

        from forebay.management import asking

        got = bytearray()
        found: FleetError = FleetUnavailable("the server is away", hint="it is asked again")
        for _ in range(FETCH_TRIES):
            try:
                if self._fleet is not None:
                    await strict(self._part, file, got)
                    if hashlib.sha256(got).digest() == file.sha256:
                        return bytes(got)
                    got.clear()
                    text = f"{file.path} came with another content"
                    found = FleetUnavailable(text, hint="it is asked again")
            except grpc.aio.AioRpcError as error:
                found = asking.from_status(error)
                if isinstance(found, FleetRefused):
                    raise found from None
            except StrayCancellation:
                found = FleetUnavailable("the stream broke off", hint="it is asked again")
            await self._seams.clock.sleep(FETCH_AGAIN_S)
        raise found

    async def _part(self, file: File, got: bytearray) -> None:
        """Add to `got` what is missing of it, no byte more than the file has."""
        request = pb.FetchRequest(sha256=file.sha256, offset=len(got))
        call = self._fleet.Fetch(request)
        try:
            async for reply in call:
                got += reply.data
                if len(got) > file.size_bytes:
                    got.clear()
                    raise FleetUnavailable(
                        f"{file.path} is larger than was offered", hint="push it again"
                    )
        finally:
            call.cancel()
