"""A real server on a real socket: who may reach it or replace it, what one request may cost."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from forebay._proto import control_pb2 as pb
from forebay._proto.control_pb2_grpc import ControlStub
from forebay.config.places import MAX_SOCKET_PATH_BYTES
from forebay.control.address import Answer, knock
from forebay.control.limits import (
    HINT_KEY,
    LIST_BYTES,
    MAX_REPLY_BYTES,
    PAGE_BYTES,
    PAGE_TAGS,
    QUARANTINE_IDS,
)
from forebay.control.server import ControlServer
from forebay.errors import ControlSocketBusy, ControlSocketUnusable, JournalFailed
from support.scripted_agent import ScriptedAgent, spawned, tag

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from forebay.control.view import LedgerLine


async def ask(path: Path, method: str, request: Any) -> Any:
    """Ask as any gRPC client would, with no limit of its own."""
    options = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
    async with grpc.aio.insecure_channel(f"unix:{path}", options=options) as channel:
        return await getattr(ControlStub(channel), method)(request, timeout=10)


async def refusal(path: Path, method: str, request: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(path, method, request)
    return caught.value


# What a test does to the file system between two awaits takes microseconds.


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def inode(path: Path) -> int:
    return path.stat().st_ino


def listening(path: Path) -> bool:
    return knock(path) is Answer.LIVE


def remove(path: Path) -> None:
    path.unlink()


def file_with(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def open_text(path: Path) -> str:
    return path.read_text()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


async def test_only_user_and_group_may_connect(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        assert mode(path) == 0o660
        assert mode(path.parent) == 0o750
        assert names(path.parent) == ["control.sock"]
    assert names(path.parent) == []


async def test_the_socket_is_hidden_until_its_mode_is_set(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the moment of `chmod` nobody but this user can get to the socket, whatever the umask."""
    seen: list[tuple[bool, int]] = []
    chmod = Path.chmod

    def watched(self: Path, bits: int, **more: Any) -> None:
        seen.append((path.exists(), mode(self.parent)))
        chmod(self, bits, **more)

    monkeypatch.setattr(Path, "chmod", watched)
    umask = os.umask(0)
    try:
        async with ControlServer(path, ScriptedAgent()):
            assert mode(path) == 0o660
    finally:
        os.umask(umask)
    assert seen == [(False, 0o700)]


