"""The commands about who boxes are: token, gateways revoke, gateways unlock.

Owns their arguments and what they print. They change the registry beside a running server, which
sees it within a second. Must not know how anything is decided. What a command needs is imported
when it runs, so that `--help` is instant.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from forebay_fleet.db.database import Database
    from forebay_fleet.identity.tokens import TokenRow

Name = Annotated[str, typer.Argument(help="Id of the gateway.", show_default=False)]


def add(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    tokens = typer.Typer(help="Join tokens: one box, once, within hours.", no_args_is_help=True)
    tokens.command("create")(token_create)
    tokens.command("list")(token_list)
    tokens.command("revoke")(token_revoke)
    app.add_typer(tokens, name="token")


def add_to_gateways(group: typer.Typer) -> None:
    """Add what is done to one gateway."""
    group.command("revoke")(revoke)
    group.command("unlock")(unlock)


def token_create(
    data: common.Data = common.DATA,
    for_: Annotated[str, typer.Option("--for", help="How long it is good; at most 24h.")] = "1h",
    gateway: Annotated[str | None, typer.Option(help="Serves this id alone.")] = None,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="The box takes over the id of one that is gone.")
    ] = False,
    as_json: common.Json = False,
) -> None:
    """Make a token; it is shown once."""
    import time

    from forebay_fleet.access import trail
    from forebay_fleet.cli import output
    from forebay_fleet.errors import UsageError
    from forebay_fleet.identity import opening, pinning, tokens
    from forebay_fleet.registry import Registry

    def noted(db: Database, row: TokenRow) -> None:
        details: dict[str, object] = {"gateway": gateway, "replaces": bool(replace)}
        common.noted("token.create", row.id, "", details)(db)

    with Registry(data) as registry:
        pin, place = registry.fact(pinning.PIN), registry.fact(opening.ENROLLMENT)
        if pin is None or place is None:
            raise UsageError(
                "no server has opened enrollment on this data directory",
                hint="start it once: forebay-fleet serve --ca DIR --enroll-listen IP:PORT",
            )
        trail.prepare(registry)
        text, row = tokens.create(
            *(registry, bytes.fromhex(pin), common.seconds(for_), time.time_ns()),
            gateway=gateway,
            replace=replace,
            also=noted,
        )
    if as_json:
        output.print_json({"token": text, "server": place, **_described(row, row.created_ns)})
        return
    typer.echo(f"token    {row.id}, good once, until {output.time(row.expires_ns)}")
    typer.echo("run this on the box, and on no other:")
    typer.echo(f"forebay fleet enroll --server {place} --token {text}")


def token_list(data: common.Data = common.DATA, *, as_json: common.Json = False) -> None:
    """List tokens; their texts are not kept."""
    import time

    from forebay_fleet.cli import output
    from forebay_fleet.identity import tokens
    from forebay_fleet.registry import Registry

    now_ns = time.time_ns()
    with Registry(data) as registry:
        rows = tokens.rows(registry)
    if as_json:
        output.print_json([_described(row, now_ns) for row in rows])
        return
    output.table(
        ("token", "state", "gateway", "until", "used by"),
        [
            (
                *(row.id, row.state(now_ns), row.gateway or "any"),
                *(output.time(row.expires_ns), row.used_by or "-"),
            )
            for row in rows
        ],
    )


def token_revoke(
    token_id: Annotated[str, typer.Argument(help="As `token list` shows it.")],
    data: common.Data = common.DATA,
    *,
    as_json: common.Json = False,
) -> None:
    """End a token that nobody has used."""
    import time

    from forebay_fleet.access import trail
    from forebay_fleet.cli import output
    from forebay_fleet.identity import tokens
    from forebay_fleet.registry import Registry

    with Registry(data) as registry:
        trail.prepare(registry)
        also = common.noted("token.revoke", token_id, "")
        tokens.revoke(registry, token_id, time.time_ns(), also)
    if as_json:
        output.print_json({"id": token_id, "state": "revoked"})
    else:
        typer.echo(f"revoked  {token_id}")


def revoke(
    name: Name,
    data: common.Data = common.DATA,
    reason: Annotated[str, typer.Option(help="Why; the box is told.")] = "by the operator",
    *,
    as_json: common.Json = False,
) -> None:
    """Shut a gateway out: its sessions end within a second, and it gets no certificate."""
    import time

    from forebay_fleet.access import trail
    from forebay_fleet.cli import output
    from forebay_fleet.identity import gateways
    from forebay_fleet.registry import Registry

    with Registry(data) as registry:
        known = any(row.name == name for row in gateways.all_enrolled(registry))
        trail.prepare(registry)
        also = common.noted("gateway.revoke", name, reason)
        gateways.revoke(registry, name, reason[:200], time.time_ns(), also)
    if as_json:
        found = {"gateway": name, "state": "revoked", "reason": reason[:200], "enrolled": known}
        output.print_json(found)
        return
    typer.echo(f"revoked  {name}: {reason[:200]}")
    if not known:
        note = "no box has enrolled by this name: it is shut out should one come"
        typer.echo(f"{note} (a slip? forebay-fleet gateways unlock {name})", err=True)


def unlock(name: Name, data: common.Data = common.DATA, *, as_json: common.Json = False) -> None:
    """Let a gateway come again that was locked or revoked."""
    from forebay_fleet.access import trail
    from forebay_fleet.cli import output
    from forebay_fleet.identity import gateways
    from forebay_fleet.registry import Registry

    with Registry(data) as registry:
        trail.prepare(registry)
        was = gateways.unlock(registry, name, common.noted("gateway.unlock", name, ""))
    if as_json:
        output.print_json({"gateway": name, "state": "active", "was": was.state})
    else:
        typer.echo(f"unlocked {name}, which was {was.state}: {was.reason}")


def identities(data: Path) -> dict[str, dict[str, Any]]:
    """Give what the registry of a data directory says of each gateway it knows, for JSON."""
    from forebay_fleet.identity import gateways
    from forebay_fleet.registry import Registry, there

    if not there(data):
        return {}
    with Registry(data) as registry:
        shut = gateways.all_denied(registry)
        rows = {row.name: row for row in gateways.all_enrolled(registry)}
    found: dict[str, dict[str, Any]] = {}
    for name in sorted({*shut, *rows}):
        row, no = rows.get(name), shut.get(name)
        found[name] = {
            "enrolled": row is not None,
            "state": no.state if no else "active",
            "reason": no.reason if no else "",
            "since_ns": no.since_ns if no else 0,
            "generation": row.generation if row else 0,
            "expires_ns": row.expires_ns if row else 0,
            "renewed_ns": row.renewed_ns if row else 0,
            "recoveries": row.recoveries if row else 0,
        }
    return found


def _described(row: TokenRow, now_ns: int) -> dict[str, Any]:
    return {
        **row._asdict(),
        "replaces": bool(row.replaces),
        "state": row.state(now_ns),
    }
