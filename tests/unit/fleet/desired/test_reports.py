"""Reports of boxes are committed together, and none is lost when the disk refuses one time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format
from structlog.testing import capture_logs

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.cli import health
from forebay_fleet.db.sqlite import SqliteDatabase
from forebay_fleet.desired import reports, states, witness
from forebay_fleet.registry import Registry, RegistryThread
from forebay_fleet.web import moments
from forebay_fleet.web.words import Words

if TYPE_CHECKING:
    from pathlib import Path


def message(status: str = "", version: str = "", desired: bytes = b"") -> fleet_pb2.AgentToServer:
    made = fleet_pb2.AgentToServer()
    if status:
        made.health.status = status
    if desired:
        made.config.desired = desired
    made.description.version = version
    return made


async def opened(registry: RegistryThread) -> reports.Reports:
    await registry(states.prepare)
    await registry(witness.prepare)
    return reports.Reports(registry)


async def test_a_thousand_boxes_cost_one_commit(tmp_path: Path) -> None:
    async with RegistryThread(tmp_path) as registry:
        kept = await opened(registry)
        boxes = [reports.Reporting(kept, f"gw-{number}") for number in range(1_000)]
        for box in boxes:
            await box.take(message("well", "1.0", b"h"))
            await box.take(message())  # a sign of life, which leaves what was said
        commits: list[int] = []
        await registry(lambda one: _count(one, commits))
        await kept.flush()
        found = await registry(reports.every)
        assert len(found) == 1_000
        assert found["gw-7"].online == 1
        assert fleet_pb2.Health.FromString(found["gw-7"].health).status == "well"
        assert fleet_pb2.ConfigStatus.FromString(found["gw-7"].config).desired == b"h"
        assert found["gw-7"].version == "1.0"
        assert len(commits) == 1


async def test_who_leaves_is_offline_and_what_it_said_stays(data: Path) -> None:
    async with RegistryThread(data) as registry:
        kept = await opened(registry)
        box = reports.Reporting(kept, "gw-1")
        await box.take(message("well", "1.0"))
        box.left()
        await kept.flush()
        found = (await registry(reports.every))["gw-1"]
        assert (found.online, found.version) == (0, "1.0")
        assert fleet_pb2.Health.FromString(found.health).status == "well"


async def test_what_the_disk_refuses_is_committed_later_unless_newer_came(tmp_path: Path) -> None:
    async with RegistryThread(tmp_path) as registry:
        kept = await opened(registry)
        first, second = reports.Reporting(kept, "gw-1"), reports.Reporting(kept, "gw-2")
        await first.take(message("old", "1.0"))
        await second.take(message("old", "1.0"))
        await registry(_break)
        with capture_logs() as logs:
            await kept.flush()
        assert [one["event"] for one in logs] == ["registry_failed"]
        await first.take(message("new"))
        await registry(_mend)
        await kept.flush()
        found = await registry(reports.every)
        health = {name: fleet_pb2.Health.FromString(found[name].health).status for name in found}
        assert health == {"gw-1": "new", "gw-2": "old"}
        assert {one.version for one in found.values()} == {"1.0"}


def _count(registry: Registry, commits: list[int]) -> None:
    def committed() -> bool:
        commits.append(1)
        return False

    with registry.reading() as db:
        assert isinstance(db, SqliteDatabase)
        db.connection.set_commit_hook(committed)


def _break(registry: Registry) -> None:
    with registry.transaction() as db:
        db.execute("ALTER TABLE reports RENAME TO away")


def _mend(registry: Registry) -> None:
    with registry.transaction() as db:
        db.execute("ALTER TABLE away RENAME TO reports")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        *((math.nan, 0.0), (math.inf, reports.MOST_SECONDS), (-math.inf, 0.0), (-5.0, 0.0)),
        *((1e308, reports.MOST_SECONDS), (7.5, 7.5)),
    ],
)
async def test_whatever_a_box_says_lists_of_all_can_be_shown(
    tmp_path: Path, said: float, kept: float
) -> None:
    async with RegistryThread(tmp_path) as registry:
        all_ = await opened(registry)
        odd = message("well")
        odd.health.buffer_s = odd.health.journal_full_in_s = odd.health.uptime_s = said
        for _ in range(2 * reports.MAX_COMPONENTS):
            odd.health.components.add()
        await reports.Reporting(all_, "gw-1").take(odd)
        await all_.flush()
        found = fleet_pb2.Health.FromString((await registry(reports.every))["gw-1"].health)
        assert {found.buffer_s, found.journal_full_in_s, found.uptime_s} == {kept}
        assert len(found.components) == reports.MAX_COMPONENTS
        told = json_format.MessageToDict(found, preserving_proto_field_name=True)
        assert health.rows(told, [])
        assert moments.span(Words("en"), round(found.buffer_s * 1e9))
