"""Whether a write or a call may go out. Pure.

Owns the decision and what it says to who was refused. Must not know how a request came, nor what
becomes of one that is allowed.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from forebay.writing.values import (
    Unwritable,
    noise,
    said,
    sendable,
    to_engineering,
    to_raw,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from forebay.clock import Reading
    from forebay.interfaces import Value
    from forebay.model import Tag
    from forebay.settings import TagSettings
    from forebay.writing.audit import Deed
    from forebay.writing.settings import WriteRule, WritesSettings

MAX_PACED = 10_000
"""Tags and methods whose latest writes are remembered for the rate."""


class Action(StrEnum):
    """What is asked of a device."""

    WRITE = "write"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants done once.

    `item` is the tag or the method; `values` is the one value of a write, as readers see it, or the
    arguments of a call. `id` names this request, which is executed once; the gate makes one if it
    is empty. `who` is what is known of who asked: `uid:NUMBER` of a user at the control socket,
    `plugin:NAME` of a plugin. `reason` is what they said.
    """

    action: Action
    device: str
    item: str
    values: tuple[Value, ...]
    id: str
    who: str
    reason: str = ""

    @property
    def target(self) -> str:
        """What people write: DEVICE/TAG or DEVICE/METHOD."""
        return f"{self.device}/{self.item}"

    @property
    def said(self) -> str:
        """The values as text."""
        return said(self.values if self.action is Action.CALL else self.values[0])


class Allowed(NamedTuple):
    """It may go out, with these raw values."""

    values: tuple[Value, ...]


class Denied(NamedTuple):
    """It may not, and why."""

    detail: str
    hint: str


class Pace:
    """When what was let out last, to hold rules' rates. Times are monotonic seconds."""

    def __init__(self) -> None:
        """Remember nothing."""
        self._out: OrderedDict[tuple[int, str], deque[float]] = OrderedDict()

    def wait_s(self, number: int, rule: WriteRule, target: str, now_s: float) -> float:
        """Give for how long rule `number` still holds `target` back; 0 for not at all."""
        frequency = rule.frequency
        times = self._out.get((number, target), ())
        recent = [at for at in times if now_s - at < frequency.seconds]
        if len(recent) < frequency.times:
            return 0.0
        return recent[-frequency.times] + frequency.seconds - now_s

    def note(self, rules: Iterable[tuple[int, WriteRule]], target: str, now_s: float) -> None:
        """Note that something goes out to `target` under these rules."""
        for number, rule in rules:
            none: deque[float] = deque(maxlen=rule.frequency.times)
            self._out.setdefault((number, target), none).append(now_s)
            self._out.move_to_end((number, target))
        while len(self._out) > MAX_PACED:
            self._out.popitem(last=False)


def decide(
    ask: Ask,
    settings: WritesSettings,
    tags: Mapping[str, TagSettings],
    pace: Pace,
    now_s: float,
) -> Allowed | Denied:
    """Decide on a request for a device that has `tags`; of a write's tag it is known that it is.

    What is allowed counts for the rate from now on.
    """
    if not settings.enabled:
        return Denied("writes are off", "set enabled = true in [writes], and allow what is needed")
    call = ask.action is Action.CALL
    named = _about(settings, ask.device, ask.item, call=call)
    rules = [(number, rule) for number, rule in named if rule.binds(ask.who)]
    if not rules:
        hint = f"add a rule to [writes]; see docs/guides/writes.md, allow {ask.target}"
        if named:
            hint = f"rules name {ask.target}, none of them by {ask.who}; add it to `by` of one"
        return Denied(f"no rule allows to {ask.action} {ask.target}", hint)
    decided = Allowed(ask.values) if call else _valued(ask, tags[ask.item], rules)
    if isinstance(decided, Denied):
        return decided
    wait_s = max(pace.wait_s(number, rule, ask.target, now_s) for number, rule in rules)
    if wait_s > 0:
        return Denied(f"too soon after the last {ask.action}", f"wait {wait_s:.3g} s")
    pace.note(rules, ask.target, now_s)
    return decided


