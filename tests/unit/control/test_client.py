"""The client against a real server, and against everything that is no agent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from forebay.control.address import Answer, check, knock
from forebay.control.client import AgentClient
from forebay.control.server import ControlServer
from forebay.errors import AgentUnreachable, JournalFailed, RequestFailed, RequestInvalid
from support.scripted_agent import ScriptedAgent, spawned, tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    from forebay.control.view import LedgerLine

    T = TypeVar("T")


async def ask(path: Path, question: Callable[[AgentClient], T], deadline_s: float = 10.0) -> T:
    """Ask from a thread, as the client blocks."""

    def asked() -> T:
        with AgentClient(path, deadline_s) as client:
            return question(client)

    return await asyncio.to_thread(asked)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


async def test_every_question_is_answered(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        assert (await ask(path, lambda c: c.status())).gateway == "press-hall-1"
        assert len((await ask(path, lambda c: c.devices())).devices) == 3
        assert len((await ask(path, lambda c: c.uplinks())).uplinks) == 1
        assert len((await ask(path, lambda c: c.ledger())).lines) == 2
        assert (await ask(path, lambda c: c.journal_status())).streams[0].next_seq == 2_601
        assert len((await ask(path, lambda c: c.segments())).segments) == 2
        assert len((await ask(path, lambda c: c.segments("events"))).segments) == 1
        assert len((await ask(path, lambda c: c.records())).records) == 3
        assert len((await ask(path, lambda c: c.read(["press/offset"]))).tags) == 1


async def test_quarantine_is_listed_retried_and_dropped(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        ids = [one.id for one in (await ask(path, lambda c: c.quarantine("cloud"))).records]
        assert len(ids) == 2
        assert not (await ask(path, lambda c: c.quarantine("other"))).records
        tried = await ask(path, lambda c: list(c.retry_quarantined(ids)))
        assert [list(one.done) for one in tried] == [[], [ids[1]]]
        assert [list(one.failed) for one in tried] == [
            [f"{ids[0]}: the destination refused it again"],
            [],
        ]
        many = [ids[0], *(f"cloud/none-{n}" for n in range(250))]
        dropped = await ask(path, lambda c: c.drop_quarantined(many))
        assert (list(dropped.done), len(dropped.failed)) == ([ids[0]], 250)
        assert not (await ask(path, lambda c: c.quarantine())).records


async def test_long_lists_come_in_pages(path: Path) -> None:
    names = [f"t{n}" for n in range(12_000)]
    async with ControlServer(path, ScriptedAgent(tags=[tag("press", name) for name in names])):
        pages = await ask(path, lambda c: list(c.tags()))
        read = await ask(path, lambda c: c.read([f"press/{name}" for name in names]))
        nothing = await ask(path, lambda c: list(c.tags(device="none")))
    assert [len(page.tags) for page in pages] == [5_000, 5_000, 2_000]
    assert [found.name for page in pages for found in page.tags] == names
    assert [found.name for found in read.tags] == names
    assert [len(page.tags) for page in nothing] == [0]


async def test_an_agent_that_hangs(path: Path) -> None:
    class Hanging(ScriptedAgent):
        async def ledger(self) -> Iterable[LedgerLine]:
            await asyncio.Event().wait()
            return ()

    async with ControlServer(path, Hanging()):
        with pytest.raises(AgentUnreachable, match=r"did not answer within 0\.2 s"):
            await ask(path, lambda c: c.ledger(), deadline_s=0.2)


async def test_a_process_that_is_frozen(path: Path) -> None:
    async with spawned(path) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(AgentUnreachable, match="did not answer"):
            await ask(path, lambda c: c.status(), deadline_s=0.3)


async def test_a_failure_keeps_message_and_hint(path: Path) -> None:
    class Failing(ScriptedAgent):
        async def ledger(self) -> Iterable[LedgerLine]:
            raise JournalFailed("the disk refused a write", hint="look at dmesg")

    async with ControlServer(path, Failing()):
        with pytest.raises(RequestFailed, match="the disk refused a write") as caught:
            await ask(path, lambda c: c.ledger())
        assert caught.value.hint == "look at dmesg"
        with pytest.raises(RequestInvalid, match="no stream 'x'") as refused:
            await ask(path, lambda c: c.segments("x"))
    assert refused.value.hint == "streams are: audit, events, telemetry, bulk"


async def test_an_agent_too_old_for_the_question(path: Path) -> None:
    server = grpc.aio.server()
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        with pytest.raises(RequestFailed, match="does not know this command"):
            await ask(path, lambda c: c.status())
    finally:
        await server.stop(None)


async def test_something_else_listens(path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 not what you think\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(greet, path):
        with pytest.raises(AgentUnreachable):
            await ask(path, lambda c: c.status(), deadline_s=2.0)


def test_nobody_listens(path: Path) -> None:
    with pytest.raises(AgentUnreachable, match="there is no such file") as caught:
        check(path)
    assert "systemctl start forebay" in caught.value.hint
    assert "forebay run --config" in caught.value.hint
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    with pytest.raises(AgentUnreachable, match="is gone"):
        check(path)


def test_what_can_be_no_agent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RequestInvalid, match="is no socket"):
        check(tmp_path / "file")
    with pytest.raises(AgentUnreachable, match="no such file"):
        check(tmp_path / "file" / "control.sock")
    with pytest.raises(RequestInvalid, match="longer than"):
        check(tmp_path / ("x" * 108))


@contextmanager
def nobody() -> Iterator[None]:
    """Lose root's power over files for a while; without root there is nothing to lose."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_socket_of_others() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        Path(folder).chmod(0o755)
        path = Path(folder) / "control.sock"
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o000)
        with nobody():
            assert knock(path) is Answer.FORBIDDEN
            with pytest.raises(AgentUnreachable, match="may not connect") as caught:
                check(path)
        assert "group" in caught.value.hint


def test_a_folder_of_others() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o000)
        try:
            with nobody(), pytest.raises(AgentUnreachable, match="may not connect"):
                check(Path(folder) / "control.sock")
        finally:
            Path(folder).chmod(0o700)
