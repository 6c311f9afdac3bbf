"""`forebay plugins model`: the models of a plugin that computes with them.

Owns which store and which trust a table means, and that a running gateway takes up what changed.
What a model is, only the plugin's side knows: its own interpreter does the work, with
`python -m forebay_plugin.models`, and nothing of it is imported here.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from forebay.cli import call, output, plugins_install
from forebay.cli.check import load
from forebay.config import places
from forebay.errors import AgentUnreachable, ConfigError, RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.errors import Fault

LONGEST_S = 600.0
"""The longest wait for one command; a self-test may run a large model."""
NEXT = "next: "
"""Begins a line of the plugin's side that says what is done here."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of its table [plugins.NAME].")]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", readable=False, help="A model's folder, with model.toml.")
]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="Of a model in the store.")]
MaybeVersion = Annotated[
    str, typer.Argument(metavar="[VERSION]", help="Of a model in the store; none ends it.")
]


class _Models(NamedTuple):
    """The plugin's side of one table: its interpreter, its source, its store, whom it trusts."""

    python: Path
    source: Path
    store: Path
    own: bool
    settings: Mapping[str, Any]


def add(group: typer.Typer) -> None:
    """Add the group of commands to the group of plugins."""
    models = typer.Typer(
        no_args_is_help=True, help="Bring a plugin another model, run it beside, put it back."
    )
    models.command("add")(bring)
    models.command("activate")(activate)
    models.command("candidate")(candidate)
    models.command("rollback")(rollback)
    models.command("show")(show)
    group.add_typer(models, name="model")


def bring(
    name: Name, folder: Folder, config: call.Config = places.CONFIG, *, as_json: call.Json = False
) -> None:
    """Judge a model and copy it into the plugin's store; it runs once it is made active."""
    with call.reporting(as_json=as_json):
        models = _store(config, name)
        said = _run(models, "add", "--from", str(folder.absolute()), *_trust(models.settings))
        version = said[-1].rpartition(" ")[2] if said else ""
        hint = f"{NEXT}forebay plugins model activate {name} {version}"
        _tell(name, "add", [*said, hint], [], as_json=as_json)


def activate(
    name: Name,
    version: Version,
    config: call.Config = places.CONFIG,
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Make a version the one that runs; a running gateway starts the plugin anew with it."""
    _change(name, config, socket, "activate", "--version", version, as_json=as_json)


def candidate(
    name: Name,
    version: MaybeVersion = "",
    config: call.Config = places.CONFIG,
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Run a version beside the active one, which is only compared; without one, none."""
    _change(name, config, socket, "candidate", "--version", version, as_json=as_json)


def rollback(
    name: Name,
    config: call.Config = places.CONFIG,
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Make the version active again that was so before, and start the plugin anew with it."""
    _change(name, config, socket, "rollback", as_json=as_json)


def show(name: Name, config: call.Config = places.CONFIG, *, as_json: call.Json = False) -> None:
    """Show the models of a plugin: active, previous, candidate; what each takes and gives."""
    with call.reporting(as_json=as_json):
        _tell(name, "show", _run(_models(config, name), "show"), [], as_json=as_json)


def _change(
    name: str, config: Path, socket: Path, command: str, *words: str, as_json: bool
) -> None:
    """Change the roles of a store, and have a running agent load what is active now."""
    with call.reporting(as_json=as_json):
        said = _run(_store(config, name), command, *words)
        said = [line for line in said if not line.startswith(NEXT)]
        try:
            with plugins_install.agent_at(socket) as agent:
                reply = agent.restart_plugin(name)
        except AgentUnreachable:
            hint = f"{NEXT}start the gateway; it loads this model then"
            _tell(name, command, [*said, hint], [], as_json=as_json)
            return
        _tell(name, command, said, list(reply.done), as_json=as_json)
        if reply.failed:
            raise RequestFailed(
                f"{name} was not started anew: {'; '.join(reply.failed)}",
                hint=f"forebay plugins show {name}",
            )


def _tell(name: str, command: str, said: list[str], restarted: list[str], *, as_json: bool) -> None:
    if as_json:
        output.document({"plugin": name, "command": command, "said": said, "restarted": restarted})
        return
    for line in said:
        print(output.clean(line))
    for one in restarted:
        print(f"{one}: started anew")


def _store(config: Path, name: str) -> _Models:
    """Give the models of a table that names a store; RequestInvalid for the plugin's own model."""
    models = _models(config, name)
    if models.own:
        raise RequestInvalid(
            f"[plugins.{name}] names no directory of models",
            hint='set model = "DIRECTORY" in it: versions of its models are kept there',
        )
    if (models.store / "model.toml").exists():
        raise RequestInvalid(
            f"{models.store} is the folder of one model, and not of versions of it",
            hint=f"name an empty directory as `model`, and add it: "
            f"forebay plugins model add {name} {models.store}",
        )
    return models


def _models(config: Path, name: str) -> _Models:
    from forebay.config.plugins import read_manifest
    from forebay.pluginhost.installed import Installed
    from forebay.pluginhost.settings import interpreter

    loaded = load(config)
    known = {plugin.name: plugin for plugin in loaded.plugins}
    if name not in known:
        raise RequestInvalid(
            f"there is no [plugins.{name}]", hint=f"known are: {', '.join(known) or 'none'}"
        )
    settings = known[name].settings
    directory = settings.path
    if settings.plugin is not None:
        directory = Installed(loaded.state).current(settings.plugin)
    faults: list[Fault] = []
    manifest = read_manifest(directory, f"plugins.{name}", faults) if directory else None
    if directory is None or manifest is None:
        raise ConfigError(
            faults or [one for one in loaded.warnings if one.path.startswith(f"plugins.{name}")]
        )
    given = {**manifest.settings, **settings.settings}
    return _Models(
        interpreter(directory),
        directory / "src",
        settings.model or directory / "model",
        settings.model is None,
        given,
    )


def _trust(settings: Mapping[str, Any]) -> list[str]:
    """Give whom the plugin's settings trust, as words of a command."""
    words = []
    for key, word in (("trusted_keys", "--trust"), ("pinned_models", "--pin")):
        given = settings.get(key, ())
        words += [f"{word}={one}" for one in (given if isinstance(given, list | tuple) else ())]
    if settings.get("allow_unsigned") is True:
        words.append("--allow-unsigned")
    return words


def _run(models: _Models, command: str, *words: str) -> list[str]:
    """Run one command in the plugin's interpreter; give its lines. RequestFailed if it refuses."""
    clean = {key: text for key, text in os.environ.items() if not key.startswith("FOREBAY_")}
    try:
        ran = subprocess.run(  # noqa: S603 - the plugin's interpreter, as the host runs it
            [models.python, "-m", "forebay_plugin.models", command, models.store, *words],
            env=clean | {"PYTHONPATH": str(models.source)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LONGEST_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RequestFailed(
            f"{models.python} did not do it: {error}", hint="see that it runs, by hand"
        ) from error
    if ran.returncode != 0:
        told = ran.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
        raise RequestFailed(
            told[-1].removeprefix("refused: "),
            hint="see docs/guides/models.md; nothing was changed",
        )
    return ran.stdout.decode(errors="replace").splitlines()
