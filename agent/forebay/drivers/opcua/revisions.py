"""Tells once, and for a whole group, what a server made of the times and queues it was asked for.

Owns what counts as worse than asked, and its words. Pure but for the telling. Must not know how a
subscription is made. A server may revise all of it (OPC UA Part 4, 5.13.2 and 5.14.2); what it made
better is not told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forebay.events import SAMPLING_REVISED

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from forebay.events import Events

_ROUNDED = 1.01
"""Servers keep times in whole milliseconds, or in ticks of their own."""


@dataclass(slots=True)
class Spread:
    """How many were given something else than was asked for, and from what to what."""

    count: int = 0
    asked: set[float] = field(default_factory=set)
    given: set[float] = field(default_factory=set)

    def note(self, asked: float, given: float) -> None:
        """Take in one of them."""
        self.count += 1
        self.asked.add(asked)
        self.given.add(given)

    def told(self, unit: str = "") -> str:
        """Give it in words: `0.1 s to 1 s`, `10 to 1-5`."""
        return f"{_range(self.asked)}{unit} to {_range(self.given)}{unit}"


def _range(values: set[float]) -> str:
    least, most = min(values), max(values)
    return f"{least:g}" if least == most else f"{least:g}-{most:g}"


class Items:
    """What became of the monitored items of one group."""

    def __init__(self) -> None:
        """Begin with none."""
        self.sampling, self.queue = Spread(), Spread()

    def note(self, asked: tuple[float, int], given: tuple[float, int]) -> None:
        """Take in one item: its sampling interval (s) and its queue, as asked for and as given."""
        if given[0] > asked[0] * _ROUNDED:
            self.sampling.note(asked[0], given[0])
        if given[1] < asked[1]:
            self.queue.note(asked[1], given[1])


class Revisions:
    """What is told of the groups of one device, over all its connections."""

    def __init__(self, device: str, events: Events, told: MutableMapping[str, str]) -> None:
        """`told` has what was told before, by group and part; it outlives a connection."""
        self._device, self._events, self._told = device, events, told

    def items(self, group: str, items: Items) -> None:
        """Tell what a group's items were given, if that is worse and new."""
        facts: dict[str, int | str] = {}
        if items.sampling.count:
            facts |= {"tags": items.sampling.count, "sampling": items.sampling.told(" s")}
        if items.queue.count:
            facts |= {"shorter_queues": items.queue.count, "queue": items.queue.told()}
        if facts:
            what = "".join(s.told() for s in (items.sampling, items.queue) if s.count)
            hint = "ask for what the server can do, or let it do more; until then less is seen"
            self._tell(group, "items", what, facts, hint)

    def subscription(
        self, group: str, asked_s: tuple[float, float, float], given_s: tuple[float, float, float]
    ) -> None:
        """Tell what a group's subscription was given, if that is worse and new.

        Both are its publishing interval, keep-alive time and lifetime.
        """
        names = ("publishing", "keepalive", "lifetime")
        facts: dict[str, int | str] = {}
        for name, asked, given in zip(names, asked_s, given_s, strict=True):
            worse = given * _ROUNDED < asked if name == "lifetime" else given > asked * _ROUNDED
            if worse:
                facts[name] = f"{asked:g} s to {given:g} s"
        if facts:
            hint = "values, and the loss of the server, are known that much later"
            if set(facts) == {"lifetime"}:
                hint = "the server forgets the group that much sooner in an outage"
            self._tell(group, "subscription", str(facts), facts, hint)

    def _tell(
        self, group: str, part: str, what: str, facts: dict[str, int | str], hint: str
    ) -> None:
        """Emit the event unless the last one of this group and part said the same."""
        key = f"{part} {group}"
        if self._told.get(key) == what:
            return
        self._told[key] = what
        self._events.emit(SAMPLING_REVISED, device=self._device, group=group, **facts, hint=hint)
