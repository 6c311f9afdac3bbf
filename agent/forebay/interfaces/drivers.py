"""The face of a driver package, and what a session needs to make a driver.

Owns those contracts. Must not know any protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from forebay.errors import Fault
    from forebay.interfaces.driving import Driver, Line
    from forebay.interfaces.intake import Seams
    from forebay.model import Schema
    from forebay.settings import DeviceSettings, TagSettings


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """What a session needs to make its driver.

    `tags[i]` is the validated row behind column i of the concatenated `schemas`. `state` is the
    directory in which the driver may keep files, which all devices of its protocol share; it makes
    it where it is missing. None if there is none.
    """

    name: str
    settings: DeviceSettings
    schemas: tuple[Schema, ...]
    tags: Mapping[str, TagSettings]
    state: Path | None = None


def no_line(settings: Any) -> str | None:  # noqa: ANN401 - the driver's own settings class
    """Give None: each device has a line of its own."""
    del settings
    return None


def no_difference(one: Any, other: Any) -> Sequence[str]:  # noqa: ANN401 - as `no_line`
    """Find nothing to agree about: lines of which the key says everything."""
    del one, other
    return ()


def no_faults(spec: DeviceSpec) -> Iterable[Fault]:
    """Find nothing wrong: the check of a driver whose settings say everything by themselves."""
    del spec
    return ()


@dataclass(frozen=True, slots=True)
class DriverSpec:
    """The face of a driver package, found by its entry point in `forebay.drivers`.

    Loading it must not import the protocol library; `build` may. `brings` names tags that its
    devices give beside those of the configuration. `modes` are those of `poll` and
    `subscribe` that it serves; `requires` maps an importable module to the extra that brings it.
    `check` finds what is wrong between settings and tags that are right one by one; it touches no
    network. Devices of one protocol for which `line` gives the same key share a `Line`; `differ`
    names the settings of it about which two of them do not agree. `writes` says that its driver is
    a `WritableDriver`. `reaches` gives what its settings have it connect to, as `host:port` or the
    path of a serial port; of a driver without it nobody knows.
    """

    protocol: str
    settings: type[DeviceSettings]
    tag: type[TagSettings]
    modes: frozenset[str]
    build: Callable[[DeviceSpec, Seams, Line], Driver]
    requires: Mapping[str, str]
    brings: frozenset[str] = frozenset()
    check: Callable[[DeviceSpec], Iterable[Fault]] = no_faults
    line: Callable[[Any], str | None] = no_line
    differ: Callable[[Any, Any], Sequence[str]] = no_difference
    writes: bool = False
    reaches: Callable[[Any], Sequence[str]] | None = None
