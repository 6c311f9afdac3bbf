"""What a person sets of one plugin: the table `[plugins.NAME]`, and what it and a manifest come to.

Owns these shapes and how the two are laid over each other. Must not know files: `config.plugins`
reads them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from forebay.errors import Fault
from forebay.pluginhost.manifest import (
    MAX_OUTPUTS,
    MAX_PATTERNS,
    InputSettings,
    Limits,
    Manifest,
    OutputSettings,
    Pattern,
    PluginName,
    WindowSettings,
)
from forebay.pluginhost.seams import Output, OutputKind
from forebay.settings import Directory, Name, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_WILD = frozenset("*?[")


class PluginSettings(Settings):
    """One plugin instance: the source of its results has this table's name."""

    plugin: Annotated[
        PluginName | None, Field(description="Which installed plugin; or set `path`.")
    ] = None
    path: Annotated[
        Directory | None,
        Field(description="Directory with its `plugin.toml`, where it is not installed."),
    ] = None
    version: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}$",
            description="Which version of the installed plugin; the one that was installed last, "
            "if absent. What comes by the fleet needs it.",
        ),
    ] = None
    enabled: Annotated[bool, Field(description="Whether it is run.")] = True
    inputs: Annotated[
        Mapping[Name, Annotated[tuple[Pattern, ...], Field(max_length=MAX_PATTERNS)]],
        Field(description="Shell patterns on DEVICE/TAG for a role, instead of the plugin's."),
    ] = {}
    outputs: Annotated[
        Mapping[Name, OutputSettings],
        Field(
            max_length=MAX_OUTPUTS,
            description="Outputs beside the plugin's, for one that lets a person name them; for "
            "one of its own, what is set here goes over what it says.",
        ),
    ] = {}
    window: Annotated[WindowSettings, Field(description="How much is looked at at once.")] = (
        WindowSettings()
    )
    start: Annotated[
        Literal["all", "newest"] | None,
        Field(description="What is worked on after a pause; as the plugin says, if absent."),
    ] = None
    model: Annotated[
        Directory | None, Field(description="Directory of its model; its own `model`, if absent.")
    ] = None
    model_package: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z][a-z0-9-]{0,31}@[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}$",
            description="Its model as it came by the fleet, `NAME@VERSION`, instead of `model`.",
        ),
    ] = None
    writes: Annotated[
        Mapping[Name, Pattern],
        Field(
            max_length=256,
            description="DEVICE/TAG for each output of kind `write`; rules of `[writes]` must "
            "allow it to `plugin:NAME` too.",
        ),
    ] = {}
    sandbox: Annotated[
        Literal["required", "preferred"],
        Field(
            description="Whether it may run where neither a unit of systemd nor bubblewrap "
            "holds it, with limits on memory and processes alone."
        ),
    ] = "preferred"
    limits: Annotated[Limits, Field(description="What it may take, over what it asks for.")] = (
        Limits()
    )
    settings: Annotated[
        Mapping[str, Any], Field(max_length=1024, description="Its own settings, free in form.")
    ] = {}


@dataclass(frozen=True, slots=True)
class Instance:
    """One plugin as it is to run: the manifest, and what a person set over it.

    `model` is the model's directory if there is one. `settings` goes to the plugin as JSON.
    """

    name: str
    manifest: Manifest
    directory: Path
    inputs: Mapping[str, InputSettings]
    outputs: tuple[Output, ...]
    window: WindowSettings
    start: Literal["all", "newest"]
    limits: Limits
    sandbox: Literal["required", "preferred"]
    settings: Mapping[str, Any]
    model: Path | None = None

    @property
    def version(self) -> str:
        """NAME VERSION of the plugin, for people."""
        return f"{self.manifest.plugin.name} {self.manifest.plugin.version}"

    def command(self) -> tuple[str, ...]:
        """Give the manifest's command with its places filled in."""
        places = {"{python}": str(interpreter(self.directory)), "{dir}": str(self.directory)}
        return tuple(_filled(word, places) for word in self.manifest.plugin.command)


