"""Devices of one line share one connection: who opens it, who loses it, and who waits for whom."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from forebay.acquisition.line import SharedLine
from forebay.drivers.modbus import SPEC
from forebay.drivers.modbus.framing import Rtu
from forebay.errors import DeviceUnreachable
from forebay.interfaces import Urgency
from forebay.model import Quality
from forebay.testing.modbus_server import Illegal, Misbehaviour, ModbusServer
from support.modbus import Group, device, seams, tag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay.drivers.modbus.carrier import Carrier

TAGS = [tag("holding:5"), tag("holding:100")]


@pytest.fixture
async def server() -> AsyncIterator[ModbusServer]:
    async with ModbusServer() as running:
        running.units = {1, 2, 3}
        yield running


class Bus:
    """Units behind one connection to `server`."""

    def __init__(self, port: int, **settings: Any) -> None:
        self.port, self.settings = port, settings
        self.line = SharedLine(f"127.0.0.1:{port}", seams().clock)

    def carrier(self) -> Carrier:
        return self.line.shared(lambda: pytest.fail("nobody joined yet"))

    def unit(self, number: int, **settings: Any) -> Group:
        given = {**self.settings, **settings}
        return Group(device(self.port, TAGS, unit=number, **given), line=self.line)

    @asynccontextmanager
    async def connected(self, *numbers: int) -> AsyncIterator[list[Group]]:
        groups = [self.unit(number) for number in numbers]
        try:
            await asyncio.gather(*(group.driver.connect() for group in groups))
            yield groups
        finally:
            for group in groups:
                await group.driver.close()


async def read(group: Group) -> list[Any]:
    async with group.line.turn(Urgency.POLL):
        batch = (await group.reader().read()).batch
    return [sample.value for sample in batch.iter_samples()]


async def until_held(bus: Bus) -> None:
    """Wait until who connects or reads holds the line and has asked: somebody may want it."""
    free_s = bus.line.held_s()
    async with asyncio.timeout(10):
        while bus.line.held_s() == free_s:  # noqa: ASYNC110 - a line has no event for it
            await asyncio.sleep(0.001)


def test_devices_at_one_address_are_on_one_line() -> None:
    def line(**settings: Any) -> str | None:
        return SPEC.line(device(502, TAGS, **settings).settings)

    assert line(unit=1) == line(unit=2) == "127.0.0.1:502"
    assert line(host="::1") == "[::1]:502"
    assert line(transport="udp") == "udp 127.0.0.1:502"


async def test_units_share_one_connection_until_the_last_one_leaves(server: ModbusServer) -> None:
    bus = Bus(server.port)
    async with bus.connected(1, 2, 3) as groups:
        assert await asyncio.gather(*map(read, groups)) == [[5, 100]] * 3
        await groups[0].driver.close()
        assert await read(groups[1]) == [5, 100]
        assert server.connections == 1
    async with bus.connected(1):
        assert server.connections == 2


async def test_when_the_connection_breaks_all_hear_of_it_and_the_next_opens_anew(
    server: ModbusServer,
) -> None:
    bus = Bus(server.port)
    async with bus.connected(1, 2) as groups:
        await asyncio.gather(*map(read, groups))
        readers = [group.reader() for group in groups]
        server.misbehaviour = Misbehaviour.CLOSE
        for reader in readers:
            with pytest.raises(DeviceUnreachable, match="closed the connection"):
                await reader.read()
        server.misbehaviour = None
        again = bus.unit(1)
        await again.driver.connect()
        assert await read(again) == [5, 100]
        assert server.connections == 2
        await again.driver.close()


async def test_who_waits_for_a_connection_that_cannot_be_had_is_told_so(
    server: ModbusServer,
) -> None:
    async with ModbusServer() as gone:
        port = gone.port
    groups = [Bus(port).unit(number) for number in (1, 2)]
    told = await asyncio.gather(*(g.driver.connect() for g in groups), return_exceptions=True)
    assert [type(error) for error in told] == [DeviceUnreachable] * 2
    for group in groups:
        await group.driver.close()


async def test_one_who_gives_up_waiting_does_not_spoil_it_for_another(
    server: ModbusServer,
) -> None:
    bus = Bus(server.port, connect_pause=0.05)
    hasty, patient = bus.unit(1), bus.unit(2)
    first = asyncio.create_task(hasty.driver.connect())
    second = asyncio.create_task(patient.driver.connect())
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert await read(patient) == [5, 100]
    assert server.connections == 1
    for group in (hasty, patient):
        await group.driver.close()


async def test_devices_of_one_line_have_to_agree_about_it(server: ModbusServer) -> None:
    bus = Bus(server.port)
    async with bus.connected(1):
        other = bus.unit(2, transport="rtu-over-tcp")
        with pytest.raises(DeviceUnreachable, match="of the line: transport") as caught:
            await other.driver.connect()
        assert caught.value.status == Quality.BAD_CONFIGURATION_ERROR
        await other.driver.close()


async def test_a_unit_that_was_silent_is_not_connected_before_it_answers(
    server: ModbusServer,
) -> None:
    server.units = {1}
    bus = Bus(server.port, timeout=0.2)
    async with bus.connected(1):
        for _ in range(3):
            silent = bus.unit(2)
            with pytest.raises(DeviceUnreachable, match="no answer within"):
                await silent.driver.connect()
            await silent.driver.close()
        asked = len(server.requests)
        server.units = {1, 2}
        back = bus.unit(2)
        await back.driver.connect()
        assert server.requests[asked:] == [("holding", 5, 1)]
        assert await read(back) == [5, 100]
        assert server.connections == 1
        await back.driver.close()


async def test_a_probe_ends_when_somebody_else_wants_the_line(server: ModbusServer) -> None:
    """The timeout is far beyond the test's own; only giving up early lets the others read."""
    server.units = {1}
    bus = Bus(server.port, timeout=100.0)
    async with bus.connected(1) as (good,):
        await read(good)
        silent = bus.unit(2)
        probing = asyncio.create_task(silent.driver.connect())
        await until_held(bus)
        assert await read(good) == [5, 100]
        with pytest.raises(DeviceUnreachable, match="no answer within"):
            await probing
        await silent.driver.close()
        assert server.connections == 1


