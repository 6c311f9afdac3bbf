"""Fault 42: an artifact that is too large, cut off or other than was signed is never activated.

On real processes; what breaks off is gone on with.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.fleet_boxes import Box, Fleet
from support.fleet_packages import Artifacts, echo
from support.processes import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.mark.long
async def test_fault_42_damaged_artifacts_are_refused(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            site = Artifacts(fleet, box)
            for version in ("1", "2", "3"):
                made = echo(tmp_path / f"{version}.tar.gz", version)
                site.signers.add(made, "plugin", "echo", version)
            assert (await box.enroll(await fleet.token())).code == 0
            await box.agent.start()
            await box.until_uplink("connected")
            cut, longer, other = (site.target(f"plugin/echo/{n}") for n in ("1", "2", "3"))
            data = cut.read_bytes()
            cut.write_bytes(data[:-10])
            longer.write_bytes(longer.read_bytes() + b"more")
            wrong = bytearray(other.read_bytes())
            wrong[len(wrong) // 2] ^= 1
            other.write_bytes(wrong)
            running = (await site.until(site.stands, lambda one: one.get("running")))["running"]
            for version, said in (("1", "is not"), ("2", "larger"), ("3", "is not")):
                await site.push(version)
                await site.until_attempt("failed", said)
                assert not (box.state / "plugins/installed/echo" / version).exists()
            assert (await site.stands()).get("running") == running
            assert await site.plugin() == {}
            cut.write_bytes(data)
            await site.push("1")
            await site.until_plugin("1")


async def test_fault_42_a_download_that_breaks_off_is_gone_on_with(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            site = Artifacts(fleet, box)
            large = echo(tmp_path / "large.tar.gz", "1", os.urandom(64 << 20))
            site.signers.add(large, "plugin", "echo", "1")
            assert (await box.enroll(await fleet.token())).code == 0
            await box.agent.start()
            await box.until_uplink("connected")
            await site.push("1")
            downloads = box.state / "fleet/downloads"

            def came() -> int:
                return sum(path.stat().st_size for path in downloads.glob("*.part"))

            await until(lambda: came() >= 1 << 20, "it comes", every_s=0.001)
            fleet.server.kill()
            before = came()
            assert 1 << 20 <= before < 64 << 20
            await box.agent.kill()
            assert came() >= before
            inode = next(downloads.glob("*.part")).stat().st_ino
            fleet.server.start()
            await box.agent.start()
            sizes: list[int] = []

            def grows() -> bool:
                there = [path.stat() for path in downloads.glob("*.part")]
                sizes.extend(one.st_size for one in there if one.st_ino == inode)
                return bool(sizes) and sizes[-1] > before

            await until(grows, "it goes on", every_s=0.001)
            assert min(sizes) >= before
            await site.until_plugin("1")
