"""One group's plan through all that its device teaches: made, compiled, refined, remembered.

Owns when a plan is made anew and what is told of it. Must not know how plans are made (`plan`),
when polls are due (`poller`) or where memories rest (`memory`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.acquisition.plan import Learned, plan
from forebay.acquisition.refine import MAX_PROBES, PROBE_EVERY, probe, refine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.acquisition.memory import Recollection
    from forebay.acquisition.plan import Plan
    from forebay.interfaces import PolledDriver, Reader, Scan, Span, SpanLimits
    from forebay.model import Schema

ALL_AT_ONCE = 3
"""Requests of which all were refused that say more of the device than of its addresses."""
MOST_PROBES = 512
"""Most refused units asked again in one poll while they are coming back."""
MUCH = 2.0
"""By which factor a bridgeable hole must have changed for a new plan."""


class PlannedGroup:
    """One polled group: what is known of its device, the plan by that, and the compiled reader.

    `plan` is None before the first connection, and for a driver that plans itself. `reader` is None
    while there is no connection. Where `memory` is set, the first plan begins with what it has.
    """

    def __init__(
        self, schema: Schema, refused: Callable[[Schema, Sequence[int], str], None]
    ) -> None:
        """Begin with nothing: no plan, no connection.

        `refused` hears of columns that are now known to be refused, and why.
        """
        self.schema = schema
        self.learned = Learned()
        self.plan: Plan | None = None
        self.reader: Reader | None = None
        self.memory: Recollection | None = None
        self._refused = refused
        self._driver: PolledDriver | None = None
        self._spans: Sequence[Span] | None = None
        self._limits: dict[str, SpanLimits] = {}
        self._recalled = False
        self._polls = self._all_refused = 0
        self._gave = False
        self._probes = MAX_PROBES

    def connected(self, driver: PolledDriver) -> None:
        """Plan by what is known, and have `driver`, which is connected, compile it."""
        self._driver, self._spans = driver, driver.spans(self.schema)
        if self._spans is not None and self.memory is not None and not self._recalled:
            self.learned = self.memory.recall(self.schema, self._spans)
        self._recalled = True
        self._compile(driver)

    def disconnected(self) -> None:
        """Forget reader and driver; keep what was learned."""
        self._driver = self.reader = None

    def prepare(self) -> None:
        """Say that a poll is over: now and then, refused units are asked again in the next.

        If that brought some back, more are asked in the one after. To plan takes a while, and would
        make a poll late that waited for it.
        """
        self._polls += 1
        coming_back = self._probes > MAX_PROBES
        if self.plan is None or (self._polls % PROBE_EVERY and not coming_back):
            return
        asking, stale = probe(self.learned, self._probes), self._stale()
        if stale:
            self._gave = False  # requests such as it will get now it was not asked before
        if asking is not self.learned or stale:
            self._replan(asking)

    def learn(self, scan: Scan) -> bool:
        """Take in what a scan of `plan` brought; say whether asking again now may bring more."""
        asked = self.plan
        assert asked is not None
        if self._is_out_of_order(asked, scan):
            return False
        learned, due = refine(asked, scan.refusals, self.learned), self.learned.due
        back = due - learned.refused.keys()
        self._probes = min(self._probes * 4, MOST_PROBES) if back else MAX_PROBES
        refused = sorted(learned.refused_columns - self.learned.refused_columns)
        if refused:
            error = next(r.message for r in scan.refusals if r.permanent)
            self._refused(self.schema, refused, error)
        if learned is not self.learned:
            self._replan(learned)
            if self.memory is not None:
                self.memory.note(self.schema, learned)
        return any(r.permanent and len(asked.units[r.block]) > 1 for r in scan.refusals)

    def _is_out_of_order(self, asked: Plan, scan: Scan) -> bool:
        """Whether the device refuses everything at once that it gave whole the last time.

        That says nothing of single addresses, and to single out each would cost thousands of
        requests; it is taken at its word now and then, in case it does mean what it says.
        """
        refused = sum(refusal.permanent for refusal in scan.refusals)
        if refused < len(asked.blocks) or refused < ALL_AT_ONCE:
            self._gave, self._all_refused = not refused, 0
            return False
        self._all_refused += 1
        return self._gave and self._all_refused % PROBE_EVERY != 0

    def _replan(self, learned: Learned) -> None:
        """Take over what was learned, and compile the plan by it if there is a connection."""
        self.learned = learned
        if self._driver is not None:
            self._compile(self._driver)

    def _compile(self, driver: PolledDriver) -> None:
        if self._spans is not None:
            areas = {span.area for span in self._spans}
            self._limits = {area: driver.limits(area) for area in areas}
            before, self.plan = self.plan, plan(self._spans, self._limits.__getitem__, self.learned)
            # To compile ten thousand tags takes the loop 0.1 s: not for the same requests again.
            if self.reader is not None and before and before.blocks == self.plan.blocks:
                return
        self.reader = driver.reader(self.schema, self.plan.blocks if self.plan else ())

    def _stale(self) -> bool:
        """Whether a bridgeable hole is now another by so much that a new plan pays."""
        return self._driver is not None and any(
            _much(was.max_hole, self._driver.limits(area).max_hole)
            for area, was in self._limits.items()
        )


def _much(was: int, now: int) -> bool:
    low, high = sorted((was, now))
    return high - low > 1 and high > low * MUCH
