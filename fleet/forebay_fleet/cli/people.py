"""The commands about who may use the page and REST: user, api-token.

Owns their arguments and what they print. They change the registry beside a running server, where
it counts from the next request on. What a command needs is imported when it runs, so that `--help`
is instant. A password is never an argument: others could read it there.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forebay_fleet.access.apitokens import TokenRow
    from forebay_fleet.access.roles import Principal
    from forebay_fleet.registry import Registry

Name = Annotated[str, typer.Argument(help="Name of the user.", show_default=False)]
RoleOption = Annotated[str, typer.Option("--role", help="viewer, operator or admin.")]
Why = Annotated[str, typer.Option(help="Why; it stands in the audit.")]
PASSWORD_HINT = "pipe one line into the command, or run it at a terminal"  # noqa: S105 - a hint


def add(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    users = typer.Typer(help="Who may sign in at the page.", no_args_is_help=True)
    for name, command in (
        ("add", user_add),
        ("passwd", user_passwd),
        ("role", user_role),
        ("list", user_list),
        ("disable", user_disable),
        ("enable", user_enable),
    ):
        users.command(name)(command)
    app.add_typer(users, name="user")
    tokens = typer.Typer(help="Tokens of programs that ask REST.", no_args_is_help=True)
    tokens.command("add")(token_add)
    tokens.command("list")(token_list)
    tokens.command("revoke")(token_revoke)
    app.add_typer(tokens, name="api-token")
    app.command()(audit)


def user_add(
    name: Name,
    data: common.Data = common.DATA,
    role: RoleOption = "viewer",
    why: Why = "",
    *,
    as_json: common.Json = False,
) -> None:
    """Make a user, whose password is asked for, or read from standard input."""
    from forebay_fleet.access import users
    from forebay_fleet.access.roles import Role

    wanted = Role.parse(role)
    users.check_name(name)
    password = _password(name)
    with _open(data) as registry:
        users.add(registry, _me(), name, wanted, password, why)
    _done({"name": name, "role": wanted.word}, f"added    {name}, {wanted.word}", as_json=as_json)


def user_passwd(
    name: Name, data: common.Data = common.DATA, why: Why = "", *, as_json: common.Json = False
) -> None:
    """Give a user another password; all of the user's sessions end."""
    from forebay_fleet.access import users

    password = _password(name)
    with _open(data) as registry:
        users.set_password(registry, _me(), name, password, why)
    _done({"name": name}, f"password {name} has another one", as_json=as_json)


def user_role(
    name: Name,
    role: Annotated[str, typer.Argument(help="viewer, operator or admin.", show_default=False)],
    data: common.Data = common.DATA,
    why: Why = "",
    *,
    as_json: common.Json = False,
) -> None:
    """Give a user another role, at once."""
    from forebay_fleet.access import users
    from forebay_fleet.access.roles import Role

    wanted = Role.parse(role)
    with _open(data) as registry:
        users.set_role(registry, _me(), name, wanted, why)
    _done({"name": name, "role": wanted.word}, f"role     {name}, {wanted.word}", as_json=as_json)


def user_list(data: common.Data = common.DATA, *, as_json: common.Json = False) -> None:
    """List users."""
    from forebay_fleet.access import users
    from forebay_fleet.cli import output

    with _open(data) as registry:
        rows = users.listed(registry)
    if as_json:
        output.print_json([row._asdict() | {"role": row.role.word} for row in rows])
        return
    output.table(
        ("name", "role", "signs in by", "state", "last sign-in"),
        [
            (
                *(row.name, row.role.word, "password" if row.local else "oidc"),
                *("disabled" if row.disabled else "active", output.time(row.signed_in_ns)),
            )
            for row in rows
        ],
    )


def user_disable(
    name: Name, data: common.Data = common.DATA, why: Why = "", *, as_json: common.Json = False
) -> None:
    """Shut a user out: all of the user's sessions end at once."""
    _set_disabled(data, name, why, disabled=True, as_json=as_json)


def user_enable(
    name: Name, data: common.Data = common.DATA, why: Why = "", *, as_json: common.Json = False
) -> None:
    """Let a user in again."""
    _set_disabled(data, name, why, disabled=False, as_json=as_json)


