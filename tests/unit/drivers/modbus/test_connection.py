"""The connection against a server that lies: a wrong answer is refused and becomes no value."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from forebay.acquisition.line import SharedLine
from forebay.clock import SystemClock
from forebay.drivers.modbus.codec import FEWER, compile_request
from forebay.drivers.modbus.connection import Connection
from forebay.drivers.modbus.manners import Manners
from forebay.drivers.modbus.wire import Job, Terms
from forebay.errors import DeviceUnreachable, ProtocolViolation
from forebay.interfaces import Urgency
from forebay.model import Quality
from forebay.net import SystemNetwork
from forebay.testing.modbus_server import Illegal, Misbehaviour, ModbusServer
from support.modbus import connected, tag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from forebay.drivers.modbus.codec import Request

PLACES = [("holding", start, 10) for start in range(0, 200, 10)]
REQUESTS = [compile_request(1, *place, index * 20) for index, place in enumerate(PLACES)]
EXPECTED = b"".join(address.to_bytes(2, "big") for address in range(200))
VIOLATIONS = [
    (Misbehaviour.WRONG_TRANSACTION, "transaction id"),
    (Misbehaviour.WRONG_PROTOCOL, "protocol id 1 instead of 0"),
    (Misbehaviour.WRONG_UNIT, "unit 2 instead of 1"),
    (Misbehaviour.WRONG_FUNCTION, "function 4 instead of 3"),
    (Misbehaviour.WRONG_EXCEPTION_FUNCTION, "function 132 instead of 3"),
    (Misbehaviour.WRONG_BYTE_COUNT, "byte count 18 instead of 20"),
    (Misbehaviour.LENGTH_TOO_LONG, "length 25 instead of 23"),
    (Misbehaviour.LENGTH_TOO_SHORT, "length 21 instead of 23"),
    (Misbehaviour.TWICE, "transaction id"),
    (Misbehaviour.GARBAGE, "transaction id 65535 is not open"),
    (Misbehaviour.GARBAGE_BEHIND, "transaction id 65535 is not open"),
    (Misbehaviour.ENDLESS, "length 65535 instead of 23"),
]
SILENCES = [Misbehaviour.SILENCE, Misbehaviour.HALF_THEN_SILENCE]
ENDS = [Misbehaviour.CLOSE, Misbehaviour.HALF_THEN_CLOSE]


@pytest.fixture
async def server() -> AsyncIterator[ModbusServer]:
    async with ModbusServer() as running:
        yield running


class Client:
    """A connection that everything is asked on under the same terms."""

    def __init__(self, depth: int, timeout_s: float, members: Sequence[int]) -> None:
        self.manners = Manners()
        for unit in members:
            self.manners.joined(unit)
        self.line = SharedLine("plc", SystemClock())
        self.connection = Connection(self.line, self.manners)
        self.terms = Terms(depth, timeout_s)
        self.close = self.connection.close

    async def exchange(
        self, requests: Sequence[Request], image: bytearray, unit: int = 1
    ) -> list[tuple[int, int]]:
        job = Job(unit, requests, image, self.terms)
        await self.connection.run(job)
        return job.refused


async def connect(
    server: ModbusServer, depth: int = 1, timeout_s: float = 5.0, members: Sequence[int] = (1,)
) -> Client:
    client = Client(depth, timeout_s, members)
    await SystemNetwork().connect_tcp("127.0.0.1", server.port, client.connection)
    return client


@pytest.mark.parametrize("depth", [1, 4, 16])
@pytest.mark.parametrize("how", [None, Misbehaviour.DRIBBLE])
async def test_every_answer_lands_at_its_place(
    server: ModbusServer, depth: int, how: Misbehaviour | None
) -> None:
    server.misbehaviour = how
    connection = await connect(server, depth)
    for _ in range(3):
        image = bytearray(len(EXPECTED))
        assert await connection.exchange(REQUESTS, image) == []
        assert image == EXPECTED
    assert server.requests == PLACES * 3
    await connection.close()


@pytest.mark.parametrize("depth", [1, 16])
async def test_a_whole_answer_with_less_than_asked_for_is_a_refusal(
    server: ModbusServer, depth: int
) -> None:
    """None of it is data, and the connection goes on."""
    server.misbehaviour, server.from_request = Misbehaviour.FEWER, len(PLACES) - 1
    connection = await connect(server, depth)
    image = bytearray(b"\xff" * len(EXPECTED))
    last = REQUESTS[-1]
    assert await connection.exchange(REQUESTS, image) == [(len(REQUESTS) - 1, FEWER)]
    assert image[: last.offset] == EXPECTED[: last.offset]
    assert not any(image[last.offset : last.offset + last.size])
    server.misbehaviour = None
    assert await connection.exchange(REQUESTS, image) == []
    await connection.close()


async def test_answers_in_another_order_are_told_apart(server: ModbusServer) -> None:
    server.misbehaviour, server.together = Misbehaviour.TOGETHER_REVERSED, 4
    connection = await connect(server, 4)
    image = bytearray(len(EXPECTED))
    assert await connection.exchange(REQUESTS, image) == []
    assert image == EXPECTED
    await connection.close()


async def test_at_most_depth_requests_are_open(server: ModbusServer) -> None:
    server.misbehaviour, server.together = Misbehaviour.TOGETHER_REVERSED, 5
    connection = await connect(server, 4, timeout_s=0.2)
    with pytest.raises(DeviceUnreachable):
        await connection.exchange(REQUESTS, bytearray(len(EXPECTED)))
    assert len(server.requests) == 4
    await connection.close()


async def test_transaction_ids_run_on_over_scans_and_past_their_end(server: ModbusServer) -> None:
    connection = await connect(server, 16)
    image = bytearray(len(EXPECTED))
    for _ in range(65_536 // len(REQUESTS) + 2):
        image[:] = bytes(len(image))
        await connection.exchange(REQUESTS, image)
        assert image == EXPECTED
    await connection.close()


async def test_exceptions_are_told_apart_and_the_rest_is_read(server: ModbusServer) -> None:
    server.illegal = (Illegal("holding", 35, 35), Illegal("holding", 120, 120, code=6))
    connection = await connect(server, 3)
    image = bytearray(b"\xee" * len(EXPECTED))
    assert await connection.exchange(REQUESTS, image) == [(3, 2), (12, 6)]
    want = bytearray(EXPECTED)
    want[60:80] = want[240:260] = bytes(20)
    assert image == want
    await connection.close()


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("at", [0, 7, 19])
@pytest.mark.parametrize(("how", "said"), VIOLATIONS)
async def test_fault_50_an_answer_that_does_not_fit_ends_the_connection(
    server: ModbusServer, how: Misbehaviour, said: str, at: int, depth: int
) -> None:
    server.misbehaviour, server.from_request = how, at
    connection = await connect(server, depth)
    with pytest.raises(ProtocolViolation, match=said) as caught:
        await connection.exchange(REQUESTS, bytearray(len(EXPECTED)))
    assert caught.value.status == Quality.BAD_COMMUNICATION_ERROR
    assert caught.value.hint
    server.misbehaviour = None
    with pytest.raises(ProtocolViolation):
        await connection.exchange(REQUESTS, bytearray(len(EXPECTED)))
    await connection.close()


@pytest.mark.parametrize("how", SILENCES)
async def test_fault_51_silence_ends_the_connection(
    server: ModbusServer, how: Misbehaviour
) -> None:
    server.misbehaviour, server.from_request = how, 3
    connection = await connect(server, timeout_s=0.1)
    with pytest.raises(DeviceUnreachable, match="no answer within") as caught:
        await connection.exchange(REQUESTS, bytearray(len(EXPECTED)))
    assert caught.value.status == Quality.BAD_TIMEOUT
    await connection.close()


async def test_the_deadline_is_for_each_answer_and_not_for_the_scan(server: ModbusServer) -> None:
    server.delay_s = 0.03
    connection = await connect(server, timeout_s=0.3)
    began_s = asyncio.get_running_loop().time()
    image = bytearray(len(EXPECTED))
    await connection.exchange(REQUESTS, image)
    assert image == EXPECTED
    assert asyncio.get_running_loop().time() - began_s > 0.3
    await connection.close()


@pytest.mark.parametrize("how", ENDS)
async def test_a_closed_connection_is_no_violation(server: ModbusServer, how: Misbehaviour) -> None:
    server.misbehaviour, server.from_request = how, 3
    connection = await connect(server)
    with pytest.raises(DeviceUnreachable, match="closed the connection") as caught:
        await connection.exchange(REQUESTS, bytearray(len(EXPECTED)))
    assert caught.value.status == Quality.BAD_NO_COMMUNICATION
    await connection.close()


@pytest.mark.parametrize("depth", [1, 4])
async def test_a_late_answer_never_becomes_that_of_the_next_request(
    server: ModbusServer, depth: int
) -> None:
    """The device answers each request only when the next one comes, with values that change."""
    server.misbehaviour = Misbehaviour.LATE
    connection = await connect(server, depth, members=(1, 2))
    image = bytearray(len(EXPECTED))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.exchange(REQUESTS, image)
    server.values = lambda _, address: 1000 + address
    server.misbehaviour = None
    await connection.exchange(REQUESTS, image)
    assert image == b"".join((1000 + address).to_bytes(2, "big") for address in range(200))
    assert connection.manners.late_answers == 3
    assert server.connections == 1
    await connection.close()


async def test_a_silent_unit_costs_the_others_no_connection(server: ModbusServer) -> None:
    connection = await connect(server, timeout_s=0.05, members=(1, 2))
    dead = [compile_request(2, "holding", 0, 10, 0)]
    image = bytearray(len(EXPECTED))
    for _ in range(5):
        connection.terms = Terms(1, 5.0)
        await connection.exchange(REQUESTS, image)
        assert image == EXPECTED
        connection.terms = Terms(1, 0.05)
        with pytest.raises(DeviceUnreachable, match="no answer within"):
            await connection.exchange(dead, bytearray(20), unit=2)
    assert connection.connection.alive
    assert server.connections == 1
    await connection.close()


async def test_a_connection_on_which_nobody_is_heard_any_more_is_given_up(
    server: ModbusServer,
) -> None:
    connection = await connect(server, timeout_s=5.0, members=(1, 2))
    await connection.exchange(REQUESTS, bytearray(len(EXPECTED)))
    server.misbehaviour, connection.terms = Misbehaviour.SILENCE, Terms(1, 0.05)
    for alive, unit in ((True, 2), (False, 1)):
        with pytest.raises(DeviceUnreachable, match="no answer within"):
            await connection.exchange(REQUESTS[:1], bytearray(20), unit=unit)
        assert connection.connection.alive is alive
    await connection.close()


@pytest.mark.parametrize("code", [10, 11])
async def test_a_gateway_that_does_not_hear_the_unit_ends_the_scan_and_not_the_connection(
    server: ModbusServer, code: int
) -> None:
    server.illegal = (Illegal("holding", 0, 500, code=code),)
    connection = await connect(server)
    with pytest.raises(DeviceUnreachable, match=f"exception {code}") as caught:
        await connection.exchange(REQUESTS, bytearray(len(EXPECTED)))
    assert caught.value.status == Quality.BAD_NO_COMMUNICATION
    assert len(server.requests) == 1
    assert connection.manners.to_probe(1)
    server.illegal = ()
    image = bytearray(len(EXPECTED))
    await connection.exchange(REQUESTS, image)
    assert image == EXPECTED
    assert not connection.manners.to_probe(1)
    await connection.close()


async def test_between_two_requests_the_line_is_given_to_who_goes_before(
    server: ModbusServer,
) -> None:
    connection = await connect(server)
    image, other = bytearray(len(EXPECTED)), bytearray(2)
    urgent = [compile_request(1, "holding", 999, 1, 0)]

    async def write() -> None:
        async with connection.line.turn(Urgency.WRITE):
            await connection.exchange(urgent, other)

    async with connection.line.turn(Urgency.POLL):
        scan = asyncio.create_task(connection.exchange(REQUESTS, image))
        await asyncio.sleep(0)  # the scan begins
        writing = asyncio.create_task(write())
        await scan
    await writing
    assert image == EXPECTED
    assert other == (999).to_bytes(2, "big")
    assert server.requests.index(("holding", 999, 1)) <= 2  # noted by the server as it answers
    await connection.close()


async def until_dead(connection: Client) -> None:
    """Exchange nothing until that raises what killed the connection."""
    while True:
        await connection.exchange([], bytearray())
        await asyncio.sleep(0)


async def test_what_comes_between_scans_ends_the_connection(server: ModbusServer) -> None:
    connection = await connect(server)
    image = bytearray(len(EXPECTED))
    await connection.exchange(REQUESTS, image)
    await server.push(REQUESTS[0].head)
    with pytest.raises(ProtocolViolation, match="nothing asked for"):
        await until_dead(connection)
    await connection.close()


async def test_fault_51_an_endless_answer_takes_no_memory(server: ModbusServer) -> None:
    server.misbehaviour = Misbehaviour.ENDLESS
    connection = await connect(server)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolViolation):
            await connection.exchange(REQUESTS, bytearray(len(EXPECTED)))
        await connection.close()
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("round_", range(20))
async def test_fault_51_garbage_never_becomes_a_value(round_: int) -> None:
    """Random bytes, and answers cut or with bytes changed: an error, and nothing of them taken."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    rng = random.Random(seed)
    number = rng.randrange(5)
    for _ in range(20):
        right = number.to_bytes(2, "big") + REQUESTS[number].head
        right += EXPECTED[number * 20 : number * 20 + 20]
        garbage = corrupted(right, rng)
        # Half an answer costs the whole timeout; on a busy machine a right one may take longer.
        image = await exchanged(number, garbage, timeout_s=0.02)
        if image[: number * 20] != EXPECTED[: number * 20]:
            image = await exchanged(number, garbage, timeout_s=2.0)
        # What was taken before the fault is right; nothing else was touched.
        assert image == EXPECTED[: number * 20] + bytes(len(EXPECTED) - number * 20)


