"""`forebay init`: a first configuration that works, of a tag list or a few answers.

Owns the questions, and that nothing is written that could not run, nor over what somebody wrote.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forebay.cli import call, output
from forebay.config import places
from forebay.errors import ConfigError, Fault, RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.config.beginning import NewDevice, Scalar
    from forebay.interfaces import DriverSpec

MAIN = "forebay.toml"
MAX_CSV_BYTES = 32 << 20

PathArgument = Annotated[
    Path, typer.Argument(readable=False, help="The configuration to write.", show_default=True)
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        readable=False,
        metavar="CSV",
        help="A tag list; columns `device` and `device.KEY` may name devices and set their keys.",
    ),
]
Gateway = Annotated[str | None, typer.Option(help="Id of this box; the host's name if left out.")]
Device = Annotated[
    str | None, typer.Option(help="Name of the device; that of the CSV file if left out.")
]
Protocol = Annotated[
    str | None, typer.Option(help="How it is read; found by its addresses if left out.")
]
Host = Annotated[str | None, typer.Option(help="Where it is.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another key of every device, as unit=3."),
]
Cloud = Annotated[
    str | None, typer.Option(help="The fleet server, HOST or HOST:PORT; none if left out.")
]
Force = Annotated[bool, typer.Option("--force", help="Write over a configuration that is there.")]


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(init)


def init(  # noqa: PLR0913 - one parameter an option
    path: PathArgument = places.CONFIG,
    from_: From = None,
    gateway: Gateway = None,
    device: Device = None,
    protocol: Protocol = None,
    host: Host = None,
    more: Set = None,
    cloud: Cloud = None,
    *,
    force: Force = False,
    as_json: call.Json = False,
) -> None:
    """Write a first configuration that works, of a tag list or a few answers.

    Example: forebay init --from press.csv --host 192.0.2.20 --cloud fleet.example.org
    """
    with call.reporting(as_json=as_json):
        _spare(path, force=force)
        ask = _Ask(asks=sys.stdin.isatty() and not as_json)
        own = ask(gateway, "Id of this box", _host_name(), "--gateway")
        given = _given(protocol, host, more)
        devices = _from(from_, device) if from_ is not None else [_first(ask, device, protocol)]
        devices = [_whole(ask, one, given) for one in devices]
        server = ask(cloud, "Fleet server (empty: none)", "", "--cloud")
        from forebay.config import beginning

        files = beginning.files(own, devices, server)
        _keep(path, files, from_ if len(devices) == 1 else None)
        told = _proved(files)
        named = {name: path if name == MAIN else path.parent / name for name in files}
        _spare_lists(named, files, force=force)
        there = {name for name in files if _is_there(named[name], files[name])}
        _write(path, named, files)
    if as_json:
        output.document({"files": [str(named[name]) for name in files], "summary": told})
        return
    for name in files:
        done = "is there" if name in there else "written "
        print(f"{done} {output.clean(str(named[name]))}")
    print(told)
    where = "" if path == places.CONFIG else f" --config {output.clean(str(path))}"
    if server:
        enroll = f"forebay fleet enroll --server HOST --token TOKEN{where}"
        print(f"next     {enroll}, then start the service")
    else:
        print(f"next     start the service, or: forebay run{where}")


class _Ask:
    """Questions on a terminal; without one, or with --json, what has no default must be given."""

    def __init__(self, *, asks: bool) -> None:
        self._asks = asks

    def __call__(self, given: str | None, question: str, default: str | None, option: str) -> str:
        if given is not None:
            return given
        if self._asks:
            found: str = typer.prompt(question, default=default, show_default=bool(default))
            return found.strip()
        if default is None:
            hint = f"give {option}; on a terminal it is asked for"
            raise RequestInvalid(f"not told: {question.lower()}", hint=hint)
        return default


def _spare(path: Path, *, force: bool) -> None:
    """Raise RequestInvalid if something is there that configures anything."""
    if force or not path.exists():
        return
    from forebay.config.sources import read_sources

    sources = read_sources(path)
    if sources.faults or any(sources.tables.get(key) for key in ("devices", "uplinks", "plugins")):
        raise RequestInvalid(
            f"{path} is there, and configures something",
            hint="name another file, or --force; `forebay check` tells what it is worth",
        )


def _host_name() -> str:
    """Give this machine's name, as a gateway may be called."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname().partition(".")[0])
    return name.strip("-._")[:64] or "first-box"


