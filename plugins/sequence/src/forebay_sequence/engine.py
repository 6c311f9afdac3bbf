"""Follows units through their recipe, moment by moment. Pure: data in, what to tell out.

Owns order and time. It sees one moment after another and never a window, so that how the data were
cut changes nothing:

    deadlines before t ──▶ values of t ──▶ steps end ──▶ unit ends ──▶ unit begins ──▶ steps begin
      ──▶ what they gather ──▶ the line is let go, or held
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forebay_sequence import checks
from forebay_sequence.checks import spelled
from forebay_sequence.known import Run, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from forebay_sequence.known import Reason, Station, Value
    from forebay_sequence.settings import Condition, Recipe, Step

NS = 1_000_000_000


@dataclass(frozen=True)
class Verdict:
    """One unit that ended. `reasons` are (step or nothing, code, text)."""

    at_ns: int
    unit: Unit
    word: str
    reasons: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Held:
    """The line is held from now on, or let go."""

    at_ns: int
    text: str
    hold: bool


@dataclass(frozen=True)
class Stray:
    """A step without a unit."""

    at_ns: int
    step: str


Told = Verdict | Held | Stray


@dataclass
class Engine:
    """One station: call `moment` in order of time, then `advance`; `told` gathers what is new."""

    recipe: Recipe
    station: Station
    told: list[Told] = field(default_factory=list)

    def interrupt(self, code: str, text: str) -> None:
        """What was under way is in doubt: a restart, or time went back."""
        if self.station.unit is not None:
            self.station.unit.doubt(code, text)
        self.station.unsure = sorted(self.recipe.triggers())

    def advance(self, end_ns: int) -> None:
        """There is nothing more before `end_ns`: what is due before it is due."""
        while (due := self._due()) is not None and due[0] < end_ns:
            self._overdue(*due)

    def moment(self, at_ns: int, fresh: Mapping[str, Value | None]) -> None:
        """Take in what tags say at one moment; None: the tag has no value."""
        self.advance(at_ns)
        station, recipe = self.station, self.recipe
        before = {tag: station.values.get(tag) for tag in fresh}
        station.values.update(fresh)
        station.last_ns = at_ns
        self._doubt(fresh)
        rising, falling = self._edges(fresh)
        old = {**station.values, **before}
        self._steps_end(at_ns, old, rising, falling, fresh)
        if station.unit is not None and self._ended(rising):
            self._end(at_ns)
        self._unit_begins(at_ns, fresh, rising)
        for step in recipe.steps.values():
            if _key("begin", step) in rising:
                self._step_begins(at_ns, step, old)
        for step, run in self._under_way():
            self._gather(step, run, fresh)
        if station.hold and "reset" in rising:
            station.hold = False
            self.told.append(Held(at_ns, "the line was let go by the reset", hold=False))
        self._hold(at_ns)
        if station.unsure:
            station.unsure = [tag for tag in station.unsure if tag not in fresh]

    # --- what the data say ------------------------------------------------------------------------

    def _doubt(self, values: Mapping[str, Value | None]) -> None:
        """Note which triggers are bad while a unit is under way."""
        unit = self.station.unit
        if unit is not None and None in values.values():
            for tag in sorted(self.recipe.triggers()):
                if values.get(tag, "") is None:
                    unit.doubt(f"bad-data {tag}", f"{tag} had no value")

    def _gather(self, step: Step, run: Run, fresh: Mapping[str, Value | None]) -> None:
        """Let a step's checks take in this moment, and note what of it is bad."""
        if None in fresh.values():
            for tag in sorted(step.tags()):
                code = f"bad-data {tag}"
                if fresh.get(tag, "") is None and all(code != known for known, _ in run.doubts):
                    run.doubts.append((code, f"{tag} had no value"))
        checks.gather(step, run, self.station.values, frozenset(fresh))

    def _conditions(self) -> Iterator[tuple[str, Condition]]:
        recipe = self.recipe
        named = (("start", recipe.start), ("done", recipe.done), ("reset", recipe.reset))
        yield from ((key, one) for key, one in named if one is not None)
        for step in recipe.steps.values():
            yield _key("begin", step), step.begin
            if step.end is not None:
                yield _key("end", step), step.end

    def _edges(self, fresh: Mapping[str, Value | None]) -> tuple[set[str], set[str]]:
        """Which conditions begin and cease to hold now."""
        rising, falling = set(), set()
        truths = self.station.truths
        for key, condition in self._conditions():
            truth = condition.of(fresh[condition.tag]) if condition.tag in fresh else None
            if truth is None:
                continue
            known = truths.get(key)
            if truth and not known and not (known is None and key == "reset"):
                rising.add(key)
            elif known and not truth:
                falling.add(key)
            truths[key] = truth
        return rising, falling

    # --- units ------------------------------------------------------------------------------------

    def _unit_begins(self, at_ns: int, fresh: Mapping[str, Value | None], rising: set[str]) -> None:
        station, recipe = self.station, self.recipe
        value = fresh.get(recipe.serial)
        known, serial = station.serial, station.serial
        if value is not None:
            serial = station.serial = "" if value in (0.0, "") else spelled(value)
        trigger = recipe.serial if recipe.start is None else recipe.start.tag
        begins = bool(serial) and value is not None and serial != known
        first = known is None
        if recipe.start is None and recipe.done is None and station.unit and serial == "":
            self._end(at_ns)
        if recipe.start is not None:
            begins, first = "start" in rising, trigger in station.unsure
        if not begins:
            return
        if station.unit is not None:
            if recipe.done is not None:
                station.unit.wrong.append(("not-done", "the next one began before it was done"))
            self._end(at_ns)
        unit = station.unit = Unit(serial or "", at_ns)
        if first or trigger in station.unsure:
            unit.doubt("begin-unseen", "it may have been under way before it was watched")
        if not serial or station.values.get(recipe.serial) is None:
            unit.doubt("no-serial", "its serial number is not known")
        self._doubt({tag: station.values.get(tag) for tag in recipe.triggers()})

    def _ended(self, rising: set[str]) -> bool:
        if self.recipe.done is not None:
            return "done" in rising
        unit = self.station.unit
        assert unit is not None
        runs = [(step, unit.steps.get(name)) for name, step in self.recipe.steps.items()]
        return any(run is not None for _, run in runs) and all(
            step.optional and not (run and run.under_way)
            if run is None or not run.runs
            else not run.under_way and (run.well or run.runs >= step.runs)
            for step, run in runs
        )

    def _end(self, at_ns: int) -> None:
        """Give the verdict."""
        station = self.station
        unit = station.unit
        assert unit is not None
        for name, step in self.recipe.steps.items():
            run = unit.steps.get(name)
            if run is None and not step.optional:
                unit.wrong.append(("missing", f"{name} was not done"))
            elif run is not None and run.under_way:
                unit.wrong.append(("not-ended", f"{name} was not ended"))
        wrong, doubts = _reasons(unit, self.recipe, final=False)
        word = "NOK" if wrong else "UNKNOWN" if doubts else "OK"
        station.counts[word] += 1
        self._hold(at_ns, word)
        station.unit = None
        self.told.append(Verdict(at_ns, unit, word, (*wrong, *doubts)))

    # --- steps ------------------------------------------------------------------------------------

    def _under_way(self) -> list[tuple[Step, Run]]:
        unit = self.station.unit
        if unit is None:
            return []
        steps = self.recipe.steps
        return [(steps[name], run) for name, run in unit.steps.items() if run.under_way]

    def _step_begins(self, at_ns: int, step: Step, old: Mapping[str, Value | None]) -> None:
        unit = self.station.unit
        if unit is None:
            self.told.append(Stray(at_ns, step.name))
            return
        run = unit.steps.setdefault(step.name, Run())
        if run.under_way:
            return
        if run.runs and (run.well or run.runs >= step.runs):
            unit.wrong.append(("again", f"{step.name} was done again"))
        for name in step.after:
            if not self._passed(unit, name):
                unit.wrong.append(("order", f"{step.name} before {name} was done"))
        run.runs, run.began_ns, run.took_ns, run.slow = run.runs + 1, at_ns, None, False
        run.wrong, run.doubts = [], []
        checks.begin(step, run, old)

    def _passed(self, unit: Unit, name: str) -> bool:
        """Whether a step ended, or was left out as it may be."""
        run, step = unit.steps.get(name), self.recipe.steps[name]
        if run is not None:
            return not run.under_way
        return step.optional and all(self._passed(unit, one) for one in step.after)

    def _steps_end(
        self,
        at_ns: int,
        old: Mapping[str, Value | None],
        rising: set[str],
        falling: set[str],
        fresh: Mapping[str, Value | None],
    ) -> None:
        """What ends by a sign of its own has this moment in it, not what ends with its trigger."""
        for step, run in self._under_way():
            if step.end is not None and _key("end", step) in rising:
                self._gather(step, run, fresh)
                self._step_ends(at_ns, step, run, self.station.values)
            elif step.end is None and _key("begin", step) in falling:
                self._step_ends(at_ns, step, run, old)

    def _step_ends(
        self, at_ns: int, step: Step, run: Run, values: Mapping[str, Value | None]
    ) -> None:
        run.took_ns = at_ns - run.began_ns
        if run.took_ns < step.least_ns:
            text = f"{step.name} took {run.took_ns / NS:.3f} s, under {step.least_ns / NS:g} s"
            run.wrong.append(("fast", text))
        checks.end(step, run, values, self.station)

    # --- time -------------------------------------------------------------------------------------

    def _due(self) -> tuple[int, str] | None:
        """The next deadline: when, and of what (a step's name, or nothing)."""
        station, recipe = self.station, self.recipe
        unit = station.unit
        if unit is None:
            return None
        due = [
            (run.began_ns + step.most_ns, f"step {step.name}")
            for step, run in self._under_way()
            if step.most_ns and not run.slow
        ]
        if recipe.most_ns:
            due.append((unit.began_ns + recipe.most_ns, "unit"))
        if recipe.silence_ns and station.told_ns != station.last_ns:
            due.append((station.last_ns + recipe.silence_ns, "silence"))
        return min(due, default=None)

    def _overdue(self, at_ns: int, what: str) -> None:
        station, recipe = self.station, self.recipe
        unit = station.unit
        assert unit is not None
        kind, _, name = what.partition(" ")
        if kind == "silence":
            station.told_ns = station.last_ns
            unit.doubt("silence", f"there were no data for {recipe.silence_ns / NS:g} s")
        elif kind == "step":
            step, run = recipe.steps[name], unit.steps[name]
            run.slow = True
            run.wrong.append(("slow", f"{name} took over {step.most_ns / NS:g} s"))
        else:
            unit.wrong.append(("slow", f"the unit took over {recipe.most_ns / NS:g} s"))
            self._end(at_ns)
            return
        self._hold(at_ns)

    # --- the line ---------------------------------------------------------------------------------

    def _hold(self, at_ns: int, word: str = "") -> None:
        """Hold the line when there are more reasons than it was held for; `word`: at the end."""
        station = self.station
        unit = station.unit
        if unit is None:
            return
        wrong, doubts = _reasons(unit, self.recipe, final=not word)
        reasons = wrong if "NOK" in self.recipe.hold else []
        reasons = reasons + (doubts if "UNKNOWN" in self.recipe.hold else [])
        if word and word not in self.recipe.hold:
            return
        if len(reasons) <= unit.held:
            unit.held = len(reasons)
            return
        unit.held = len(reasons)
        if not station.hold:
            station.hold = True
            text = f"the line is held: {unit.serial or 'a unit'}: {reasons[-1][2]}"
            self.told.append(Held(at_ns, text, hold=True))


def _reasons(
    unit: Unit, recipe: Recipe, *, final: bool
) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """What is wrong, and what is in doubt; `final`: only what no further run can make good."""
    wrong = [("", *one) for one in unit.wrong]
    doubts = [("", *one) for one in unit.doubts]
    for name, run in unit.steps.items():
        if final and run.runs < recipe.steps[name].runs:
            continue
        wrong += _of(name, run.wrong)
        doubts += _of(name, run.doubts)
    return wrong, doubts


def _of(name: str, reasons: list[Reason]) -> list[tuple[str, str, str]]:
    return [(name, code, text) for code, text in reasons]


def _key(kind: str, step: Step) -> str:
    return f"{kind} {step.name}"
