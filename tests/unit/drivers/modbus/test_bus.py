"""A line without transaction ids: whose an answer is, and what is nobody's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from forebay.acquisition.line import SharedLine
from forebay.clock import SystemClock
from forebay.drivers.modbus.bus import Bus, Tempo
from forebay.drivers.modbus.codec import compile_request
from forebay.drivers.modbus.framing import Rtu
from forebay.drivers.modbus.manners import Manners
from forebay.drivers.modbus.owed import Owed
from forebay.drivers.modbus.wire import Job, Terms
from forebay.errors import DeviceUnreachable, ProtocolViolation
from forebay.net import SystemNetwork

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay.drivers.modbus.codec import Request

RTU = Rtu()
ONE, OTHER, TWO = (compile_request(1, "holding", a, 1 + (a > 50), 0) for a in (10, 20, 60))
NEIGHBOUR = compile_request(2, "holding", 10, 1, 0)
QUICK = Tempo(0.0, 0.0, 0.1)
Answers = Callable[[bytes], list[bytes]]


def answer(request: bytes) -> bytes:
    """Give the frame that answers a read of holding registers: register a holds a."""
    start, count = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
    data = b"".join((start + i).to_bytes(2, "big") for i in range(count))
    return RTU.wrap(request[:2] + bytes((len(data),)) + data)


def right(request: bytes) -> list[bytes]:
    return [answer(request)]


class Client:
    """A bus through TCP to a server that answers each request with `answers`."""

    def __init__(self, tempo: Tempo, *, precious: bool) -> None:
        self.answers: Answers = right
        self.requests: list[bytes] = []
        self.manners, self.owed = Manners(), Owed()
        for unit in (1, 2):
            self.manners.joined(unit)
        self.line = SharedLine("line", SystemClock())
        self.bus = Bus(self.line, self.manners, self.owed, RTU, tempo, precious=precious)
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            while True:
                request = await reader.readexactly(8)
                self.requests.append(request)
                for part in self.answers(request):
                    writer.write(part)
                    await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    async def ask(
        self, *requests: Request, timeout_s: float = 5.0, patience_s: float | None = None
    ) -> bytes:
        unit = requests[0].head[4]
        job = Job(unit, requests, bytearray(8), Terms(1, timeout_s, 0.0, patience_s))
        await self.bus.run(job)
        assert not job.refused
        return bytes(job.image[: requests[-1].size])


@asynccontextmanager
async def client(*, precious: bool = True, tempo: Tempo = QUICK) -> AsyncIterator[Client]:
    made = Client(tempo, precious=precious)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        await SystemNetwork().connect_tcp(host, port, made.bus)
        yield made
        await made.bus.close()


async def test_answers_in_pieces_are_whole() -> None:
    async with client() as line:
        line.answers = lambda request: [bytes((byte,)) for byte in answer(request)]
        assert await line.ask(ONE) == b"\x00\x0a"
        assert await line.ask(TWO) == b"\x00\x3c\x00\x3d"


@pytest.mark.parametrize("precious", [True, False])
@pytest.mark.parametrize(
    "wrong",
    [
        RTU.wrap(bytes.fromhex("02 03 02 000a")),
        RTU.wrap(bytes.fromhex("01 04 02 000a")),
        RTU.wrap(bytes.fromhex("01 03 04 000a 000b")),
        RTU.wrap(bytes.fromhex("01 84 02")),
        bytes.fromhex("01 03 02 000a ffff"),
        bytes.fromhex("01 03 02 00"),
        bytes(40),
    ],
)
async def test_what_is_no_right_answer_is_refused_and_nothing_of_it_taken(
    wrong: bytes, *, precious: bool
) -> None:
    async with client(precious=precious) as line:
        line.answers = lambda _: [wrong]
        job = Job(1, (ONE,), bytearray(2), Terms(1, 5.0))
        with pytest.raises(ProtocolViolation, match="no right answer"):
            await line.bus.run(job)
        assert job.image == b"\x00\x00"
        assert line.bus.alive is precious
        assert line.manners.to_probe(1)


async def test_a_unit_that_owes_an_answer_is_asked_nothing_that_it_could_be_taken_for() -> None:
    async with client() as line:
        line.answers = lambda _: []
        with pytest.raises(DeviceUnreachable, match="no answer within"):
            await line.ask(ONE, timeout_s=0.05)
        line.answers = right
        with pytest.raises(DeviceUnreachable, match="still to come"):
            await line.ask(OTHER)
        assert line.bus.distinct(1, (OTHER, TWO)) is TWO
        assert await line.ask(NEIGHBOUR) == b"\x00\x0a"
        assert len(line.requests) == 2
        assert await line.ask(TWO, patience_s=5.0) == b"\x00\x3c\x00\x3d"
        assert await line.ask(OTHER) == b"\x00\x14"


async def test_a_late_answer_is_dropped_whoever_is_asked_meanwhile() -> None:
    async with client() as line:
        line.answers = lambda _: []
        with pytest.raises(DeviceUnreachable, match="no answer within"):
            await line.ask(ONE, timeout_s=0.05)
        late = answer(line.requests[0])
        line.answers = lambda request: [late, answer(request)]
        assert await line.ask(NEIGHBOUR) == b"\x00\x0a"
        assert line.manners.late_answers == 1
        line.answers = right
        assert await line.ask(OTHER) == b"\x00\x14", "it owes nothing any more"


async def test_a_late_answer_during_the_probe_is_not_taken_for_the_probe() -> None:
    async with client() as line:
        line.answers = lambda _: []
        with pytest.raises(DeviceUnreachable, match="no answer within"):
            await line.ask(ONE, timeout_s=0.05)
        late = answer(line.requests[0])
        line.answers = lambda request: [late + answer(request)]
        assert await line.ask(TWO, patience_s=5.0) == b"\x00\x3c\x00\x3d"
        assert line.manners.late_answers == 1


async def test_an_exception_is_taken_for_the_late_one_while_one_may_come() -> None:
    refusal = RTU.wrap(bytes.fromhex("01 83 02"))
    async with client() as line:
        line.answers = lambda _: []
        with pytest.raises(DeviceUnreachable, match="no answer within"):
            await line.ask(ONE, timeout_s=0.05)
        line.answers = lambda request: [refusal, answer(request)]
        assert await line.ask(TWO, patience_s=5.0) == b"\x00\x3c\x00\x3d"


async def test_a_read_that_was_cancelled_leaves_an_answer_owed() -> None:
    async with client() as line:
        line.answers = lambda _: []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await line.ask(ONE)
        with pytest.raises(DeviceUnreachable, match="still to come"):
            await line.ask(OTHER)
        assert line.manners.to_probe(1)


async def say_unasked(line: Client) -> None:
    assert await line.ask(ONE) == b"\x00\x0a"
    assert line.writer is not None
    line.writer.write(answer(line.requests[0]))
    await line.writer.drain()


async def test_bytes_that_nothing_asked_for_are_no_answer_on_a_port() -> None:
    async with client() as line:
        await say_unasked(line)
        assert await line.ask(TWO) == b"\x00\x3c\x00\x3d"


async def test_bytes_that_nothing_asked_for_end_a_connection() -> None:
    async with client(precious=False) as line:
        await say_unasked(line)
        async with asyncio.timeout(10):
            while line.bus.alive:  # noqa: ASYNC110 - a wire has no event for it
                await asyncio.sleep(0.001)
        with pytest.raises(ProtocolViolation, match="nothing asked for"):
            await line.ask(TWO)


async def test_before_a_request_the_line_is_silent_for_a_while() -> None:
    async with client(tempo=Tempo(0.001, 0.05, 0.1)) as line:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for _ in range(4):
            await line.ask(ONE)
        assert loop.time() - began_s >= 3 * 0.05


async def test_a_line_that_is_never_silent_is_no_line() -> None:
    async with client(tempo=Tempo(0.001, 0.1, 0.1)) as line:
        await line.ask(ONE)
        babbling = True

        async def babble() -> None:
            while babbling:
                assert line.writer is not None
                line.writer.write(b"\x00")
                await asyncio.sleep(0.01)

        task = asyncio.create_task(babble())
        with pytest.raises(DeviceUnreachable, match="never silent"):
            await line.ask(ONE, timeout_s=0.2)
        babbling = False
        await task
        assert await line.ask(TWO) == b"\x00\x3c\x00\x3d"
