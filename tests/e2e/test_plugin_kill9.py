"""The agent is killed with SIGKILL again and again beside a plugin: each reading gives one result.

Results and the plugin's progress are two writes of the disk; a kill between them must neither lose
a window nor work on one twice. Windows of the last moments may be without results: their readings
are durable, and the agent ended before it came to them.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_batch, peek_schema_id
from forebay.files import SystemDisk
from forebay.journal.offline import OfflineJournal
from forebay.model import RecordKind, Stream
from support.processes import World, simulated, until

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("CRASH_KILLS", "4"))
SEED = int(os.environ.get("CRASH_SEED", secrets.randbelow(10**9)))
MANIFEST = """
[plugin]
name = "echo"
version = "1"
command = ["{python}", "{dir}/echo.py"]
[inputs.values]
tags = ["a/*"]
max = 1
[outputs.echo]
[limits]
samples_per_s = 100000
start_timeout = "60 s"
deadline = "30 s"
"""
PLUGIN = """
from forebay_plugin import Plugin, serve

class Echo(Plugin):
    def process(self, window):
        return {"echo": float(window.matrix("values")[-1, 0])}

serve(Echo)
"""


def told(directory: Path) -> tuple[Counter[int], Counter[int]]:
    """Give the times of all readings of the input, and of all results."""
    readings: Counter[int] = Counter()
    results: Counter[int] = Counter()
    if not (directory / "lock").exists():
        return readings, results
    journal = OfflineJournal(directory, SystemDisk())
    for file in journal.segments(Stream.TELEMETRY):
        content = journal.read(file)
        for record in () if content is None else content.records():
            if record.kind is RecordKind.SCHEMA:
                journal.schemas.take(record.payload)
            elif record.kind is RecordKind.BATCH:
                schema = journal.schemas.find(peek_schema_id(record.payload))
                if schema is None:  # it comes by with the next look
                    continue
                batch = decode_batch(record.payload, schema)
                if schema.source == "a":
                    readings.update(batch.times_ns.tolist())
                else:
                    assert batch.index is not None
                    results.update(batch.times_ns[batch.index == 0].tolist())
    return readings, results


def write_plugin(directory: Path) -> Path:
    """Put the plugin where its own user may read it."""
    directory.chmod(0o755)
    plugin = directory / "echo"
    plugin.mkdir()
    (plugin / "plugin.toml").write_text(MANIFEST, "utf-8")
    (plugin / "echo.py").write_text(PLUGIN, "utf-8")
    return plugin


@pytest.mark.timeout(120 + 30 * KILLS)
async def test_each_reading_gives_one_result_however_often_the_agent_is_killed(
    tmp_path: Path,
) -> None:
    rng, plugin = random.Random(SEED), write_plugin(tmp_path)
    async with World(tmp_path) as world:
        world.write_config(
            simulated("a", 1, "20 ms") + f'\n[plugins.echo]\npath = "{plugin}"\n',
            more='commit_interval = "20 ms"',
        )

        async def more_results() -> None:
            before = len(told(world.journal)[1])
            await until(lambda: len(told(world.journal)[1]) > before + 20, f"seed {SEED}")

        for _ in range(KILLS):
            await world.agent.start()
            await more_results()
            await asyncio.sleep(rng.uniform(0, 1.5))  # a kill at any moment, not a wait
            await world.agent.kill()
        await world.agent.start()
        await more_results()
        assert await world.agent.stop() == 0
        readings, results = told(world.journal)
    assert not [at for at, count in results.items() if count > 1], f"twice, seed {SEED}"
    due = {at for at in readings if at <= max(results)}
    assert due - set(results) == set(), f"left out, seed {SEED}"
    assert set(results) <= set(readings), f"made up, seed {SEED}"
