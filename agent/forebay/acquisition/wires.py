"""Which devices share a line, and where on it each stands.

Owns the grouping of devices by the keys that their drivers give. Must not know protocols.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from forebay.acquisition.line import SharedLine
from forebay.acquisition.news import LineNews
from forebay.acquisition.schedule import Stagger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.interfaces import DeviceSpec, DriverSpec, Seams


class Wired(Protocol):
    """A device as far as its line goes."""

    @property
    def spec(self) -> DeviceSpec:
        """What it is."""
        ...

    @property
    def driver(self) -> DriverSpec:
        """Who knows which line it is on."""
        ...


class Place(NamedTuple):
    """One device's place: its line, who tells of the line's devices, its polls among theirs."""

    line: SharedLine
    news: LineNews
    stagger: Stagger


def alone(spec: DeviceSpec, line: SharedLine, seams: Seams) -> Place:
    """Give the place of the only device of `line`."""
    stagger = Stagger(places=max(1, _polled_groups(spec)))
    return Place(line, LineNews(line.name, 1, seams), stagger)


def wires(devices: Sequence[Wired], seams: Seams) -> list[Place]:
    """Give the place of each device; those whose drivers give the same key share a line."""
    shared: dict[tuple[str, str], list[Wired]] = {}
    for device in devices:
        settings = device.spec.settings
        key = device.driver.line(settings)
        own = ("", device.spec.name) if key is None else (settings.protocol, key)
        shared.setdefault(own, []).append(device)
    found: dict[str, Place] = {}
    for number, ((_, name), sharing) in enumerate(shared.items()):
        line, news = SharedLine(name, seams.clock), LineNews(name, len(sharing), seams)
        polled = [_polled_groups(device.spec) for device in sharing]
        for place, device in enumerate(sharing):
            stagger = Stagger(number, sum(polled[:place]), max(1, sum(polled)))
            found[device.spec.name] = Place(line, news, stagger)
    return [found[device.spec.name] for device in devices]


def _polled_groups(spec: DeviceSpec) -> int:
    groups = spec.settings.groups
    return sum(groups[schema.group].mode == "poll" for schema in spec.schemas)
