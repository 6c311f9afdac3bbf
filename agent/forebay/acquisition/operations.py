"""What one device is given to do beside its polls: a write, a call.

Owns the turn on the line, the moment until which it may go out, and what the driver's answer means.
Must not know who may ask (`writing` does), nor protocols. Implements `interfaces.Operated`.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from forebay.cancellation import strict
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable, WriteInDoubt
from forebay.interfaces import DeviceAnswer, Urgency
from forebay.model import Outcome, Quality

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from forebay.acquisition.line import SharedLine
    from forebay.acquisition.link import Link
    from forebay.interfaces import (
        CallableDriver,
        DeviceSpec,
        Driver,
        PunctualCallableDriver,
        PunctualDriver,
        Seams,
        Value,
        WritableDriver,
    )

GRACE_S = 1.0
"""How much longer than its own time-out a driver may take for one request."""


class Operations:
    """One session's writes and calls. Its session says when a driver is connected."""

    def __init__(self, spec: DeviceSpec, link: Link, line: SharedLine, seams: Seams) -> None:
        """Begin without a driver."""
        self._spec, self._link, self._line, self._seams = spec, link, line, seams
        self._driver: Driver | None = None

    def connected(self, driver: Driver) -> None:
        """Let what is asked from now on go to `driver`."""
        self._driver = driver

    def disconnected(self) -> None:
        """Refuse until there is a driver again."""
        self._driver = None

    async def write(
        self, tag: str, value: Value, due_s: float, *, read_back: bool = True
    ) -> DeviceAnswer:
        """See `Operated.write`."""
        driver = cast("WritableDriver", self._driver)

        async def send() -> DeviceAnswer:
            if hasattr(driver, "write_by"):
                await strict(cast("PunctualDriver", driver).write_by, tag, value, due_s)
            else:
                await strict(driver.write, tag, value)
            return DeviceAnswer(Outcome.GOOD, answered_s=self._seams.clock.monotonic_s())

        async def check(answer: DeviceAnswer) -> DeviceAnswer:
            if not read_back:
                return answer
            raw, why = await self._read_back(driver, tag)
            return replace(answer, read_back=raw, detail=why)

        return await self._in_turn("write", send, due_s, check)

    async def call(self, method: str, arguments: Sequence[Value], due_s: float) -> DeviceAnswer:
        """See `Operated.call`."""
        driver = cast("CallableDriver", self._driver)

        async def send() -> DeviceAnswer:
            if hasattr(driver, "call_by"):
                by = cast("PunctualCallableDriver", driver).call_by
                outputs = tuple(await strict(by, method, arguments, due_s))
            else:
                outputs = tuple(await strict(driver.call, method, arguments))
            answered_s = self._seams.clock.monotonic_s()
            return DeviceAnswer(Outcome.GOOD, outputs=outputs, answered_s=answered_s)

        return await self._in_turn("call", send, due_s)

    async def _in_turn(
        self,
        ability: str,
        send: Callable[[], Awaitable[DeviceAnswer]],
        due_s: float,
        check: Callable[[DeviceAnswer], Awaitable[DeviceAnswer]] | None = None,
    ) -> DeviceAnswer:
        """Wait for the turn, and send if it comes in time to a driver that is still there.

        In the same turn what was acknowledged is checked.
        """
        driver, clock = self._driver, self._seams.clock
        if driver is None:
            return self._refused("is not connected", "see `forebay devices`; nothing was sent")
        if not hasattr(driver, ability):
            protocol = self._spec.settings.protocol
            return self._refused(f"cannot {ability}: {protocol} has no way to", "nothing was sent")
        late = self._refused(
            "was busy until it was too late", "nothing was sent; allow a longer deadline"
        )
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(max(0.0, due_s - clock.monotonic_s())):
                    await turn.enter_async_context(self._line.turn(Urgency.WRITE, due_s))
            except TimeoutError:
                return late
            if clock.monotonic_s() > due_s:
                return late
            if self._driver is not driver:
                return self._refused("lost its connection meanwhile", "nothing was sent")
            answer = await self._sent(send)
            good = answer.outcome is Outcome.GOOD
            return await check(answer) if check and good else answer

    async def _sent(self, send: Callable[[], Awaitable[DeviceAnswer]]) -> DeviceAnswer:
        """Send, and say what the driver's answer, or its failure, means.

        Whatever is not a clear no leaves it open whether the device took it.
        """
        limit_s = self._spec.settings.timeout + GRACE_S
        try:
            async with asyncio.timeout(limit_s):
                return await send()
        except DeviceRefused as error:
            return DeviceAnswer(Outcome.REFUSED, str(error), error.hint)
        except DeviceError as error:
            if not (isinstance(error, WriteInDoubt) and self._spec.schemas):
                self._link.fail(error)  # of a doubt the next poll says whether the link holds
            return DeviceAnswer(Outcome.UNKNOWN, str(error), error.hint)
        except TimeoutError:
            silent = _silent(limit_s)
            self._link.fail(silent)
            return DeviceAnswer(Outcome.UNKNOWN, str(silent), silent.hint)
        except Exception as fault:  # noqa: BLE001 - the supervisor: a faulty driver must not take the gate down
            broken = self._link.contained(fault)
            return DeviceAnswer(Outcome.UNKNOWN, str(broken), broken.hint)

    async def _read_back(self, driver: Any, tag: str) -> tuple[Value | None, str]:  # noqa: ANN401 - a WritableDriver or half of one
        """Give the raw value that the device has now, or why there is none; the write stands."""
        limit_s = self._spec.settings.timeout + GRACE_S
        try:
            async with asyncio.timeout(limit_s):
                return await strict(driver.read_back, tag), ""
        except TimeoutError:
            silent = _silent(limit_s)
            self._link.fail(silent)
            return None, f"it could not be read back: {silent}"
        except DeviceError as error:
            return None, f"it could not be read back: {error}"
        except Exception as fault:  # noqa: BLE001 - as in `_sent`: what was written was acknowledged
            return None, f"it could not be read back: {self._link.contained(fault)}"

    def _refused(self, why: str, hint: str) -> DeviceAnswer:
        return DeviceAnswer(Outcome.REFUSED, f"{self._spec.name} {why}", hint)


def _silent(limit_s: float) -> DeviceUnreachable:
    return DeviceUnreachable(
        f"no answer within {limit_s:g} s",
        hint="look at the device: it may have happened",
        status=Quality.BAD_TIMEOUT,
    )
