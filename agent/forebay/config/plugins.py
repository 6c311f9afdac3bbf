"""One plugin table becomes an instance, through the manifest in the plugin's own directory.

Owns the reading of `plugin.toml`, and what can be wrong between a plugin, its table and the devices
that there are. Must not know processes.

What is wrong with a person's table forbids the start, as everywhere. What is wrong with a plugin's
own files, or between these and the table, costs that plugin alone: it is told, and is not run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from forebay.config.adapters import validated
from forebay.config.faults import dotted, shown
from forebay.config.named import rooted
from forebay.config.plugincycles import check_cycles
from forebay.config.sources import parse, read_text
from forebay.errors import Fault
from forebay.pluginhost.installed import Installed
from forebay.pluginhost.manifest import FILE, MAX_FILE_BYTES, Manifest
from forebay.pluginhost.seams import OutputKind
from forebay.pluginhost.settings import PluginSettings, combine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from forebay.config.devices import Device
    from forebay.config.faults import Where
    from forebay.pluginhost.seams import Output
    from forebay.pluginhost.settings import Instance
    from forebay.writing.settings import WritesSettings

KIND = "plugins"
MODELS = "models"
"""Where models lie that came by the fleet: STATE/models/NAME/VERSION."""


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """One table `[plugins.NAME]`, its paths absolute.

    `instance` is what runs; where there is none, `refused` says why, or the table is not enabled.
    """

    name: str
    settings: PluginSettings
    instance: Instance | None
    refused: Fault | None = None

    @property
    def plugin(self) -> str:
        """Which plugin, as people say it: its name or its directory."""
        return self.settings.plugin or (self.settings.path.name if self.settings.path else "")


def load_plugin(
    name: str, table: Mapping[str, Any], base: Path, state: Path, faults: list[Fault]
) -> LoadedPlugin | None:
    """Give `[plugins.NAME]`; None, and the reasons in `faults`, if the table is wrong.

    `base` is where relative paths begin, `state` the directory of the state. Faults that cost the
    plugin alone do not stop; of these, too, every one is in `faults`.
    """
    where: Where = (KIND, name)
    settings = validated(PluginSettings, table, where, faults)
    if settings is None:
        return None
    if (settings.plugin is None) == (settings.path is None):
        said = "names neither a plugin nor a path" if settings.path is None else "names both"
        hint = 'write plugin = "NAME" of an installed one, or path = "DIRECTORY"'
        faults.append(Fault(dotted(where), said, hint))
        return None
    settings = rooted(settings, base, where, [])
    return judge(name, settings, state, faults if settings.enabled else [])


def judge(name: str, settings: PluginSettings, state: Path, faults: list[Fault]) -> LoadedPlugin:
    """Give the plugin of these settings as it is on disk now; its faults cost it alone."""
    found: list[Fault] = []
    instance = _instance(name, settings, state, found)
    faults.extend(replace(fault, stops=False) for fault in found)
    if not settings.enabled:
        return LoadedPlugin(name, settings, instance)
    return LoadedPlugin(name, settings, instance, found[0] if found else None)


def _instance(
    name: str, settings: PluginSettings, state: Path, faults: list[Fault]
) -> Instance | None:
    directory, key = settings.path, "path"
    if settings.plugin is not None:
        directory, key = _installed(settings, state), "plugin"
        if directory is None:
            known = ", ".join(Installed(state).names()) or "none"
            hint = f"forebay plugins install PATH; installed are: {known}"
            message = f"{settings.plugin} {settings.version or ''}".rstrip() + " is not installed"
            faults.append(Fault(dotted((KIND, name, key)), message, hint))
    if directory is None:
        return None
    manifest = read_manifest(directory, dotted((KIND, name, key)), faults)
    if manifest is None:
        return None
    if settings.model_package is not None:
        model, _, version = settings.model_package.partition("@")
        settings = settings.model_copy(update={"model": state / MODELS / model / version})
    if settings.model is not None and not settings.model.is_dir():
        place = dotted((KIND, name, "model"))
        faults.append(Fault(place, "is no directory", "put the model there, or correct the path"))
        return None
    return combine(name, settings, manifest, directory, faults)


def _installed(settings: PluginSettings, state: Path) -> Path | None:
    """Give the directory of the version that is asked for, else of the current one, if any."""
    assert settings.plugin is not None
    installed = Installed(state)
    if settings.version is None:
        return installed.current(settings.plugin)
    path = installed.home / settings.plugin / settings.version
    return path if path.is_dir() else None


def read_manifest(directory: Path, place: str, faults: list[Fault]) -> Manifest | None:
    """Give the manifest in `directory`; None and its faults, told at `place`, if it has none."""
    text = read_text(directory / FILE, FILE, MAX_FILE_BYTES, if_large="write a shorter one")
    tables = text if isinstance(text, Fault) else parse(text, FILE)
    if isinstance(tables, Fault):
        faults.append(Fault(place, f"{tables.path} {tables.message}", tables.hint))
        return None
    found: list[Fault] = []
    manifest = validated(Manifest, tables, (), found)
    faults.extend(
        Fault(place, f"{FILE}: {fault.path}: {fault.message}", fault.hint) for fault in found
    )
    return manifest


def named_twice(plugin: LoadedPlugin) -> Fault:
    """Say that a device has the name of `plugin`, too."""
    message = f"a device is called {plugin.name!r} as well"
    hint = "give one of them another name: results are tags NAME/OUTPUT"
    return Fault(dotted((KIND, plugin.name)), message, hint)


def check_plugins(
    plugins: Sequence[LoadedPlugin], devices: Sequence[Device], writes: WritesSettings
) -> Iterator[Fault]:
    """Find what does not fit between enabled plugins, the devices, and the rules of `[writes]`."""
    running = [one.instance for one in plugins if one.instance and one.settings.enabled]
    tags = [
        f"{device.spec.name}/{tag}"
        for device in devices
        if device.spec.settings.enabled
        for tag in (*device.spec.tags, *device.driver.brings)
    ]
    yield from check_cycles(running, (KIND,))
    for instance in running:
        others = [
            f"{other.name}/{output.name}"
            for other in running
            if other is not instance
            for output in other.outputs
            if output.kind is not OutputKind.WRITE
        ]
        yield from _unmatched(instance, [*tags, *others])
        for output in instance.outputs:
            if output.kind is OutputKind.WRITE:
                yield from _unwritable(instance.name, output, devices, writes)


def _unmatched(instance: Instance, tags: Sequence[str]) -> Iterator[Fault]:
    """Find patterns that no tag of the configuration fits; one may still come while it runs."""
    for role, inputs in instance.inputs.items():
        for at, pattern in enumerate(inputs.tags):
            if not any(fnmatchcase(tag, pattern) for tag in tags):
                place = dotted((KIND, instance.name, "inputs", role, at))
                hint = "`forebay tags` lists those of a running gateway; results are PLUGIN/OUTPUT"
                yield Fault(place, f"{shown(pattern)} fits no tag", hint, stops=False)


def _unwritable(
    name: str, output: Output, devices: Sequence[Device], writes: WritesSettings
) -> Iterator[Fault]:
    """Find why the gate would never let out what `output` asks for."""
    place = dotted((KIND, name, "writes", output.name))
    device_name, _, tag_name = output.target.partition("/")
    tags = {device.spec.name: device.spec.tags for device in devices}
    tag = tags.get(device_name, {}).get(tag_name)
    who = f"plugin:{name}"
    if tag is None:
        yield Fault(
            place, f"there is no tag {shown(output.target)}", "write DEVICE/TAG", stops=False
        )
    elif not tag.writable:
        hint = 'give the tag access = "read_write"'
        yield Fault(place, f"{shown(output.target)} may only be read", hint, stops=False)
    elif not writes.enabled:
        hint = "set enabled = true in [writes], or the output goes nowhere"
        yield Fault(place, "writes are off", hint, stops=False)
    elif not any(
        rule.names(device_name, tag_name, method=False) and rule.binds(who) for rule in writes.allow
    ):
        message = f"no rule of [writes] lets {who} write {shown(output.target)}"
        hint = f'add a rule with by = ["{who}"]; see docs/guides/writes.md'
        yield Fault(place, message, hint, stops=False)