def _given(protocol: str | None, host: str | None, more: list[str] | None) -> dict[str, Scalar]:
    """Give the keys that the options set for every device. RequestInvalid."""
    from forebay.config.beginning import scalar

    found: dict[str, Scalar] = {}
    if protocol:
        found["protocol"] = protocol
    if host:
        found["host"] = host
    for pair in more or ():
        key, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[a-z_]{1,64}", key.strip()):
            raise RequestInvalid(f"{pair!r} sets nothing", hint="write --set unit=3")
        found[key.strip()] = scalar(value.strip())
    return found


def _from(path: Path, device: str | None) -> list[NewDevice]:
    """Read the tag list. ConfigError."""
    from forebay.config import beginning
    from forebay.config.sources import read_text

    text = read_text(path, str(path), MAX_CSV_BYTES, if_large="make several devices")
    if isinstance(text, Fault):
        raise ConfigError([text])
    stem = re.sub(r"[^A-Za-z0-9_.-]", "-", path.stem).strip("-._")[:64]
    return beginning.devices_of(text, path.name, device or stem or "plc")


def _first(ask: _Ask, device: str | None, protocol: str | None) -> NewDevice:
    """Ask for a device with one tag."""
    from forebay.config.beginning import NewDevice
    from forebay.registry import DRIVERS, Registry

    name = ask(device, "Name of the first device", None, "--from CSV, or --device")
    known = ", ".join(Registry().names(DRIVERS))
    spoken = ask(protocol, f"How it is read ({known})", None, "--protocol")
    cells = (
        ask(None, "Name of its first tag", None, "--from CSV"),
        ask(None, "Address of that tag", None, "--from CSV"),
        ask(None, "Type (bool, int16, uint16, int32, float32, ...)", "float32", "--from CSV"),
    )
    return NewDevice(name, {"protocol": spoken}, ("name", "address", "type"), (cells,))


def _whole(ask: _Ask, device: NewDevice, given: Mapping[str, Scalar]) -> NewDevice:
    """Give a device with all that its driver must know."""
    from forebay.config import beginning
    from forebay.registry import Registry

    registry = Registry()
    settings = {**given, **device.settings}
    guessed = beginning.likely(registry, device) if "protocol" not in settings else ""
    question = f"How {device.name} is read"
    spoken = str(settings.pop("protocol", "") or ask(guessed or None, question, None, "--protocol"))
    spec: DriverSpec = registry.driver(spoken, f"{device.name} protocol")
    for key in beginning.wanted(spec, settings):
        said = spec.settings.model_fields[key].description or key
        option = "--host" if key == "host" else f"--set {key}=VALUE"
        settings[key] = beginning.scalar(ask(None, f"{device.name}: {said}", None, option))
    return device._replace(settings={"protocol": spoken, **settings})


def _spare_lists(named: Mapping[str, Path], files: Mapping[str, str], *, force: bool) -> None:
    """Raise RequestInvalid if a tag list is there that says something else."""
    for name, target in named.items():
        if name != MAIN and not force and target.exists() and not _is_there(target, files[name]):
            hint = "keep the list elsewhere, give another --device, or --force"
            raise RequestInvalid(f"{target} would be written over", hint=hint)


def _keep(path: Path, files: dict[str, str], from_: Path | None) -> None:
    """Leave the list as it is that a person wrote where the configuration looks for it."""
    for name in files:
        target = path.parent / name
        if name != MAIN and from_ is not None and target.exists() and target.samefile(from_):
            files[name] = target.read_text("utf-8-sig", errors="replace")


def _is_there(target: Path, text: str) -> bool:
    """Whether a file says this already."""
    return target.exists() and target.read_text("utf-8-sig", errors="replace") == text


def _proved(files: Mapping[str, str]) -> str:
    """Say what would run. ConfigError if it could not, and then nothing is written."""
    from forebay.cli import check

    with tempfile.TemporaryDirectory(prefix="forebay-init-") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, "utf-8")
        return check.summary(check.load(Path(folder) / MAIN))


def _write(path: Path, named: Mapping[str, Path], files: Mapping[str, str]) -> None:
    """Write the files, whole each, the configuration last. RequestFailed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        group = path.parent.stat().st_gid
        for name in sorted(files, key=lambda one: one == MAIN):
            fresh = named[name].with_name(f".{named[name].name}.new")
            fresh.unlink(missing_ok=True)
            fresh.touch(0o640)  # before there is anything in it
            fresh.write_text(files[name], "utf-8")
            fresh.chmod(0o640)
            with contextlib.suppress(OSError):  # who runs the agent must read it: see packaging
                os.chown(fresh, -1, group)
            fresh.replace(named[name])
    except OSError as error:
        raise RequestFailed(
            f"cannot write {error.filename or path}: {error.strerror}",
            hint="name a file that this user may write",
        ) from error