def recall(
    pace: Pace,
    settings: WritesSettings,
    intents: Iterable[tuple[Deed, int]],
    now: Reading,
    now_s: float,
) -> None:
    """Have `pace` hold what earlier runs let out, `intents` with their wall times (ns), in order.

    Where nothing disciplines the wall clock, or it says that something is yet to come, it counts as
    let out just now. So that a clock that was set later does not make it older, nothing counts as
    older than what came before it.
    """
    latest_ns = 0
    ages: list[tuple[float, Deed]] = []
    for deed, at_ns in intents:
        known = now.synced and at_ns <= now.wall_ns
        if known:
            latest_ns = max(latest_ns, at_ns)
        ages.append(((now.wall_ns - latest_ns) / 1e9 if known else 0.0, deed))
    for age_s, deed in sorted(ages, key=itemgetter(0), reverse=True):
        device, _, item = deed.target.partition("/")
        named = _about(settings, device, item, call=deed.action == Action.CALL)
        rules = [(number, rule) for number, rule in named if rule.binds(deed.who)]
        pace.note(rules, deed.target, now_s - age_s)


def _about(
    settings: WritesSettings, device: str, item: str, *, call: bool
) -> list[tuple[int, WriteRule]]:
    """Give the rules that name a tag or a method, each with its number."""
    return [
        (number, rule)
        for number, rule in enumerate(settings.allow)
        if rule.names(device, item, method=call)
    ]


def _valued(ask: Ask, tag: TagSettings, rules: Sequence[tuple[int, WriteRule]]) -> Allowed | Denied:
    """Hold a write's value, and what the device would get of it, against every rule.

    A float goes out as what its type has closest, or beside that where only that keeps the rules.
    """
    (value,) = ask.values
    if not tag.writable:
        return Denied(
            f"{ask.target} may only be read", 'give the tag access = "read_write", if it should'
        )
    of = tag.to_tag()
    try:
        choices = sendable(of, to_raw(of, value), tag.held)
    except Unwritable as error:
        return Denied(str(error), error.hint)
    denied = _outside(rules, value)
    if denied is not None:
        return denied
    seen = [to_engineering(of, raw) for raw in choices]
    for raw, sight in zip(choices, seen, strict=True):
        if _outside(rules, sight, of) is None:
            return Allowed((raw,))
    first = _outside(rules, seen[0], of)
    assert first is not None
    return Denied(f"{said(value)} would be {said(seen[0])}: {first.detail}", first.hint)


def _outside(
    rules: Sequence[tuple[int, WriteRule]], value: Value, tag: Tag | None = None
) -> Denied | None:
    """Give why a rule forbids a value, None if none does; of a `tag`, as its readers see it."""
    for _, rule in rules:
        denied = _beyond(rule, value, tag)
        if denied is not None:
            return denied
    return None


def _beyond(rule: WriteRule, value: Value, tag: Tag | None) -> Denied | None:
    if rule.values and not any(_equal(value, choice, tag) for choice in rule.values):
        choices = ", ".join(said(choice) for choice in rule.values[:8])
        more = ", ..." if len(rule.values) > 8 else ""
        return Denied(f"{said(value)} is not among the values allowed", f"{choices}{more}")
    if isinstance(value, (bool, str)):
        return None
    if rule.min is not None and value < rule.min:
        return Denied(f"{said(value)} is below what is allowed", f"at least {rule.min}")
    if rule.max is not None and value > rule.max:
        return Denied(f"{said(value)} is above what is allowed", f"at most {rule.max}")
    return None


def _equal(value: Value, choice: Value, tag: Tag | None) -> bool:
    """Whether they are the same, as far as a scaled float can tell; true is not 1."""
    if isinstance(value, bool) != isinstance(choice, bool):
        return False
    if tag is None or isinstance(value, str) or isinstance(choice, str):
        return value == choice
    return abs(value - choice) <= noise(tag, choice)