def interpreter(directory: Path) -> Path:
    """Give the Python of the plugin in `directory`: that of its own `venv`, else the agent's."""
    own = directory / "venv" / "bin" / "python"
    return own if own.exists() else Path(sys.executable)


def combine(
    name: str, settings: PluginSettings, manifest: Manifest, directory: Path, faults: list[Fault]
) -> Instance | None:
    """Give the instance of `[plugins.NAME]`; None, and the reasons in `faults`, if it cannot be.

    `directory` is the plugin's, absolute.
    """
    place = f"plugins.{name}"
    known = len(faults)
    try:
        named = {
            output: said.over(manifest.outputs.get(output))
            for output, said in settings.outputs.items()
        }
        window = settings.window.over(manifest.window)
        limits = settings.limits.over(manifest.limits)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        faults.append(Fault(place, f"does not fit the plugin's manifest: {message}", "change it"))
        return None
    all_outputs = {**manifest.outputs, **named}
    faults.extend(_unknown(place, settings, manifest, all_outputs))
    faults.extend(_windowless(f"{place}.window", window))
    faults.extend(_uncounted(f"{place}.outputs", all_outputs))
    outputs = tuple(_outputs(place, settings, all_outputs, faults))
    if len(faults) > known:
        return None
    model = settings.model or directory / "model"
    return Instance(
        name=name,
        manifest=manifest,
        directory=directory,
        inputs={
            role: inputs.model_copy(update={"tags": settings.inputs.get(role, inputs.tags)})
            for role, inputs in manifest.inputs.items()
        },
        outputs=outputs,
        window=window,
        start=settings.start or manifest.plugin.start,
        limits=limits,
        sandbox=settings.sandbox,
        settings={**manifest.settings, **settings.settings},
        model=model if model.is_dir() else None,
    )


def _unknown(
    place: str,
    settings: PluginSettings,
    manifest: Manifest,
    outputs: Mapping[str, OutputSettings],
) -> Iterator[Fault]:
    """Find roles and outputs that the plugin does not have."""
    for role in settings.inputs:
        if role not in manifest.inputs:
            hint = f"its roles: {', '.join(manifest.inputs)}"
            yield Fault(f"{place}.inputs.{role}", "the plugin has no such role", hint)
    writes = [name for name, out in outputs.items() if out.kind is OutputKind.WRITE]
    for output in settings.writes:
        if output not in writes:
            hint = f"its outputs of that kind: {', '.join(writes) or 'none'}"
            yield Fault(
                f"{place}.writes.{output}", "the plugin has no such output of kind write", hint
            )


def _windowless(place: str, window: WindowSettings) -> Iterator[Fault]:
    """Find what is half said of a window."""
    if window.timed and window.every is None:
        yield Fault(place, "has a length or a grace, and no `every`", 'add every = "1 s"')


def _uncounted(place: str, outputs: Mapping[str, OutputSettings]) -> Iterator[Fault]:
    """Find that a plugin gives nothing, or too much."""
    if not outputs:
        yield Fault(place, "the plugin gives nothing until an output is named", "add a table here")
    if len(outputs) > MAX_OUTPUTS:
        yield Fault(place, f"{len(outputs)} outputs, more than {MAX_OUTPUTS}", "name fewer")


def _outputs(
    place: str,
    settings: PluginSettings,
    outputs: Mapping[str, OutputSettings],
    faults: list[Fault],
) -> Iterator[Output]:
    for name, output in outputs.items():
        target = settings.writes.get(name, output.tag) or ""
        if output.kind is OutputKind.WRITE and (not target or _WILD & set(target)):
            faults.append(
                Fault(
                    f"{place}.writes.{name}",
                    "names no tag to write" if not target else "is a pattern, not one tag",
                    f'write {name} = "DEVICE/TAG"',
                )
            )
        yield Output(
            name, output.kind, output.value_type, output.unit, output.min, output.max, target
        )


def _filled(word: str, places: Mapping[str, str]) -> str:
    for place, text in places.items():
        word = word.replace(place, text)
    return word
