"""A configuration file becomes typed settings, or every fault in it at once.

Owns the order of checking: files, outer tables, then each device and uplink through the adapter
that it names. Touches no network and writes nothing. Must not know any adapter by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from forebay.config import places
from forebay.config.adapters import chosen, validated
from forebay.config.devices import Device, load_device
from forebay.config.faults import dotted
from forebay.config.lines import check_lines
from forebay.config.model import Config
from forebay.config.named import check_directory, digests, rooted
from forebay.config.plugins import check_plugins, load_plugin, named_twice
from forebay.config.sources import read_sources
from forebay.config.writes import check_limits, check_names
from forebay.errors import ConfigError, Fault
from forebay.journal.cursor import PLUGIN
from forebay.registry import UPLINKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pydantic import BaseModel

    from forebay.config.faults import Where
    from forebay.config.metrics import MetricsSettings
    from forebay.config.plugins import LoadedPlugin
    from forebay.interfaces import UplinkSpec
    from forebay.registry import Registry
    from forebay.settings import UplinkSettings

_Item = TypeVar("_Item")


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

    `quarantined` says what `load_items` left out, and why. Relative paths began at `base`;
    `digests` are the SHA-256 of the files that enabled devices and uplinks name, in hex.
    """

    config: Config
    state: Path
    devices: tuple[Device, ...]
    uplinks: tuple[LoadedUplink, ...]
    plugins: tuple[LoadedPlugin, ...] = ()
    warnings: tuple[Fault, ...] = ()
    quarantined: tuple[Fault, ...] = ()
    base: Path | None = None
    digests: Mapping[Path, str] = field(default_factory=dict)


def load(path: Path, registry: Registry, environ: Mapping[str, str]) -> LoadedConfig:
    """Read and check the file `path` with every `conf.d/*.toml` beside it.

    Relative paths in it begin at its directory. From `environ` come `FOREBAY_STATE` (where the
    state and, unless the file says otherwise, the journal are) and `FOREBAY_SOCKET` (goes
    before `control.socket`).

    Raises:
        ConfigError: with every fault that was found, in the order of the file.
    """
    return _load(path, registry, environ, None)


def load_items(path: Path, registry: Registry, environ: Mapping[str, str]) -> LoadedConfig:
    """Read as `load`, and do without what is wrong by itself: a tag, a device, an uplink, a plugin.

    `LoadedConfig.quarantined` has a fault for each. A rule of `[writes]` that names nothing any
    more allows nothing, and is told there as well.

    Raises:
        ConfigError: with the faults of the outer tables and of the files as a whole.
    """
    return _load(path, registry, environ, [])


def _load(
    path: Path, registry: Registry, environ: Mapping[str, str], aside: list[Fault] | None
) -> LoadedConfig:
    """Load; with `aside`, items that are at fault are left out, and their faults go there."""
    base = path.absolute().parent
    state = places.state_directory(environ)
    sources = read_sources(path)
    faults = sources.faults
    if faults and not sources.tables:
        raise ConfigError(faults)
    tables = _with_environment(sources.tables, state, environ)
    config = validated(Config, tables, (), faults)
    gateway = config.gateway.id if config else None
    items = _Items(faults, aside)
    devices = [
        items.take(load_device, name, table, (base, state), registry, aside=aside)
        for name, table in _tables(tables, "devices")
    ]
    uplinks = [
        items.take(_load_uplink, name, table, (base, state), registry, gateway)
        for name, table in _tables(tables, "uplinks")
    ]
    plugins = [
        items.take(load_plugin, name, table, base, state)
        for name, table in _tables(tables, "plugins")
    ]
    there = _apart([device for device in devices if device], items)
    known = [plugin for plugin in plugins if plugin]
    if config is not None and (aside is not None or None not in devices):
        (faults if aside is None else aside).extend(check_names(config.writes, there))
        faults += check_limits(config.writes, there)
        known = _unlike_devices(known, there, items)
        faults += check_plugins(known, there, config.writes)
    if aside is not None:
        aside += [plugin.refused for plugin in known if plugin.refused is not None]
    if config is not None:
        directory = config.journal.directory
        faults += check_directory(base / directory, directory, "journal.directory")
        told = faults if config.metrics.in_use else []
        metrics = rooted(config.metrics, base, ("metrics",), told)
    if config is None or any(fault.stops for fault in faults):
        raise ConfigError(faults)
    reached = [u for u in uplinks if u]
    rooted_config = config.model_copy(
        update={
            "journal": rooted(config.journal, base, ("journal",), faults, skip=("directory",)),
            "control": rooted(config.control, base, ("control",), faults, skip=("socket",)),
            "metrics": metrics,
        }
    )
    return LoadedConfig(
        config=rooted_config,
        state=state,
        devices=tuple(there),
        uplinks=tuple(reached),
        plugins=tuple(known),
        warnings=tuple(faults),
        quarantined=tuple(aside or ()),
        base=base,
        digests=_digests(metrics, there, reached),
    )


