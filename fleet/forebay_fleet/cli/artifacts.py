"""The commands for what boxes may run: artifacts key|online|init|add|remove|sign|publish|list.

Owns their arguments. All but `online`, `publish` and `list --data` work on a directory that never
lies on the server. What they need is imported when they run, so that `--help` is instant.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from forebay_fleet.artifacts.repository import Repository

YEAR = "365d"
PASSPHRASE = "FOREBAY_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
Repo = Annotated[Path, typer.Argument(help="The repository's directory, away from the server.")]
For = Annotated[str, typer.Option("--for", help="How long what is signed now is good.")]


def add(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(
        help="Plugins, models and agents that boxes may run, signed by people.",
        no_args_is_help=True,
    )
    for name, command in (
        ("key", key),
        ("online", online),
        ("init", init),
        ("add", add_artifact),
        ("remove", remove),
        ("sign", sign),
        ("publish", publish),
        ("list", list_artifacts),
    ):
        group.command(name)(command)
    app.add_typer(group, name="artifacts")


def key(
    file: Annotated[Path, typer.Argument(help="Where the key goes; FILE.pub is for others.")],
    *,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Whoever has the file can sign.")
    ] = False,
    as_json: common.Json = False,
) -> None:
    """Make a person's key. Keep it away from the server, and away from the other's."""
    from forebay_fleet.artifacts import keys

    passphrase = None if no_passphrase else _passphrase(confirm=True)
    made = keys.make(file, passphrase)
    if as_json:
        _print({"key": made.keyid, "file": str(file), "public": f"{file}.pub"})
        return
    typer.echo(f"key      {made.keyid[:16]}, {file}  (keep it secret)")
    typer.echo(f"public   {file}.pub")


def online(
    out: Annotated[Path, typer.Argument(help="Where the public key goes.")],
    data: common.Data = common.DATA,
    *,
    as_json: common.Json = False,
) -> None:
    """Write the server's public key, which signs that what it gives is the newest."""
    from forebay_fleet.artifacts.published import Published
    from forebay_fleet.errors import UsageError

    try:
        out.write_bytes(Published(data).online_pem())
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}", hint="check the path") from error
    if as_json:
        _print({"file": str(out)})
    else:
        typer.echo(f"{out}")


def init(
    repository: Repo,
    key: Annotated[list[Path], typer.Option(help="Public key of a person; several.")],
    online: Annotated[Path, typer.Option(help="Public key of the server.")],
    threshold: Annotated[int, typer.Option(min=1, help="How many of them must sign.")] = 2,
    for_: For = YEAR,
    *,
    as_json: common.Json = False,
) -> None:
    """Begin a repository, or change who signs it; then each person signs."""
    from forebay_fleet.artifacts import keys

    people = [keys.public(path) for path in key]
    _repository(repository).init(people, keys.public(online), threshold, common.seconds(for_))
    _told(repository, as_json=as_json)


def add_artifact(
    repository: Repo,
    file: Annotated[Path, typer.Argument(help="The archive: .tar.gz or .zip.")],
    name: Annotated[str, typer.Option(help="The plugin's or model's name; forebay for an agent.")],
    version: Annotated[str, typer.Option(help="Its version.")],
    type_: Annotated[str, typer.Option("--type", help="plugin, model or agent.")] = "plugin",
    for_: For = YEAR,
    *,
    as_json: common.Json = False,
) -> None:
    """Look into an archive as a box will, and take it in; then each person signs."""
    from forebay_fleet.artifacts import judging

    if type_ in judging.TYPES:
        judging.judge(file, type_, name, version)
    added = _repository(repository).add(file, type_, name, version, common.seconds(for_))
    if not as_json:
        typer.echo(f"added    {added.path}, {added.size_bytes} bytes, {added.sha256.hex()}")
    _told(repository, as_json=as_json, added=added.path, sha256=added.sha256.hex())


def remove(
    repository: Repo,
    path: Annotated[str, typer.Argument(help="TYPE/NAME/VERSION, as `list` shows it.")],
    for_: For = YEAR,
    *,
    as_json: common.Json = False,
) -> None:
    """Take an archive out; then each person signs. Boxes that have it keep it."""
    _repository(repository).remove(path, common.seconds(for_))
    _told(repository, as_json=as_json, removed=path)


def sign(
    repository: Repo,
    key: Annotated[Path, typer.Option(help="Your private key.")],
    *,
    as_json: common.Json = False,
) -> None:
    """Sign what is there. Look at it first: forebay-fleet artifacts list REPO."""
    from forebay_fleet.artifacts import keys

    passphrase = _passphrase() if keys.encrypted(key) else None
    done = _repository(repository).sign(keys.signer(key, passphrase))
    if not as_json:
        nothing = "nothing: this key has signed it, or may not"
        typer.echo(f"signed   {', '.join(done) or nothing}")
    _told(repository, as_json=as_json, signed=done)


def publish(
    repository: Repo, data: common.Data = common.DATA, *, as_json: common.Json = False
) -> None:
    """Give boxes what is signed. A running server takes it up by itself."""
    from forebay_fleet.artifacts.published import Published
    from forebay_fleet.cli import output

    found = Published(data).publish(_repository(repository))
    if as_json:
        output.print_json({"artifacts": [one.path for one in found]})
    else:
        typer.echo(f"published {output.counted(len(found), 'artifact')}")


def list_artifacts(
    repository: Annotated[
        Path | None, typer.Argument(help="A repository; none: what is published.")
    ] = None,
    data: common.Data = common.DATA,
    *,
    as_json: common.Json = False,
) -> None:
    """Show what is in a repository, or what boxes are given."""
    from forebay_fleet.artifacts.published import Published
    from forebay_fleet.cli import output

    if repository is not None:
        found = _repository(repository).artifacts()
    else:
        found = Published(data).artifacts()
    if as_json:
        output.print_json(
            [
                {
                    "type": one.type,
                    "name": one.name,
                    "version": one.version,
                    "sha256": one.sha256.hex(),
                    "size_bytes": one.size_bytes,
                }
                for one in found
            ]
        )
        return
    rows = [(one.path, str(one.size_bytes), one.sha256.hex()) for one in found]
    output.table(("artifact", "bytes", "sha256"), rows)


def _repository(path: Path) -> Repository:
    from forebay_fleet.artifacts.repository import Repository

    return Repository(path)


def _told(path: Path, *, as_json: bool, **more: object) -> None:
    """Say what was done, and how many signatures are missing."""
    missing = _repository(path).missing()
    if as_json:
        _print({**more, "missing": missing})
        return
    for name, left in missing.items():
        typer.echo(f"unsigned {name} needs {left} more signature{'s' if left > 1 else ''}")
    if not missing:
        typer.echo(f"complete: forebay-fleet artifacts publish {path} --data DIR")


def _print(document: object) -> None:
    from forebay_fleet.cli import output

    output.print_json(document)


def _passphrase(*, confirm: bool = False) -> bytes:
    import os

    told = os.environ.get(PASSPHRASE)
    if told is None:
        told = typer.prompt("passphrase", hide_input=True, confirmation_prompt=confirm)
    return str(told).encode()
