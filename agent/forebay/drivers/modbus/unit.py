"""One unit on a line as its driver asks it: joined to the carrier, on the wire that it found there.

Owns what each request of one device is asked under. Must not know tags or decoding.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.drivers.modbus.codec import words
from forebay.drivers.modbus.wire import Job
from forebay.errors import DeviceRefused, DeviceUnreachable
from forebay.interfaces import Urgency
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.drivers.modbus.carrier import Carrier
    from forebay.drivers.modbus.codec import Request
    from forebay.drivers.modbus.wire import Terms, Wire
    from forebay.interfaces import Line

_CONNECT_SHARE = 0.9
"""The part of the timeout after which a probe ends, so that it says why before it is cut off."""


class Unit:
    """A device's seat on the carrier, from `join` to `leave`.

    `closes` says that the wire is closed after each run of requests, and opened before the next.
    """

    def __init__(self, carrier: Carrier, number: int, terms: Terms, *, closes: bool) -> None:
        self._carrier, self._number, self._terms = carrier, number, terms
        self._closes = closes
        self._wire: Wire | None = None
        self._joined = False

    @property
    def number(self) -> int:
        """The unit identifier."""
        return self._number

    async def join(self, line: Line, probes: Sequence[Request]) -> None:
        """Get onto the wire, opened if need be; a unit that was silent first shows itself.

        `probes` are small reads, of which one is sent, in a turn of its own. Raises
        DeviceUnreachable or ProtocolViolation. Always to be followed by `leave`.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._terms.timeout_s * _CONNECT_SHARE
        self._carrier.manners.joined(self._number)
        self._joined = True
        self._wire = await self._carrier.wire()
        left_s = end_s - loop.time()
        if self._carrier.manners.to_probe(self._number):
            async with line.turn(Urgency.PROBE):  # waited for beyond the timeout
                await self._probe(probes, left_s)
        if self._closes:
            await self._carrier.drop_idle()

    async def leave(self) -> None:
        """Get off; never raises."""
        self._wire = None
        if self._joined:
            self._joined = False
            await self._carrier.leave(self._number)

    def job(self, requests: Sequence[Request], image: bytearray) -> Job:
        """Make a job of requests to this unit."""
        return Job(self._number, requests, image, self._terms)

    async def run(self, job: Job) -> None:
        """Do it; see `Wire.run`. Also raises DeviceUnreachable if the wire cannot be opened."""
        if not self._closes:
            assert self._wire is not None, "connect first"
            await self._ask(self._wire, job)
            return
        async with self._carrier.lent() as wire:
            await self._ask(wire, job)

    async def _probe(self, probes: Sequence[Request], left_s: float) -> None:
        """Ask one small thing; give up early if somebody else wants the line."""
        wire = await self._carrier.wire()  # it may have ended while the turn was waited for
        self._wire = wire
        probe = wire.distinct(self._number, probes)
        left_s = max(left_s, self._terms.timeout_s * (1 - _CONNECT_SHARE))
        patience_s = self._carrier.manners.patience_s(self._number, left_s, numbered=wire.numbered)
        terms = self._terms._replace(timeout_s=left_s, patience_s=patience_s)
        await self._ask(wire, Job(self._number, (probe,), bytearray(max(probe.size, 0)), terms))

    async def _ask(self, wire: Wire, job: Job) -> None:
        """Run `job`; of a silence, say which unit it is and what it was asked."""
        try:
            if job.check is not None:
                await self._check(wire, job.check)
            await wire.run(job)
        except DeviceUnreachable as error:
            if error.status != Quality.BAD_TIMEOUT or job.low == job.sent:
                raise
            asked = words(job.requests[job.low])
            raise DeviceUnreachable(
                f"unit {self._number}: {error} to {asked}", hint=error.hint, status=error.status
            ) from error

    async def _check(self, wire: Wire, read: Request) -> None:
        """Make sure that the answer to a write can only come from the device.

        Raises DeviceRefused if it could be our own request, and as `run` if that cannot be found
        out.
        """
        if wire.repeats is None:
            job = self.job((read,), bytearray(read.size))
            job.steady = True
            await wire.run(job)
        if wire.repeats:
            raise DeviceRefused(
                "the line repeats what is sent, which cannot be told from the device's answer",
                hint="write echo = true if the adapter does that, or switch it off there",
                status=Quality.BAD_CONFIGURATION_ERROR,
            )
