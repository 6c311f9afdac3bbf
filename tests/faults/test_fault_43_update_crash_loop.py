"""Fault 43: an update crashes again and again: the version before runs after three starts.

On real processes and real slots, by the launcher, under a supervisor that begins again what ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay import __version__
from forebay.files import SystemDisk
from forebay.launcher.book import FOLDER, Slots
from support.commands import forebay
from support.config_site import polled
from support.live_agent import CountingPlc
from support.processes import World, until
from support.slots import Supervised, package

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.commands import Finished

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROBATION = "5s"
ASIDE = '[fleet]\nprobation = "6 s"\n'


class Site:
    """An agent behind the launcher, which polls a PLC and forwards to a fleet server."""

    def __init__(self, world: World, plc: CountingPlc, box: Supervised) -> None:
        self.world, self.plc, self.box = world, plc, box
        self.state = world.directory / "state"
        self.slots = Slots(self.state / FOLDER, SystemDisk())

    async def update(self, *words: str | Path) -> Finished:
        """Run `forebay update WORDS` on the box."""
        done = await forebay("update", *words, FOREBAY_STATE=str(self.state))
        assert done.code == 0, done
        return done

    async def told(self) -> Any:
        """Give what `forebay update status` says."""
        return (await self.update("status", "--json")).document()

    async def staged(self, archive: Path) -> None:
        """Have a package begin on trial with the next start."""
        await self.update("apply", archive, "--probation", PROBATION)

    async def flowing(self) -> None:
        """Wait until the PLC is polled and what there is has arrived."""
        before = len(self.plc.given)
        await until(lambda: len(self.plc.given) > before + 3, "it is polled")
        await self.world.delivered()

    def journal(self) -> dict[str, str]:
        """Give the digest of every file of the journal."""
        folder = self.world.journal
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


@asynccontextmanager
async def site(directory: Path) -> AsyncIterator[Site]:
    async with CountingPlc() as plc, World(directory) as world:
        world.write_config(polled("press", plc.port), more=ASIDE)
        await world.server.start()
        async with Supervised(world) as box:
            made = Site(world, plc, box)
            await box.runs(__version__)
            await made.flowing()
            yield made


def rest(box: Supervised, ends: int) -> asyncio.Event:
    """Have the supervisor wait after so many ends."""
    box.rests[ends] = asyncio.Event()
    return box.rests[ends]


@pytest.mark.long
async def test_fault_43_update_crash_loop(tmp_path: Path) -> None:
    crash = "def run(*_: object) -> int:\n    raise SystemExit(1)"
    bad = package(tmp_path / "bad.tar", "0.2.0", {"agent.py": crash})
    async with site(tmp_path) as box:
        produced = (await box.world.ask("ledger"))[1]["lines"][0]["produced"]
        await box.staged(bad)
        stopped, crashed = rest(box.box, 1), rest(box.box, 4)
        await box.world.agent.stop()
        await box.box.ended(1)
        journal = box.journal()
        stopped.set()
        await box.box.ended(4)
        assert box.box.starts == [0, 1, 1, 1], "three starts on trial"
        assert box.journal() == journal, "the journal is untouched"
        crashed.set()
        await box.box.runs(__version__)
        await box.flowing()
        told = await box.told()
        assert told["current"]["slot"] == "installed"
        assert told["trial"] is None
        assert (told["ended"][0]["version"], told["ended"][0]["kept"]) == ("0.2.0", False)
        assert "3 starts" in told["ended"][0]["reason"]
        lines = (await box.world.ask("ledger"))[1]["lines"]
        assert sum(line["produced"] for line in lines) > produced
        code, verified = await box.world.ask("journal", "verify")
        assert code == 0, verified


@pytest.mark.long
async def test_fault_43_a_good_update_is_kept_and_a_damaged_slot_not_begun(
    tmp_path: Path,
) -> None:
    good = package(tmp_path / "good.tar", "0.2.0")
    async with site(tmp_path) as box:
        await box.staged(good)
        await box.world.agent.stop()
        await box.box.runs("0.2.0")
        await until(lambda: box.slots.read().trial is None, "it proved itself", 90)
        await box.flowing()
        told = await box.told()
        assert told["current"] == {"slot": "a", "version": "0.2.0", "fault": ""}
        assert told["ended"][0]["kept"]

        file = next((box.state / "slots/a").rglob("forebay/agent.py"))
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        await box.world.agent.kill()
        await box.box.runs(__version__)
        await box.flowing()
        assert "slot a cannot be started" in box.world.agent.text()
        told = await box.told()
        assert "agent.py" in told["current"]["fault"]


@pytest.mark.long
async def test_fault_43_an_update_that_stops_the_data_goes_back_by_itself(tmp_path: Path) -> None:
    deaf = (
        "async def _deaf(self):\n"
        '    raise DeviceUnreachable("deaf", hint="", status=0x80050000)\n'
        "from forebay.errors import DeviceUnreachable\n"
        "ModbusDriver.connect = _deaf"
    )
    bad = package(tmp_path / "deaf.tar", "0.2.0", {"drivers/modbus/driver.py": deaf})
    async with site(tmp_path) as box:
        await box.staged(bad)
        await box.world.agent.stop()
        await box.box.runs("0.2.0")
        await box.box.ended(2)
        await box.box.runs(__version__)
        await box.flowing()
        ended = (await box.told())["ended"][0]
        assert (ended["kept"], "device press" in ended["reason"]) == (False, True), ended
        assert box.box.starts == [0, 0], "it stopped in order"


async def test_fault_43_an_update_that_hangs_is_ended(tmp_path: Path) -> None:
    hang = "def run(*_: object) -> int:\n    import time\n    time.sleep(1e6)"
    bad = package(tmp_path / "hang.tar", "0.2.0", {"agent.py": hang})
    async with site(tmp_path) as box:
        await box.staged(bad)
        book = box.slots.read()
        assert book.trial is not None
        trial = replace(book.trial, probation_s=0.5, start_s=1.5)
        box.slots.write(replace(book, trial=trial))
        await box.world.agent.stop()
        await box.box.runs(__version__)
        await box.flowing()
        assert box.box.starts == [0, *[-signal.SIGALRM] * 3]
        assert json.loads((box.state / "slots/proved.json").read_text()) == {"slot": ""}
