"""The command line: exit codes, help that is quick, tables that a person can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.cli import output
from support.fleet import COMMAND, FleetServer, Gateway, anchor, record

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, forebay_fleet.cli;"
        "print([m for m in ('grpc', 'numpy', 'apsw', 'cryptography', 'google.protobuf', 'uvloop')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_names_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in ("serve", "query", "gateways", "ledger", "forks", "ca"):
        assert command in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("nonsense",), 2, "No such command"),
        (("serve",), 2, "--client-ca"),
        (
            ("serve", "--ca=a", "--enroll-listen=127.0.0.1:0", "--valid-for=999999999d"),
            2,
            "longer than a century",
        ),
        (("serve", "--insecure", "--cert", "x"), 2, "--insecure"),
        (("serve", "--insecure", "--listen", "0.0.0.0:0"), 2, "plaintext on 0.0.0.0"),
        (("serve", "--insecure", "--listen", "localhost:0"), 2, "no address"),
        (("serve", "--cert=a", "--key=b", "--client-ca=c"), 1, "No such file"),
        (("gateways",), 1, "no store in"),
        (("ledger",), 1, "no store in"),
        (("forks",), 1, "no store in"),
        (("query", "--gateway", "g", "--tag", "a/b"), 1, "no store in"),
    ],
)
def test_faults_have_exit_codes_and_one_line(
    tmp_path: Path, arguments: tuple[str, ...], status: int, text: str
) -> None:
    data = () if arguments[0] == "nonsense" else ("--data", str(tmp_path / "none"))
    done = run(*arguments, *data)
    assert (done.returncode, done.stdout) == (status, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_certificates_are_made_from_the_command_line(tmp_path: Path) -> None:
    pki = str(tmp_path)
    assert run("ca", "init", pki).returncode == 0
    assert run("ca", "issue", pki, "--host", "localhost", "--host", "127.0.0.1").returncode == 0
    assert run("ca", "issue", pki, "--gateway", "press-hall-1").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        *("ca.crt", "ca.key", "server.crt", "server.key", "press-hall-1.crt", "press-hall-1.key")
    }
    again = run("ca", "issue", pki, "--gateway", "press-hall-1")
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    assert run("ca", "issue", pki).returncode == 2
    assert run("ca", "issue", pki, "--gateway", "g", "--host", "h").returncode == 2


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        *((0, "0 ns"), (5, "5 ns"), (1500, "1.5 us"), (3_000_000, "3 ms"), (-(10**9), "-1 s")),
        *((119 * 10**9, "119 s"), (300 * 10**9, "5 min"), (7200 * 10**9, "2 h")),
        *((86_400 * 10**9, "24 h"), (20 * 86_400 * 10**9, "20 d")),
    ],
)
def test_durations(ns: int, text: str) -> None:
    assert output.duration(ns) == text


async def test_tables_of_gateways_and_ledger(tmp_path: Path) -> None:
    with FleetServer(tmp_path) as server:
        async with Gateway(server.address, server.issue("hall-2"), "hall-2") as gateway:
            await gateway.send(anchor(1), anchor(2), anchor(1), anchor(9))
            await gateway.ack_up_to(2)
        gateways = server.command("gateways").stdout.splitlines()
        ledger = server.command("ledger", "--gateway", "hall-2").stdout.splitlines()
        epochs = server.command("ledger", "--epochs").stdout.splitlines()
        missing = server.command("ledger", "--gateway", "nobody")
    assert gateways[0].split() == [
        *("gateway", "agent", "hello", "record", "samples", "MiB", "open")
    ]
    assert gateways[1].split()[:2] == ["hall-2", "test"]
    assert gateways[1].split()[-1] == "6"
    assert [line.split() for line in ledger] == [
        ["gateway", "stream", "watermark", "samples", "gapped", "open"],
        ["hall-2", "telemetry", "1/2", "0", "0", "6"],
    ]
    assert [line.split() for line in epochs] == [
        ["hall-2"],
        ["stream", "epoch", "committed", "records", "samples", "gapped", "islands", "again"],
        ["telemetry", "1", "2", "3", "0", "0", "1", "1"],
    ]
    assert (missing.returncode, "no gateway 'nobody'" in missing.stderr) == (2, True)


async def test_forks_are_an_alarm(tmp_path: Path) -> None:
    with FleetServer(tmp_path) as server:
        async with Gateway(server.address, server.issue("hall-2"), "hall-2") as gateway:
            await gateway.send(anchor(1))
            await gateway.ack_up_to(1)
        none = server.command("forks").stdout
        assert "ALARM" not in server.command("gateways").stdout
        async with Gateway(server.address, server.issue("hall-2"), "hall-2") as gateway:
            await gateway.send(anchor(1, salt=7), anchor(2))
            await gateway.ack_up_to(2)
        gateways = server.command("gateways").stdout.splitlines()
        forks = server.command("forks", "--gateway", "hall-2").stdout.splitlines()
        (fork,) = server.read_json("forks")
    assert none == "no position was ever claimed by two records\n"
    assert gateways[0].split()[-1] == "forks"
    assert gateways[2] == "ALARM    two records for one position: hall-2; see forks"
    assert forks[1].split()[:5] == ["hall-2", "telemetry", "1/1", "0", "1"]
    assert (fork["epoch"], fork["seq"], fork["times"]) == ("0000000100000000", 1, 1)
    assert (fork["kept"], fork["refused"]) == (anchor(1).hash.hex(), anchor(1, salt=7).hash.hex())


async def test_two_boxes_with_one_name_are_an_alarm(tmp_path: Path) -> None:
    """Not so a session that a restarted box has left behind: that one sends nothing."""
    with FleetServer(tmp_path) as server:

        def box(boot_id: str) -> Gateway:
            return Gateway(server.address, server.issue("hall-2"), "hall-2", boot_id=boot_id)

        async with box("first") as first, box("second") as second:
            await second.send(anchor(1))
            await second.ack_up_to(1)
            assert "ALARM" not in server.command("gateways").stdout
            async with box("second") as again:
                await second.send(anchor(2))
                await second.ack_up_to(2)
                await again.send(anchor(3))
                await again.ack_up_to(3)
                assert "ALARM" not in server.command("gateways").stdout
                for seq in (1, 2):
                    await first.send(anchor(seq, epoch=2 << 32))
                await first.ack_up_to(2)
            await second.send(anchor(4))
            await second.ack_up_to(4)
        shown = server.command("gateways").stdout.splitlines()
        (told,) = server.read_json("gateways")
        assert server.log.read_text().count('"two_boxes"') == 1
    assert shown[2].startswith("ALARM    two boxes come as one gateway: hall-2, seen ")
    assert (told["twins"], told["twin_ns"] > 0) == (1, True)


async def test_verify_does_not_call_sound_what_has_unexplained_holes(tmp_path: Path) -> None:
    with FleetServer(tmp_path) as server:
        async with Gateway(server.address, server.issue("hall-2"), "hall-2") as gateway:
            behind = anchor(4)
            behind.absent_from = 2
            await gateway.send(anchor(1), behind)
            await gateway.ack_up_to(4)
        done = server.command("ledger", "--verify")
        as_json = server.command("ledger", "--verify", "--json")
    missing, verdict = done.stdout.splitlines()[-2:]
    assert missing.startswith("MISSING  hall-2 telemetry")
    assert (done.returncode, verdict.split(":")[0]) == (1, "INCOMPLETE")
    assert "2 unexplained" in verdict
    verified = json.loads(as_json.stdout)["verified"]
    assert (as_json.returncode, verified["sound"], verified["problems"]) == (1, False, [])


async def test_tables_fit_a_terminal_of_80_columns(tmp_path: Path) -> None:
    """With numbers as a year of a gateway makes them."""
    head = uplink_pb2.Head(stream=uplink_pb2.TELEMETRY, epoch=5 << 32, first_seq=1, next_seq=9)
    name = "press-hall-1"
    with FleetServer(tmp_path) as server:
        async with Gateway(server.address, server.issue(name), name, [head]) as gateway:
            lost = batch_pb2.Gap(cause=batch_pb2.RING_OVERFLOW, samples=123_456_789)
            await gateway.send(
                record(1, uplink_pb2.GAP, lost.SerializeToString(), epoch=5 << 32),
                record(2, uplink_pb2.SCHEMA, b"\xff", samples=4321, epoch=5 << 32),
                anchor(3, epoch=5 << 32),
                anchor(3, salt=1, epoch=5 << 32),
            )
            await gateway.ack_up_to(3)
        for words in (["gateways"], ["ledger"], ["ledger", "--epochs"], ["forks"]):
            shown = server.command(*words).stdout
            assert name in shown
            assert max(map(len, shown.splitlines())) <= 80, shown
