"""The real server over real mTLS: sessions, acks, crashes, refusals."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from typing import TYPE_CHECKING

import grpc
import pytest

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.certificates import init, issue_gateway
from support.fleet import ClientFiles, FleetServer, Gateway, anchor, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EPOCH = 1 << 32
EX_IOERR = 74
BROKEN_WRITE = grpc.StatusCode.INTERNAL
"""What grpc.aio tells a client whose session ends while it writes, whatever the server said."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetServer]:
    """One server for the tests that leave it alive; each speaks for a gateway of its own."""
    with FleetServer(tmp_path_factory.mktemp("server")) as running:
        yield running
        assert running.read_json("ledger", "--verify")["verified"]["problems"] == []
        assert running.stop() == 0
        assert "Traceback" not in running.log.read_text()


def session(server: FleetServer, name: str, *heads: tuple[int, int]) -> Gateway:
    telemetry = [
        uplink_pb2.Head(stream=uplink_pb2.TELEMETRY, epoch=EPOCH, first_seq=first, next_seq=next_)
        for first, next_ in heads
    ]
    return Gateway(server.address, server.issue(name), name, telemetry)


def payload_record(seq: int, size: int) -> uplink_pb2.Record:
    """An ANCHOR whose boot id is `size` bytes long."""
    head = b"\x0a" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80])
    return record(seq, uplink_pb2.ANCHOR, head + bytes([size >> 21]) + b"b" * size)


async def status_of(gateway: Gateway) -> tuple[grpc.StatusCode, str]:
    """How the server ends the session."""
    try:
        async with gateway:
            return await end_of(gateway)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""


async def end_of(gateway: Gateway) -> tuple[grpc.StatusCode, str]:
    """Read until the session ends, and give how."""
    try:
        while True:
            await gateway.receive()
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""


async def test_a_session_resumes_where_the_last_one_ended(server: FleetServer) -> None:
    async with session(server, "resume", (1, 4)) as gateway:
        (told,) = gateway.welcome.committed
        assert (told.epoch, told.committed_seq) == (EPOCH, 0)
        await gateway.send(anchor(1), anchor(2))
        await gateway.send(anchor(3))
        acked = (await gateway.ack_up_to(3)).committed
    async with session(server, "resume", (1, 6)) as gateway:
        (told,) = gateway.welcome.committed
        assert told == acked
        await gateway.send(anchor(2), anchor(3), anchor(4), anchor(5))
        await gateway.ack_up_to(5)
        await gateway.finish()
    (line,) = server.read_json("ledger", "--gateway", "resume")["lines"]
    assert (line["records"], line["duplicates"], line["committed"]) == (5, 2, 5)


async def test_every_message_is_acked_before_the_stream_ends(server: FleetServer) -> None:
    async with session(server, "finish") as gateway:
        for seq in range(1, 200):
            await gateway.send(anchor(seq))
        finishing = asyncio.create_task(gateway.ack_up_to(199))
        await finishing
        await gateway.finish()


async def test_acks_never_go_back(server: FleetServer) -> None:
    acked = 0
    async with session(server, "forward") as gateway:
        for start in range(1, 400, 4):
            await gateway.send(*(anchor(seq) for seq in range(start, start + 4)))
        while acked < 400:
            committed = (await gateway.ack()).committed.committed_seq
            assert committed >= acked
            acked = committed


async def test_streams_and_epochs_are_acked_apart(server: FleetServer) -> None:
    async with session(server, "apart") as gateway:
        await gateway.send(
            anchor(1), anchor(2), anchor(1, stream=uplink_pb2.EVENTS), anchor(1, epoch=2 << 32)
        )
        told: set[tuple[int, int, int]] = set()
        while len(told) < 3:
            committed = (await gateway.ack()).committed
            told.add((committed.stream, committed.epoch, committed.committed_seq))
    assert told == {(3, EPOCH, 2), (2, EPOCH, 1), (3, 2 << 32, 1)}


async def test_islands_are_told_and_joined(server: FleetServer) -> None:
    async with session(server, "islands") as gateway:
        await gateway.send(anchor(5), anchor(6))
        ack = await gateway.ack()
        assert [(i.first_seq, i.last_seq) for i in ack.committed.islands] == [(5, 6)]
        await gateway.send(*(anchor(seq) for seq in range(1, 5)))
        assert not (await gateway.ack_up_to(6)).committed.islands


async def test_every_record_behind_many_holes_is_told_of(server: FleetServer) -> None:
    """Sixteen islands a message: whoever sends more still hears of each record it sent."""
    async with session(server, "holes") as gateway:
        sent = set(range(2, 200, 2))
        for seq in sent:
            await gateway.send(anchor(seq))
        told: set[int] = set()
        while told != sent:
            for island in (await gateway.ack()).committed.islands:
                told |= set(range(island.first_seq, island.last_seq + 1))


