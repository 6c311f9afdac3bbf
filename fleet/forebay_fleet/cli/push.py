"""The commands that tell boxes what to run, and show what they say of it: push, show.

Owns their arguments and what they print. They change the registry beside a running server, which
sees it within a second. What a command needs is imported when it runs, so that `--help` is instant.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from forebay_fleet.desired.reports import Report

Name = Annotated[str, typer.Argument(help="Id of the gateway.", show_default=False)]


def add(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(push)
    app.command()(show)


def push(
    gateway: Name,
    path: Annotated[
        Path, typer.Argument(help="forebay.toml, or a directory with one; its files go along.")
    ],
    data: common.Data = common.DATA,
    for_: Annotated[str, typer.Option("--for", help="How long a box may begin with it.")] = "30d",
    reason: Annotated[str, typer.Option(help="Why; the box keeps it.")] = "",
    *,
    as_json: common.Json = False,
) -> None:
    """Have a gateway run a configuration: it tries it, and keeps it or goes back by itself."""
    import getpass
    import time

    from forebay_fleet.cli import output
    from forebay_fleet.desired import folder, signing, states
    from forebay_fleet.registry import Registry

    contents = folder.read(path)
    now_ns = time.time_ns()
    until_ns = now_ns + round(common.seconds(for_) * 1e9)
    offer = states.Offer(getpass.getuser()[:64], reason[:200], now_ns, until_ns)
    with Registry(data) as registry:
        states.prepare(registry)
        pushed = states.push(registry, signing.load(data), gateway, contents, offer)
    if as_json:
        output.print_json(
            {
                "gateway": gateway,
                **pushed._asdict(),
                "hash": pushed.hash.hex(),
                "files": sorted(contents),
                "expires_ns": until_ns,
            }
        )
        return
    typer.echo(f"pushed   version {pushed.version} for {gateway}, {len(contents)} files")
    typer.echo(f"hash     {pushed.hash.hex()}")
    typer.echo(f"see what becomes of it: forebay-fleet show {gateway}")


def show(gateway: Name, data: common.Data = common.DATA, *, as_json: common.Json = False) -> None:
    """Show what a gateway was told, what it runs, and what became of the last attempt."""
    from forebay_fleet.cli import output
    from forebay_fleet.errors import UsageError

    found = told(data).get(gateway)
    if found is None:
        hint = "it must be enrolled, and have come once: forebay-fleet gateways"
        raise UsageError(f"nothing is known of {gateway!r}", hint=hint)
    if as_json:
        output.print_json({"gateway": gateway, **found})
        return
    config, health = found["config"], found["health"]
    attempt = config.get("last_attempt", {})
    rows = [
        ("state", "online" if found["online"] else "offline"),
        ("agent", found["version"] or "-"),
        ("health", health.get("status", "-")),
        ("pushed", found["pushed"] or "-"),
        ("desired", config.get("desired", "-")),
        ("running", config.get("running", "-")),
        ("last attempt", attempt.get("phase", "-")),
        ("error", attempt.get("error", "-")),
        ("hint", attempt.get("hint", "-")),
        ("changed", ", ".join(attempt.get("changed", [])) or "-"),
        ("left out", str(config.get("quarantined_count", 0))),
    ]
    output.table(("gateway", gateway), rows)


def told(data: Path) -> dict[str, dict[str, Any]]:
    """Give what each gateway of a data directory was told, and last said, for JSON."""
    from forebay_fleet.desired import reports, states
    from forebay_fleet.registry import FILE, Registry

    if not (data / FILE).exists():
        return {}
    with Registry(data) as registry:
        states.prepare(registry)
        said = reports.every(registry)
        pushed = {row[0]: row[1] for row in registry.rows("SELECT gateway, hash FROM desired")}
    empty = (0, 0, "", b"", b"")
    return {
        name: _described(said.get(name) or reports.Report(name, *empty), pushed.get(name, b""))
        for name in sorted({*said, *pushed})
    }


def _described(report: Report, pushed: bytes) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    from forebay_fleet._proto import fleet_pb2

    health = fleet_pb2.Health.FromString(report.health)
    config = fleet_pb2.ConfigStatus.FromString(report.config)
    shown = MessageToDict(config, preserving_proto_field_name=True)
    for name in ("desired", "running", "effective_hash"):
        if name in shown:
            shown[name] = getattr(config, name).hex()
    if "last_attempt" in shown:
        attempt = shown["last_attempt"]
        attempt["hash"] = config.last_attempt.hash.hex()
        phase = fleet_pb2.ConfigPhase.Name(config.last_attempt.phase)
        attempt["phase"] = phase.removeprefix("PHASE_").lower()
    return {
        "online": bool(report.online),
        "seen_ns": report.seen_ns,
        "version": report.version,
        "pushed": pushed.hex(),
        "health": MessageToDict(health, preserving_proto_field_name=True),
        "config": shown,
    }
