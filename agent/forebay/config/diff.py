"""What differs between two configurations, part by part.

Owns what is one part, when two are the same, and which can change while the agent runs. Pure.

A part is the same if its settings, its tags in their order, and the names and the content of the
files that it names are. Where these files lie does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from forebay.config.devices import Device
    from forebay.config.load import LoadedConfig, LoadedUplink
    from forebay.config.plugins import LoadedPlugin

Kind = Literal[
    "device", "uplink", "plugin", "writes", "journal", "log", "metrics", "gateway", "control"
]
Action = Literal["add", "remove", "change"]

_LIVE_OF_JOURNAL = frozenset({"commit_interval", "wear_budget"})
"""What of `[journal]` is no part of the files on disk, nor of how they are kept."""


@dataclass(frozen=True, slots=True)
class Change:
    """One part that differs.

    `name` is empty for parts of which there is one. What is not `live` ends the agent's parts in
    order and begins them again.
    """

    kind: Kind
    name: str
    action: Action
    live: bool = True

    def __str__(self) -> str:
        """Give the part as reports name it: "device press", "journal"."""
        return f"{self.kind} {self.name}".rstrip()


def changes(before: LoadedConfig, after: LoadedConfig) -> tuple[Change, ...]:
    """Give what differs: outer tables, then devices, uplinks and plugins, by name."""
    return (*_tables(before, after), *_parts(before, after))


def _tables(before: LoadedConfig, after: LoadedConfig) -> Iterator[Change]:
    old, new = before.config, after.config
    if old.gateway != new.gateway:
        yield Change("gateway", "", "change", live=False)
    if old.control != new.control:
        yield Change("control", "", "change", live=False)
    if old.journal != new.journal or before.state != after.state:
        live = _LIVE_OF_JOURNAL if before.state == after.state else frozenset()
        rest = [journal.model_dump(exclude=set(live)) for journal in (old.journal, new.journal)]
        yield Change("journal", "", "change", live=rest[0] == rest[1])
    if old.log != new.log:
        yield Change("log", "", "change")
    if _plain(old.metrics, before) != _plain(new.metrics, after):
        yield Change("metrics", "", "change")
    if old.writes != new.writes:
        yield Change("writes", "", "change")


def _parts(before: LoadedConfig, after: LoadedConfig) -> Iterator[Change]:
    parts: tuple[tuple[Kind, Mapping[str, object], Mapping[str, object]], ...] = (
        ("device", _devices(before), _devices(after)),
        ("uplink", _uplinks(before), _uplinks(after)),
        ("plugin", _plugins(before), _plugins(after)),
    )
    for kind, olds, news in parts:
        for name in sorted(olds.keys() | news.keys()):
            if name not in news:
                yield Change(kind, name, "remove")
            elif name not in olds:
                yield Change(kind, name, "add")
            elif olds[name] != news[name]:
                yield Change(kind, name, "change")


def _devices(loaded: LoadedConfig) -> dict[str, object]:
    return {device.spec.name: _device(device, loaded) for device in loaded.devices}


def _device(device: Device, loaded: LoadedConfig) -> object:
    settings = {k: v for k, v in _plain(device.spec.settings, loaded).items() if k != "tags"}
    stages = [_plain(stage.settings, loaded) for stage in device.stages]
    return settings, stages, list(device.spec.tags.items())


def _uplinks(loaded: LoadedConfig) -> dict[str, object]:
    return {uplink.name: _uplink(uplink, loaded) for uplink in loaded.uplinks}


def _uplink(uplink: LoadedUplink, loaded: LoadedConfig) -> object:
    return _plain(uplink.settings, loaded)


def _plugins(loaded: LoadedConfig) -> dict[str, object]:
    return {plugin.name: _plugin(plugin, loaded) for plugin in loaded.plugins}


def _plugin(plugin: LoadedPlugin, loaded: LoadedConfig) -> object:
    """Give a plugin with its manifest: another version of it is another plugin."""
    instance = plugin.instance
    if instance is None:
        return _plain(plugin.settings, loaded), str(plugin.refused)
    places = (_value(instance.directory, loaded), _value(instance.model, loaded))
    rest = (instance.manifest, instance.inputs, instance.outputs, instance.window, instance.start)
    more = (instance.limits, instance.sandbox, instance.settings)
    return _plain(plugin.settings, loaded), places, rest, more


def _plain(settings: BaseModel, loaded: LoadedConfig) -> dict[str, object]:
    """Give settings as values that are equal if they mean the same."""
    return {name: _value(getattr(settings, name), loaded) for name in type(settings).model_fields}


def _value(value: object, loaded: LoadedConfig) -> object:
    match value:
        case BaseModel():
            return type(value).__name__, _plain(value, loaded)
        case Path():
            # The same absolute path may lie below one configuration's directory and not below the
            # other's: what a file is, is its name and its content. A directory is where it is.
            digest = loaded.digests.get(value)
            return (value.name, digest) if digest is not None else value
        case dict():
            return {key: _value(one, loaded) for key, one in value.items()}
        case tuple() | list():
            return [_value(one, loaded) for one in value]
        case _:
            return value