async def exchanged(right_answers: int, garbage: bytes, timeout_s: float) -> bytearray:
    """Exchange with a server that gives so many right answers, then garbage; give what is taken."""
    async with ModbusServer() as server:
        server.misbehaviour, server.from_request = Misbehaviour.GARBAGE, right_answers
        server.garbage = garbage
        connection = await connect(server, timeout_s=timeout_s)
        image = bytearray(len(EXPECTED))
        with pytest.raises((ProtocolViolation, DeviceUnreachable)):
            await connection.exchange(REQUESTS, image)
        await connection.close()
    return image


def corrupted(frame: bytes, rng: random.Random) -> bytes:
    """Spoil an answer so that it cannot be right; its data bytes, which nothing checks, stay."""
    how = rng.randrange(4)
    if how == 0:
        return bytes((rng.randrange(64, 256),)) + rng.randbytes(rng.randrange(1, 400))
    if how == 1:
        return frame[: rng.randrange(len(frame))]
    place = rng.randrange(9)
    broken = bytearray(frame)
    broken[place] ^= rng.randrange(1, 256)
    if how == 2:
        # 0x83 with the right length would be an exception: an answer.
        broken[7] = frame[7] if broken[7] == frame[7] | 0x80 else broken[7]
        if broken == frame:
            broken[0] ^= 0x40
        return bytes(broken)
    return bytes(broken) + rng.randbytes(rng.randrange(300))