def token_add(
    name: Annotated[str, typer.Argument(help="What uses it.", show_default=False)],
    data: common.Data = common.DATA,
    role: RoleOption = "viewer",
    for_: Annotated[str, typer.Option("--for", help="How long it is good; at most 366d.")] = "90d",
    why: Why = "",
    *,
    as_json: common.Json = False,
) -> None:
    """Make a token for a program; it is shown once."""
    import time

    from forebay_fleet.access import apitokens
    from forebay_fleet.access.roles import Role
    from forebay_fleet.cli import output

    wanted, for_s = Role.parse(role), common.seconds(for_)
    with _open(data) as registry:
        text, row = apitokens.create(registry, _me(), name, wanted, for_s, time.time_ns(), why)
    if as_json:
        output.print_json({"token": text, **_described(row, row.created_ns)})
        return
    typer.echo(f"token    {row.id}, {wanted.word}, until {output.time(row.ends_ns)}")
    typer.echo(text)


def token_list(data: common.Data = common.DATA, *, as_json: common.Json = False) -> None:
    """List tokens; their texts are not kept."""
    import time

    from forebay_fleet.access import apitokens
    from forebay_fleet.cli import output

    now_ns = time.time_ns()
    with _open(data) as registry:
        rows = apitokens.listed(registry)
    if as_json:
        output.print_json([_described(row, now_ns) for row in rows])
        return
    output.table(
        ("token", "name", "role", "state", "until", "last used", "made by"),
        [
            (
                *(row.id, row.name, row.role.word, row.state(now_ns), output.time(row.ends_ns)),
                *(output.time(row.used_ns), row.made_by),
            )
            for row in rows
        ],
    )


def token_revoke(
    token_id: Annotated[str, typer.Argument(help="As `api-token list` shows it.")],
    data: common.Data = common.DATA,
    why: Why = "",
    *,
    as_json: common.Json = False,
) -> None:
    """End a token, at once."""
    import time

    from forebay_fleet.access import apitokens

    with _open(data) as registry:
        apitokens.revoke(registry, _me(), token_id, time.time_ns(), why)
    _done({"id": token_id, "state": "revoked"}, f"revoked  {token_id}", as_json=as_json)


def audit(
    data: common.Data = common.DATA,
    subject: Annotated[str | None, typer.Option(help="Only what was done to this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many entries.")] = 50,
    *,
    as_json: common.Json = False,
) -> None:
    """Show who did what, when, and why, the newest first."""
    from forebay_fleet.access import trail
    from forebay_fleet.cli import output

    with _open(data) as registry:
        rows = trail.entries(registry, subject=subject, limit=limit)
    if as_json:
        output.print_json([row._asdict() | {"role": row.role.word} for row in rows])
        return
    output.table(
        ("time", "who", "via", "what", "subject", "why"),
        [
            (output.time(row.at_ns), *(row.who, row.via, row.what, row.subject, row.why or "-"))
            for row in rows
        ],
    )


def _set_disabled(data: Path, name: str, why: str, *, disabled: bool, as_json: bool) -> None:
    from forebay_fleet.access import users

    with _open(data) as registry:
        users.set_disabled(registry, _me(), name, why, disabled=disabled)
    state = "disabled" if disabled else "active"
    _done({"name": name, "state": state}, f"{state:8s} {name}", as_json=as_json)


def _done(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    from forebay_fleet.cli import output

    if as_json:
        output.print_json(document)
    else:
        typer.echo(text)


@contextmanager
def _open(data: Path) -> Iterator[Registry]:
    """Open the registry with the tables of `access`."""
    from forebay_fleet.access import trail
    from forebay_fleet.registry import Registry

    with Registry(data) as registry:
        trail.prepare(registry)
        yield registry


def _me() -> Principal:
    """Who has the data directory may do everything."""
    from forebay_fleet.access.roles import Principal, Role

    return Principal(common.user(), Role.ADMIN, "command line")


def _password(name: str) -> str:
    """Ask for a new password, twice at a terminal. UsageError for one that is not good."""
    import getpass
    import sys

    from forebay_fleet.access import users
    from forebay_fleet.errors import UsageError

    if sys.stdin.isatty():
        password = getpass.getpass(f"New password of {name}: ")
        users.check_password(name, password)
        if getpass.getpass("Once more: ") != password:
            raise UsageError("these are two passwords", hint="type the same one twice")
        return password
    line = sys.stdin.readline(2 * users.MOST_PASSWORD)
    if not line:
        raise UsageError("there is no password to read", hint=PASSWORD_HINT)
    password = line.rstrip("\r\n")
    users.check_password(name, password)
    return password


def _described(row: TokenRow, now_ns: int) -> dict[str, Any]:
    return row._asdict() | {"role": row.role.word, "state": row.state(now_ns)}
