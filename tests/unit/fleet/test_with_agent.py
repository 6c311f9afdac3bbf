"""The agent's journal, forwarder and gRPC uplink against this server: what both sides promise."""

from __future__ import annotations

import asyncio
import random
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forebay.columnar import encode_anchor
from forebay.forwarding.forwarder import Forwarder
from forebay.interfaces import Head, Offer
from forebay.journal.journal import Account, Entry, Journal, JournalLimits
from forebay.journal.record import NO_CHAIN, next_chain
from forebay.model import (
    Anchor,
    Batch,
    ClockState,
    Position,
    RecordKind,
    Schema,
    Stream,
    Tag,
    ValueType,
)
from forebay.testing.records import make_record
from forebay.uplinks.grpc import SPEC
from forebay.uplinks.grpc.config import GrpcSettings
from support.batches import batch_entry
from support.fleet import FleetServer
from support.forwarding import make_seams, running, until

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.interfaces import Uplink

GATEWAY = "press-hall-1"
EPOCH = 1 << 32
LIMITS = JournalLimits(
    max_bytes=64 << 20, max_age_s=86_400, segment_bytes=1 << 20, ring_bytes=8 << 20
)
SCHEMA = Schema(
    "press", "fast", tuple(Tag(f"t{n}", "-", ValueType.FLOAT64, "bar", 2.0) for n in range(100))
)


def settings_for(server: FleetServer) -> GrpcSettings:
    files = server.issue(GATEWAY)
    values = {
        "kind": "grpc",
        "address": server.address,
        "ca": str(files.ca),
        "cert": str(files.certificate),
        "key": str(files.key),
        "backoff": {"first": 0.05, "most": 0.4},
    }
    return GrpcSettings.model_validate(values)


def uplink_to(server: FleetServer) -> Uplink:
    uplink: Uplink = SPEC.build("cloud", settings_for(server), make_seams())
    return uplink


def entry(second: int, rows: int = 10) -> Entry:
    times = (1_700_000_000 + second) * 10**9 + np.arange(rows, dtype=np.int64)
    values = np.repeat(second * 10 + np.arange(rows)[:, None], 100, axis=1).astype(np.float64)
    batch = Batch(SCHEMA, times, times + 5, (values,))
    return batch_entry(batch)


async def test_the_ledger_balances_through_crashes_of_the_server(tmp_path: Path) -> None:
    """Everything produced is in the store once, whatever was on its way when the server died."""
    with FleetServer(tmp_path) as server:
        async with Journal(tmp_path / "journal", LIMITS, make_seams()) as journal:
            settings = settings_for(server)
            uplink = SPEC.build("cloud", settings, make_seams())
            forwarder = Forwarder("cloud", uplink, settings, journal, GATEWAY, make_seams())
            async with running(forwarder):
                for second in range(60):
                    await journal.submit([entry(second)])
                    if second % 20 == 10:
                        await until(lambda: forwarder.status().records_acked > 0)
                        server.kill()
                    if second % 20 == 15:
                        await asyncio.to_thread(server.start)
                assert await forwarder.drain(600)
            account = journal.ledger(Stream.TELEMETRY, journal.cursor("cloud"))
        assert (account.produced, account.delivered) == (60_000, 60_000)
        answer = server.read_json("ledger", "--verify")
        assert answer["verified"]["problems"] == []
        assert answer["verified"]["samples"] == 60_000
        values = server.read_json(
            "query", "--gateway", GATEWAY, "--tag", "press/t99", "--limit", "1000"
        )["values"]
        assert [v["value"] for v in values] == [2.0 * n for n in range(600)]


async def test_a_hole_in_the_journal_does_not_stop_the_acks(tmp_path: Path) -> None:
    with FleetServer(tmp_path) as server:
        uplink = uplink_to(server)
        offer = Offer(GATEWAY, "boot", 1, (Head(Stream.TELEMETRY, EPOCH, 5, 21),))
        terms = await uplink.connect(offer)
        assert [(r.epoch, r.committed_seq) for r in terms.resume] == [(EPOCH, 4)]
        anchors = [
            make_record(seq, b"\x0a\x01b", kind=RecordKind.ANCHOR) for seq in (5, 6, 9, 10, 20)
        ]
        await uplink.send(anchors[:3], historical=False, absent_from=[0, 0, 7])
        await uplink.send(anchors[3:], historical=False, absent_from=[0, 11])
        async for receipt in uplink.receipts():
            assert receipt.rejected == ()
            if receipt.resume.committed_seq == 20:
                break
        await uplink.close()
        (line,) = server.read_json("ledger")["lines"]
        assert (line["records"], line["committed"], line["islands"]) == (5, 20, [])


async def test_rejections_reach_the_agent(tmp_path: Path) -> None:
    with FleetServer(tmp_path) as server:
        uplink = uplink_to(server)
        await uplink.connect(Offer(GATEWAY, "boot", 1, (Head(Stream.TELEMETRY, EPOCH, 1, 2),)))
        await uplink.send([make_record(1, b"\xff")], historical=False)
        async for receipt in uplink.receipts():
            assert receipt.resume.committed_seq == 1
            position = Position(Stream.TELEMETRY, EPOCH, 1)
            assert receipt.rejected == ((position, "BadDecodingError"),)
            break
        await uplink.close()


