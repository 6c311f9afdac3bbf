"""The endpoint for Prometheus: who is answered, what a request may cost, a port that is taken."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from http.client import HTTPSConnection
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import uvloop
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from forebay.config.metrics import MetricsSettings
from forebay.control import metricserver
from forebay.control.metricserver import MetricsServer
from forebay.errors import RequestFailed
from forebay.events import METRICS_UNSERVED
from forebay.testing.clock import FakeClock
from support.certificates import Authority
from support.journal import seams
from support.processes import free_port, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

TOKEN = "as-long-as-a-token-has-to-be"


class Told:
    """Tells one line; `busy` is how many are asked at once."""

    def __init__(self) -> None:
        self.accepts: list[str] = []
        self.fails = False
        self.busy = self.most = 0

    async def __call__(self, accept: str) -> tuple[bytes, str]:
        self.accepts.append(accept)
        self.busy += 1
        self.most = max(self.most, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1
        if self.fails:
            raise RequestFailed("the journal is not open", hint="wait")
        return b"forebay_ready 1\n" * 20_000, "text/plain; version=0.0.4"


@asynccontextmanager
async def served(
    settings: MetricsSettings, told: Told | None = None
) -> AsyncIterator[MetricsServer]:
    server = MetricsServer(told or Told(), settings, seams(clock=FakeClock()))
    running = asyncio.create_task(server.run())
    try:
        if settings.enabled and not server.trouble:
            await until(lambda: server.trouble != "" or reached(settings), "it listens")
        yield server
    finally:
        running.cancel()
        await asyncio.wait([running])
        assert not [t for t in asyncio.all_tasks() if "_serve" in repr(t)], "nobody is left behind"


def reached(settings: MetricsSettings) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((settings.listen, settings.port)) == 0


def on(port: int, **changes: Any) -> MetricsSettings:
    return MetricsSettings(enabled=True, port=port, **changes)


async def ask(settings: MetricsSettings, path: str = "/metrics", **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=30.0) as client:
        return await client.get(f"http://{settings.listen}:{settings.port}{path}", headers=headers)


async def raw(settings: MetricsSettings, data: bytes, *, ends: bool = False) -> bytes:
    reader, writer = await asyncio.open_connection(settings.listen, settings.port)
    writer.write(data)
    if ends:
        writer.write_eof()
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_it_answers_with_what_is_told() -> None:
    told, settings = Told(), on(free_port())
    async with served(settings, told):
        answer = await ask(settings, accept="text/plain")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4"
        assert answer.text == "forebay_ready 1\n" * 20_000
        assert told.accepts == ["text/plain"]
        await asyncio.gather(*(ask(settings) for _ in range(5)))
        assert told.most == 1, "one scrape at a time"


async def test_nothing_listens_unless_somebody_wants_it() -> None:
    settings = MetricsSettings(port=free_port())
    async with served(settings) as server:
        for _ in range(20):
            await asyncio.sleep(0)
        assert not reached(settings)
        server.follow(on(settings.port))
        await until(lambda: reached(settings), "it listens now")
        server.follow(settings)
        await until(lambda: not reached(settings), "and no more")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", b"200"),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b"405"),
        (b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", b"405"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000, b"431"),
    ],
)
async def test_what_is_no_question_of_it_gets_a_plain_no(
    request_line: bytes, status: bytes
) -> None:
    settings = on(free_port())
    async with served(settings):
        assert (await raw(settings, request_line)).startswith(b"HTTP/1.1 " + status)
        assert (await ask(settings)).status_code == 200, "and others go on"


async def test_a_client_that_is_let_go_is_nobodys_complaint() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
    told, settings = Told(), on(free_port())
    async with served(settings, told) as server:
        assert (await ask(settings)).status_code == 200
        told.accepts.clear()
        half = await asyncio.open_connection(settings.listen, settings.port)
        half[1].write(b"GET /metrics HTTP/1.1\r\n")
        deaf = await asyncio.open_connection(settings.listen, settings.port)
        deaf[1].write(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: told.accepts, "one of them is being answered")
        server.follow(MetricsSettings())
        assert await half[0].read() == b""
        await until(lambda: not reached(settings), "nobody is answered any more")
        for _, writer in (half, deaf):
            writer.close()
    assert complaints == []


async def test_a_part_that_cannot_tell_is_an_answer_too() -> None:
    told, settings = Told(), on(free_port())
    async with served(settings, told):
        told.fails = True
        answer = await ask(settings)
        assert (answer.status_code, answer.text) == (503, "the journal is not open\n")


@pytest.mark.parametrize("tls", [False, True])
async def test_those_who_say_nothing_keep_nobody_out(
    *, tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metricserver, "WITHIN_S", 0.5)
    settings = shut(tmp_path)[1] if tls else on(free_port())
    async with served(settings) as server:
        silent = [
            await asyncio.open_connection(settings.listen, settings.port)
            for _ in range(metricserver.CONNECTIONS + 4)
        ]
        ends = await asyncio.gather(
            *(asyncio.wait_for(reader.read(), 30) for reader, _ in silent), return_exceptions=True
        )
        assert [end for end in ends if end != b"" and not isinstance(end, OSError)] == []
        assert not server.trouble
        if not tls:
            assert (await ask(settings)).status_code == 200
        for _, writer in silent:
            writer.close()


async def test_a_port_that_is_taken_is_told_once_and_tried_again() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = on(other.getsockname()[1])
        clock = FakeClock()
        parts = seams(clock=clock)
        server = MetricsServer(Told(), settings, parts)
        running = asyncio.create_task(server.run())
        await until(lambda: server.trouble != "", "it says so")
        assert f"127.0.0.1:{settings.port}" in server.trouble
        for _ in range(3):
            await clock.advance(metricserver.AGAIN_S)
        assert parts.events.count(METRICS_UNSERVED) == 1
    try:
        await advance_until(clock, lambda: not server.trouble)
        assert (await ask(settings)).status_code == 200
    finally:
        running.cancel()
        await asyncio.wait([running])


async def advance_until(clock: FakeClock, condition: Any) -> None:
    while not condition():
        await clock.advance(metricserver.AGAIN_S)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=("asyncio", "uvloop")
)
def test_beyond_this_machine_it_takes_tls_and_the_token(
    loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path
) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(tls_and_the_token(tmp_path))


async def tls_and_the_token(tmp_path: Path) -> None:
    authority, settings = shut(tmp_path)
    trust = ssl.create_default_context(cafile=authority.ca)

    def get(token: str = "") -> tuple[int, str | None, int]:
        """Ask from beside the loop: a client's first bytes are there before it is looked at."""
        line = HTTPSConnection("localhost", settings.port, context=trust, timeout=30)
        line.request("GET", "/metrics", headers={"authorization": f"Bearer {token}"})
        reply = line.getresponse()
        return reply.status, reply.headers["www-authenticate"], len(reply.read())

    async with served(settings):
        assert (await asyncio.to_thread(get))[:2] == (401, "Bearer")
        assert (await asyncio.to_thread(get, f"{TOKEN}x"))[:2] == (401, "Bearer")
        for _ in range(10):
            assert await asyncio.to_thread(get, TOKEN) == (200, None, 16 * 20_000)
        for other in (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02", b""):
            assert not (await raw(settings, other, ends=True)).startswith(b"HTTP"), "in the clear"
        assert (await asyncio.to_thread(get, TOKEN))[0] == 200


def shut(tmp_path: Path) -> tuple[Authority, MetricsSettings]:
    """Settings with all that an address needs which others reach."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("press-hall-1")
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    return authority, on(free_port(), certificate=cert, key=key, token=token)


async def test_a_key_that_wants_a_password_asks_nobody_for_it(tmp_path: Path) -> None:
    _, settings = shut(tmp_path)
    assert settings.key is not None
    key = load_pem_private_key(settings.key.read_bytes(), None)
    settings.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush"))
    )
    async with served(settings) as server:
        await until(lambda: server.trouble != "", "it says that it cannot be read")
        assert not reached(settings)


async def test_a_token_that_is_too_short_keeps_it_shut(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("short\n")
    settings = on(free_port(), token=token)
    async with served(settings) as server:
        assert "16 characters" in server.trouble
        assert not reached(settings)
        token.write_text(TOKEN)
        server.follow(settings)
        await until(lambda: reached(settings), "it listens now")
        assert (await ask(settings)).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"listen": "gateway.example.org"},
        {"listen": "192.0.2.4", "certificate": "c.pem", "key": "k.pem"},
        {"listen": "::", "token": "t"},
        {"certificate": "c.pem"},
    ],
)
def test_nothing_is_told_to_everybody(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="certificate"):
        MetricsSettings(enabled=True, **changes)
