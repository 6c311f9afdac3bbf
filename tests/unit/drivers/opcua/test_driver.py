"""The driver against a small server in the same loop: what it reads, hears and leaves behind."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncua.common.utils
import asyncua.ua
import pytest

from forebay.drivers.opcua.identity import make, own_files
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable
from forebay.events import TAGS_REFUSED
from forebay.files import SystemDisk
from forebay.model import Quality
from forebay.testing.clock import FakeClock
from support.asyncua_server import NAMESPACE, small_server
from support.opcua import connected, device, read_once
from support.processes import free_port
from support.seams import system_seams
from support.streams import Listener, other_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ua: Any = asyncua.ua
LEVEL = {"level": (f"nsu={NAMESPACE};s=Level", "float64")}


async def test_a_value_is_read_under_its_own_time_and_status() -> None:
    async with small_server(Level=1.5) as server:
        when = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
        status = ua.StatusCode(ua.UInt32(0x40930000))
        value = ua.DataValue(ua.Variant(2.5, ua.VariantType.Double), status, when)
        await server.set("Level", value)
        spec = device(server.endpoint, LEVEL)
        async with connected(spec) as driver:
            sample = (await read_once(driver, spec))["level"]
    assert (sample.value, sample.quality) == (2.5, 0x40930000)
    assert sample.time_ns == int(when.timestamp()) * 10**9 + 678_901_000


async def test_bad_tags_spare_their_neighbours_and_are_told_once() -> None:
    tags = {
        **LEVEL,
        "nowhere": (f"nsu={NAMESPACE};s=Nope", "float64"),
        "no namespace": ("nsu=urn:unknown;s=Level", "float64"),
        "wrong type": (f"nsu={NAMESPACE};s=Level", "int32"),
        "array": (f"nsu={NAMESPACE};s=Many", "float64"),
    }
    seams = system_seams()
    async with small_server(Level=1.5, Many=[1.0, 2.0]) as server:
        spec = device(server.endpoint, tags)
        async with connected(spec, seams) as driver:
            reader = driver.reader(spec.schemas[0], ())
            for _ in range(3):
                scan = await reader.read()
    found = {s.tag.name: (s.value, s.quality) for s in scan.batch.iter_samples()}
    assert found == {
        "level": (1.5, Quality.GOOD),
        "nowhere": (None, Quality.BAD_NODE_ID_UNKNOWN),
        "no namespace": (None, Quality.BAD_NODE_ID_UNKNOWN),
        "wrong type": (None, Quality.BAD_TYPE_MISMATCH),
        "array": (None, Quality.BAD_NOT_SUPPORTED),
    }
    assert seams.events.count(TAGS_REFUSED, device="press") == 1


async def test_the_gateways_time_makes_dense_rows() -> None:
    async with small_server(Level=1.5) as server:
        spec = device(server.endpoint, LEVEL, timestamps="gateway")
        before_ns = system_seams().clock.now_ns()
        async with connected(spec) as driver:
            batch = (await driver.reader(spec.schemas[0], ()).read()).batch
    assert batch.index is None
    assert batch.times_ns[0] >= before_ns
    assert batch.received_ns[0] >= batch.times_ns[0]


@pytest.mark.parametrize("step_s", [3600, -0.02])
async def test_a_clock_that_is_set_during_a_read_does_not_part_the_times_of_its_row(
    step_s: float,
) -> None:
    clock = FakeClock()

    def answer(*_: object) -> Any:
        clock.freeze(0.3)
        clock.step_wall(step_s)
        clock.freeze(0.2)
        return ua.DataValue(ua.Variant(2.5, ua.VariantType.Double))

    async with small_server(Level=1.5) as server:
        spec = device(server.endpoint, LEVEL, timestamps="gateway")
        async with connected(spec, replace(system_seams(), clock=clock)) as driver:
            reader = driver.reader(spec.schemas[0], ())
            server.ask("Level", answer)
            batch = (await reader.read()).batch
    assert [sample.value for sample in batch.iter_samples()] == [2.5]
    assert batch.boottime_ns is not None
    assert (batch.boottime_ns[0], batch.received_ns[0]) == (clock.boottime_ns(), clock.now_ns())
    assert batch.received_ns[0] - batch.times_ns[0] == 500_000_000


async def test_changes_come_in_order_and_bad_tags_once() -> None:
    tags = {**LEVEL, "nowhere": (f"nsu={NAMESPACE};s=Nope", "float64")}
    async with small_server(Level=0.0) as server:
        spec = device(server.endpoint, tags)
        async with (
            connected(spec) as driver,
            Listener(driver, {spec.schemas[0]: 0.05}) as listener,
        ):
            await listener.until(lambda _: listener.values("level"))
            for value in range(1, 6):
                await server.set(
                    "Level", ua.DataValue(ua.Variant(float(value), ua.VariantType.Double))
                )
            await listener.until(lambda _: listener.values("level")[-1] == 5.0)
            assert listener.values("level") == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
            assert listener.values("nowhere") == [None]


async def test_a_server_that_goes_ends_stream_and_reads_and_leaves_no_task() -> None:
    async with small_server(Level=0.0) as server:
        spec = device(server.endpoint, LEVEL)
        driver_context = connected(spec)
        driver = await driver_context.__aenter__()
        listener = Listener(driver, {spec.schemas[0]: 0.05})
        await listener.until(lambda samples: samples)
        reader = driver.reader(spec.schemas[0], ())
    with pytest.raises(DeviceUnreachable):
        await asyncio.wait_for(listener.task, 15)
    with pytest.raises(DeviceUnreachable):
        await reader.read()
    await driver_context.__aexit__(None, None, None)
    assert [name for name in other_tasks() if name.startswith("opcua")] == []


async def test_nobody_there_is_unreachable() -> None:
    spec = device(f"opc.tcp://127.0.0.1:{free_port()}", LEVEL)
    with pytest.raises(DeviceUnreachable, match="refused"):
        async with connected(spec):
            pass
    assert other_tasks() == []


@asynccontextmanager
async def peer(answer: bytes, *, then_close: bool) -> AsyncIterator[str]:
    """A server that is none: it answers everything with `answer`."""
    streams: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        streams.append(writer)
        while await reader.read(1000):
            writer.write(answer)
            if then_close:
                writer.close()
                return

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in streams:
            writer.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("answer", "then_close"),
    [
        (b"", False),
        (b"", True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True),
        (b"ACKF\xff\xff\xff\x7f" + b"x" * 200_000, False),
        (b"ACKF\x1c\0\0\0" + b"\0" * 20, False),
        (b"ERRF\x10\0\0\0\0\0\x7d\x80\xff\xff\xff\xff", False),
    ],
)
async def test_a_peer_that_does_not_speak_opc_ua_is_a_device_error(
    answer: bytes, *, then_close: bool
) -> None:
    async with peer(answer, then_close=then_close) as endpoint:
        spec = device(endpoint, LEVEL, timeout=1.0)
        with pytest.raises((DeviceUnreachable, DeviceRefused)):
            async with connected(spec):
                pass


async def test_a_password_is_never_sent_in_the_clear(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("secret\n", encoding="utf-8")
    async with small_server(Level=0.0) as server:
        spec = device(server.endpoint, LEVEL, username="operator", password_file=secret)
        with pytest.raises(DeviceRefused, match="in the clear"):
            async with connected(spec):
                pass


async def test_a_missing_file_says_which(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "certificate": tmp_path / "a.pem",
        "key": tmp_path / "a.key",
        "server_certificate": tmp_path / "b.pem",
    }
    spec = device("opc.tcp://127.0.0.1:4840", LEVEL, security_policy="Basic256Sha256", **files)
    with pytest.raises(DeviceRefused, match=r"a\.pem"):
        async with connected(spec):
            pass


@pytest.mark.parametrize(
    ("spoilt", "content", "why"),
    [
        ("own.pem", b"", r"own\.pem holds no certificate"),
        ("own.key", b"", r"own\.key holds no private key"),
        ("own.key", make("another", 0)[0], r"own\.key is not the key of the certificate"),
    ],
)
async def test_own_files_that_do_not_fit_are_said_to_be_deleted(
    tmp_path: Path, spoilt: str, content: bytes, why: str
) -> None:
    own_files(tmp_path, "press-hall-1", 0, SystemDisk())
    (tmp_path / spoilt).write_bytes(content)
    settings: dict[str, Any] = {"security_policy": "Basic256Sha256"}
    spec = device("opc.tcp://127.0.0.1:4840", LEVEL, state=tmp_path, **settings)
    with pytest.raises(DeviceRefused, match=why) as refused:
        async with connected(spec):
            pass
    assert "delete" in refused.value.hint
    assert "own.key" in refused.value.hint


async def test_a_session_outlives_polls_that_are_rarer_than_its_timeout() -> None:
    async with small_server(Level=1.0) as server:
        server.server.iserver.min_session_timeout_ms = 100
        spec = device(server.endpoint, LEVEL)
        settings = spec.settings.model_copy(update={"session_timeout": 1.0})
        async with connected(replace(spec, settings=settings)) as driver:
            reader = driver.reader(spec.schemas[0], ())
            await reader.read()
            await asyncio.sleep(2.5)  # more than twice the timeout, in which nobody polls
            scan = await reader.read()
    assert [sample.value for sample in scan.batch.iter_samples()] == [1.0]


async def test_a_node_that_appears_later_is_found_by_a_subscription() -> None:
    tags = {**LEVEL, "late": (f"nsu={NAMESPACE};s=Late", "float64")}
    async with small_server(Level=0.0) as server:
        spec = device(server.endpoint, tags, keepalive=0.5)
        async with (
            connected(spec) as driver,
            Listener(driver, {spec.schemas[0]: 0.05}) as listener,
        ):
            await listener.until(lambda found: len(found) == 2)
            await server.add({"Late": 4.5})
            feed: Any = driver._feed  # noqa: SLF001 - a minute is too long for a test
            feed._retry_at_s = 0.0  # noqa: SLF001
            await listener.until(lambda _: listener.values("late") == [None, 4.5])


class Invented(asyncio.CancelledError):
    """As wait_for2 raises it, where a result meets a cancellation."""


async def test_a_cancellation_that_asyncua_invents_does_not_end_who_closes() -> None:
    async with small_server(Level=0.0) as server:
        spec = device(server.endpoint, LEVEL)
        async with connected(spec) as driver:
            connection: Any = driver._connection  # noqa: SLF001 - where the library stands

            async def invent(**_: object) -> None:
                raise Invented

            connection._ua.session.close_session = invent  # noqa: SLF001
            closing = asyncio.create_task(driver.close(), name="test.close")
            await asyncio.wait([closing], timeout=20)
            assert closing.done()
            assert not closing.cancelled()


async def test_whatever_ends_the_keeper_ends_the_connection_and_is_told() -> None:
    async with small_server(Level=0.0) as server:
        spec = device(server.endpoint, LEVEL, session_timeout=5.0)
        async with connected(spec) as driver:
            connection: Any = driver._connection  # noqa: SLF001 - where the library stands

            async def surprise(*_: object) -> None:
                raise MemoryError("x")

            connection._read_standard = surprise  # noqa: SLF001
            with pytest.raises(DeviceError, match="keeping the session alive"):
                await asyncio.wait_for(connection.lost(), 20)


async def test_a_server_that_answers_little_at_once_is_learned_from_in_pieces() -> None:
    """Even the question for its limits may be more than it answers."""
    async with small_server(Level=1.5) as server:
        service: Any = server.server.iserver
        read, sizes = service.attribute_service.read, []

        def scarce(params: Any) -> Any:
            sizes.append(len(params.NodesToRead))
            if len(params.NodesToRead) > 2:
                raise asyncua.common.utils.ServiceError(ua.StatusCodes.BadTooManyOperations)
            return read(params)

        service.attribute_service.read = scarce
        spec = device(server.endpoint, LEVEL)
        async with connected(spec) as driver:
            assert (await read_once(driver, spec))["level"].value == 1.5
    assert max(sizes) > 2
    assert sizes.count(2) + sizes.count(1) >= 3


@pytest.mark.parametrize("blocked", [False, True])
async def test_a_certificate_that_cannot_be_kept_says_so(tmp_path: Path, *, blocked: bool) -> None:
    if blocked:
        (tmp_path / "state").write_text("a file, where a directory has to be", encoding="utf-8")
    state = tmp_path / "state/opcua" if blocked else None
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}"
    spec = device(endpoint, LEVEL, state=state, security_policy="Basic256Sha256")
    with pytest.raises(DeviceRefused, match=r"certificate") as refusal:
        async with connected(spec):
            pass
    assert "give certificate and key" in refusal.value.hint


class Pauses(FakeClock):
    """A clock that notes the pauses asked of it, and makes none; the twelfth is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.asked_s.append(seconds)
        self.freeze(seconds)
        if len(self.asked_s) == 12:
            raise DeviceUnreachable("x", hint="y", status=Quality.BAD_TIMEOUT)


async def test_a_server_that_grants_no_time_is_asked_with_pauses() -> None:
    async with (
        small_server(Level=0.0) as server,
        connected(device(server.endpoint, LEVEL)) as driver,
    ):
        connection: Any = driver._connection  # noqa: SLF001 - where the server's grants stand
        client = connection._client  # noqa: SLF001
        client.session_timeout = client.secure_channel_timeout = 0
        connection._clock = clock = Pauses()  # noqa: SLF001
        await connection._keep()  # noqa: SLF001
    assert sum(clock.asked_s) > 3.0
