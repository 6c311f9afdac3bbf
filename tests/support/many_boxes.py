"""What a registry holds of many boxes that came, written beside a running server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.identity import gateways
from forebay_fleet.registry import Registry
from forebay_fleet.rollouts import labels

if TYPE_CHECKING:
    from pathlib import Path

SITES = ("ulm", "lyon", "suzhou", "porto", "gdansk")
LATE = fleet_pb2.ComponentHealth(
    kind="device",
    name="press",
    state="DOWN",
    error="no answer from 10.20.0.7:502",
    hint="is the PLC on, and its port open?",
)


def name(number: int) -> str:
    """Give the id of a box."""
    return f"{SITES[number % len(SITES)]}-line{number // len(SITES) % 40 + 1:02}-{number:05}"


def write(data: Path, count: int) -> None:
    """Have `count` boxes: every 20th is offline, every 25th is not well, every 50th went back."""
    now_ns = time.time_ns()
    with Registry(data) as registry:
        labels.prepare(registry)
        with registry.transaction() as db:
            for number in range(count):
                row = gateways.GatewayRow(
                    *(name(number), bytes(32), 1, 0, bytes(32), b"", now_ns + 10**15),
                    *("", 0, now_ns, now_ns),
                )
                gateways.put(db, row)
            db.executemany(
                "INSERT INTO labels VALUES (?, 'site', ?) ON CONFLICT (gateway, name) DO NOTHING",
                [(name(number), SITES[number % len(SITES)]) for number in range(count)],
            )
            db.executemany(
                "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (gateway) DO NOTHING",
                [_report(number, now_ns) for number in range(count)],
            )


def _report(number: int, now_ns: int) -> tuple[object, ...]:
    ill, offline = number % 25 == 3, number % 20 == 5
    health = fleet_pb2.Health(
        healthy=not ill,
        status="1 device is not well" if ill else "all well",
        components=[LATE] if ill else [],
        buffer_s=1.5 + number % 7 * (600 if offline else 1),
        journal_full_in_s=40_000 if offline else 0,
        clock="SYNCED",
    )
    config = fleet_pb2.ConfigStatus(running=bytes(32), running_source="fleet")
    if number % 50 == 9:
        config.last_attempt.phase = fleet_pb2.PHASE_ROLLED_BACK
        config.last_attempt.error = "press gives no values any more"
    elif number % 2:
        config.last_attempt.phase = fleet_pb2.PHASE_COMMITTED
    seen_ns = now_ns - (7_200 * 10**9 if offline else 2 * 10**9)
    return (
        *(name(number), int(not offline), seen_ns, "0.1.0"),
        *(health.SerializeToString(), config.SerializeToString()),
    )