class _Items:
    """Takes items one by one, and keeps what is wrong with one apart if it is to be left out."""

    def __init__(self, faults: list[Fault], aside: list[Fault] | None) -> None:
        self.faults, self.aside = faults, aside

    def take(
        self, load_one: Callable[..., _Item | None], *args: object, **more: object
    ) -> _Item | None:
        """Give the item that `load_one` makes of `args` and a list of faults."""
        found: list[Fault] = []
        item = load_one(*args, found, **more)
        return None if self.left_out(found) else item

    def left_out(self, found: Sequence[Fault]) -> bool:
        """Whether an item with these faults is to be left out; they are told either way."""
        if self.aside is None:
            self.faults += found
            return False
        self.aside += (fault for fault in found if fault.stops)
        self.faults += (fault for fault in found if not fault.stops)
        return any(fault.stops for fault in found)


def _apart(devices: Sequence[Device], items: _Items) -> list[Device]:
    """Give the devices without those that do not agree with others on their line."""
    of: dict[str, list[Fault]] = {}
    for name, fault in check_lines(devices):
        of.setdefault(name, []).append(fault)
    return [d for d in devices if not items.left_out(of.get(d.spec.name, ()))]


def _unlike_devices(
    plugins: Sequence[LoadedPlugin], devices: Sequence[Device], items: _Items
) -> list[LoadedPlugin]:
    """Give the plugins without those that are called as a device is."""
    taken = {device.spec.name for device in devices}
    return [p for p in plugins if p.name not in taken or not items.left_out([named_twice(p)])]


def _digests(
    metrics: MetricsSettings, devices: Sequence[Device], uplinks: Sequence[LoadedUplink]
) -> dict[Path, str]:
    """Give the digests of the files that enabled devices, their stages, uplinks, metrics name."""
    parts: list[BaseModel] = [u.settings for u in uplinks if u.settings.enabled]
    parts += [metrics] if metrics.in_use else []
    for device in devices:
        if device.spec.settings.enabled:
            parts += [device.spec.settings, *(stage.settings for stage in device.stages)]
    return {path: digest for part in parts for path, digest in digests(part)}


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
    roots: tuple[Path, Path],
    registry: Registry,
    gateway: str | None,
    faults: list[Fault],
) -> LoadedUplink | None:
    """Give the uplink; its files are held against `gateway`, the id, unless that is None.

    `roots` are the directory at which relative paths begin, and that of the state.
    """
    base, state = roots
    where: Where = ("uplinks", name)
    if name.startswith(PLUGIN):
        hint = f"call it anything that does not begin with {PLUGIN}"
        faults.append(Fault(dotted(where), "has a name that the journal keeps for plugins", hint))
    spec = chosen(table, "kind", where, registry.uplink, registry.names(UPLINKS), faults)
    settings = validated(spec.settings, table, where, faults) if spec else None
    if spec is None or settings is None:
        return None
    known = len(faults)
    settings = rooted(settings, base, where, faults if settings.enabled else [], state=state)
    if settings.enabled and gateway is not None and len(faults) == known:
        faults.extend(spec.check(gateway, name, settings))
    return LoadedUplink(name, spec, settings)
