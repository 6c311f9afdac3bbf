"""The client against a broker that says what a test wants, or nothing."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from forebay.errors import ForebayError
from forebay.files import SystemDisk
from forebay.mqttclient.client import Client, Opening
from forebay.mqttclient.credentials import read_credentials
from forebay.mqttclient.faults import LIBRARY_ERRORS, explain
from forebay.mqttclient.settings import BrokerSettings
from support.certificates import Authority
from support.processes import until
from support.scripted_broker import CONNACK_5, publish, scripted_broker

if TYPE_CHECKING:
    from pathlib import Path

    import paho.mqtt.client as paho

    from forebay.mqttclient.credentials import Credentials

MOST = 1000
OPENING = Opening("gateway-1", 5.0, MOST)


class Told(ForebayError):
    """What these tests make of the library's errors."""


def told(error: Exception, doing: str) -> Told:
    fault = explain(error, doing)
    return Told(f"{fault.kind.name} {fault.message}", hint=fault.hint)


class Noting(Client):
    """Notes what it is told, and reads no further while `stalled` and a message is there."""

    stalled = False

    def __init__(
        self, settings: BrokerSettings, credentials: Credentials, opening: Opening
    ) -> None:
        super().__init__(settings, credentials, opening, told)
        self.over, self.sizes, self.payloads = asyncio.Event(), list[int](), list[bytes]()
        self.sock: Any = None

    def ended(self) -> None:
        self.over.set()

    def too_large(self, announced_bytes: int) -> None:
        self.sizes.append(announced_bytes)

    def full(self, sock: Any) -> bool:
        if not self.stalled or not self.payloads:
            return False
        self._loop.remove_reader(sock.fileno())
        self.sock = sock
        return True

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        self.payloads.append(bytes(message.payload))


async def make(port: int, opening: Opening = OPENING, **settings: Any) -> Noting:
    given = {"host": "127.0.0.1", "port": port, "tls": False, "version": "3.1.1", **settings}
    described = BrokerSettings.model_validate(given)
    return Noting(described, await read_credentials(described, SystemDisk()), opening)


def other_tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("mqtt")}


async def test_it_says_what_it_wants_and_leaves_nothing_behind() -> None:
    opening = OPENING._replace(asks={"ReceiveMaximum": 7}, clean=False, will=("w", b"gone"))
    async with scripted_broker(connack=CONNACK_5) as (broker, port):
        client = await make(port, opening, version="5", keepalive=9)
        before = client.ready
        await client.open()
        assert (before, client.ready) == (False, True)
        await client.shut()
        await broker.left.wait()
    assert other_tasks() == set()
    flags = broker.hello[7]
    assert flags == 0b0000_1100  # a will at QoS 1, and no clean start (MQTT 5.0, 3.1.2.3)
    assert broker.hello[8:10] == (9).to_bytes(2, "big")
    assert b"\x27" + MOST.to_bytes(4, "big") in broker.hello[10:19]  # Maximum Packet Size
    assert b"\x21\x00\x07" in broker.hello[10:19]  # Receive Maximum
    assert b"gateway-1" in broker.hello
    assert broker.hello.endswith(b"\x00\x01w\x00\x04gone")


@pytest.mark.parametrize("clean", [True, False])
async def test_an_old_broker_is_asked_for_a_session_in_its_own_way(clean: bool) -> None:  # noqa: FBT001 - a parameter of the test
    async with scripted_broker() as (broker, port):
        client = await make(port, OPENING._replace(clean=clean))
        await client.open()
        await client.shut()
    assert broker.hello[7] == (0b10 if clean else 0)  # clean session (MQTT 3.1.1, 3.1.2.3)


async def test_a_refusal_is_told_and_leaves_nothing_behind() -> None:
    async with scripted_broker(connack=b"\x20\x02\x00\x05") as (broker, port):
        client = await make(port)
        with pytest.raises(Told, match=f"DENIED connecting to 127.0.0.1:{port}"):
            await client.open()
        assert not client.ready
        await client.shut()
        await broker.left.wait()
    assert other_tasks() == set()