async def test_rejections_are_told(server: FleetServer) -> None:
    async with session(server, "rejected") as gateway:
        await gateway.send(anchor(1), record(2, uplink_pb2.SCHEMA, b"\xff"), anchor(3))
        ack = await gateway.ack_up_to(3)
        assert [(r.seq, r.code, r.permanent) for r in ack.rejected] == [
            (2, "BadDecodingError", True)
        ]
        await gateway.send(payload_record(4, gateway.welcome.max_record_bytes + 1))
        ack = await gateway.ack_up_to(4)
        assert [r.code for r in ack.rejected] == ["BadEncodingLimitsExceeded"]


async def test_a_fork_is_refused_and_the_session_goes_on(server: FleetServer) -> None:
    async with session(server, "fork") as gateway:
        await gateway.send(anchor(1), anchor(2))
        await gateway.ack_up_to(2)
        await gateway.send(anchor(2, salt=1), anchor(3))
        ack = await gateway.ack_up_to(3)
    assert [(r.seq, r.code, r.permanent) for r in ack.rejected] == [(2, "Forked", True)]
    (line,) = server.read_json("ledger", "--gateway", "fork")["lines"]
    assert (line["records"], line["forks"], line["committed"]) == (3, 1, 3)
    (row,) = [row for row in server.read_json("gateways") if row["name"] == "fork"]
    assert row["forks"] == 1