async def test_journal_and_server_chain_alike(tmp_path: Path) -> None:
    chain = NO_CHAIN
    with FleetServer(tmp_path) as server:
        uplink = uplink_to(server)
        await uplink.connect(Offer(GATEWAY, "boot", 1, ()))
        records = [
            make_record(seq, b"\x0a\x01" + bytes([65 + seq]), kind=RecordKind.ANCHOR)
            for seq in range(1, 6)
        ]
        await uplink.send(records, historical=False)
        async for receipt in uplink.receipts():
            if receipt.resume.committed_seq == 5:
                break
        await uplink.close()
        for record in records:
            chain = next_chain(chain, record.hash)
        assert server.read_json("ledger")["lines"][0]["chain"] == chain.hex()


async def test_a_journal_that_was_put_back_in_time_goes_on_under_an_epoch_of_its_own(
    tmp_path: Path,
) -> None:
    """What it writes then is new to the server, and nothing of either life is lost there."""
    directory, copy = tmp_path / "journal", tmp_path / "copy"

    async def forward(begin: int, count: int) -> Account:
        seams = replace(make_seams(), rng=random.Random(begin))
        async with Journal(directory, LIMITS, seams) as journal:
            settings = settings_for(server)
            uplink = SPEC.build("cloud", settings, make_seams())
            forwarder = Forwarder("cloud", uplink, settings, journal, GATEWAY, make_seams())
            await journal.submit([entry(begin + n) for n in range(count)])
            async with running(forwarder):
                assert await forwarder.drain(600)
            return journal.ledger(Stream.TELEMETRY, journal.cursor("cloud"))

    with FleetServer(tmp_path) as server:
        await forward(0, 3)
        await asyncio.to_thread(shutil.copytree, directory, copy)
        before = await forward(3, 10)
        assert before.delivered == before.produced == 13_000
        await asyncio.to_thread(shutil.rmtree, directory)
        await asyncio.to_thread(copy.rename, directory)
        after = await forward(100, 2)
        assert (after.delivered, after.pending) == (5_000, 0)
        answer = server.read_json("ledger", "--verify")
    assert answer["verified"]["problems"] == []
    assert answer["verified"]["samples"] == 15_000
    assert sum(line["forks"] for line in answer["lines"]) == 0


def anchor_entry(wall_ns: int, boottime_ns: int, state: ClockState) -> Entry:
    anchor = Anchor("boot-1", wall_ns, boottime_ns, state)
    return Entry(
        stream=Stream.TELEMETRY,
        kind=RecordKind.ANCHOR,
        payload=encode_anchor(anchor),
        samples=0,
        time_min_ns=wall_ns,
        time_max_ns=wall_ns,
    )


async def test_what_was_stamped_before_the_clock_was_set_is_mended_for_readers(
    tmp_path: Path,
) -> None:
    """A boot in 2023 by its clock; it was a day later in truth, and then somebody told it."""
    start_ns, day_ns = 1_700_000_000 * 10**9, 86_400 * 10**9
    with FleetServer(tmp_path) as server:
        async with Journal(tmp_path / "journal", LIMITS, make_seams()) as journal:
            settings = settings_for(server)
            uplink = SPEC.build("cloud", settings, make_seams())
            forwarder = Forwarder("cloud", uplink, settings, journal, GATEWAY, make_seams())
            await journal.submit([anchor_entry(start_ns, 10**9, ClockState.UNSYNCED), entry(5)])
            right_ns = start_ns + day_ns + 9 * 10**9
            await journal.submit([anchor_entry(right_ns, 10**10, ClockState.SYNCED)])
            async with running(forwarder):
                assert await forwarder.drain(600)
        words = ("query", "--gateway", GATEWAY, "--tag", "press/t0")
        mended = server.read_json(*words)["values"]
        raw = server.read_json(*words, "--raw-times")["values"]
    assert [v["time_ns"] - start_ns for v in raw] == [5 * 10**9 + n for n in range(10)]
    assert [m["time_ns"] - r["time_ns"] for m, r in zip(mended, raw, strict=True)] == [day_ns] * 10
    assert {v["clock"] for v in mended} == {"mended"}


async def test_losses_and_new_servers_are_no_journal_that_went_back(tmp_path: Path) -> None:
    """Server and gateway rightly chain differently over what retention dropped: never refused."""
    limits = replace(LIMITS, max_bytes=64 << 10, segment_bytes=8 << 10)
    settings_of: list[GrpcSettings] = []
    told: list[str] = []

    async def life(begin: int, count: int, *, drain: bool = True) -> Account:
        async with Journal(tmp_path / "journal", limits, make_seams()) as journal:
            uplink = SPEC.build("cloud", settings_of[-1], make_seams())
            forwarder = Forwarder("cloud", uplink, settings_of[-1], journal, GATEWAY, make_seams())
            for n in range(begin, begin + count):
                await journal.submit([entry(n)])
            async with running(forwarder):
                if drain:
                    assert await forwarder.drain(600)
                told.append(forwarder.status().last_hint)
            return journal.ledger(Stream.TELEMETRY, journal.cursor("cloud"))

    for begin, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        with FleetServer(tmp_path / name) as server:
            settings_of.append(settings_for(server))
            await life(begin * 1000, 20)
            server.kill()
            away = await life(begin * 1000 + 20, 150, drain=False)
            assert away.gapped > 0
            await asyncio.to_thread(server.start)
            for again in (200, 210, 220):
                if again == 220:
                    (tmp_path / "journal" / "cursors" / "cloud.json").unlink()
                account = await life(begin * 1000 + again, 5)
                assert account.balanced
                assert account.pending == 0
            lines = server.read_json("ledger")["lines"]
            assert sum(line["gapped"] for line in lines) > 0
    assert not [hint for hint in told if "restored" in hint]