async def test_two_silent_units_do_not_keep_the_others_from_being_connected(
    server: ModbusServer,
) -> None:
    """The timeout is far beyond the test's own; all connect at once, the silent ones first."""
    server.units = {3, 4}
    bus = Bus(server.port, timeout=100.0)
    silent, good = [bus.unit(1), bus.unit(2)], [bus.unit(3), bus.unit(4)]
    async with asyncio.TaskGroup() as tasks:
        trying = [tasks.create_task(refused(group)) for group in silent]
        connecting = [tasks.create_task(group.driver.connect()) for group in good]
        await asyncio.wait(connecting)
        assert [await read(group) for group in good] == [[5, 100]] * 2
        await trying[0]
        trying[1].cancel()  # nobody else wants the line any more: it may take all of its timeout
    for group in silent + good:
        await group.driver.close()


async def refused(group: Group) -> None:
    with pytest.raises(DeviceUnreachable, match="no answer within"):
        await group.driver.connect()


async def test_a_unit_that_answers_after_its_probe_was_given_up_is_given_longer(
    server: ModbusServer,
) -> None:
    bus = Bus(server.port, timeout=10.0)
    async with bus.connected(1) as (good,):
        await read(good)
        manners = bus.carrier().manners
        server.delay_s = 0.3
        slow = bus.unit(2)
        probing = asyncio.create_task(slow.driver.connect())
        await until_held(bus)
        await read(good)
        with pytest.raises(DeviceUnreachable, match="no answer within"):
            await probing
        await slow.driver.close()
        assert manners.late_answers == 1
        assert manners.patience_s(2, 10.0, numbered=True) > 0.5


async def test_a_device_that_wants_to_be_hung_up_on_is(server: ModbusServer) -> None:
    async with Bus(server.port, close_after_read=True).connected(1) as (group,):
        assert [await read(group) for _ in range(3)] == [[5, 100]] * 3
        assert server.connections == 4


