"""A line in disorder: answers late, lost, spoiled and among noise. No value is ever another's.

Each answer carries the number of the request that it answers, so that one filed under another
request would show. Units answer in order; that is all that a line without transaction ids grants.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict, deque
from typing import TYPE_CHECKING

import pytest

from forebay.acquisition.line import SharedLine
from forebay.clock import SystemClock
from forebay.drivers.modbus.bus import Bus, Tempo
from forebay.drivers.modbus.codec import compile_request
from forebay.drivers.modbus.framing import Ascii, Framing, Rtu
from forebay.drivers.modbus.manners import Manners
from forebay.drivers.modbus.owed import Owed
from forebay.drivers.modbus.wire import Job, Terms
from forebay.errors import DeviceUnreachable, ProtocolViolation
from forebay.net import SystemNetwork

if TYPE_CHECKING:
    from forebay.drivers.modbus.codec import Request

UNITS = (1, 2, 3)
STEPS = 150
TIMEOUT_S = 0.03
COUNTS = (1, 2, 3, 4)
KINDS = ("right", "right", "right", "late", "late", "lost", "spoiled", "noise", "refused")


class Line:
    """Slaves that do what `rng` says; `number` counts requests."""

    def __init__(self, rng: random.Random, framing: Framing) -> None:
        self.rng, self.framing = rng, framing
        self.number = 0
        self.held: dict[int, deque[bytes]] = defaultdict(deque)

    def frame(self, message: bytes, kind: str) -> bytes:
        unit, function, count = message[0], message[1], message[5]
        data = self.number.to_bytes(2, "big") * count
        body = bytes((unit, function, len(data))) + data
        if kind == "refused":
            body = bytes((unit, function | 0x80, 2))
        return self.framing.wrap(body)

    def answer(self, message: bytes) -> bytes:
        """Give what is heard on the line after this request."""
        self.number += 1
        rng, unit = self.rng, message[0]
        kind = rng.choice(KINDS)
        frame = self.frame(message, kind)
        out = b""
        for other in [u for u in UNITS if u != unit and self.held[u]]:
            if rng.random() < 0.5:
                out += self.held[other].popleft()
        if kind == "lost":
            return out
        if kind == "late":
            self.held[unit].append(frame)
            return out
        if rng.random() < 0.5:
            out += b"".join(self.held[unit])
        self.held[unit].clear()  # answered in order, or lost
        if kind == "spoiled":
            place = rng.randrange(len(frame))
            flip = rng.randrange(1, 256)
            return out + frame[:place] + bytes((frame[place] ^ flip,)) + frame[place + 1 :]
        noise = rng.randbytes(rng.randrange(1, 6)) if kind == "noise" else b""
        return out + noise + frame

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rtu = isinstance(self.framing, Rtu)
        try:
            while True:
                read = reader.readexactly(8) if rtu else reader.readuntil(b"\r\n")
                frame = await read
                message = frame[:-2] if rtu else bytes.fromhex(frame[1:-4].decode())
                writer.write(self.answer(message))
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


def read(unit: int, count: int) -> Request:
    return compile_request(unit, "holding", 0, count, 0)


async def step(bus: Bus, manners: Manners, line: Line) -> tuple[str, int]:
    """Read as a driver does: a unit in doubt shows itself first. Gives what came of it."""
    unit = line.rng.choice(UNITS)
    probing = manners.to_probe(unit)
    try:
        if probing:
            request = bus.distinct(unit, [read(unit, count) for count in COUNTS])
        else:
            request = read(unit, line.rng.choice(COUNTS))
        terms = Terms(1, TIMEOUT_S, 0.0, TIMEOUT_S if probing else None)
        job = Job(unit, (request,), bytearray(request.size), terms)
        await bus.run(job)
    except DeviceUnreachable:
        return "silent", 0
    except ProtocolViolation:
        return "refused", 0
    if job.refused:
        return "exception", 0
    values = {int.from_bytes(job.image[i : i + 2], "big") for i in range(0, request.size, 2)}
    assert values == {line.number}, "the value of another request"
    return "good", line.number


@pytest.mark.parametrize("framing", [Rtu(), Ascii()], ids=["rtu", "ascii"])
@pytest.mark.parametrize("round_", range(3))
async def test_no_answer_becomes_that_of_another_request(framing: Framing, round_: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    line, manners = Line(random.Random(seed), framing), Manners()
    for unit in UNITS:
        manners.joined(unit)
    bus = Bus(
        SharedLine("line", SystemClock()), manners, Owed(), framing,
        Tempo(0.0, 0.002, 0.01), precious=True,
    )  # fmt: skip
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        await SystemNetwork().connect_tcp(host, port, bus)
        seen = [(await step(bus, manners, line))[0] for _ in range(STEPS)]
        await bus.close()
    assert seen.count("good") > 0
    assert seen.count("silent") > 0