async def test_a_second_server_is_refused_and_the_first_goes_on(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        with pytest.raises(ControlSocketBusy) as caught:
            async with ControlServer(path, ScriptedAgent()):
                pass
        assert str(path) in str(caught.value)
        assert "[control] socket" in caught.value.hint
        assert (await ask(path, "GetStatus", pb.StatusRequest())).gateway == "press-hall-1"
        assert names(path.parent) == ["control.sock"]


async def test_of_many_starting_at_once_one_wins(path: Path) -> None:
    stop = asyncio.Event()

    async def start() -> str:
        try:
            async with ControlServer(path, ScriptedAgent()):
                await stop.wait()
        except ControlSocketBusy:
            return "busy"
        return "served"

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(start(), name=f"server {n}") for n in range(6)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        while sum(task.done() for task in tasks) < 5:
            await asyncio.wait([t for t in tasks if not t.done()], return_when="FIRST_COMPLETED")
        assert (await ask(path, "GetStatus", pb.StatusRequest())).state == "running"
        stop.set()
    assert sorted(task.result() for task in tasks) == ["busy"] * 5 + ["served"]
    assert names(path.parent) == []


async def test_the_socket_of_a_killed_agent_is_replaced(path: Path) -> None:
    async with spawned(path) as process:
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert knock(path) is Answer.STALE
        async with ControlServer(path, ScriptedAgent()):
            assert (await ask(path, "GetStatus", pb.StatusRequest())).state == "running"
    assert knock(path) is Answer.MISSING


async def test_a_frozen_agent_keeps_its_socket(path: Path) -> None:
    async with spawned(path) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(ControlSocketBusy):
            async with ControlServer(path, ScriptedAgent()):
                pass
        assert listening(path)


async def test_a_listener_with_a_full_backlog_is_alive(path: Path) -> None:
    file_with(path, "").unlink()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(str(path))
        listener.listen(0)
        waiting.connect(str(path))
        with pytest.raises(ControlSocketBusy):
            async with ControlServer(path, ScriptedAgent()):
                pass


async def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    file_with(path, "precious")
    with pytest.raises(ControlSocketUnusable, match="is no socket"):
        async with ControlServer(path, ScriptedAgent()):
            pass
    assert open_text(path) == "precious"
    assert names(path.parent) == ["control.sock"]


async def test_a_path_that_no_address_can_hold(tmp_path: Path) -> None:
    path = tmp_path / ("x" * MAX_SOCKET_PATH_BYTES) / "control.sock"
    with pytest.raises(ControlSocketUnusable, match="longer than"):
        async with ControlServer(path, ScriptedAgent()):
            pass
    assert knock(path.parent) is Answer.MISSING


async def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    file = file_with(tmp_path / "file", "")
    with pytest.raises(ControlSocketUnusable, match="cannot make the control socket") as caught:
        async with ControlServer(file / "control.sock", ScriptedAgent()):
            pass
    assert "write access" in caught.value.hint


async def test_another_agents_socket_is_not_removed(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        remove(path)
        async with spawned(path):
            theirs = inode(path)
    assert inode(path) == theirs


async def test_a_directory_removed_by_hand_does_not_stop_the_stop(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        shutil.rmtree(path.parent)


async def test_a_page_of_tags_has_a_limit(path: Path) -> None:
    agent = ScriptedAgent(tags=[tag("press", f"t{n}") for n in range(PAGE_TAGS + 2)])
    async with ControlServer(path, agent):
        first = await ask(path, "ListTags", pb.TagsRequest(limit=1_000_000))
        rest = await ask(path, "ListTags", pb.TagsRequest(offset=PAGE_TAGS))
        beyond = await ask(path, "ListTags", pb.TagsRequest(offset=1_000_000))
    assert (len(first.tags), first.matched) == (PAGE_TAGS, PAGE_TAGS + 2)
    assert [found.name for found in rest.tags] == [f"t{PAGE_TAGS}", f"t{PAGE_TAGS + 1}"]
    assert (len(beyond.tags), beyond.matched) == (0, PAGE_TAGS + 2)


async def test_a_page_of_big_tags_ends_early(path: Path) -> None:
    texts = [tag("press", f"t{n}", "x" * 65_535) for n in range(100)]
    async with ControlServer(path, ScriptedAgent(tags=texts)):
        page = await ask(path, "ListTags", pb.TagsRequest())
    assert page.matched == 100
    assert 1 < len(page.tags) < 100
    assert PAGE_BYTES < page.ByteSize() < PAGE_BYTES + 2 * 65_536


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (pb.TagsRequest(device="oven"), ["temperature"]),
        (pb.TagsRequest(pattern="press/c*"), ["cycles", "closed"]),
        (pb.TagsRequest(pattern="*/[pt]*"), ["pressure", "temperature"]),
        (pb.TagsRequest(pattern="PRESS/*"), []),
        (pb.TagsRequest(pattern="press/job/name"), ["job/name"]),
        (pb.TagsRequest(device="oven", pattern="press/*"), []),
        (pb.TagsRequest(limit=2), ["pressure", "cycles"]),
    ],
)
async def test_tags_by_device_and_pattern(
    path: Path, request_: pb.TagsRequest, names: list[str]
) -> None:
    async with ControlServer(path, ScriptedAgent()):
        reply = await ask(path, "ListTags", request_)
    assert [found.name for found in reply.tags] == names


async def test_values_keep_their_types(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        reply = await ask(path, "ListTags", pb.TagsRequest())
    which = {found.name: found.WhichOneof("value") for found in reply.tags}
    assert which == {
        "pressure": "double_value",
        "cycles": "uint_value",
        "offset": "int_value",
        "closed": "bool_value",
        "job/name": "string_value",
        "temperature": None,
    }
    assert reply.tags[-1].quality_name == "BadTimeout"


async def test_read_names_what_it_does_not_know(path: Path) -> None:
    asked = ["press/job/name", "press/none", "none", "oven/temperature"]
    async with ControlServer(path, ScriptedAgent()):
        reply = await ask(path, "ReadTags", pb.ReadRequest(tags=asked))
    assert [found.name for found in reply.tags] == ["job/name", "temperature"]
    assert list(reply.unknown) == ["press/none", "none"]


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("ReadTags", pb.ReadRequest(tags=["press/x"] * 1_001)),
        ("ListTags", pb.TagsRequest(pattern="*" * 1_025)),
        ("ListSegments", pb.SegmentsRequest(stream="nonsense")),
        ("ShowRecords", pb.ShowRequest(stream="nonsense")),
        ("RetryQuarantined", pb.QuarantineChoice()),
        ("DropQuarantined", pb.QuarantineChoice(ids=["x"] * (QUARANTINE_IDS + 1))),
    ],
)
async def test_what_cannot_be_asked(path: Path, method: str, request_: Any) -> None:
    async with ControlServer(path, ScriptedAgent()):
        error = await refusal(path, method, request_)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    metadata = dict(error.trailing_metadata() or ())
    assert metadata[HINT_KEY]


