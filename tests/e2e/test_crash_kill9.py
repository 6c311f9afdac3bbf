"""The agent is killed with SIGKILL at random moments, while PLC and server misbehave too.

Every journaled reading must be at the server once, byte for byte, and no value under another tag.
Each value carries its own tag's number, so a misfiled one betrays itself. CRASH_KILLS sets the
number of kills, CRASH_WORLDS among how many agents with a server each they are shared out: half of
a life is waiting, so two pass in the time of one. CRASH_SEED, to which a world adds its number,
repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import apsw
import numpy as np
import pytest

from forebay.columnar import decode_batch, decode_gap, decode_schema, peek_schema_id
from forebay.control.address import Answer, knock
from forebay.control.client import AgentClient
from forebay.errors import ControlError
from forebay.model import GapCause, Record, RecordKind, Schema
from forebay.testing.modbus_server import Misbehaviour, ModbusServer
from support.clocks import balanced
from support.journal import journaled
from support.processes import World, until

if TYPE_CHECKING:
    from pathlib import Path

TAGS = 200
WORLDS = int(os.environ.get("CRASH_WORLDS", "1"))
KILLS = -(-int(os.environ.get("CRASH_KILLS", "20")) // WORLDS)
SEED = int(os.environ.get("CRASH_SEED", secrets.randbelow(10**9)))
MOST_S = 300 + 12 * KILLS
"""A life takes one or two seconds, and several times that on a machine that is busy."""
FAULTS = [
    Misbehaviour.LATE,
    Misbehaviour.TWICE,
    Misbehaviour.WRONG_TRANSACTION,
    Misbehaviour.WRONG_UNIT,
    Misbehaviour.WRONG_BYTE_COUNT,
    Misbehaviour.SILENCE,
    Misbehaviour.HALF_THEN_SILENCE,
    Misbehaviour.GARBAGE,
    Misbehaviour.CLOSE,
]


def plc() -> ModbusServer:
    """Serve uint32 tag i at registers 2i and 2i + 1.

    Its number above, a counter of requests below.
    """
    server = ModbusServer()

    def value(area: str, address: int) -> int:
        del area
        return address // 2 if address % 2 == 0 else len(server.requests) & 0xFFFF

    server.values = value
    return server


def write_config(world: World, port: int) -> None:
    rows = "\n".join(f"t{i},holding:{2 * i},uint32" for i in range(TAGS))
    (world.directory / "plc.csv").write_text(f"name,address,type\n{rows}\n", encoding="utf-8")
    world.write_config(
        f"""
[devices.plc]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
timeout = "150 ms"
tags = "plc.csv"
backoff = {{ first = "20 ms", most = "200 ms" }}
[devices.plc.groups.default]
period = "20 ms"
""",
        more='commit_interval = "50 ms"',
    )


def stored(path: Path) -> list[tuple[int, int, bytes]]:
    """Give (epoch, seq, payload) of every record in the server's store."""
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    query = "SELECT epoch, seq, payload FROM records JOIN lines ON lines.id = line"
    return [(int(e), int(s), bytes(p)) for e, s, p in database.execute(query)]


def check_values(records: list[Record]) -> tuple[int, int]:
    """Assert that each value stands under its own tag and is newer than the one before it.

    Gives how many samples were good and bad.
    """
    schemas: dict[int, Schema] = {}
    newest = np.full(TAGS, -1)
    good = bad = 0
    for record in records:
        if record.kind is RecordKind.SCHEMA:
            schema = decode_schema(record.payload)
            schemas[schema.id] = schema
        elif record.kind is RecordKind.BATCH:
            batch = decode_batch(record.payload, schemas[peek_schema_id(record.payload)])
            names = np.array([int(tag.name[1:]) for tag in batch.schema.tags])
            usable = np.ones(batch.values[0].shape, bool)
            if batch.quality is not None:
                usable = batch.quality >> 31 == 0
            for values, ok in zip(batch.values[0].astype(np.int64), usable, strict=True):
                assert (values[ok] >> 16 == names[ok]).all(), "a value stands under another tag"
                assert (values[ok] & 0xFFFF > newest[ok]).all(), "a stale value came as a new one"
                newest[ok] = values[ok] & 0xFFFF
            good += int(usable.sum())
            bad += int((~usable).sum())
    return good, bad


