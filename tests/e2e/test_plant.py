"""The demo's plant as the demo starts it: its devices are read by the agent's own sessions."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from forebay.acquisition.session import Session
from forebay.acquisition.standstill import Pulse
from forebay.acquisition.wires import wires
from forebay.config.load import load
from forebay.registry import Registry
from support.certificates import Authority
from support.seams import system_seams

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.model import Batch, Gap, Sample

pytestmark = pytest.mark.e2e

START_S = 60.0


@asynccontextmanager
async def plant(
    directory: Path,
) -> AsyncIterator[tuple[Process, dict[str, Any]]]:
    """The running plant, and what it said when ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "forebay.testing.plant",
        "--config-dir", str(directory),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
        yield process, json.loads(line)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - the pipe


class Collector:
    """An intake that keeps the newest sample of every tag."""

    def __init__(self) -> None:
        self.newest: dict[tuple[str, str], Sample] = {}
        self.news = asyncio.Event()

    async def accept(self, batch: Batch) -> None:
        for sample in batch.iter_samples():
            self.newest[batch.schema.source, sample.tag.name] = sample
        self.news.set()

    async def commit(self, batch: Batch) -> None:
        await self.accept(batch)

    def account(self, gap: Gap) -> None:
        """Nothing here reads gaps."""


async def _silent(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return True
    writer.close()
    return False


def certificates(directory: Path) -> None:
    """Files where the configuration says that they are."""
    authority = Authority(directory)
    pair = authority.issue("demo-line")
    pair.cert.rename(directory / "demo-line.crt")
    pair.key.chmod(0o600)
    authority.ca.rename(directory / "ca.crt")


async def test_every_tag_of_the_plant_gets_good_values_that_move(tmp_path: Path) -> None:
    certificates(tmp_path / "certificates")
    async with plant(tmp_path) as (_, ready):
        loaded = load(tmp_path / "forebay.toml", Registry(), {})
        assert ready["config"] == str(tmp_path / "forebay.toml")
        wanted = {
            (device.spec.name, tag.name)
            for device in loaded.devices
            for schema in device.spec.schemas
            for tag in schema.tags
        }
        collector = Collector()
        seams = system_seams()
        pulse = Pulse(seams)
        tasks = [
            asyncio.create_task(
                Session(d.spec, d.driver.build, w.line, collector, seams, pulse, place=w).run(),
                name=d.spec.name,
            )
            for d, w in zip(loaded.devices, wires(loaded.devices, seams), strict=True)
        ]

        async def until_all_are_good() -> None:
            while {key for key, s in collector.newest.items() if s.quality == 0} != wanted:
                collector.news.clear()
                await collector.news.wait()

        async def until_moved(first: dict[tuple[str, str], Sample]) -> None:
            for key in (("meter", "frequency"), ("press", "Force"), ("conveyor", "speed")):
                while collector.newest[key].value == first[key].value:
                    collector.news.clear()
                    await collector.news.wait()

        await asyncio.wait_for(until_all_are_good(), 30)
        await asyncio.wait_for(until_moved(dict(collector.newest)), 30)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    frequency = collector.newest["meter", "frequency"].value
    assert isinstance(frequency, float)
    assert math.isclose(frequency, 50.0, abs_tol=0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_no_process_outlives_the_plant(tmp_path: Path, number: signal.Signals) -> None:
    async with plant(tmp_path) as (process, ready):
        process.send_signal(number)
        status = await asyncio.wait_for(process.wait(), 20)
        assert status == (0 if number is signal.SIGTERM else -number)
        async with asyncio.timeout(20):
            for name in ("modbus", "opcua", "mqtt"):
                while not await _silent(ready[name]):  # noqa: ASYNC110 - a dying broker tells no event
                    await asyncio.sleep(0.05)