async def test_acks_count_what_was_looked_at(server: FleetServer) -> None:
    """By then every rejection among so many records was told, whatever `committed` covers."""
    async with session(server, "counted") as gateway:
        await gateway.send(*(anchor(seq) for seq in range(1, 101)))
        await gateway.ack_up_to(100)
    async with session(server, "counted") as gateway:
        for seq in range(1, 101):
            await gateway.send(anchor(seq, salt=seq % 2), anchor(seq, stream=uplink_pb2.EVENTS))
        told: set[int] = set()
        answered = 0
        while answered < 200:
            ack = await gateway.ack()
            told |= {r.seq for r in ack.rejected}
            assert ack.answered >= answered
            answered = ack.answered
            assert told >= {seq for seq in range(1, answered // 2 + 1) if seq % 2}
    assert told == set(range(1, 101, 2))


async def test_a_name_that_is_not_the_certificates_is_refused(server: FleetServer) -> None:
    code, details = await status_of(Gateway(server.address, server.issue("honest"), "other"))
    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert "'honest'" in details
    assert "other" not in [row["name"] for row in server.read_json("gateways")]


async def test_no_certificate_no_session(server: FleetServer) -> None:
    assert (await status_of(Gateway(server.address, None)))[0] == grpc.StatusCode.UNAVAILABLE


async def test_another_authoritys_certificate_is_refused(
    server: FleetServer, tmp_path: Path
) -> None:
    init(tmp_path, "another CA")
    pair = issue_gateway(tmp_path, tmp_path, "press-hall-1", 1)
    files = ClientFiles(server.pki / "ca.crt", pair.certificate, pair.key)
    assert (await status_of(Gateway(server.address, files)))[0] == grpc.StatusCode.UNAVAILABLE


async def test_a_server_certificate_is_no_gateway(server: FleetServer) -> None:
    pki = server.pki
    files = ClientFiles(pki / "ca.crt", pki / "server.crt", pki / "server.key")
    code, _ = await status_of(Gateway(server.address, files, "localhost"))
    assert code == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("name", ["", "no spaces", "x" * 65])
async def test_ids_that_no_gateway_has(server: FleetServer, name: str) -> None:
    code, _ = await status_of(Gateway(server.address, server.issue("strange"), name))
    assert code == grpc.StatusCode.INVALID_ARGUMENT


async def test_hello_comes_first_and_once(server: FleetServer) -> None:
    async with session(server, "again") as gateway:
        await gateway.say_hello()
        assert (await end_of(gateway))[0] == grpc.StatusCode.INVALID_ARGUMENT
    silent = Gateway(server.address, server.issue("again"), "again", first=anchor(1))
    assert (await status_of(silent))[0] == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_beyond_all_credit_ends_the_session(server: FleetServer) -> None:
    async with session(server, "greedy") as gateway:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await gateway.send(*(payload_record(seq, 12 << 20) for seq in (1, 2, 3)))
        code, _ = await end_of(gateway)
    assert code in {grpc.StatusCode.RESOURCE_EXHAUSTED, BROKEN_WRITE}


async def test_credit_is_told_and_whoever_ignores_it_loses_nothing(server: FleetServer) -> None:
    async with session(server, "credit") as gateway:
        credit = gateway.welcome.credit_bytes
        assert credit >= gateway.welcome.max_record_bytes > 0
        sending = asyncio.create_task(flood(gateway, 60, credit // 20))
        assert (await gateway.ack_up_to(60)).credit_bytes == credit
        await sending
    (line,) = server.read_json("ledger", "--gateway", "credit")["lines"]
    assert (line["records"], line["duplicates"]) == (60, 0)


async def flood(gateway: Gateway, records: int, size: int) -> None:
    for seq in range(1, records + 1):
        await gateway.send(payload_record(seq, size))


async def test_many_gateways_at_once(server: FleetServer) -> None:
    async def run(name: str) -> None:
        async with session(server, name) as gateway:
            for seq in range(1, 51):
                await gateway.send(anchor(seq))
            await gateway.ack_up_to(50)

    names = [f"many-{number}" for number in range(12)]
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(run(name), name=name)
    rows = {row["name"]: row["records"] for row in server.read_json("gateways")}
    assert [rows[name] for name in names] == [50] * 12


async def test_two_sessions_of_one_gateway_store_once(server: FleetServer) -> None:
    async with session(server, "twin") as one, session(server, "twin") as two:
        for seq in range(1, 101):
            await one.send(anchor(seq))
            await two.send(anchor(seq))
        await one.ack_up_to(100)
        await two.ack_up_to(100)
    (line,) = server.read_json("ledger", "--gateway", "twin")["lines"]
    assert (line["records"], line["duplicates"]) == (100, 100)


@pytest.mark.parametrize("round_", range(3))
async def test_what_was_acked_survives_kill_9(tmp_path: Path, round_: int) -> None:
    acked = 0
    with FleetServer(tmp_path) as server:
        for _ in range(4):
            async with session(server, "g", (1, 10_000)) as gateway:
                (told,) = gateway.welcome.committed
                assert told.committed_seq >= acked
                start = told.committed_seq + 1
                sending = asyncio.create_task(flood_from(gateway, start, 40 + 30 * round_))
                acked = (await gateway.ack_up_to(start + 5 + round_)).committed.committed_seq
                server.kill()
                sending.cancel()
                await asyncio.wait([sending])
            server.start()
        async with session(server, "g", (1, 10_000)) as gateway:
            assert gateway.welcome.committed[0].committed_seq >= acked
        answer = server.read_json("ledger", "--verify")
        assert answer["verified"]["problems"] == []
        assert answer["lines"][0]["records"] == answer["lines"][0]["committed"] >= acked


async def flood_from(gateway: Gateway, start: int, records: int) -> None:
    for seq in range(start, start + records):
        await gateway.send(payload_record(seq, 50_000))


async def test_sigterm_says_goodbye_and_keeps_what_came(tmp_path: Path) -> None:
    with FleetServer(tmp_path) as server:
        async with session(server, "g") as gateway:
            await gateway.send(anchor(1))
            await gateway.ack_up_to(1)
            assert await asyncio.to_thread(server.stop) == 0
            code, details = await end_of(gateway)
        assert code == grpc.StatusCode.UNAVAILABLE
        assert "stopping" in details
        server.start()
        assert server.read_json("ledger")["lines"][0]["records"] == 1


async def test_a_disk_that_refuses_writes_stops_the_server(tmp_path: Path) -> None:
    """Nothing unwritten is ever acked, and the next start finds all that was."""
    with FleetServer(tmp_path) as server:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
        acked = 0
        async with session(server, "g") as gateway:
            sending = asyncio.create_task(flood_from(gateway, 1, 400))
            try:
                while acked < 400:
                    acked = (await gateway.ack()).committed.committed_seq
            except grpc.aio.AioRpcError as error:
                code, details = error.code(), error.details()
            sending.cancel()
            await asyncio.wait([sending])
        assert code in {grpc.StatusCode.UNAVAILABLE, BROKEN_WRITE}, details
        assert await asyncio.to_thread(server.wait) == EX_IOERR
        assert "the store failed" in server.log.read_text()
        server.start()
        async with session(server, "g", (1, 500)) as gateway:
            assert gateway.welcome.committed[0].committed_seq >= acked > 0
        assert server.read_json("ledger", "--verify")["verified"]["problems"] == []


async def test_plaintext_works_on_loopback_only(tmp_path: Path) -> None:
    with FleetServer(tmp_path, insecure=True) as server:
        async with Gateway(server.address, None) as gateway:
            await gateway.send(anchor(1))
            await gateway.ack_up_to(1)
        with pytest.raises(AssertionError, match=r"plaintext on 0\.0\.0\.0 is refused"):
            FleetServer(tmp_path / "open", "--listen", "0.0.0.0:0", insecure=True).start()
        with pytest.raises(AssertionError, match=r"plaintext on 0\.0\.0\.0 is refused"):
            FleetServer(tmp_path / "told", "--values", "0.0.0.0:0", insecure=True).start()


async def test_a_limit_on_gateways(tmp_path: Path) -> None:
    with FleetServer(tmp_path, "--max-gateways", "1") as server:
        async with session(server, "one"):
            code, _ = await status_of(session(server, "two"))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with FleetServer(tmp_path) as server:
        done = server.command("serve", "--listen", "127.0.0.1:0", "--insecure")
        assert (done.returncode, "in use by another server" in done.stderr) == (1, True)
