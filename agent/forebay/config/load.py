"""A configuration file becomes typed settings, or every fault in it at once.

Owns the order of checking: files, outer tables, then each device and uplink through the adapter
that it names. Touches no network and writes nothing. Must not know any adapter by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay.config import places
from forebay.config.adapters import chosen, validated
from forebay.config.devices import Device, load_device
from forebay.config.faults import dotted
from forebay.config.lines import check_lines
from forebay.config.model import Config
from forebay.config.named import check_directory, rooted
from forebay.config.plugins import check_plugins, load_plugin
from forebay.config.sources import read_sources
from forebay.config.writes import check_writes
from forebay.errors import ConfigError, Fault
from forebay.journal.cursor import PLUGIN
from forebay.registry import UPLINKS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from forebay.config.faults import Where
    from forebay.config.plugins import LoadedPlugin
    from forebay.interfaces import UplinkSpec
    from forebay.registry import Registry
    from forebay.settings import UplinkSettings


class LoadedUplink(NamedTuple):
    """One destination, ready to be built: `spec.build(name, settings, seams)`."""

    name: str
    spec: UplinkSpec
    settings: UplinkSettings


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration without a fault; every path in it is absolute.

    `state` is the directory for all that survives a restart beside the journal. `devices`,
    `uplinks` and `plugins` stand in the order of the file, and those that are not `enabled` are
    among them. `config` holds the outer tables. `warnings` are faults without `stops`.
    """

    config: Config
    state: Path
    devices: tuple[Device, ...]
    uplinks: tuple[LoadedUplink, ...]
    plugins: tuple[LoadedPlugin, ...] = ()
    warnings: tuple[Fault, ...] = ()


def load(path: Path, registry: Registry, environ: Mapping[str, str]) -> LoadedConfig:
    """Read and check the file `path` with every `conf.d/*.toml` beside it.

    Relative paths in it begin at its directory. From `environ` come `FOREBAY_STATE` (where the
    state and, unless the file says otherwise, the journal are) and `FOREBAY_SOCKET` (goes
    before `control.socket`).

    Raises:
        ConfigError: with every fault that was found, in the order of the file.
    """
    base = path.absolute().parent
    state = places.state_directory(environ)
    sources = read_sources(path)
    faults = sources.faults
    if faults and not sources.tables:
        raise ConfigError(faults)
    tables = _with_environment(sources.tables, state, environ)
    config = validated(Config, tables, (), faults)
    gateway = config.gateway.id if config else None
    devices = [
        load_device(name, table, (base, state), registry, faults)
        for name, table in _tables(tables, "devices")
    ]
    uplinks = [
        _load_uplink(name, table, base, registry, gateway, faults)
        for name, table in _tables(tables, "uplinks")
    ]
    plugins = [
        load_plugin(name, table, base, state, faults) for name, table in _tables(tables, "plugins")
    ]
    faults += check_lines([device for device in devices if device])
    if config is not None and None not in devices:
        faults += check_writes(config.writes, [device for device in devices if device])
        known = [plugin for plugin in plugins if plugin]
        faults += check_plugins(known, [device for device in devices if device], config.writes)
    if config is not None:
        directory = config.journal.directory
        faults += check_directory(base / directory, directory, "journal.directory")
    if config is None or any(fault.stops for fault in faults):
        raise ConfigError(faults)
    return LoadedConfig(
        config=config.model_copy(
            update={
                "journal": rooted(config.journal, base, ("journal",), faults, skip=("directory",)),
                "control": rooted(config.control, base, ("control",), faults, skip=("socket",)),
            }
        ),
        state=state,
        devices=tuple(d for d in devices if d),
        uplinks=tuple(u for u in uplinks if u),
        plugins=tuple(p for p in plugins if p),
        warnings=tuple(faults),
    )


def _with_environment(
    tables: Mapping[str, Any], state: Path, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Give the tables with what the environment adds; tables that may be left out are there."""
    out = {"gateway": {}, "journal": {}, "control": {}, **tables}
    if isinstance(out["journal"], dict):
        out["journal"] = {"directory": str(state / "journal"), **out["journal"]}
    if isinstance(out["control"], dict) and environ.get("FOREBAY_SOCKET"):
        out["control"] = {**out["control"], "socket": str(places.socket_path(environ))}
    return out


def _tables(tables: Mapping[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Give the tables `[kind.NAME]`; for anything else the outer model has a fault."""
    named = tables.get(kind)
    if not isinstance(named, dict):
        return []
    return [(name, table) for name, table in named.items() if isinstance(table, dict)]


def _load_uplink(
    name: str,
    table: Mapping[str, Any],
    base: Path,
    registry: Registry,
    gateway: str | None,
    faults: list[Fault],
) -> LoadedUplink | None:
    """Give the uplink; its files are held against `gateway`, the id, unless that is None."""
    where: Where = ("uplinks", name)
    if name.startswith(PLUGIN):
        hint = f"call it anything that does not begin with {PLUGIN}"
        faults.append(Fault(dotted(where), "has a name that the journal keeps for plugins", hint))
    spec = chosen(table, "kind", where, registry.uplink, registry.names(UPLINKS), faults)
    settings = validated(spec.settings, table, where, faults) if spec else None
    if spec is None or settings is None:
        return None
    known = len(faults)
    settings = rooted(settings, base, where, faults if settings.enabled else [])
    if settings.enabled and gateway is not None and len(faults) == known:
        faults.extend(spec.check(gateway, name, settings))
    return LoadedUplink(name, spec, settings)
