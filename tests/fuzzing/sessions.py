"""Real sessions, wired as the agent wires them, on an intake of the test's own."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from forebay.acquisition.session import Session
from forebay.acquisition.standstill import Pulse
from forebay.acquisition.wires import wires
from forebay.cancellation import end
from forebay.config.devices import Device

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from forebay.interfaces import DeviceSpec, DriverSpec, Intake, Seams


@asynccontextmanager
async def serving(
    driver: DriverSpec, specs: Sequence[DeviceSpec], intake: Intake, seams: Seams
) -> AsyncIterator[list[Session]]:
    """Serve devices of one protocol while entered; a session that ends is an error."""
    devices = [Device(spec, driver, ()) for spec in specs]
    pulse = Pulse(seams)
    sessions = [
        Session(d.spec, d.driver.build, w.line, intake, seams, pulse, place=w)
        for d, w in zip(devices, wires(devices, seams), strict=True)
    ]
    tasks = [asyncio.create_task(s.run(), name=f"session[{s.name}]") for s in sessions]
    tasks.append(asyncio.create_task(pulse.run(), name="pulse"))
    try:
        yield sessions
        for task in tasks:
            if task.done():
                task.result()
                raise AssertionError(f"{task.get_name()} ended")
    finally:
        await end(tasks)
