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
    from forebay_fleet.db.database import Database
    from forebay_fleet.desired.reports import Report
    from forebay_fleet.desired.states import Pushed

Name = Annotated[str, typer.Argument(help="Id of the gateway.", show_default=False)]


def add(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(push)
    app.command()(show)


def push(
    gateway: Name,
    path: Annotated[
        Path,
        typer.Argument(help="forebay.toml, or a directory with one; may be a template."),
    ],
    data: common.Data = common.DATA,
    for_: Annotated[str, typer.Option("--for", help="How long a box may begin with it.")] = "30d",
    reason: Annotated[str, typer.Option(help="Why; the box keeps it.")] = "",
    agent: Annotated[str, typer.Option(help="A published version of the agent to run.")] = "",
    min_agent: Annotated[
        str, typer.Option(help="Not to be begun with by an agent that is older.")
    ] = "",
    *,
    as_json: common.Json = False,
) -> None:
    """Have a gateway run a configuration: it tries it, and keeps it or goes back by itself."""
    import time

    from forebay_fleet.access import trail
    from forebay_fleet.artifacts import choosing
    from forebay_fleet.artifacts.published import Published
    from forebay_fleet.cli import output
    from forebay_fleet.desired import folder, signing, states
    from forebay_fleet.errors import UsageError
    from forebay_fleet.registry import Registry

    contents = for_box(data, gateway, folder.read(path))
    packages, absent = choosing.chosen(contents, Published(data).artifacts(), agent)
    if agent and f"agent/{choosing.AGENT}/{agent}" in absent:
        raise UsageError(f"agent {agent} is not published", hint="forebay-fleet artifacts list")
    now_ns = time.time_ns()
    until_ns = now_ns + round(common.seconds(for_) * 1e9)
    offer = states.Offer(
        *(common.user(), reason[:200], now_ns, until_ns),
        tuple(packages),
        common.least_version(min_agent),
    )

    def noted(db: Database, pushed: Pushed) -> None:
        details: dict[str, object] = {"version": pushed.version, "hash": pushed.hash.hex()}
        common.noted("config.push", gateway, reason, details)(db)

    with Registry(data) as registry:
        states.prepare(registry)
        trail.prepare(registry)
        pushed = states.push(registry, signing.load(data), gateway, contents, offer, noted)
    if as_json:
        output.print_json(
            {
                "gateway": gateway,
                **pushed._asdict(),
                "hash": pushed.hash.hex(),
                "files": sorted(contents),
                "packages": [one.target for one in packages],
                "not_published": absent,
                "expires_ns": until_ns,
            }
        )
        return
    typer.echo(
        f"pushed   version {pushed.version} for {gateway}, {output.counted(len(contents), 'file')}"
    )
    typer.echo(f"hash     {pushed.hash.hex()}")
    for one in packages:
        typer.echo(f"with     {one.target}")
    for name in absent:
        typer.echo(f"without  {name}: not published, it must be on the box already")
    typer.echo(f"see what becomes of it: forebay-fleet show {gateway}")


def for_box(data: Path, gateway: str, contents: dict[str, bytes]) -> dict[str, bytes]:
    """Fill the places of a template with the box's values. UsageError if one is missing."""
    from forebay_fleet.cli.labels import opened
    from forebay_fleet.errors import UsageError
    from forebay_fleet.rollouts import labels, templates

    template = templates.Template(contents)
    if not template.names and not template.faults:
        return template.render({})
    with opened(data) as registry:
        values = labels.values(registry, gateway)
    for fault in template.faults or template.missing(values):
        raise UsageError(f"{fault.path}: {fault.message}", hint=fault.hint)
    return template.render(values)


def show(
    gateway: Name,
    data: common.Data = common.DATA,
    values: Annotated[
        str | None,
        typer.Option(help="Show last values instead: of DEVICE/TAG, with * and ?.", metavar="GLOB"),
    ] = None,
    *,
    as_json: common.Json = False,
) -> None:
    """Show what a gateway was told, what it runs, and what became of the last attempt."""
    from forebay_fleet.cli import health as lines
    from forebay_fleet.cli import output, shadow
    from forebay_fleet.errors import UsageError

    if values is not None:
        shadow.show(data, gateway, values, as_json=as_json)
        return
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
        *lines.rows(health, found["journal_went_back"]),
    ]
    output.table(("gateway", gateway), rows)


def told(data: Path) -> dict[str, dict[str, Any]]:
    """Give what each gateway of a data directory was told, and last said, for JSON."""
    from forebay_fleet.desired import reports, states, witness
    from forebay_fleet.registry import Registry, there

    if not there(data):
        return {}
    with Registry(data) as registry:
        states.prepare(registry)
        witness.prepare(registry)
        back = witness.told(registry)
        said = reports.every(registry)
        pushed = {row[0]: row[1] for row in registry.rows("SELECT gateway, hash FROM desired")}
    empty = (0, 0, "", b"", b"")
    return {
        name: {
            **_described(said.get(name) or reports.Report(name, *empty), pushed.get(name, b"")),
            "journal_went_back": back.get(name, []),
        }
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
        attempt["phase"] = common.word(fleet_pb2.ConfigPhase, config.last_attempt.phase, "PHASE_")
    return {
        "online": bool(report.online),
        "seen_ns": report.seen_ns,
        "version": report.version,
        "pushed": pushed.hex(),
        "health": MessageToDict(health, preserving_proto_field_name=True),
        "config": shown,
    }
