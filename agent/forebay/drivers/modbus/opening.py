"""How the wire of a line is opened, for each transport.

Owns sockets, TLS contexts and what is said when they cannot be had. Must not know requests or tags.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.drivers.modbus.connection import Connection
from forebay.errors import DeviceUnreachable
from forebay.model import Quality

if TYPE_CHECKING:
    from forebay.drivers.modbus.link import Link
    from forebay.drivers.modbus.manners import Manners
    from forebay.drivers.modbus.wire import Wire
    from forebay.interfaces import Line, Seams


async def dial(link: Link, line: Line, seams: Seams, manners: Manners) -> Wire:
    """Open the wire. Raises DeviceUnreachable."""
    wire = Connection(line, manners)
    try:
        await seams.network.connect_tcp(link.host, link.port, wire)
    except OSError as error:
        raise DeviceUnreachable(
            f"no connection to {link.host} port {link.port}: {error.strerror or error}",
            hint="check host, port, cabling and whether Modbus TCP is switched on",
            status=Quality.BAD_NO_COMMUNICATION,
        ) from error
    if link.connect_pause:
        await asyncio.sleep(link.connect_pause)
    return wire