async def test_who_gives_way_is_not_hung_up_on_by_who_goes_between(server: ModbusServer) -> None:
    bus = Bus(server.port, close_after_read=True)
    async with bus.connected(1) as (group,):
        server.delay_s = 0.1
        slow = asyncio.create_task(read(group))
        await until_held(bus)
        async with bus.line.turn(Urgency.WRITE):
            assert not slow.done()
            between = (await group.reader().read()).batch
        assert [sample.value for sample in between.iter_samples()] == await slow == [5, 100]
        connections = server.connections
        assert await read(group) == [5, 100]
        assert server.connections == connections + 1, "it was hung up on in the end"


async def test_rests_are_kept(server: ModbusServer) -> None:
    loop = asyncio.get_running_loop()
    bus = Bus(server.port, connect_pause=0.1, request_pause=0.05)
    began_s = loop.time()
    async with bus.connected(1) as (group,):
        assert loop.time() - began_s >= 0.1
        began_s = loop.time()
        assert await read(group) == [5, 100]
        assert await read(group) == [5, 100]
    assert server.requests == [("holding", 5, 1), ("holding", 100, 1)] * 2
    assert loop.time() - began_s >= 3 * 0.05


async def test_one_request_per_tag_if_the_device_wants_it_so(server: ModbusServer) -> None:
    tags = [tag("holding:5"), tag("holding:6"), tag("holding:7.1", "bool"), tag("holding:7")]
    group = Group(device(server.port, tags, one_request_per_tag=True))
    await group.driver.connect()
    await group.reader().read()
    await group.driver.close()
    assert server.requests == [("holding", 5, 1), ("holding", 6, 1), ("holding", 7, 1)]


async def test_addresses_may_count_from_one(server: ModbusServer) -> None:
    tags = [tag("holding:5"), tag("40005")]
    group = Group(device(server.port, tags, address_base=1))
    await group.driver.connect()
    batch = (await group.reader().read()).batch
    server.illegal = (Illegal("holding", 4, 4),)
    (refusal,) = (await group.reader().read()).refusals
    await group.driver.close()
    assert refusal.message.endswith("for holding:5")
    assert [sample.value for sample in batch.iter_samples()] == [4, 4]
    assert server.requests == [("holding", 4, 1)] * 2


def test_the_first_address_is_one_then() -> None:
    spec = device(502, [tag("coil:0", "bool"), tag("coil:1", "bool")], address_base=1)
    (fault,) = SPEC.check(spec)
    assert "address_base = 1 counts from 1" in str(fault)


async def test_a_device_server_gives_a_late_answer_to_whoever_is_connected_then() -> None:
    requests: asyncio.Queue[bytes] = asyncio.Queue()
    clients: list[asyncio.StreamWriter] = []
    held, asked = asyncio.Event(), asyncio.Event()

    async def unit() -> None:
        """Answer in order: register a holds a."""
        while True:
            request = await requests.get()
            await held.wait()
            await asyncio.sleep(0.05)  # how long it works on each
            start, count = (int.from_bytes(request[at : at + 2], "big") for at in (2, 4))
            data = b"".join((start + i).to_bytes(2, "big") for i in range(count))
            clients[-1].write(Rtu().wrap(request[:2] + bytes((len(data),)) + data))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.append(writer)
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                requests.put_nowait(await reader.readexactly(8))
                if len(clients) == 2:
                    asked.set()
        writer.close()

    rows = [tag("holding:20"), tag("holding:500")]
    task = asyncio.create_task(unit())
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        given: dict[str, Any] = {"transport": "rtu-over-tcp"}
        slow = Group(device(port, [tag("holding:10")], timeout=0.2, **given))
        await slow.driver.connect()
        with pytest.raises(DeviceUnreachable, match="no answer within"):
            await slow.reader().read()
        await slow.driver.close()
        again = Group(
            device(port, rows, timeout=20.0, **given),
            line=slow.line,
        )
        joining = asyncio.create_task(again.driver.connect())
        await asked.wait()
        held.set()
        await joining
        values = (await again.reader().read()).batch.values
        assert values[0].tolist() == [[20, 500]]
        await again.driver.close()
    task.cancel()
