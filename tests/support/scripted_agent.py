"""An agent of set words behind a real control server, for tests of server, client and commands.

The answers are data; the socket, gRPC and the processes are real. Run as a module, it serves on the
socket named by its argument until it is killed, so that a test can freeze or kill it.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.control.planning import PlannedGroup, PlannedRequest, PlanReply, RefusedTag
from forebay.control.server import ControlServer
from forebay.control.view import (
    DeviceStatus,
    JournalStatusReply,
    LedgerLine,
    QuarantineDone,
    QuarantinedRecord,
    RecordSummary,
    SegmentStatus,
    StatusReply,
    StreamStatus,
    TagKey,
    TagValue,
    UplinkStatus,
)
from forebay.errors import RequestFailed, RequestInvalid
from forebay.model import Outcome, Quality
from forebay.writing.gate import Result
from forebay.writing.rules import Action
from support.scripted_plugins import ScriptedPlugins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from forebay.config.attempts import Rolling
    from forebay.config.carried import Carrying
    from forebay.config.linked import LinkStatus
    from forebay.config.tended import Tending
    from forebay.interfaces import Driver
    from forebay.writing.rules import Ask

SECOND = 1_000_000_000
NOW = 1_795_000_000 * SECOND
"""The moment at which the scripted agent lives, ns."""
EPOCH = (7 << 32) | 0xBEEF


PLANNED = PlanReply(
    "press",
    "192.0.2.10:502",
    (
        PlannedRequest("fast", "holding", 0, 125, 118, 7, "first of holding", 3.21),
        PlannedRequest("fast", "holding", 125, 4, 2, 0, "the block before is full (125)", 1.2),
        PlannedRequest(
            "slow", "coil", 65_535, 1, 1, 0, "the device refuses a request that reaches across"
        ),
    ),
    (PlannedGroup("fast", 0.1, 2, 0.0441), PlannedGroup("slow", 60.0, 1)),
    tuple(RefusedTag("fast", f"t{n}", f"holding:{n}", "BadNodeIdUnknown") for n in range(9, 31)),
    0.861,
    ("fast: 22 tags are refused, and asked alone again every 60 polls",),
)


def tag(device: str, name: str, value: float | str | None = 1.5) -> TagValue:
    """Give one tag, read 1.2 s ago; a bool is a number here too, None makes it bad."""
    quality = Quality.BAD_TIMEOUT if value is None else Quality.GOOD
    kind = {bool: "bool", int: "int64", float: "float64", str: "string"}.get(type(value), "int16")
    return TagValue(
        device=device,
        name=name,
        address="40001",
        type=kind,
        unit="bar",
        group="fast",
        value=value,
        quality=quality,
        time_ns=NOW - 1_200_000_000,
        received_ns=NOW - 1_190_000_000,
    )


@dataclass
class ScriptedGate:
    """Implements `forebay.control.view.WriteGate`: answers by what is asked of.

    `press/limit` is refused, `press/doubt` is in doubt, and there is no `press/nothing`.
    """

    asked: list[tuple[Ask, float]] = field(default_factory=list)

    async def ask(self, ask: Ask, deadline_s: float = 0.0) -> Result:
        self.asked.append((ask, deadline_s))
        if ask.item == "nothing":
            raise RequestInvalid("there is no tag 'press/nothing'", hint="see `forebay tags`")
        if ask.item == "limit":
            return Result("w1", Outcome.REFUSED, "99 is above what is allowed", "at most 80")
        if ask.item == "doubt":
            return Result("w1", Outcome.UNKNOWN, "no answer in time", "look at the device")
        if ask.action is Action.CALL:
            return Result("w1", Outcome.GOOD, outputs=(7, "done"), took_ms=12.5)
        (value,) = ask.values
        return Result("w1", Outcome.GOOD, read_back=value, took_ms=3.25)


@dataclass
class ScriptedAgent:
    """Implements `forebay.control.view.AgentView`; a test replaces what it wants to see."""

    status_reply: StatusReply = field(
        default_factory=lambda: StatusReply(
            gateway="press-hall-1",
            version="0.1.0",
            uptime_s=93_784.0,
            state="running",
            devices=3,
            devices_connected=1,
            tags=5_125,
            samples_per_s=50_312.4,
            rss_bytes=88 << 20,
            problems=("device oven is not connected: no route to host",),
        )
    )
    device_list: list[DeviceStatus] = field(
        default_factory=lambda: [
            DeviceStatus(
                name="press",
                protocol="modbus",
                state="connected",
                tags=5_000,
                polls=864_000,
                connections=1,
                last_poll_ms=8.42,
                last_data_ns=NOW - 80_000_000,
            ),
            DeviceStatus(
                name="oven",
                protocol="opcua",
                state="waiting",
                tags=125,
                tags_bad=125,
                last_error="no route to host 10.0.0.7",
                last_hint="check the cable and the address",
                next_try_s=12.5,
            ),
            DeviceStatus(name="spare", protocol="modbus", state="disabled", tags=0),
        ]
    )
    tags: list[TagValue] = field(
        default_factory=lambda: [
            tag("press", "pressure", 101.325),
            tag("press", "cycles", (1 << 64) - 1),
            tag("press", "offset", -7),
            tag("press", "closed", value=True),
            tag("press", "job/name", "Halter \N{LATIN SMALL LETTER U WITH DIAERESIS}"),
            tag("oven", "temperature", None),
        ]
    )
    ledger_lines: list[LedgerLine] = field(
        default_factory=lambda: [
            LedgerLine("events", "cloud", 12, 12, 0, 0, 0),
            LedgerLine("telemetry", "cloud", 5_000_000, 4_990_000, 9_000, 1_000, 0, accepted=250),
        ]
    )
    uplink_list: list[UplinkStatus] = field(
        default_factory=lambda: [
            UplinkStatus(
                name="cloud",
                kind="grpc",
                state="waiting",
                records_sent=1_000,
                records_acked=990,
                bytes_sent=64 << 20,
                pending_records=10,
                pending_bytes=640 << 10,
                unacked_bytes=4_096,
                credit_bytes=16 << 20,
                oldest_pending_s=75.0,
                last_ack_s=74.2,
                sessions=3,
                last_error="connection refused by fleet.example:7443",
                last_hint="is the fleet server up?",
            )
        ]
    )
    journal: JournalStatusReply = field(
        default_factory=lambda: JournalStatusReply(
            directory="/var/lib/forebay/journal",
            streams=(
                StreamStatus(
                    stream="telemetry",
                    epoch=EPOCH,
                    first_seq=101,
                    next_seq=2_601,
                    bytes=150 << 20,
                    max_bytes=10 << 30,
                    segments=10,
                    samples=5_000_000,
                    oldest_ns=NOW - 3 * 86_400 * SECOND,
                    newest_ns=NOW - SECOND // 2,
                ),
            ),
            commit_p50_ms=0.21,
            commit_p99_ms=3.94,
            commits=250_000,
            ring_bytes=65_536,
            ring_max_bytes=32 << 20,
            disk_free_bytes=80 << 30,
        )
    )
    segment_list: list[SegmentStatus] = field(
        default_factory=lambda: [
            SegmentStatus(
                stream="events",
                file="000700000000beef-0000000000000001.seg",
                epoch=EPOCH,
                first_seq=1,
                last_seq=0,
                bytes=4_096,
                samples=0,
                sealed=False,
                time_min_ns=0,
                time_max_ns=0,
            ),
            SegmentStatus(
                stream="telemetry",
                file="000700000000beef-0000000000000065.seg",
                epoch=EPOCH,
                first_seq=101,
                last_seq=350,
                bytes=16 << 20,
                samples=500_000,
                sealed=True,
                time_min_ns=NOW - SECOND,
                time_max_ns=NOW,
            ),
        ]
    )
    records: list[RecordSummary] = field(
        default_factory=lambda: [
            RecordSummary(
                "telemetry", EPOCH, 101 + n, kind, n * 5_000, 4_096 + n, NOW, NOW + n, text
            )
            for n, (kind, text) in enumerate(
                [
                    ("schema", "press/fast: 5000 tags"),
                    ("batch", "press/fast"),
                    ("gap", "ring_overflow press"),
                ]
            )
        ]
    )
    aside: list[QuarantinedRecord] = field(
        default_factory=lambda: [
            QuarantinedRecord(
                id=f"cloud/telemetry-{EPOCH:016x}-{seq:016x}",
                uplink="cloud",
                stream="telemetry",
                epoch=EPOCH,
                seq=seq,
                kind="batch",
                samples=5_000,
                bytes=64 << 10,
                at_ns=NOW - 7_200 * SECOND,
                code=code,
                reason=reason,
            )
            for seq, code, reason in (
                (101, "SchemaUnknown", "no schema 1f00 was ever sent"),
                (117, "Suspect", "five sessions broke with it"),
            )
        ]
    )
    shown: list[tuple[str, int, int, int]] = field(default_factory=list)
    """What ShowRecords was asked for."""

    drivers: dict[str, Driver] = field(default_factory=dict)
    plans: dict[str, PlanReply] = field(default_factory=lambda: {"press": PLANNED})

    gate: ScriptedGate = field(default_factory=ScriptedGate)
    plugins: ScriptedPlugins = field(default_factory=ScriptedPlugins)
    config: Rolling | None = None
    carrying: Carrying | None = None
    tending: Tending | None = None
    link: LinkStatus | None = None

    def status(self) -> StatusReply:
        return self.status_reply

    def devices(self) -> Iterable[DeviceStatus]:
        return self.device_list

    def tag_keys(self) -> Sequence[TagKey]:
        return [TagKey(tag.device, tag.name) for tag in self.tags]

    def tag_values(self, keys: Sequence[TagKey]) -> Sequence[TagValue | None]:
        known = {(tag.device, tag.name): tag for tag in self.tags}
        return [known.get(key) for key in keys]

    def uplinks(self) -> Iterable[UplinkStatus]:
        return self.uplink_list

    async def ledger(self) -> Iterable[LedgerLine]:
        return self.ledger_lines

    async def journal_status(self) -> JournalStatusReply:
        return self.journal

    async def segments(self) -> Iterable[SegmentStatus]:
        return self.segment_list

    async def show_records(
        self, stream: str, seq_from: int, limit: int, run: int
    ) -> Iterable[RecordSummary]:
        self.shown.append((stream, seq_from, limit, run))
        return self.records

    def plan(self, device: str) -> PlanReply:
        return self.plans[device]

    def connected(self, device: str) -> Driver:
        if device not in self.drivers:
            raise RequestFailed(f"{device} is not connected", hint="wait until it is")
        return self.drivers[device]

    @property
    def set_aside(self) -> ScriptedQuarantine:
        return ScriptedQuarantine(self.aside)


class ScriptedQuarantine:
    """Implements `QuarantineView` over a list; the destination takes only what is suspect."""

    def __init__(self, aside: list[QuarantinedRecord]) -> None:
        self._aside = aside

    def list(self, uplink: str) -> Iterable[QuarantinedRecord]:
        return [one for one in self._aside if uplink in ("", one.uplink)]

    async def retry(self, ids: Sequence[str]) -> QuarantineDone:
        return self._take(ids, lambda one: one.code == "Suspect")

    async def drop(self, ids: Sequence[str]) -> QuarantineDone:
        return self._take(ids, lambda _: True)

    def _take(
        self, ids: Sequence[str], goes: Callable[[QuarantinedRecord], bool]
    ) -> QuarantineDone:
        done = [one.id for one in self._aside if one.id in ids and goes(one)]
        self._aside[:] = [one for one in self._aside if one.id not in done]
        failed = [f"{one}: the destination refused it again" for one in ids if one not in done]
        return QuarantineDone(tuple(done), tuple(failed))


@asynccontextmanager
async def spawned(path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Serve from a process of its own; it listens when this is entered and is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.scripted_agent",
        str(path),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"listening\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _serve(path: Path) -> None:
    async with ControlServer(path, ScriptedAgent()):
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
