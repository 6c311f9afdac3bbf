"""The installed command against a real control server: exit codes, JSON, what it says of faults."""

from __future__ import annotations

import asyncio
import re
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay._proto import control_pb2 as pb
from forebay.control.server import ControlServer
from forebay.control.view import LedgerLine, RecordSummary
from forebay.errors import JournalFailed
from support.commands import Finished, forebay
from support.scripted_agent import ScriptedAgent, spawned, tag

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ASKING = [
    ("status",),
    ("devices",),
    ("tags",),
    ("read", "press/pressure"),
    ("journal", "status"),
    ("journal", "ls"),
    ("journal", "show"),
    ("journal", "quarantine", "ls"),
    ("ledger",),
    ("uplinks",),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def names(message: Any) -> set[str]:
    plain = {f.name for f in message.DESCRIPTOR.fields if f.containing_oneof is None}
    return plain | {oneof.name for oneof in message.DESCRIPTOR.oneofs}


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
async def test_an_answer_is_shown_at_80_columns(path: Path, command: tuple[str, ...]) -> None:
    async with ControlServer(path, ScriptedAgent()):
        done = await forebay(*command, "--socket", path, COLUMNS="80")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("\n") >= 2
    assert max(len(line) for line in done.out.splitlines()) <= 80
    assert "\x1b" not in done.out


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("status",), names(pb.StatusReply)),
        (("devices",), {"devices"}),
        (("tags",), {"tags", "matched"}),
        (("read", "press/pressure"), {"tags", "unknown"}),
        (("journal", "status"), names(pb.JournalStatusReply)),
        (("journal", "ls"), {"segments"}),
        (("journal", "show"), {"records"}),
        (("ledger",), {"taken_ns", "lines", "total"}),
        (("uplinks",), {"uplinks"}),
        (("plan", "press"), names(pb.PlanReply)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_an_answer_is_one_json_document(
    path: Path, command: tuple[str, ...], keys: set[str]
) -> None:
    async with ControlServer(path, ScriptedAgent()):
        done = await forebay(*command, "--json", FOREBAY_SOCKET=str(path))
    assert (done.code, done.err) == (0, "")
    assert done.document().keys() == keys


async def test_rows_have_the_names_of_the_wire(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        devices = (await forebay("devices", "--json", "--socket", path)).document()
        tags = (await forebay("tags", "--json", "--socket", path)).document()
        uplinks = (await forebay("uplinks", "--json", "--socket", path)).document()
        ledger = (await forebay("ledger", "--json", "--socket", path)).document()
    assert devices["devices"][0].keys() == names(pb.DeviceStatus)
    assert tags["tags"][0].keys() == names(pb.TagValue)
    assert uplinks["uplinks"][0].keys() == names(pb.UplinkStatus)
    assert ledger["lines"][0].keys() == names(pb.LedgerLine)
    values = {row["name"]: row["value"] for row in tags["tags"]}
    assert values["cycles"] == (1 << 64) - 1
    assert values["closed"] is True
    assert values["temperature"] is None


async def test_the_ledgers_total(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        done = await forebay("ledger", "--json", "--socket", path)
    assert done.document()["total"] == {
        "produced": 5_000_012,
        "delivered": 4_990_012,
        "pending": 9_000,
        "gapped": 1_000,
        "quarantined": 0,
    }


@pytest.mark.parametrize("option", [(), ("--json",)])
@pytest.mark.parametrize("off", [-3, 3])
async def test_a_ledger_that_does_not_balance(
    path: Path, option: tuple[str, ...], off: int
) -> None:
    agent = ScriptedAgent()
    agent.ledger_lines[0] = LedgerLine("events", "cloud", 12, 12 - off, 0, 0, 0)
    async with ControlServer(path, agent):
        done = await forebay("ledger", "--socket", path, *option)
    assert done.code == 1
    if option:
        assert done.document()["lines"][0]["delivered"] == 12 - off
    else:
        assert "events to cloud does not balance: 3 samples" in done.out.splitlines()[0]
        assert "balances:" not in done.out


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
async def test_no_agent(path: Path, command: tuple[str, ...]) -> None:
    done = await forebay(*command, "--socket", path)
    assert (done.code, done.out) == (3, "")
    assert re.fullmatch(
        r"forebay: cannot reach the agent at \S+/control\.sock: there is no such file\n"
        r"  next: .*`systemctl start forebay`.*`forebay run --config PATH`(, or .* --directory)?\n",
        done.err,
    )


async def test_no_agent_in_json(path: Path) -> None:
    done = await forebay("status", "--json", "--socket", path)
    assert done.code == 3
    assert done.document()["error"].keys() == {"message", "hint"}
    assert done.document()["error"]["message"] in done.err


async def test_a_dead_agent(path: Path) -> None:
    async with spawned(path) as process:
        process.kill()
        await process.wait()
        done = await forebay("status", "--socket", path)
    assert done.code == 3
    assert "the process that listened is gone" in done.err


async def test_an_agent_that_hangs(path: Path) -> None:
    """Five seconds is the promise, so five seconds is what this test takes."""
    async with spawned(path) as process:
        process.send_signal(signal.SIGSTOP)
        begun = asyncio.get_running_loop().time()
        done = await forebay("status", "--json", "--socket", path)
        took_s = asyncio.get_running_loop().time() - begun
    assert done.code == 3
    assert "did not answer within 5 s" in done.document()["error"]["message"]
    assert 5.0 <= took_s < 15.0


async def test_an_agent_that_fails(path: Path) -> None:
    class Failing(ScriptedAgent):
        async def ledger(self) -> Iterable[LedgerLine]:
            raise JournalFailed("the disk \x1b[31mrefused", hint="look at dmesg")

    async with ControlServer(path, Failing()):
        done = await forebay("ledger", "--socket", path)
    assert done.code == 1
    assert (
        done.err
        == "forebay: the disk \N{REPLACEMENT CHARACTER}[31mrefused\n  next: look at dmesg\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        ("nonsense",),
        ("status", "--nonsense"),
        ("tags", "--limit", "0"),
        ("journal",),
        ("journal", "show", "--from", "-1"),
        ("journal", "quarantine"),
        ("read",),
    ],
    ids=" ".join,
)
async def test_usage(command: tuple[str, ...]) -> None:
    done = await forebay(*command)
    assert done.code == 2
    assert "Usage: forebay" in done.err + done.out


async def test_what_the_agent_cannot_make_sense_of(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        done = await forebay("journal", "show", "--stream", "x", "--socket", path)
    assert done.code == 2
    assert "next: streams are: audit, events, telemetry, bulk" in done.err


async def test_a_socket_that_is_none(tmp_path: Path) -> None:
    done = await forebay("status", "--socket", tmp_path)
    assert done.code == 2
    assert "is no socket" in done.err


async def test_read_what_is_not_there(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        done = await forebay("read", "press/pressure", "press/no", "--json", "--socket", path)
    assert done.code == 2
    assert done.document()["unknown"] == ["press/no"]
    assert [row["name"] for row in done.document()["tags"]] == ["pressure"]
    assert "there is no tag 'press/no'" in done.err


async def test_tags_by_pattern_device_and_quality(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):

        async def found(*options: str) -> list[str]:
            done = await forebay("tags", "--json", "--socket", path, *options)
            return [row["name"] for row in done.document()["tags"]]

        assert await found("c*") == ["cycles", "closed"]
        assert await found("oven/*") == ["temperature"]
        assert await found("--device", "oven") == ["temperature"]
        assert await found("--bad") == ["temperature"]
        assert await found("--limit", "2") == ["pressure", "cycles"]


async def test_ten_thousand_tags(path: Path) -> None:
    tags = [tag("press", f"hall 3/line 12/valve {n}", n / 7) for n in range(10_000)]
    tags[7_777] = replace(tags[7_777], value=None, quality=0x800A_0000)
    async with ControlServer(path, ScriptedAgent(tags=tags)):
        all_of_them = await forebay("tags", "--limit", "10000", "--json", "--socket", path)
        some = await forebay("tags", "--socket", path)
        bad = await forebay("tags", "--bad", "--json", "--socket", path)
    assert len(all_of_them.document()["tags"]) == 10_000
    assert some.out.splitlines()[-1].startswith("1,000 of 10,000 tags")
    assert bad.document()["matched"] == 1
    assert bad.document()["tags"][0]["name"] == "hall 3/line 12/valve 7777"


async def test_quarantine_is_retried_and_dropped_by_id_or_all_at_once(path: Path) -> None:
    agent = ScriptedAgent()
    refused, suspect = (one.id for one in agent.aside)

    async def run(*words: str) -> Finished:
        return await forebay("journal", "quarantine", *words, "--socket", path)

    async with ControlServer(path, agent):
        for words in ((), (refused, "--all"), (refused, "--uplink", "cloud"), ("--uplink", "x")):
            done = await run("retry", *words)
            assert (done.code, done.out) == (2, "")
            assert "next: name their ids, or give --all" in done.err
        assert len(agent.aside) == 2
        tried = await run("retry", "--all", "--uplink", "cloud")
        assert tried.code == 1
        assert tried.out.splitlines()[-1] == "1 delivered, 1 stay"
        assert [one.id for one in agent.aside] == [refused]
        dropped = await run("drop", refused, "--json")
        assert (dropped.code, dropped.document()) == (0, {"done": [refused], "failed": []})
        again = await run("drop", suspect, "--json")
        assert again.code == 1
        assert again.document()["failed"][0].startswith(f"{suspect}: ")
        assert (await run("ls")).out == "nothing is in quarantine\n"


async def test_version() -> None:
    done = await forebay("--version")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"forebay \d+\.\d+\.\d+\n", done.out)


async def test_only_what_is_needed_is_loaded(path: Path) -> None:
    """Typer itself loads pydantic; everything else of weight is for the daemon."""
    async with ControlServer(path, ScriptedAgent()):
        asked = await forebay("status", "--socket", path, PYTHONPROFILEIMPORTTIME="1")
    silent = await forebay("status", "--socket", path, PYTHONPROFILEIMPORTTIME="1")
    helped = await forebay("--help", PYTHONPROFILEIMPORTTIME="1")
    assert (asked.code, silent.code, helped.code) == (0, 3, 0)
    loaded = [set(re.findall(r"\| +(\w+)", done.err)) for done in (asked, silent, helped)]
    heavy = {"numpy", "asyncua", "pymodbus", "structlog", "uvloop", "cryptography", "zstandard"}
    assert [found & (heavy | {"grpc"}) for found in loaded] == [{"grpc"}, set(), set()]


@pytest.mark.parametrize(
    ("command", "wrong", "next_step"),
    [
        (("tags", "--device", "nope"), "no device 'nope'", "`forebay devices` lists them"),
        (("journal", "show", "--epoch", "77"), "of epoch 77", "`forebay journal ls`"),
        (("journal", "forecast", "--size", "1GiB"), "--size goes with", "leave out --size"),
        (("journal", "forecast", "--age", "3 d"), "--age goes with", "leave out --age"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_what_is_not_there_is_refused_with_the_next_step(
    path: Path, command: tuple[str, ...], wrong: str, next_step: str
) -> None:
    async with ControlServer(path, Recordless()):
        done = await forebay(*command, "--socket", path)
    assert (done.code, done.out) == (2, "")
    assert wrong in done.err
    assert f"next: {next_step}" in done.err


class Recordless(ScriptedAgent):
    """It has no record of the run that is asked for."""

    async def show_records(
        self, stream: str, seq_from: int, limit: int, run: int
    ) -> Iterable[RecordSummary]:
        del stream, seq_from, limit, run
        return ()
