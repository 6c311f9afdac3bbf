"""All boxes as the page lists them: what each said last, who may come, labels.

Owns what is remembered between two looks, so that a hundred open pages ask the registry as often as
one. `shown` and what it is made of are pure. Must not know how a row is drawn.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired import reports, witness
from forebay_fleet.identity import gateways
from forebay_fleet.rollouts import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from forebay_fleet.http.context import Context
    from forebay_fleet.registry import Registry
    from forebay_fleet.store.reader import GatewayRow

FRESH_NS = 2 * 10**9
"""So long what was read is good enough."""
ONLINE, OFFLINE, NEVER = "online", "offline", "never"
FULL_SOON_S = 86_400.0
"""A buffer that is full within a day is something to look at."""


class Standing(NamedTuple):
    """How one box stands; times are ns since 1970, 0 for never.

    `state` is ONLINE, OFFLINE, NEVER (enrolled, but did not come), or why it is shut out: locked,
    revoked. `ill` counts its parts that are not well. `full_in_s` is 0 while no end is in sight.
    """

    name: str
    state: str
    seen_ns: int
    version: str
    healthy: bool
    ill: int
    buffer_s: float
    full_in_s: float
    phase: str
    labels: Mapping[str, str]
    alarms: int

    @property
    def well(self) -> bool:
        """Whether nobody needs to look at it."""
        soon = 0 < self.full_in_s < FULL_SOON_S
        return self.state == ONLINE and self.healthy and not self.ill and not soon


class Wish(NamedTuple):
    """Which rows somebody wants: words to find, one kind of KINDS, the order, the page from 0."""

    text: str = ""
    kind: str = "all"
    order: str = "name"
    descending: bool = False
    page: int = 0
    size: int = 25


class Found(NamedTuple):
    """A page of rows, how many there are in all, and the sums over the whole fleet."""

    rows: list[Standing]
    total: int
    sums: dict[str, int]


KINDS: dict[str, Callable[[Standing], bool]] = {
    "all": lambda _: True,
    "online": lambda one: one.state == ONLINE,
    "offline": lambda one: one.state == OFFLINE,
    "ill": lambda one: one.state == ONLINE and not one.well,
    "alarms": lambda one: one.alarms > 0 or one.state not in {ONLINE, OFFLINE, NEVER},
}
ORDERS: dict[str, Callable[[Standing], Any]] = {
    "name": lambda one: one.name,
    "state": lambda one: (one.state, one.name),
    "seen": lambda one: -one.seen_ns,
    "version": lambda one: (one.version, one.name),
    "health": lambda one: (one.healthy, -one.ill, one.name),
    "buffer": lambda one: one.buffer_s,
    "full": lambda one: one.full_in_s or float("inf"),
    "phase": lambda one: (one.phase, one.name),
}


class Roster:
    """Of one server."""

    def __init__(self, context: Context) -> None:
        """Know nothing yet."""
        self._context = context
        self._rows: list[Standing] = []
        self._read_ns = 0
        self._turn = asyncio.Lock()
        self._parsed: dict[str, tuple[bytes, bytes, _Said]] = {}

    async def rows(self) -> list[Standing]:
        """Give all boxes by name. Raises StoreError."""
        async with self._turn:
            now_ns = self._context.now_ns()
            if not 0 <= now_ns - self._read_ns < FRESH_NS:
                known = await self._context.registry(_read)
                stored = await self._context.readers(lambda store: store.gateways())
                here = {row.name for row in stored if row.id in self._context.desk.newest}
                self._rows = await asyncio.to_thread(self._joined, known, stored, here)
                self._read_ns = now_ns
            return self._rows

    async def find(self, wish: Wish) -> Found:
        """Give the rows of a wish. Raises StoreError."""
        rows = await self.rows()
        return await asyncio.to_thread(shown, rows, wish)

    def _joined(
        self, known: _Known, stored: Iterable[GatewayRow], here: set[str]
    ) -> list[Standing]:
        """Join what is known; `here` are those with an open session of this process."""
        store = {row.name: row for row in stored}
        names = sorted({*known.said, *known.enrolled, *known.denied, *store})
        parsed: dict[str, tuple[bytes, bytes, _Said]] = {}
        rows = []
        for name in names:
            report = known.said.get(name) or reports.Report(name, 0, 0, "", b"", b"")
            before = self._parsed.get(name)
            if before is None or before[:2] != (report.health, report.config):
                before = (report.health, report.config, _parse(report))
            parsed[name] = before
            if name in here:
                report = report._replace(online=1)
            rows.append(_standing(name, known, report, before[2], store.get(name)))
        self._parsed = parsed
        return rows


class _Said(NamedTuple):
    healthy: bool
    ill: int
    buffer_s: float
    full_in_s: float
    phase: str


class _Known(NamedTuple):
    said: dict[str, reports.Report]
    enrolled: set[str]
    denied: dict[str, str]
    labels: dict[str, dict[str, str]]
    setbacks: dict[str, list[tuple[int, str]]]


def shown(rows: list[Standing], wish: Wish) -> Found:
    """Give the rows of a wish, and the sums over all."""
    fits, words = KINDS.get(wish.kind, KINDS["all"]), wish.text.lower().split()[:8]
    found = [one for one in rows if fits(one) and all(_has(one, word) for word in words)]
    found.sort(key=ORDERS.get(wish.order, ORDERS["name"]), reverse=wish.descending)
    first = max(0, wish.page) * wish.size
    sums = {kind: sum(map(test, rows)) for kind, test in KINDS.items()}
    return Found(found[first : first + wish.size], len(found), sums)


def _has(one: Standing, word: str) -> bool:
    """Whether a word is in the name, or a label fits it: `line=3`, `line`, `3`."""
    name, is_label, value = word.partition("=")
    if is_label:
        return one.labels.get(name, "").lower() == value
    return word in one.name.lower() or any(
        word in key or word in text.lower() for key, text in one.labels.items()
    )


def _read(registry: Registry) -> _Known:
    return _Known(
        reports.every(registry),
        {name for (name,) in registry.rows("SELECT name FROM gateways")},
        {name: one.state for name, one in gateways.all_denied(registry).items()},
        labels.every(registry),
        witness.told(registry),
    )


def _parse(report: reports.Report) -> _Said:
    health = fleet_pb2.Health.FromString(report.health)
    config = fleet_pb2.ConfigStatus.FromString(report.config)
    return _Said(
        health.healthy or not report.health,
        sum(not part.healthy for part in health.components),
        health.buffer_s,
        health.journal_full_in_s,
        phase(config.last_attempt.phase),
    )


def phase(number: int) -> str:
    """Give the word of a ConfigPhase, "" for none and for one that is not known here."""
    if not number or number not in fleet_pb2.ConfigPhase.values():
        return ""
    return fleet_pb2.ConfigPhase.Name(number).removeprefix("PHASE_").lower()


def _standing(
    name: str, known: _Known, report: reports.Report, said: _Said, row: GatewayRow | None
) -> Standing:
    state = ONLINE if report.online else OFFLINE if report.seen_ns else NEVER
    alarms = len(known.setbacks.get(name, ()))
    if row is not None:
        alarms += row.forks + row.twins
        state = OFFLINE if state == NEVER and row.last_hello_ns else state
    return Standing(
        name,
        known.denied.get(name, state),
        max(report.seen_ns, row.last_hello_ns if row is not None else 0),
        report.version or (row.version if row is not None else ""),
        *said,
        known.labels.get(name, {}),
        alarms,
    )
