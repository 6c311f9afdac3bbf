"""The devices of a running agent: their sessions and lines, and how some change beside the others.

Owns which sessions there are, and their tasks. Must not know protocols, files or who asks.

Devices that share a line come and go together, because they share its connection and the order of
turns on it; all others keep theirs, and their place in time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from forebay.acquisition.memory import PlanMemory
from forebay.acquisition.session import Session
from forebay.acquisition.wires import strung, together
from forebay.cancellation import end
from forebay.management.views import DeviceVitals

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from forebay.acquisition.standstill import Pulse
    from forebay.config.devices import Device
    from forebay.interfaces import Intake, Seams
    from forebay.management.tasks import Start

_Key = tuple[str, str]


@dataclass
class _Wire:
    """One line: where it stands in time among all lines, its devices, and what runs for them."""

    number: int
    devices: tuple[Device, ...]
    sessions: list[Session] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    began_s: float = 0.0

    def names(self) -> list[str]:
        return [device.spec.name for device in self.devices]


class Turnover(NamedTuple):
    """What is to end and what is to begin, line by line; `names` are all devices of either."""

    ending: tuple[_Key, ...]
    beginning: dict[_Key, tuple[Device, ...]]
    names: frozenset[str]


class DeviceSet:
    """Every enabled device."""

    def __init__(self, intake: Intake, state: Path, pulse: Pulse, seams: Seams) -> None:
        """Begin without devices. What they teach is kept below `state`."""
        self._intake, self._pulse, self._seams = intake, pulse, seams
        self._wires: dict[_Key, _Wire] = {}
        self._lines = 0
        self._memory = PlanMemory(state / "plans", (), seams)
        self._start: Start | None = None

    @property
    def sessions(self) -> dict[str, Session]:
        """Those that there are, by name."""
        return {one.name: one for wire in self._wires.values() for one in wire.sessions}

    def turnover(self, devices: Sequence[Device], changed: Collection[str]) -> Turnover:
        """Give what has to end and to begin so that `devices` run; those `changed` begin anew."""
        wanted = {key: tuple(of) for key, of in together(devices).items()}
        kept = {
            key
            for key, wire in self._wires.items()
            if key in wanted
            and [device.spec.name for device in wanted[key]] == wire.names()
            and not set(wire.names()) & set(changed)
        }
        ending = tuple(key for key in self._wires if key not in kept)
        beginning = {key: of for key, of in wanted.items() if key not in kept}
        names = {name for key in ending for name in self._wires[key].names()}
        names |= {device.spec.name for of in beginning.values() for device in of}
        return Turnover(ending, beginning, frozenset(names))

    async def end(self, turnover: Turnover) -> None:
        """End what is to end; what was accepted of it is on its way to the journal."""
        await end([task for key in turnover.ending for task in self._wires[key].tasks])
        for key in turnover.ending:
            for name in self._wires[key].names():
                await self._memory.leave(name)
        numbers = {key: self._wires.pop(key).number for key in turnover.ending}
        for key, devices in turnover.beginning.items():
            self._wires[key] = _Wire(numbers.get(key, -1), devices)

    async def make(self, turnover: Turnover) -> None:
        """Make the sessions that are to begin, with what their devices taught; none runs yet."""
        for key, devices in turnover.beginning.items():
            wire = self._wires[key]
            if wire.number < 0:
                wire.number, self._lines = self._lines, self._lines + 1
            places = strung(key[1], wire.number, devices, self._seams)
            for device, place in zip(devices, places, strict=True):
                spec, build = device.spec, device.driver.build
                parts = (self._intake, self._seams, self._pulse)
                session = Session(spec, build, place.line, *parts, place=place)
                session.remember(await self._memory.come(spec))
                wire.sessions.append(session)

    def run(self, start: Start, turnover: Turnover) -> None:
        """Begin what was made, in tasks that `start` makes."""
        now_s = self._seams.clock.monotonic_s()
        for key in turnover.beginning:
            wire = self._wires[key]
            wire.began_s = now_s
            wire.tasks = [start(f"session[{one.name}]", one.run()) for one in wire.sessions]
            news = wire.sessions[0].news
            if news.shared:
                wire.tasks.append(start(f"line[{news.line}]", news.run()))

    async def remember(self) -> None:
        """Write what devices teach, until cancelled."""
        await self._memory.run()

    async def stop(self) -> None:
        """End all sessions."""
        await end([task for wire in self._wires.values() for task in wire.tasks])

    async def close(self) -> None:
        """Write what devices taught last."""
        await self._memory.close()

    def shortest_s(self) -> float | None:
        """Give the shortest period that anything is polled with, None if nothing is."""
        periods = (period for one in self.sessions.values() for period in _periods(one))
        return min(periods, default=None)

    def vitals(self) -> dict[str, DeviceVitals]:
        """Give the signs of life of each device."""
        return {
            session.name: DeviceVitals(
                began_s=wire.began_s,
                polls=session.status.polls,
                polls_per_s=sum(1 / period for period in _periods(session)),
                good_samples=session.status.good_samples,
                last_good_s=session.status.last_good_s,
            )
            for wire in self._wires.values()
            for session in wire.sessions
        }


def _periods(session: Session) -> Iterable[float]:
    """Give the period of each group of `session` that is polled."""
    groups = session.spec.settings.groups
    found = (groups[schema.group] for schema in session.spec.schemas)
    return (group.period for group in found if group.mode == "poll")
