"""Which devices share a line, and where on it each stands.

Owns the grouping of devices by the keys that their drivers give. Must not know protocols.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from forebay.acquisition.line import SharedLine
from forebay.acquisition.news import LineNews
from forebay.acquisition.schedule import Stagger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


W = TypeVar("W", bound=Wired)


class Place(NamedTuple):
    """One device's place: its line, who tells of the line's devices, its polls among theirs."""

    line: SharedLine
    news: LineNews
    stagger: Stagger


def alone(spec: DeviceSpec, line: SharedLine, seams: Seams) -> Place:
    """Give the place of the only device of `line`."""
    stagger = Stagger(places=max(1, _polled_groups(spec)))
    return Place(line, LineNews(line.name, 1, seams), stagger)


def together(devices: Iterable[W]) -> dict[tuple[str, str], list[W]]:
    """Give the devices of each line, in order; those whose drivers give the same key share one."""
    shared: dict[tuple[str, str], list[W]] = {}
    for device in devices:
        settings = device.spec.settings
        key = device.driver.line(settings)
        own = ("", device.spec.name) if key is None else (settings.protocol, key)
        shared.setdefault(own, []).append(device)
    return shared


def strung(name: str, number: int, sharing: Sequence[Wired], seams: Seams) -> list[Place]:
    """Give the places of all devices of one line, which is the `number`-th."""
    line, news = SharedLine(name, seams.clock), LineNews(name, len(sharing), seams)
    polled = [_polled_groups(device.spec) for device in sharing]
    staggers = (Stagger(number, sum(polled[:at]), max(1, sum(polled))) for at in range(len(polled)))
    return [Place(line, news, stagger) for stagger in staggers]


def wires(devices: Sequence[Wired], seams: Seams) -> list[Place]:
    """Give the place of each device."""
    found: dict[str, Place] = {}
    for number, ((_, name), sharing) in enumerate(together(devices).items()):
        for device, place in zip(sharing, strung(name, number, sharing, seams), strict=True):
            found[device.spec.name] = place
    return [found[device.spec.name] for device in devices]


def _polled_groups(spec: DeviceSpec) -> int:
    groups = spec.settings.groups
    return sum(groups[schema.group].mode == "poll" for schema in spec.schemas)
