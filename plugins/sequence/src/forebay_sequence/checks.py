"""What a step's checks gather while it is under way, and what they say at its end. Pure.

Owns the judgement of values. Must not know of units and order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from forebay_sequence import torque
from forebay_sequence.known import Value
from forebay_sequence.settings import Counter, Curve, Part, Range

if TYPE_CHECKING:
    from forebay_sequence.known import Run, Station
    from forebay_sequence.settings import Step

POINTS_MAX = 4000
"""Most points of a curve: at a thousand a second, 4 s of tightening."""
USED_MAX = 10_000
"""So many part numbers back it is known that they were used."""
Values = Mapping[str, Value | None]


def begin(step: Step, run: Run, before: Values) -> None:
    """Clear what was gathered; `before` holds the values before the step began."""
    for gathered in (run.least, run.most, run.base, run.torque, run.angle, run.readings):
        gathered.clear()
    for name, check in step.checks.items():
        if isinstance(check, Counter):
            base = before.get(check.tag)
            run.base[name] = base if isinstance(base, float) else None


def gather(step: Step, run: Run, values: Values, fresh: frozenset[str]) -> None:
    """Take in one moment: `values` hold, those of the tags `fresh` since now."""
    for name, check in step.checks.items():
        if isinstance(check, Range):
            value = values.get(check.tag)
            if check.every and isinstance(value, float):
                run.least[name] = min(value, run.least.get(name, value))
                run.most[name] = max(value, run.most.get(name, value))
        elif isinstance(check, Curve) and not fresh.isdisjoint((check.torque, check.angle)):
            load, turned = values.get(check.torque), values.get(check.angle)
            points = run.torque.setdefault(name, [])
            if isinstance(load, float) and isinstance(turned, float):
                if len(points) < POINTS_MAX:
                    points.append(load)
                    run.angle.setdefault(name, []).append(turned)
                elif all(code != "too-long" for code, _ in run.doubts):
                    run.doubts.append(("too-long", f"{name} has over {POINTS_MAX} points"))


def end(step: Step, run: Run, values: Values, station: Station) -> None:
    """Judge all checks with the values at the step's end."""
    for name, check in step.checks.items():
        if isinstance(check, Range):
            _range(name, check, run, values)
        elif isinstance(check, Part):
            _part(f"{step.name}/{name}", name, check, run, values, station)
        elif isinstance(check, Counter):
            _counter(name, check, run, values)
        else:
            _curve(f"{step.name}/{name}", name, check, run, station)
    for gathered in (run.least, run.most, run.base, run.torque, run.angle):
        gathered.clear()


def _none(name: str, tag: str, run: Run) -> None:
    run.doubts.append(("no-value", f"{name}: {tag} has no value"))


def _range(name: str, check: Range, run: Run, values: Values) -> None:
    value = values.get(check.tag)
    if not isinstance(value, float):
        _none(name, check.tag, run)
        return
    low, high = check.band
    seen = (run.least.get(name, value), run.most.get(name, value)) if check.every else (value,)
    run.readings[name] = value
    for one in seen:
        if not low <= one <= high:
            run.readings[name] = one
            text = f"{name} {one:.6g} is not in {low:g} to {high:g}"
            run.wrong.append((f"{name}-{'low' if one < low else 'high'}", text))


def _part(key: str, name: str, check: Part, run: Run, values: Values, station: Station) -> None:
    value = values.get(check.tag)
    if value is None or value == "":
        _none(name, check.tag, run)
        return
    read = spelled(value)
    run.readings[name] = read
    if check.form is not None and check.form.fullmatch(read) is None:
        run.wrong.append((f"{name}-form", f"{name} {read!r} is not of the form of its numbers"))
    if check.order:
        order = values.get(check.order)
        if order is None:
            _none(name, check.order, run)
        elif read not in check.parts.get(spelled(order), ()):
            text = f"{name} {read!r} does not belong to order {spelled(order)!r}"
            run.wrong.append((f"{name}-part", text))
    if check.once:
        used = station.used.setdefault(key, [])
        if read in used:
            run.wrong.append((f"{name}-used", f"{name} {read!r} was used before"))
        else:
            used.append(read)
            del used[:-USED_MAX]


def _counter(name: str, check: Counter, run: Run, values: Values) -> None:
    base, value = run.base.get(name), values.get(check.tag)
    if base is None or not isinstance(value, float):
        _none(name, check.tag, run)
        return
    counted = value - base
    if check.wrap and counted < 0:
        counted += check.wrap
    run.readings[name] = counted
    low, high = check.band
    if not low <= counted <= high:
        wanted = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        run.wrong.append((f"{name}-count", f"{name} counted {counted:g}, not {wanted}"))


def _curve(key: str, name: str, check: Curve, run: Run, station: Station) -> None:
    points = list(zip(run.torque.get(name, []), run.angle.get(name, []), strict=True))
    taught = station.taught.setdefault(key, torque.Taught())
    judged = torque.judge(points, check.limits, taught)
    for reading, value in judged.readings.items():
        run.readings[f"{name}.{reading}"] = value
    if judged.doubt:
        run.doubts.append(("no-curve", f"{name}: {judged.doubt}"))
    run.wrong.extend((f"{name}-{code}", f"{name}: {text}") for code, text in judged.wrong)
    if not run.wrong and not run.doubts:
        torque.learn(judged, check.limits, taught)


def spelled(value: Value) -> str:
    """A value as people write it: 4711, not 4711.0."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return value
