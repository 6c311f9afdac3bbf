"""The one connection or port that all devices of a line use, and who uses it.

Owns when it is opened and closed. Must not know how (`opening`), requests or tags.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from forebay.drivers.modbus.cost import Meters
from forebay.drivers.modbus.link import ON_PORT
from forebay.drivers.modbus.manners import Manners
from forebay.drivers.modbus.owed import Owed
from forebay.errors import DeviceUnreachable
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from forebay.drivers.modbus.link import Link
    from forebay.drivers.modbus.wire import Wire


class Carrier:
    """What `Line.shared` keeps for Modbus; lives as long as the line.

    `link` says where it leads; every device of the line has to say the same.
    """

    def __init__(
        self, name: str, link: Link, dial: Callable[[Manners, Owed], Awaitable[Wire]]
    ) -> None:
        """Open nothing yet; `dial` does, and raises DeviceUnreachable."""
        self.link, self.manners = link, Manners()
        self._name, self._dial, self._owed = name, dial, Owed()
        self._wire: Wire | None = None
        self._opening: asyncio.Task[Wire] | None = None
        self._waiting = self._lent = 0
        self._meters: dict[int, Meters] = {}

    def meters(self, unit: int) -> Meters:
        """Give the measurements of `unit`, which are kept as long as the line is."""
        on_port, in_ascii = self.link.transport in ON_PORT, self.link.transport == "ascii"
        character_s = self.link.character_s if on_port else None
        return self._meters.setdefault(unit, Meters(character_s, in_ascii=in_ascii))

    def check(self, link: Link) -> None:
        """Raise DeviceUnreachable if a device wants the line to be another than it is."""
        if link != self.link:
            keys = ", ".join(self.link.differs(link))
            raise DeviceUnreachable(
                f"another device on {self._name} has other settings of the line: {keys}",
                hint="give all devices on one line the same",
                status=Quality.BAD_CONFIGURATION_ERROR,
            )

    async def wire(self) -> Wire:
        """Give the open wire; opens it if there is none, once for all who ask meanwhile.

        Raises DeviceUnreachable.
        """
        if self._wire is not None and self._wire.alive:
            return self._wire
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name=f"modbus[{self._name}].open")
        opening = self._opening
        self._waiting += 1
        try:
            await asyncio.wait([opening])
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self._opening = None
                opening.cancel()  # nothing if it is done; else nobody wants it any more
                await asyncio.wait([opening])
                if not opening.cancelled():
                    opening.exception()  # told to nobody, if all who waited were cancelled
        return opening.result()

    async def _open(self) -> Wire:
        old, self._wire = self._wire, None
        if old is not None:
            await old.close()
        wire = await self._dial(self.manners, self._owed)
        self.manners.opened()
        self._wire = wire
        return wire

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Wire]:
        """Lend the open wire for one run, as `wire`; who gives it back last closes it.

        Another may run in between, while one gives way.
        """
        wire = await self.wire()
        self._lent += 1
        try:
            yield wire
        finally:
            self._lent -= 1
            await self.drop_idle()

    async def drop_idle(self) -> None:
        """Close the wire, unless it is lent."""
        if not self._lent:
            await self.drop()

    async def drop(self) -> None:
        """Close the wire, if one is open; whoever asks for it next opens it anew."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def leave(self, unit: int) -> None:
        """End the use by one device of `unit`; the last one closes the wire."""
        self.manners.left(unit)
        if self.manners.members == 0:
            await self.drop()
