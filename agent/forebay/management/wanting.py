"""Says over the stream how the configuration stands, and hears what is wanted of it.

Owns what became of the last state that came by the line, and that one which could not be begun with
is begun with again. Must not know what a state must be (`offers`), nor how it is tried.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from forebay._proto import fleet_pb2 as pb
from forebay.cancellation import end
from forebay.config.attempts import Phase
from forebay.errors import ForebayError
from forebay.management import report
from forebay.management.events import FLEET_STATE_REFUSED
from forebay.management.offers import StateRefused, state_of
from forebay.management.packages import AgentLeaves

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.config.attempts import Rolling, Status
    from forebay.config.linked import LinkStatus
    from forebay.identity import Identity
    from forebay.interfaces import Seams
    from forebay.management.desired import Desired, Source

MAX_TEXT = 2_000
AGAIN_S = 60.0
"""When a state is begun with again whose files did not come, or that could not be noted."""
LOOK_S = 2.0
"""How soon a state is begun with that waits for the agent's own trial, at most."""
_OPEN = "unusable"


class _Told(NamedTuple):
    """The state that came last, and to whom."""

    signed: pb.Signed
    identity: Identity
    offer_id: str


class Wanting:
    """Of one agent: a `parts.Part`. `run` until cancelled."""

    capabilities = pb.AGENT_ACCEPTS_CONFIG

    def __init__(self, rolling: Rolling, desired: Desired, source: Source, seams: Seams) -> None:
        """Touch nothing yet; `source` has the files of what comes."""
        self._rolling, self._desired = rolling, desired
        self._source, self._seams = source, seams
        self._status: Status | None = None
        self._refused: StateRefused | None = None
        self._told: _Told | None = None
        self._before = b""
        self._came, self._waits = asyncio.Event(), False
        self.news: Callable[[], None] = _nobody
        """See `Part.news`."""

    def told(self, link: LinkStatus) -> LinkStatus:
        """Add to what a person is told of the line which state came last, and why it is refused."""
        refused = self._refused
        return link._replace(
            last_offer=self._told.offer_id if self._told is not None else "",
            refused=str(refused)[:MAX_TEXT] if refused is not None else "",
            refused_hint=refused.hint[:MAX_TEXT] if refused is not None else "",
        )

    async def run(self) -> None:
        """Notice what changes, and begin again with what could not be begun with."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="fleet.follow")
            tasks.create_task(self._again(), name="fleet.again")
            tasks.create_task(self._work(), name="fleet.wanted")

    async def _follow(self) -> None:
        seen = 0
        while True:
            seen = await self._rolling.changed(seen)
            self._status = await self._rolling.status()
            self.news()

    def report(self, message: pb.AgentToServer, *, full: bool) -> None:
        """See `Part.report`."""
        if self._status is None:
            return
        stands = report.config(self._status, self._refused)
        now = stands.SerializeToString(deterministic=True)
        if full or now != self._before:
            message.config.CopyFrom(stands)
            self._before = now

    async def take(self, message: pb.ServerToAgent, identity: Identity) -> None:
        """See `Part.take`: have a state tried, or say why this box does not take it."""
        if message.HasField("desired"):
            signed = message.desired
            self._told = _Told(signed, identity, state_of(signed).offer_id[:64])
            self._came.set()

    async def _work(self) -> None:
        """Take what came last; what is still being fetched for an older one is given up for it."""
        while True:
            await self._came.wait()
            self._came.clear()
            assert self._told is not None
            taking = asyncio.create_task(self._take(self._told), name="fleet.take")
            newer = asyncio.create_task(self._newer(), name="fleet.newer")
            try:
                await asyncio.wait((taking, newer), return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end((taking, newer))
            if not taking.cancelled() and (defect := taking.exception()) is not None:
                state = state_of(self._told.signed)
                text = f"a defect: {defect!r}"
                self._refused = StateRefused(text, hint="report it", code=_OPEN, state=state)
                self.news()

    async def _newer(self) -> None:
        await self._came.wait()

    async def _take(self, told: _Told) -> None:
        before, self._waits = self._refused, False
        try:
            await self._desired.take(told.signed, told.identity, self._source)
            self._refused = None
        except AgentLeaves:
            self._refused, self._waits = None, True
        except StateRefused as error:
            self._refused = error
        except ForebayError as error:
            state = state_of(told.signed)
            self._refused = StateRefused(str(error), hint=error.hint, code=_OPEN, state=state)
        refused = self._refused
        if refused is not None and str(refused) != str(before):
            self._seams.events.emit(
                FLEET_STATE_REFUSED, code=refused.code, error=str(refused), hint=refused.hint
            )
        self.news()

    async def _again(self) -> None:
        waited_s = 0.0
        while True:
            await self._seams.clock.sleep(LOOK_S)
            waited_s += LOOK_S
            due = self._waits or waited_s >= AGAIN_S
            if due and self._told is not None and self._failed(self._told):
                waited_s = 0.0
                self._came.set()

    def _failed(self, told: _Told) -> bool:
        """Whether nothing was begun with this state, and something may be now."""
        if self._waits:
            return True
        if self._refused is not None:
            return self._refused.code == _OPEN
        last = self._status.last_attempt if self._status is not None else None
        return last is not None and (last.offer_id, last.phase) == (told.offer_id, Phase.FAILED)


def _nobody() -> None:
    """Tell nobody."""