async def test_nobody_there_is_told() -> None:
    async with scripted_broker() as (_, port):
        pass
    client = await make(port)
    with pytest.raises(Told, match="LOST connecting"):
        await client.open()
    await client.shut()


async def test_a_silent_broker_may_be_given_up() -> None:
    async with scripted_broker(connack=b"") as (broker, port):
        client = await make(port)
        opening = asyncio.create_task(client.open(), name="opening")
        await broker.greeted.wait()
        opening.cancel()
        await asyncio.wait([opening])
        await client.shut()
        await broker.left.wait()
    assert other_tasks() == set()


async def test_a_silent_broker_is_told() -> None:
    async with scripted_broker(connack=b"") as (_, port):
        client = await make(port, OPENING._replace(timeout_s=0.2))
        with pytest.raises(Told, match="SILENT"):
            await client.open()
        await client.shut()


async def test_refused_topics_are_given_back() -> None:
    async with scripted_broker(granted=b"\x01\x80") as (_, port):
        client = await make(port)
        await client.open()
        assert await client.refusals(["a", "b"], 1, "subscribing") == ["b"]
        await client.shut()


@pytest.mark.parametrize(("announced", "cut"), [(b"\xe8\x07", False), (b"\xe9\x07", True)])
async def test_a_packet_is_measured_by_its_header(announced: bytes, cut: bool) -> None:  # noqa: FBT001 - a parameter of the test
    async with scripted_broker() as (broker, port):
        client = await make(port)
        await client.open()
        broker.say(b"\x30" + announced)
        if cut:
            await asyncio.wait_for(broker.left.wait(), 5)
        else:
            broker.say(b"\x00\x01a" + bytes(997))
            await until(lambda: client.payloads, "the message comes")
        await client.shut()
    assert client.sizes == ([1001] if cut else [])
    assert client.payloads == ([] if cut else [bytes(997)])


async def test_a_full_adapter_is_read_to_no_further_until_it_asks() -> None:
    async with scripted_broker() as (broker, port):
        client = await make(port)
        await client.open()
        client.stalled = True
        broker.say(publish(b"a", b"1", 0) + publish(b"a", b"2", 0))
        await until(lambda: client.sock, "it is full")
        assert client.payloads == [b"1"]
        client.stalled = False
        client.watch(client.sock)
        await until(lambda: len(client.payloads) == 2, "the rest comes")
        await client.shut()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x32\x01\x00",  # too short for a topic
        b"\x32\x05\x00\xffabc",  # a topic longer than the packet
        b"\x90\x03\xff\xff\x01",  # a SUBACK that nobody asked for
    ],
)
async def test_garbage_ends_the_connection_with_a_reason_or_is_ignored(garbage: bytes) -> None:
    async with scripted_broker() as (broker, port):
        client = await make(port)
        await client.open()
        broker.say(garbage + publish(b"a", b"1", 0))
        await until(lambda: client.over.is_set() or client.payloads, "it is read")
        if client.over.is_set():
            assert isinstance(client.reason, LIBRARY_ERRORS)
        await client.shut()
        await client.shut()  # once more does no harm
    assert other_tasks() == set()


async def test_a_broker_that_leaves_is_told_of_and_answers_no_more() -> None:
    async with scripted_broker() as (broker, port):
        client = await make(port, OPENING._replace(timeout_s=0.5))
        await client.open()
        broker.close()
        await asyncio.wait_for(client.over.wait(), 5)
        assert "LOST" in str(told(client.reason, "listening"))
        with pytest.raises(Told, match="subscribing"):
            await client.refusals(["a"], 1, "subscribing")
        await client.shut()


async def test_an_untrusted_broker_leaves_no_socket_behind(tmp_path: Path) -> None:
    """A TLS socket that is only forgotten is a ResourceWarning, which fails a test here."""
    authority = Authority(tmp_path / "theirs")
    pair, mine = authority.issue("broker"), Authority(tmp_path / "mine", "Another")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    left = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        client = await make(port, tls=True, ca=mine.ca)
        with pytest.raises(Told, match="UNTRUSTED"):
            await client.open()
        await client.shut()
    assert not left.is_set()
    assert other_tasks() == set()