@pytest.mark.parametrize("header", ["0000 0001 0017", "0000 0000 0002", "0000 0000 00ff"])
async def test_fault_51_a_header_that_cannot_be_right_is_not_waited_for(
    server: ModbusServer, header: str
) -> None:
    server.misbehaviour, server.garbage = Misbehaviour.GARBAGE, bytes.fromhex(header)
    connection = await connect(server)
    with pytest.raises(ProtocolViolation, match="no Modbus header"):
        await connection.exchange(REQUESTS, bytearray(len(EXPECTED)))
    await connection.close()


async def test_a_device_that_is_not_there_is_unreachable() -> None:
    async with ModbusServer() as gone:
        port = gone.port
    with pytest.raises(DeviceUnreachable, match="no connection to") as caught:
        async with connected(port, [tag("holding:0")]):
            pass
    assert caught.value.hint


class Recorder(asyncio.Transport):
    """Stands in for the network: keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


def answers_to(sent: bytes) -> list[bytes]:
    """Answer each request of REQUESTS in `sent`."""
    found = []
    for at in range(0, len(sent), 12):
        number, start = sent[at : at + 2], int.from_bytes(sent[at + 8 : at + 10], "big")
        found.append(number + REQUESTS[start // 10].head + EXPECTED[2 * start : 2 * start + 20])
    return found


@pytest.mark.parametrize("depth", [1, 2, 5, 16])
@pytest.mark.parametrize("seed", range(20))
async def test_answers_in_any_order_and_in_any_pieces_land_at_their_places(
    depth: int, seed: int
) -> None:
    """Half a window goes out with each write, whatever pieces the answers come in."""
    rng, wire = random.Random(seed), Recorder()
    client = Client(depth, 60.0, (1,))
    client.connection.connection_made(wire)
    for shuffled in (False, True):
        wire.writes.clear()
        image = bytearray(len(EXPECTED))
        asking = asyncio.create_task(client.exchange(REQUESTS, image), name="asking")
        await asyncio.sleep(0)
        heard = 0
        while heard < len(wire.writes):
            answers = answers_to(b"".join(wire.writes[heard:]))
            heard = len(wire.writes)
            if shuffled:
                rng.shuffle(answers)
            rest = b"".join(answers)
            while rest:
                size = rng.choice((1, 29, 58, rng.randrange(1, 300)))
                client.connection.data_received(rest[:size])
                rest = rest[size:]
        assert await asking == []
        assert image == EXPECTED
        assert not wire.aborted
        assert len(wire.writes) <= 1 + len(REQUESTS) / ((depth + 1) // 2)
    client.connection.connection_lost(None)


@pytest.mark.parametrize("place", range(9))
async def test_one_wrong_byte_of_a_header_within_a_window_spoils_no_value(place: int) -> None:
    """The answers before it count, the wrong one and those behind it do not."""
    wire, client = Recorder(), Client(16, 60.0, (1,))
    client.connection.connection_made(wire)
    image = bytearray(len(EXPECTED))
    asking = asyncio.create_task(client.exchange(REQUESTS, image), name="asking")
    await asyncio.sleep(0)
    answers = answers_to(wire.writes[0])
    spoilt = bytearray(answers[5])
    spoilt[place] ^= 0x40
    client.connection.data_received(b"".join((*answers[:5], spoilt, *answers[6:])))
    with pytest.raises(ProtocolViolation):
        await asking
    assert image[:100] == EXPECTED[:100]
    assert not any(image[100:])
    assert wire.aborted
    client.connection.connection_lost(None)
