"""What a person is shown of a box's last values, beside what was last asked to be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.cli import common, output
from forebay_fleet.desired import commands, shadows
from forebay_fleet.registry import Registry, there
from forebay_fleet.statuscodes import NAMES

if TYPE_CHECKING:
    from pathlib import Path

NEWEST = 1_000
"""Commands that are looked through for what was asked."""


def show(data: Path, gateway: str, pattern: str, *, as_json: bool) -> None:
    """Print the last values of a gateway whose DEVICE/TAG fits `pattern`. Raises StoreFailed."""
    asked = _asked(data, gateway)
    found = [_described(one, asked) for one in shadows.values(data, gateway, pattern)]
    if as_json:
        output.print_json({"gateway": gateway, "values": found})
        return
    rows = [
        (
            one["tag"],
            "-" if one["value"] is None else str(one["value"]),
            one["unit"] or "-",
            one["quality_name"],
            output.time(one["time_ns"]),
            "-" if one["asked"] is None else f"{one['asked']['value']} {one['asked']['outcome']}",
        )
        for one in found
    ]
    output.table(("tag", "value", "unit", "quality", "since", "last written"), rows)


def _described(one: fleet_pb2.ShadowValue, asked: dict[str, dict[str, Any]]) -> dict[str, Any]:
    kind, tag = one.WhichOneof("value"), f"{one.device}/{one.tag}"
    return {
        "tag": tag,
        "value": getattr(one, kind) if kind else None,
        "unit": one.unit,
        "quality": one.quality,
        "quality_name": NAMES.get(one.quality >> 16, f"0x{one.quality:08x}"),
        "time_ns": one.time_ns,
        "received_ns": one.received_ns,
        "asked": asked.get(tag),
    }


def _asked(data: Path, gateway: str) -> dict[str, dict[str, Any]]:
    """Give for each DEVICE/TAG what was last asked to be written, and what came of it."""
    found: dict[str, dict[str, Any]] = {}
    if not there(data):
        return found
    with Registry(data) as registry:
        commands.prepare(registry)
        rows = registry.rows(
            "SELECT signed, result, issued_ns FROM commands WHERE gateway = ?"
            " ORDER BY issued_ns DESC LIMIT ?",
            (gateway, NEWEST),
        )
    for signed, result, issued_ns in rows:
        command = fleet_pb2.Command.FromString(fleet_pb2.Signed.FromString(signed).payload)
        kind = command.write.WhichOneof("value")
        if kind is None:
            continue
        outcome = "waiting"
        if result is not None:
            number = fleet_pb2.CommandResult.FromString(result).outcome
            outcome = common.word(fleet_pb2.CommandOutcome, number, "COMMAND_")
        tag = f"{command.write.device}/{command.write.tag}"
        value = getattr(command.write, kind)
        found.setdefault(tag, {"value": value, "outcome": outcome, "issued_ns": issued_ns})
    return found
