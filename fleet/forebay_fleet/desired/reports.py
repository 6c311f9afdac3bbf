"""What each box said last of itself.

Owns its table, and that a thousand boxes which say that they are there cost one commit a second and
not a thousand. Must not know gRPC, nor what a person is shown.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import structlog

from forebay_fleet.desired import presence, witness
from forebay_fleet.errors import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forebay_fleet._proto import fleet_pb2
    from forebay_fleet.registry import Registry, RegistryThread

MAX_VERSION = 64
MAX_COMPONENTS = 1_100
"""As fleet.proto has it."""
MOST_SECONDS = 1e9
"""Thirty years. What lists count with is a number, whatever one box says: it would be missing in
the list of all."""

_log = structlog.get_logger()


class Report(NamedTuple):
    """See tables.sql; `health` and `config` are messages of fleet.proto, serialized."""

    gateway: str
    online: int
    seen_ns: int
    version: str
    health: bytes
    config: bytes


class Reports:
    """What was said since the last commit. `flush` is called each second, and at the end."""

    def __init__(self, registry: RegistryThread) -> None:
        """Have heard nothing yet."""
        self._registry = registry
        self._server = ""
        self._beaten_ns = 0
        self._waiting: dict[str, Report] = {}
        self._heads: dict[str, witness.Heads] = {}

    async def open(self) -> None:
        """Take every box of this server for offline, as at a server's start. Raises StoreFailed."""
        name = partial(presence.server_name, self._registry.directory)
        self._server = await asyncio.to_thread(name)
        self._beaten_ns = time.time_ns()
        begin = partial(presence.begin, server=self._server, now_ns=self._beaten_ns)
        await self._registry(begin)

    def note(self, report: Report) -> None:
        """Keep what a box said, in memory; an empty part leaves what was said before."""
        before = self._waiting.get(report.gateway)
        if before is not None:
            report = report._replace(
                version=report.version or before.version,
                health=report.health or before.health,
                config=report.config or before.config,
            )
        self._waiting[report.gateway] = report

    def saw(self, heads: witness.Heads) -> None:
        """Keep how far a box's journal is; what went back meanwhile is not passed over."""
        before = self._heads.get(heads.gateway)
        if before is not None and witness.setbacks(before, heads):
            heads = before  # it shows by the next report, against what is kept now
        self._heads[heads.gateway] = heads

    async def flush(self) -> None:
        """Commit what waits. Where the disk refuses, it waits on, and is said in the log."""
        await self._beat()
        waiting, self._waiting = self._waiting, {}
        heads, self._heads = self._heads, {}
        if not waiting and not heads:
            return
        try:
            found = await self._registry(
                lambda one: _commit(one, self._server, [*waiting.values()], heads.values())
            )
        except StoreFailed as error:
            _log.error("registry_failed", error=str(error), hint=error.hint)
            newer, self._waiting = self._waiting, waiting
            newer_heads, self._heads = self._heads, heads
            for report in newer.values():
                self.note(report)
            for one in newer_heads.values():
                self.saw(one)
            return
        for gateway, said in found:
            _log.warning("journal_went_back", gateway=gateway, error=said, hint=witness.HINT)

    async def _beat(self) -> None:
        """Say to other servers of this registry that this one runs."""
        now_ns = time.time_ns()
        if not self._server or 0 <= now_ns - self._beaten_ns < presence.BEAT_NS:
            return
        try:
            beat = partial(presence.beat, server=self._server, now_ns=now_ns)
            silent = await self._registry(beat)
        except StoreFailed as error:
            _log.error("registry_failed", error=str(error), hint=error.hint)
            return
        self._beaten_ns = now_ns
        for name in silent:
            _log.warning("server_silent", server=name, hint="its boxes are shown as offline")


class Reporting:
    """What one box says on one stream: a `parts.Part`."""

    def __init__(self, reports: Reports, gateway: str) -> None:
        """Have heard nothing of this box yet."""
        self._reports, self._gateway = reports, gateway

    async def take(self, message: fleet_pb2.AgentToServer) -> None:
        """See `Part.take`."""
        health = _sound(message.health) if message.HasField("health") else None
        self._reports.note(
            Report(
                *(self._gateway, 1, time.time_ns(), message.description.version[:MAX_VERSION]),
                health.SerializeToString() if health is not None else b"",
                message.config.SerializeToString() if message.HasField("config") else b"",
            )
        )
        if health is not None and health.heads:
            self._reports.saw(witness.read(self._gateway, message.instance_uid, health.heads))

    async def answer(self, _answer: fleet_pb2.ServerToAgent) -> bool:
        """See `Part.answer`: nothing."""
        return False

    def left(self) -> None:
        """Note that the box is not connected any more."""
        self._reports.note(Report(self._gateway, 0, time.time_ns(), "", b"", b""))


def _sound(health: fleet_pb2.Health) -> fleet_pb2.Health:
    """Give what a box said of itself within what it may say."""
    del health.components[MAX_COMPONENTS:]
    for name in ("uptime_s", "buffer_s", "journal_full_in_s"):
        # Of the two, `max` takes 0 where there is no number.
        setattr(health, name, min(max(0.0, getattr(health, name)), MOST_SECONDS))
    return health


def note(registry: Registry, report: Report, server: str = "") -> None:
    """Keep what a box said to a server; an empty part leaves what was said before."""
    _commit(registry, server, (report,), ())


def _commit(
    registry: Registry, server: str, reports: Sequence[Report], heads: Iterable[witness.Heads]
) -> list[tuple[str, str]]:
    """Keep all of it in one transaction; give which journals went back, and how."""
    found: list[tuple[str, str]] = []
    with registry.transaction() as db:
        gone = [report.gateway for report in reports if not report.online]
        here = [report.gateway for report in reports if report.online]
        presence.note(db, server, here, gone)
        db.executemany(
            "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (gateway) DO UPDATE SET"
            # Who left this server is online if it has come to another one.
            " online = (SELECT count(*) FROM presence p WHERE p.gateway = excluded.gateway),"
            " seen_ns = excluded.seen_ns,"
            " version = CASE excluded.version WHEN '' THEN reports.version"
            " ELSE excluded.version END,"
            " health = CASE length(excluded.health) WHEN 0 THEN reports.health"
            " ELSE excluded.health END,"
            " config = CASE length(excluded.config) WHEN 0 THEN reports.config"
            " ELSE excluded.config END",
            reports,
        )
        for one in heads:
            found += [(one.gateway, said) for said in witness.note(db, one, time.time_ns())]
    return found


def every(registry: Registry) -> dict[str, Report]:
    """Give the last report of each gateway that ever came."""
    return {row[0]: Report(*row) for row in registry.rows("SELECT * FROM reports")}
