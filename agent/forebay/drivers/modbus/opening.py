"""How the wire of a line is opened, for each transport.

Owns sockets, TLS contexts and what is said when they cannot be had. Must not know requests or tags.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from typing import TYPE_CHECKING

from forebay.drivers.modbus.bus import Bus, Tempo
from forebay.drivers.modbus.connection import Connection
from forebay.drivers.modbus.datagrams import Datagrams
from forebay.drivers.modbus.framing import Ascii, Rtu
from forebay.drivers.modbus.link import ON_PORT
from forebay.errors import DeviceUnreachable
from forebay.model import Quality

if TYPE_CHECKING:
    from forebay.drivers.modbus.link import Link
    from forebay.drivers.modbus.manners import Manners
    from forebay.drivers.modbus.owed import Owed
    from forebay.drivers.modbus.wire import Wire
    from forebay.files import Disk
    from forebay.interfaces import Line, Seams

_MAX_FILE_BYTES = 64 << 10
_SILENCE_CHARACTERS = 3.5
_SILENCE_FAST_S = 0.00175
"""Above 19,200 bit/s the silence is this instead of 3.5 characters (MB-SL 2.5.1.1)."""
_FAST_BAUDRATE = 19_200
_RTU_REST_S, _RTU_REST_CHARACTERS = 0.05, 10
"""An answer has no pauses of 1.5 characters (MB-SL 2.5.1.1), but adapters make some."""
_ASCII_REST_S = 1.0
"""Between characters of ASCII frames up to a second may pass (MB-SL 2.5.2.1)."""


async def dial(link: Link, line: Line, seams: Seams, manners: Manners, owed: Owed) -> Wire:
    """Open the wire; `owed` is what units of this line owe. Raises DeviceUnreachable."""
    try:
        wire = await _open(link, line, seams, manners, owed)
    except ssl.SSLError as error:
        raise DeviceUnreachable(
            f"no TLS with {link.host} port {link.port}: {error}",
            hint="check ca against the device's certificate, server_name against its names, and "
            "that the device trusts ours",
            status=Quality.BAD_NO_COMMUNICATION,
        ) from error
    except OSError as error:
        where = link.serial_port or f"{link.host} port {link.port}"
        raise DeviceUnreachable(
            f"no connection to {where}: {error.strerror or error}",
            hint="check that the port is there, free, and that the agent's user may use it"
            if link.serial_port
            else "check host, port, cabling and whether Modbus TCP is switched on",
            status=Quality.BAD_NO_COMMUNICATION,
        ) from error
    if link.connect_pause:
        await asyncio.sleep(link.connect_pause)
    return wire


async def _open(link: Link, line: Line, seams: Seams, manners: Manners, owed: Owed) -> Wire:
    """Open the wire. Raises OSError."""
    network = seams.network
    if link.transport in {"tcp", "tls"}:
        tls = None
        if link.transport == "tls":
            tls = await asyncio.to_thread(_context, link, seams.disk)
        name = (link.server_name or link.host) if tls else None
        connection = Connection(line, manners)
        return await network.connect_tcp(link.host, link.port, connection, tls, name)
    if link.transport == "udp":
        connection = Connection(line, manners)
        await network.connect_udp(link.host, link.port, Datagrams(connection))
        return connection
    framing = Ascii() if link.transport.startswith("ascii") else Rtu()
    on_port = link.transport in ON_PORT
    pace = tempo(link, on_port=on_port)
    bus = Bus(line, manners, owed, framing, pace, precious=on_port, echo=link.echo)
    if not on_port:
        return await network.connect_tcp(link.host, link.port, bus)
    from forebay.drivers.modbus.port import open_port

    open_port(link, bus)
    return bus


def tempo(link: Link, *, on_port: bool) -> Tempo:
    """Give how fast the line is; behind a TCP connection the device server keeps the silence."""
    if not on_port:
        return Tempo(0.0, 0.0, math.inf)
    character_s = link.character_s
    if link.transport == "ascii":
        return Tempo(character_s, 0.0, _ASCII_REST_S)
    silence_s = _SILENCE_CHARACTERS * character_s
    if link.baudrate > _FAST_BAUDRATE:
        silence_s = _SILENCE_FAST_S
    rest_s = max(_RTU_REST_S, _RTU_REST_CHARACTERS * character_s)
    return Tempo(character_s, silence_s, rest_s)


def _context(link: Link, disk: Disk) -> ssl.SSLContext:
    """Give a context that verifies the device, its name included, and shows our certificate.

    MODBUS/TCP Security V2.1: TLS 1.2 or newer, both sides with certificates. The files are read for
    each connection, so that renewed ones count. Raises OSError.
    """
    try:
        pem = None if link.ca is None else disk.read_bytes(link.ca, _MAX_FILE_BYTES).decode()
        context = ssl.create_default_context(cadata=pem)
    except ValueError as error:  # of bytes that are no text
        raise OSError(0, f"{link.ca} holds no certificate in PEM") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    assert link.certificate is not None, "the settings were checked"
    context.load_cert_chain(link.certificate, link.key)
    return context