async def test_a_request_has_a_size(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        error = await refusal(path, "ReadTags", pb.ReadRequest(tags=["x" * (2 << 20)]))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await ask(path, "GetStatus", pb.StatusRequest())).state == "running"


async def test_a_reply_has_a_size(path: Path) -> None:
    agent = ScriptedAgent()
    long = replace(agent.segment_list[0], file="x" * (1 << 20))
    agent.segment_list = [long] * ((MAX_REPLY_BYTES >> 20) + 1)
    async with ControlServer(path, agent):
        error = await refusal(path, "ListSegments", pb.SegmentsRequest())
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_long_quarantine_is_told_from_its_oldest_on(path: Path) -> None:
    agent = ScriptedAgent()
    long = replace(agent.aside[0], reason="x" * 1_000)
    agent.aside = [replace(long, seq=n) for n in range(10_000)]
    async with ControlServer(path, agent):
        reply = await ask(path, "ListQuarantine", pb.QuarantineRequest())
    assert 3_000 < len(reply.records) < 10_000
    assert [one.seq for one in reply.records] == list(range(len(reply.records)))
    assert reply.ByteSize() <= LIST_BYTES + 8 * len(reply.records)


@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        (pb.ShowRequest(), ("telemetry", 0, 20, 0)),
        (pb.ShowRequest(stream="audit", seq_from=9, limit=7), ("audit", 9, 7, 0)),
        (pb.ShowRequest(limit=1_000_000, epoch_number=3), ("telemetry", 0, 1_000, 3)),
    ],
)
async def test_records_have_defaults_and_a_limit(
    path: Path, request_: pb.ShowRequest, asked: tuple[str, int, int, int]
) -> None:
    agent = ScriptedAgent()
    async with ControlServer(path, agent):
        await ask(path, "ShowRecords", request_)
    assert agent.shown == [asked]


async def test_a_failure_of_the_agent_brings_its_hint(path: Path) -> None:
    class Failing(ScriptedAgent):
        async def ledger(self) -> Iterable[LedgerLine]:
            raise JournalFailed("the disk refused a write", hint="look at dmesg \N{EM DASH} now")

    async with ControlServer(path, Failing()):
        error = await refusal(path, "GetLedger", pb.LedgerRequest())
    assert error.code() is grpc.StatusCode.ABORTED
    assert error.details() == "the disk refused a write"
    metadata = dict(error.trailing_metadata() or ())
    assert metadata[HINT_KEY] == "look at dmesg \N{EM DASH} now".encode()


async def test_a_stop_ends_what_hangs(path: Path) -> None:
    begun = asyncio.Event()

    class Hanging(ScriptedAgent):
        async def ledger(self) -> Iterable[LedgerLine]:
            begun.set()
            await asyncio.Event().wait()
            return ()

    async with asyncio.TaskGroup() as group:
        async with ControlServer(path, Hanging()):
            asked = group.create_task(refusal(path, "GetLedger", pb.LedgerRequest()), name="asks")
            await begun.wait()
        error = await asked
    assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
