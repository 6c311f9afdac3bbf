"""What a fleet server wants of this box: believed or refused, remembered, and offered to be tried.

Owns the way from a signed state to the rollout, one state at a time, by whatever way it came: the
server's line (`link`) or a person's hand (`carrying`). Must not know either, nor how a
configuration comes to run.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from forebay.cancellation import end
from forebay.config.attempts import Offer
from forebay.errors import FleetUnavailable, IdentityUnusable
from forebay.identity import FOLDER
from forebay.management import packages
from forebay.management.offers import (
    Expected,
    Seen,
    digest,
    files_of,
    read_seen,
    verify,
    write_seen,
)
from forebay.model import ClockState

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from forebay._proto import fleet_pb2 as pb
    from forebay.config.attempts import Rolling
    from forebay.identity import Identity
    from forebay.interfaces import Seams
    from forebay.management.runtime import Runtime

FLEET, USB = "fleet", "usb"
"""Where a state came from: `Offer.source`."""


class Source(packages.Source, Protocol):
    """Where the contents of a state are to be had."""

    async def content(self, sha256: bytes, size_bytes: int) -> bytes:
        """Give the content with this hash and size. Raises FleetError."""
        ...


class Needs(Protocol):
    """What has what a state needs beside its files."""

    async def ready(
        self, state: pb.DesiredState, identity: Identity, source: packages.Source, now_ns: int
    ) -> None:
        """See `packages.Packages.ready`."""
        ...


class Believed(NamedTuple):
    """A state that this box believes. `digest` (hex) names its payload; `before` was seen last."""

    state: pb.DesiredState
    digest: str
    before: Seen
    newest: Seen

    @property
    def known(self) -> bool:
        """Whether this very state was seen before."""
        return self.before.payload == self.digest


class Desired:
    """Of one agent."""

    def __init__(
        self, state: Path, rolling: Rolling, needs: Needs, runtime: Runtime, seams: Seams
    ) -> None:
        """Touch nothing yet; `state` is the agent's state directory."""
        self._needs = needs
        self._folder = state / FOLDER
        self._rolling, self._runtime, self._seams = rolling, runtime, seams
        self._turn = asyncio.Lock()
        self._hands, self._hand = 0, asyncio.Event()

    async def look(self, signed: pb.Signed, identity: Identity) -> Believed:
        """Say what a state is, if this box is to believe it; nothing is remembered of it.

        Raises:
            StateRefused: it is not.
            IdentityUnusable: nobody knows what was seen before.
        """
        instance = identity.instance_uid.hex()
        seen = await asyncio.to_thread(read_seen, self._folder, self._seams.disk, instance)
        now_ns = self._seams.clock.now_ns() if self._vouched() else None
        state = verify(signed, Expected(identity.gateway, identity.signing_keys, seen, now_ns))
        name, issued_ns = digest(signed), max(state.issued_ns, seen.issued_ns)
        begun = seen.begun and seen.payload == name
        return Believed(state, name, seen, Seen(state.version, name, issued_ns, instance, begun))

    async def take(
        self, signed: pb.Signed, identity: Identity, source: Source, *, by: str = ""
    ) -> int:
        """Have a state count, and its configuration tried if there is anything to try.

        `by` is the person who brought it, and asks for it even if it was tried before; empty: it
        came by the line. Gives the id of the attempt, 0 if none was begun with.

        Raises:
            StateRefused, IdentityUnusable: as `look`; the latter too where it cannot be noted, the
                former where people have not signed what it needs.
            FleetUnavailable: what it needs did not come.
            RequestInvalid, RequestFailed: the rollout does not take it.
        """
        self._hands += bool(by)
        if by:
            self._hand.set()
        try:
            async with self._turn:
                return await self._taken(signed, identity, source, by)
        finally:
            self._hands -= bool(by)
            if not self._hands:
                self._hand.clear()

    async def _taken(self, signed: pb.Signed, identity: Identity, source: Source, by: str) -> int:
        found = await self.look(signed, identity)
        fresh = found.newest != found.before
        if fresh:
            await asyncio.to_thread(write_seen, self._folder, self._seams.disk, found.newest)
        if not (by or fresh or self._open(found)):
            return 0
        now_ns = self._seams.clock.now_ns() if self._vouched() else found.newest.issued_ns
        ready = self._needs.ready(found.state, identity, source, now_ns)
        await (ready if by else self._unless_by_hand(ready))
        if not found.state.files:
            return 0
        id_ = await self._rolling.offer(self._offer(found.state, source, by))
        if not found.newest.begun:
            begun = replace(found.newest, begun=True)
            with suppress(IdentityUnusable):  # then the history alone says so
                await asyncio.to_thread(write_seen, self._folder, self._seams.disk, begun)
        return id_

    async def _unless_by_hand(self, ready: Coroutine[object, object, None]) -> None:
        """Fetch until a person comes: a line that stands still does not keep them waiting."""
        work = asyncio.create_task(ready, name="desired.needs")
        hand = asyncio.create_task(self._by_hand(), name="desired.hand")
        try:
            await asyncio.wait((work, hand), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end((work, hand))
        if work.cancelled():
            raise FleetUnavailable("a person brings a state", hint="this one is tried again then")
        work.result()

    async def _by_hand(self) -> None:
        await self._hand.wait()

    def _open(self, found: Believed) -> bool:
        """Whether a state that was seen before was never begun, or is for the rollout to judge.

        What ended, and was followed by something else, is not begun with again.
        """
        attempts = self._rolling.attempts()
        last = attempts[-1] if attempts else None
        offer_id = found.state.offer_id[:64]
        # The history forgets: what was begun is on record beside it.
        began = found.newest.begun or any(one.offer_id == offer_id for one in attempts)
        return not began or (last is not None and last.offer_id == offer_id)

    def _offer(self, state: pb.DesiredState, source: Source, by: str) -> Offer:
        clock, files = self._seams.clock, files_of(state)
        left_s = (state.expires_ns - clock.now_ns()) / 1e9
        sizes = {file.sha256: file.size_bytes for file in files}

        async def content(sha256: bytes) -> bytes:
            return await source.content(sha256, sizes[sha256])

        return Offer(
            files=files,
            content=content,
            offer_id=state.offer_id[:64],
            source=USB if by else FLEET,
            who=by or state.issuer[:64],
            reason=state.reason[:200],
            expires_s=clock.monotonic_s() + left_s if self._vouched() else None,
        )

    def _vouched(self) -> bool:
        """Whether somebody vouches for the clock."""
        return self._runtime.pipeline.anchors.state is not ClockState.UNSYNCED
