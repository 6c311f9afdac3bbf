"""Measures what requests take, in a few of many scans, by sending some of them one at a time.

Owns when and what is measured. Must not know tags or decoding. A scan that is not measured costs
nothing more: its requests go out together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.drivers.modbus.cost import MEASURED_LEAST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.clock import Clock
    from forebay.drivers.modbus.codec import Request
    from forebay.drivers.modbus.cost import Meter
    from forebay.drivers.modbus.unit import Unit
    from forebay.interfaces import Block

EVERY = 64
"""One of so many scans is measured, once enough is known to begin with."""
FROM = 16
"""The first scans are not measured: a device that was just connected to may be slow."""
AT_ONCE = 8
"""Most requests that are measured in one scan."""


class Gauge:
    """The measurements of one reader, whose requests are those of `blocks`.

    `meters` are those of the areas, in the order of `blocks`.
    """

    def __init__(
        self, unit: Unit, blocks: Sequence[Block], meters: Sequence[Meter], clock: Clock
    ) -> None:
        self._unit, self._blocks, self._meters, self._clock = unit, blocks, meters, clock
        self._scans = self._at = 0

    def due(self) -> bool:
        """Whether the next scan is to be measured; counts it."""
        self._scans += 1
        return self._scans % EVERY == 0 or FROM < self._scans <= FROM + MEASURED_LEAST

    async def run(self, requests: Sequence[Request], image: bytearray) -> Sequence[tuple[int, int]]:
        """Do the requests as one job of the unit would, some of them one at a time.

        Gives index and exception code of each that was refused; raises as `Unit.run`.
        """
        first = self._at if self._at < len(requests) else 0
        last = self._at = min(first + AT_ONCE, len(requests))
        refused: list[tuple[int, int]] = []
        await self._together(requests, range(first), image, refused)
        for index in range(first, last):
            began_s, before = self._clock.monotonic_s(), len(refused)
            await self._together(requests, range(index, index + 1), image, refused)
            if len(refused) == before:
                took_s = self._clock.monotonic_s() - began_s
                self._meters[index].note(self._blocks[index].count, took_s)
        await self._together(requests, range(last, len(requests)), image, refused)
        return refused

    async def _together(
        self,
        requests: Sequence[Request],
        which: range,
        image: bytearray,
        refused: list[tuple[int, int]],
    ) -> None:
        if which:
            job = self._unit.job(requests[which.start : which.stop], image)
            await self._unit.run(job)
            refused += [(which.start + index, code) for index, code in job.refused]
