"""The answers that were given up and may still come, where no transaction id tells them apart.

Pure. Owns when a unit may be asked again, and with what. Must not know frames or connections.

A late answer names its unit, so it can be taken for one of that unit alone. The unit is asked
nothing but a probe whose answer has another length, until one of these is answered. That proves
that nothing older can come: a unit answers in the order in which it was asked. An exception has no
length; while one may be owed, an exception is taken for that.

What is owed outlives a connection: a serial device server gives a late answer to whoever is
connected when it comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay.errors import DeviceUnreachable
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.drivers.modbus.codec import Request

REST_S = 30.0
"""A unit that was asked nothing for so long owes nothing any more."""
MOST = 8
"""So many different answers of a unit are waited for; then it has to rest."""


class _GivenUp(NamedTuple):
    """A request, when it was sent, and when its answer was given up."""

    request: Request
    sent_s: float
    since_s: float


class Owed:
    """What each unit of a line owes."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._given_up: dict[int, list[_GivenUp]] = {}

    def add(self, request: Request, sent_s: float, now_s: float) -> None:
        """Remember that the answer to `request` may still come."""
        given_up = self._given_up.setdefault(request.head[4], [])
        given_up.append(_GivenUp(request, sent_s, now_s))
        del given_up[:-MOST]

    def owes(self, unit: int, now_s: float) -> bool:
        """Whether an answer of `unit` may still come."""
        given_up = self._given_up.get(unit)
        if given_up and now_s - given_up[-1].since_s > REST_S:
            del self._given_up[unit]
            return False
        return bool(given_up)

    def requests(self) -> list[Request]:
        """Give all whose answers may still come."""
        return [one.request for given_up in self._given_up.values() for one in given_up]

    def came(self, request: Request, now_s: float) -> float:
        """Forget `request`, whose answer came; gives how long it took."""
        given_up = self._given_up[request.head[4]]
        one = next(one for one in given_up if one.request is request)
        given_up.remove(one)
        if not given_up:
            self.settled(request.head[4])
        return now_s - one.sent_s

    def settled(self, unit: int) -> None:
        """Forget all of `unit`: it has answered what was asked later."""
        self._given_up.pop(unit, None)

    def distinct(self, unit: int, probes: Sequence[Request], now_s: float) -> Request:
        """Give the first of `probes` whose answer can be taken for none that `unit` owes.

        Raises DeviceUnreachable if there is none.
        """
        if not self.owes(unit, now_s):
            return probes[0]
        owed = {(o.request.head[5], o.request.size) for o in self._given_up[unit]}
        for probe in probes:
            if (probe.head[5], probe.size) not in owed:
                return probe
        raise DeviceUnreachable(
            f"unit {unit} is left alone until no late answer of it can come any more",
            hint="it is asked again by itself; without transaction ids there is no other way",
            status=Quality.BAD_TIMEOUT,
        )