def durable(world: World) -> dict[int, int]:
    """Ask the agent how far each epoch of telemetry is durable.

    Nothing while it does not answer.
    """
    try:
        with AgentClient(world.socket) as agent:
            streams = agent.journal_status().streams
    except ControlError:
        return {}
    return {s.epoch: s.next_seq - 1 for s in streams if s.stream == "telemetry"}


class Life(NamedTuple):
    """What came of one run of the agent.

    `heads` is how far each epoch was durable a moment before its end, nothing if it did not answer;
    `server_kills` how often the server was killed meanwhile.
    """

    heads: dict[int, int]
    server_kills: int


async def one_life(world: World, server: ModbusServer, rng: random.Random) -> Life:
    """Run the agent for a random while among random faults, then kill it.

    The while begins when it serves, or else a slow machine would kill it in its start every time;
    one life in five ends early, in its start or a little later.
    """
    await world.agent.start()
    if rng.random() < 0.8:
        await until(lambda: knock(world.socket) is Answer.LIVE, "the agent serves")
    server_kills = 0
    for _ in range(rng.randint(1, 3)):
        server.misbehaviour = rng.choice(FAULTS) if rng.random() < 0.5 else None
        if world.server.running and rng.random() < 0.15:
            await world.server.kill()
            server_kills += 1
        elif not world.server.running and rng.random() < 0.5:
            await world.server.start()
        await asyncio.sleep(rng.uniform(0.05, 0.6))  # the random moment is what is tested
        server.misbehaviour = None
    heads = await asyncio.to_thread(durable, world)
    await asyncio.sleep(rng.uniform(0.0, 0.1))  # so that kills fall on every part of a commit
    await world.agent.kill()
    return Life(heads, server_kills)


@pytest.mark.long
@pytest.mark.e2e
@pytest.mark.timeout(MOST_S)
@pytest.mark.parametrize("number", range(WORLDS))
async def test_kill_9_loses_repeats_and_misfiles_nothing(tmp_path: Path, number: int) -> None:
    sys.stdout.write(f"CRASH_SEED={SEED + number} CRASH_KILLS={KILLS}\n")
    rng = random.Random(SEED + number)
    async with World(tmp_path) as world, plc() as server:
        write_config(world, server.port)
        await world.server.start()
        promised: dict[int, int] = {}
        answered = server_kills = 0
        for _ in range(KILLS):
            life = await one_life(world, server, rng)
            answered += bool(life.heads)
            server_kills += life.server_kills
            for epoch, seq in life.heads.items():
                promised[epoch] = max(seq, promised.get(epoch, 0))
        if not world.server.running:
            await world.server.start()
        await world.agent.start()
        await until(
            lambda: world.agent.text().count('"uplink_connected"') > 0, "the uplink connects"
        )
        await world.delivered()
        account = await balanced(world)
        await world.server.stop()

        at_server = stored(world.store / "fleet.db")
        records = await journaled(world.journal)
    times_stored = Counter((epoch, seq) for epoch, seq, _ in at_server)
    assert max(times_stored.values()) == 1, "a record is at the server twice"
    theirs = {(epoch, seq): payload for epoch, seq, payload in at_server}
    mine = {(r.position.epoch, r.position.seq): r.payload for r in records}
    assert mine.keys() == theirs.keys(), "journal and server hold different records"
    assert mine == theirs, "journal and server hold different bytes"
    gaps = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
    assert account["pending"] == 0, account
    assert account["gapped"] == sum(gap.samples or 0 for gap in gaps), account
    assert {gap.cause for gap in gaps} <= {GapCause.UNCLEAN_SHUTDOWN, GapCause.NOT_POLLED}
    assert account["produced"] == sum(r.samples for r in records) + account["gapped"], account
    assert answered > KILLS / 2, "most lives say what is durable before they end"
    assert server_kills >= KILLS // 20, "the server was hardly killed"
    for epoch, seq in promised.items():
        kept = {number for of, number in mine if of == epoch}
        assert kept >= set(range(1, seq + 1)), f"epoch {epoch:x} lost what was durable"
    good, bad = check_values(records)
    assert good > TAGS * KILLS, "the PLC was hardly read"
    assert bad > 0, "no fault of the PLC was seen"
    told = f"{len(records)} records, {good} good and {bad} bad samples, {len(gaps)} gaps"
    sys.stdout.write(f"{told}, {answered} answers, {server_kills} kills of the server\n")
