"""A whole session on an OPC UA server, on the machine's clock: what heals without a restart."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from forebay.acquisition.line import SharedLine
from forebay.acquisition.session import Session
from forebay.acquisition.standstill import Pulse
from forebay.drivers.opcua import SPEC
from forebay.testing.driver import CollectingIntake
from support.opcua import device
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from forebay.interfaces import DeviceSpec
    from forebay.model import Sample

WAIT_S = 40.0
BACKOFF = {"first": 0.2, "most": 1.0}


class Life:
    """A running session and all that its intake took."""

    def __init__(self, spec: DeviceSpec) -> None:
        self.seams = system_seams()
        self.intake, self.pulse = CollectingIntake(), Pulse(self.seams)
        line = SharedLine(spec.name, self.seams.clock)
        self.session = Session(spec, SPEC.build, line, self.intake, self.seams, self.pulse)

    @property
    def samples(self) -> list[Sample]:
        """All that came, in order."""
        return [sample for batch in self.intake.batches for sample in batch.iter_samples()]

    def values(self, name: str) -> list[object]:
        """The good values of one tag, in order."""
        return [s.value for s in self.samples if s.tag.name == name and s.value is not None]

    async def until(self, good: Callable[[], object], what: str) -> None:
        """Wait until something is so."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not good():  # noqa: ASYNC110 - it may be anything in memory
                    await asyncio.sleep(0.02)
        except TimeoutError:
            status = self.session.status
            raise AssertionError(f"never {what}: {status}; {self.samples[-20:]}") from None


@asynccontextmanager
async def living(
    endpoint: str, tags: Mapping[str, tuple[str, str]], mode: str = "subscribe", **settings: Any
) -> AsyncIterator[Life]:
    """Run a session on the server at `endpoint`."""
    groups = {"default": {"mode": mode, "period": 0.1}}
    spec = device(endpoint, tags, backoff=BACKOFF, keepalive=0.5, **settings)
    parsed = SPEC.settings.model_validate(
        spec.settings.model_dump(exclude_unset=True) | {"groups": groups}
    )
    life = Life(replace(spec, settings=parsed))
    tasks = [
        asyncio.create_task(life.session.run(), name="test.session"),
        asyncio.create_task(life.pulse.run(), name="test.pulse"),
    ]
    try:
        yield life
        assert not tasks[0].done(), tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
