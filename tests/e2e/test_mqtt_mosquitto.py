"""The MQTT driver against mosquitto: killed, frozen, restarted, flooding, with TLS."""

from __future__ import annotations

import asyncio
import hashlib
import time
from base64 import b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from forebay.drivers.mqtt.link import INBOX_MESSAGES
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable
from forebay.model import Quality
from support.certificates import Authority
from support.mosquitto import Mosquitto
from support.mqtt import connected, device
from support.processes import free_port
from support.streams import Listener, other_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.interfaces import DeviceSpec

pytestmark = pytest.mark.e2e

VERSIONS = ("5", "3.1.1")
COUNT = {"count": ("plant/count", "int64")}
PERIOD_S = 1.0


@pytest.fixture
async def broker(mosquitto_binary: Path, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(mosquitto_binary, tmp_path) as running:
        yield running


@asynccontextmanager
async def listening(spec: DeviceSpec, *, taking: bool = True) -> AsyncIterator[Listener]:
    """A driver and its listener; without `taking`, the intake takes the first batch and no more."""
    async with connected(spec) as driver:
        listener = Listener(driver, {spec.schemas[0]: PERIOD_S})
        if not taking:
            listener.open.clear()
        async with listener:
            yield listener


async def subscribed(broker: Mosquitto, spec: DeviceSpec) -> None:
    """Make the broker know the driver's session and its subscriptions."""
    async with listening(spec) as listener:
        await reached(broker, listener, -1)


async def reached(broker: Mosquitto, listener: Listener, mark: int) -> None:
    """Publish `mark` until it comes, so that the subscription is known to be there."""
    for _ in range(100):
        await broker.publish("plant/count", str(mark))
        if mark in listener.values("count"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{mark} never came")


@pytest.mark.parametrize("version", VERSIONS)
async def test_values_come_in_order(broker: Mosquitto, version: str) -> None:
    tags = COUNT | {"speed": ("plant/line#/belt/speed", "float64"), "odd": ("plant/odd", "int8")}
    spec = device(broker.port, tags, version=version)
    async with listening(spec) as listener:
        await reached(broker, listener, -1)
        await broker.publish("plant/count", *(str(n) for n in range(500)))
        await broker.publish("plant/line", '{"belt": {"speed": 0.75}}')
        await broker.publish("plant/odd", "garbage", "x" * 100_000, "5")
        await listener.until(lambda _: len(listener.values("odd")) == 3)
        await listener.until(lambda _: listener.values("count")[-1] == 499)
    assert [v for v in listener.values("count") if v != -1] == list(range(500))
    assert listener.values("speed") == [0.75]
    odd = [(s.value, s.quality) for s in listener.samples if s.tag.name == "odd"]
    bad = (None, Quality.BAD_DECODING_ERROR)
    assert odd == [bad, bad, (5, 0)]


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_was_not_taken_comes_again(broker: Mosquitto, version: str) -> None:
    """The gateway dies with a batch in its hands: all that was not taken is sent again."""
    spec = device(broker.port, COUNT, version=version)
    await subscribed(broker, spec)
    async with listening(spec, taking=False) as listener:
        await broker.publish("plant/count", *(str(n) for n in range(60)))
        await listener.until(lambda found: found)
    async with listening(spec) as listener:
        await listener.until(lambda _: 59 in listener.values("count"))
    assert listener.values("count") == list(range(60))


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_was_taken_does_not_come_again(broker: Mosquitto, version: str) -> None:
    spec = device(broker.port, COUNT, version=version)
    async with listening(spec) as listener:
        await reached(broker, listener, -1)
        await broker.publish("plant/count", *(str(n) for n in range(60)))
        await listener.until(lambda _: 59 in listener.values("count"))
        await reached(broker, listener, 1000)  # by then the acknowledgements are through
    async with listening(spec) as listener:
        await broker.publish("plant/count", "2000")
        await listener.until(lambda _: 2000 in listener.values("count"))
    assert set(listener.values("count")) <= {1000, 2000}


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_came_while_we_were_away_is_kept(broker: Mosquitto, version: str) -> None:
    spec = device(broker.port, COUNT, version=version)
    await subscribed(broker, spec)
    await broker.publish("plant/count", *(str(n) for n in range(50)))
    async with listening(spec) as listener:
        await listener.until(lambda _: 49 in listener.values("count"))
    assert [v for v in listener.values("count") if v != -1] == list(range(50))


async def test_a_broker_killed_and_restarted_keeps_the_session(broker: Mosquitto) -> None:
    before = other_tasks()
    spec = device(broker.port, COUNT)
    await subscribed(broker, spec)
    async with connected(spec) as driver:
        listener = Listener(driver, {spec.schemas[0]: PERIOD_S})
        await reached(broker, listener, -2)
        await broker.stop()
        await broker.start()
        with pytest.raises(DeviceUnreachable):
            await asyncio.wait_for(listener.task, 10)
    await broker.publish("plant/count", "7")
    async with listening(spec) as listener:
        await listener.until(lambda _: 7 in listener.values("count"))
    assert other_tasks() == before


async def test_a_killed_broker_is_found_out_at_once(broker: Mosquitto) -> None:
    before = other_tasks()
    spec = device(broker.port, COUNT, keepalive=60)
    async with connected(spec) as driver:
        listener = Listener(driver, {spec.schemas[0]: PERIOD_S})
        await reached(broker, listener, -1)
        await broker.kill()
        with pytest.raises(DeviceUnreachable, match="connection ended"):
            await asyncio.wait_for(listener.task, 2)
    assert other_tasks() == before
    with pytest.raises(DeviceUnreachable, match="refused"):
        async with connected(spec):
            pass
    assert other_tasks() == before


async def test_a_frozen_broker_is_found_out_by_keepalive(broker: Mosquitto) -> None:
    before = other_tasks()
    spec = device(broker.port, COUNT, keepalive=2)
    async with connected(spec) as driver:
        listener = Listener(driver, {spec.schemas[0]: PERIOD_S})
        await reached(broker, listener, -1)
        broker.freeze()
        frozen_s = time.monotonic()
        with pytest.raises(DeviceUnreachable):
            await asyncio.wait_for(listener.task, 15)
        assert time.monotonic() - frozen_s < 2 * 2 + 3
        closing_s = time.monotonic()
    assert time.monotonic() - closing_s < 2.0
    broker.thaw()
    assert other_tasks() == before


async def test_connecting_to_a_frozen_broker_can_be_given_up(broker: Mosquitto) -> None:
    """The session's deadline cancels `connect`; nothing of it is left behind."""
    before = other_tasks()
    broker.freeze()
    spec = device(broker.port, COUNT)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5), connected(spec):
            pass
    assert other_tasks() == before
    with pytest.raises(DeviceUnreachable, match="in time"):
        async with connected(device(broker.port, COUNT, timeout=0.5)):
            pass
    assert other_tasks() == before
    broker.thaw()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_flood_stays_in_the_broker(
    mosquitto_binary: Path, tmp_path: Path, version: str
) -> None:
    """A broker told to send without end, and an intake that takes nothing: memory stays bounded."""
    lines = ["allow_anonymous true", "max_inflight_messages 65535", "max_queued_messages 0"]
    async with Mosquitto(mosquitto_binary, tmp_path, lines) as broker:
        spec = device(broker.port, COUNT, version=version, keepalive=60)
        await subscribed(broker, spec)
        async with (
            connected(spec) as driver,
            Listener(driver, {spec.schemas[0]: PERIOD_S}) as listener,
        ):
            listener.open.clear()
            await broker.publish("plant/count", *(str(n) for n in range(5000)))
            await listener.until(lambda found: found)
            link: Any = driver._link  # noqa: SLF001 - what waits in memory
            assert 400 < len(link._inbox) <= INBOX_MESSAGES  # noqa: SLF001
            listener.open.set()
            await listener.until(lambda _: 4999 in listener.values("count"))
    assert listener.values("count") == list(range(5000))


async def test_retained_values_are_not_taken_for_new(broker: Mosquitto) -> None:
    await broker.publish("plant/count", "5", retain=True)
    async with listening(device(broker.port, COUNT)) as listener:
        await listener.until(lambda found: found)
        await broker.publish("plant/count", "6")
        await listener.until(lambda _: 6 in listener.values("count"))
    found = {s.value: s.quality for s in listener.samples}
    assert found == {5: Quality.UNCERTAIN_LAST_USABLE_VALUE, 6: Quality.GOOD}


async def test_a_subscription_of_an_earlier_tag_list_is_ended(broker: Mosquitto) -> None:
    await subscribed(broker, device(broker.port, COUNT | {"old": ("plant/old", "int8")}))
    await broker.publish("plant/old", "1")
    async with listening(device(broker.port, COUNT)) as listener:
        await reached(broker, listener, -2)
    await broker.publish("plant/old", "2", "3")
    async with listening(device(broker.port, COUNT | {"old": ("plant/old", "int8")})) as listener:
        await reached(broker, listener, -3)
    assert listener.values("old") == []


def hashed(password: str) -> str:
    """A password as mosquitto 2 keeps it: PBKDF2 with SHA-512, salted."""
    salt, rounds = b"twelve bytes", 101
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"$7${rounds}${b64encode(salt).decode()}${b64encode(digest).decode()}"


async def test_mutual_tls_and_whom_it_trusts(mosquitto_binary: Path, tmp_path: Path) -> None:
    """The right authority and our certificate connect; any other authority or none does not."""
    authority = Authority(tmp_path / "ca")
    server, own = authority.issue("broker"), authority.issue("gateway")
    stranger = Authority(tmp_path / "stranger", "Another authority")
    files = [f"cafile {authority.ca}", f"certfile {server.cert}", f"keyfile {server.key}"]
    lines = [*files, "require_certificate true", "allow_anonymous true"]
    proof = {"tls": True, "certificate": own.cert, "key": own.key}
    before = other_tasks()
    async with Mosquitto(mosquitto_binary, tmp_path, lines) as broker:
        for version in VERSIONS:
            trusted = device(broker.port, COUNT, version=version, ca=authority.ca, **proof)
            async with listening(trusted) as listener:
                await asyncio.wait({listener.task}, timeout=0.3)
                assert not listener.task.done()
        for ca in (stranger.ca, None):
            with pytest.raises(DeviceRefused, match="CERTIFICATE_VERIFY_FAILED") as refusal:
                async with connected(device(broker.port, COUNT, ca=ca, **proof)):
                    pass
            assert "`ca`" in refusal.value.hint
        with pytest.raises(DeviceError):
            async with connected(device(broker.port, COUNT, tls=True, ca=authority.ca)):
                pass
        with pytest.raises(DeviceError):
            async with connected(device(broker.port, COUNT, timeout=1.0)):
                pass
    assert other_tasks() == before


async def test_passwords_and_access(mosquitto_binary: Path, tmp_path: Path) -> None:
    """A wrong password and a forbidden topic are told with the setting to look at."""
    users, access = tmp_path / "users", tmp_path / "access"
    users.write_text(f"gateway:{hashed('secret')}\n", encoding="utf-8")
    access.write_text("user gateway\ntopic read plant/count\ntopic write plant/#\n", "utf-8")
    users.chmod(0o600)
    access.chmod(0o600)
    lines = ["allow_anonymous false", f"password_file {users}", f"acl_file {access}"]
    secret = tmp_path / "secret"
    secret.write_text("secret\n", encoding="utf-8")
    user: dict[str, Any] = {"username": "gateway", "password_file": secret}
    async with Mosquitto(mosquitto_binary, tmp_path, lines) as broker:
        for version in VERSIONS:
            async with connected(device(broker.port, COUNT, version=version, **user)):
                pass
            for wrong in ({}, {"username": "other", "password_file": secret}):
                with pytest.raises(DeviceRefused) as refusal:
                    async with connected(device(broker.port, COUNT, version=version, **wrong)):
                        pass
                assert "password_file" in refusal.value.hint


async def test_nobody_there_is_unreachable() -> None:
    with pytest.raises(DeviceUnreachable):
        async with connected(device(free_port(), COUNT)):
            pass
    assert other_tasks() == []


async def test_a_peer_that_does_not_speak_mqtt_is_a_device_error() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        for version in VERSIONS:
            spec = device(server.sockets[0].getsockname()[1], COUNT, version=version, timeout=1.0)
            with pytest.raises(DeviceError):
                async with connected(spec):
                    pass
    assert [name for name in other_tasks() if "mqtt" in name] == []
