"""How refusals change what is known of a device, and so its next plan. Pure.

Owns what is learned from a device's answers. Must not know protocols, nor how plans are made.

What a refusal teaches. A refused block of several units gets a wall on trial: at the bridged hole
nearest to its middle, or in its middle if it bridges none. The parts are asked next, and so on,
until
- a unit stands alone and is refused: it is left out from then on, and asked alone again only now
  and then (`probe`); or
- all parts are good, and it was the reach across the wall that the device minds: the wall becomes
  firm.
Either explains every larger refusal around it, so the other walls on trial there fall and good
neighbours are merged again. Each search ends after about log2(units) scans and finds at least one
refused unit or firm wall.

A device may also answer only shorter requests than its limits say. That is what explains a refusal
whose parts are all good and of which no request as long was ever answered, if there is no hole in
the middle or if several refusals tell the same. Then no wall is built: the longest request that the
area takes lies between the two lengths, and each further scan halves what is between.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from forebay.acquisition.lengths import Answered
from forebay.acquisition.plan import Learned, Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from forebay.acquisition.plan import Plan, Unit
    from forebay.interfaces import Refusal

PROBE_EVERY = 60
"""Polls between two times that units refused before are asked again."""

MAX_PROBES = 32
"""Most refused units asked again in one plan, and most blocks cut in one refinement.

So no scan grows without bound.
"""


def refine(done: Plan, refusals: Iterable[Refusal], learned: Learned) -> Learned:
    """Give what is known after a scan of `done`, the plan made with `learned`.

    That is `learned` itself if nothing is new.

    To be called after every scan, refused or not: that nothing was refused is what proves a wall.
    """
    answers = {refusal.block: refusal for refusal in refusals}
    searching = any(length.open for length in learned.lengths.values())
    if not (answers or learned.trials or learned.due or searching):
        return learned
    refused, answered = dict(learned.refused), Answered(learned.lengths)
    to_cut: list[tuple[Unit, ...]] = []
    unknown: set[Unit] = set()
    for number, units in enumerate(done.units):
        block, answer = done.blocks[number], answers.get(number)
        if answer is None:
            answered.good(block.area, block.count)
            if learned.due:
                refused = {u: r for u, r in refused.items() if u not in units}
        elif not answer.permanent:
            unknown.update(units)
        elif len(units) == 1:
            refused.pop(units[0], None)
            refused[units[0]] = Refused(answer.status, block.columns)
        else:
            answered.bad(block.area, block.count)
            to_cut.append(units)
            unknown.update(units)
    to_cut = [units for units in to_cut if not answered.too_long(units[0].area, _reach(units))]
    answered.narrow({u.area for u in learned.trials} | {units[0].area for units in to_cut})
    walls, trials = _settle(learned, refused.keys(), unknown, answered)
    for units in sorted(to_cut, key=len)[:MAX_PROBES]:
        trials[_where_to_cut(units)] = frozenset(units)
    new = Learned(refused, walls, trials, lengths=answered.lengths)
    return learned if new == learned else new


def probe(learned: Learned, most: int = MAX_PROBES) -> Learned:
    """Let the next plan ask again for the refused units that waited longest, at most `most`."""
    if not learned.refused:
        return learned
    return replace(learned, due=frozenset(list(learned.refused)[:most]))


def _where_to_cut(units: Sequence[Unit]) -> Unit:
    """Give the unit before which a refused block is cut.

    It is the one nearest to the middle, of those behind a bridged hole if there are any.
    """
    behind_holes, end = [], units[0].end
    for number, unit in enumerate(units):
        if unit.start > end:
            behind_holes.append(number)
        end = max(end, unit.end)
    middle = len(units) // 2
    return units[min(behind_holes or [middle], key=lambda number: abs(number - middle))]


def _reach(units: Collection[Unit]) -> int:
    """Give how long the request is that asks for `units`, all of one area."""
    return max(unit.end for unit in units) - min(unit.start for unit in units)


def _settle(
    learned: Learned, refused: Iterable[Unit], unknown: set[Unit], answered: Answered
) -> tuple[frozenset[Unit], dict[Unit, frozenset[Unit]]]:
    """Decide the trials whose every unit is now good or refused, innermost first.

    Gives the walls and the trials that remain; what is blamed on a length goes to `answered`.
    """
    firm, remaining, culprits = set(learned.walls), {}, set(refused)
    long: dict[Unit, frozenset[Unit]] = {}
    for wall, divided in sorted(learned.trials.items(), key=lambda item: len(item[1])):
        if not divided.isdisjoint(unknown):
            remaining[wall] = divided
        elif divided.isdisjoint(culprits) and divided.isdisjoint(firm - {min(divided)}):
            if _reach(divided) > answered.longest(wall.area):
                long[wall] = divided
            else:
                firm.add(wall)
    for area in {wall.area for wall in long}:
        mine = {wall: divided for wall, divided in long.items() if wall.area == area}
        if area not in answered.lengths and not _tell_of_length(mine):
            for wall, divided in mine.items():  # innermost first: it explains those around it
                if divided.isdisjoint(firm - {min(divided)}):
                    firm.add(wall)
            continue
        if area not in answered.lengths:
            firm = {wall for wall in firm if wall.area != area}  # they may have been lengths too
        answered.suspect(area, min(_reach(divided) for divided in mine.values()))
    return frozenset(firm), remaining


def _tell_of_length(trials: Mapping[Unit, frozenset[Unit]]) -> bool:
    """Whether the length explains refusals of one area better than holes where they were cut.

    It does where there is no hole, or where several refusals that share nothing tell the same.
    """
    apart: set[Unit] = set()
    count = 0
    for wall, divided in trials.items():
        if max(unit.end for unit in divided if unit < wall) >= wall.start:
            return True
        if apart.isdisjoint(divided):
            apart |= divided
            count += 1
    return count > 1
