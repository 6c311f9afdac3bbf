"""Whether a configuration on trial keeps the data flowing: judged by what flowed before.

Owns the gates. Pure: vitals in, a verdict out. Must not know clocks, disks or what a verdict leads
to.

A part is held against itself. What gave data before and gives none is a reason to go back; what is
new, or gave none before either, is told of and is no reason: a machine that is switched off, or a
device that is still to be built, must not undo what a person wants. Nor is what the configuration
removed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.management.views import DeviceVitals, UplinkVitals, Vitals

POLLS_SHARE = 0.9
"""Of the polls that there were before."""
POLLS_SLACK = 2.0
"""Polls that may be due at the ends of a span, and fall to one side or the other."""
SETTLE_SHARE, SETTLE_S = 0.25, 30.0
"""Part of the probation, at most so long, in which parts that were begun again may connect."""
FRESH_PERIODS, FRESH_S = 3.0, 10.0
"""How old the last good value of a device that works may be."""
MIN_EXPECTED = 5.0
"""Values that a device that is not polled must have been expected to tell before it is missed."""
MIN_WINDOW_S = 5.0
"""A window that is shorter does not show whether a destination acknowledges."""
MEMORY_GROWTH_BYTES = 512 << 20
"""By how much resident memory may grow with a configuration."""
_LISTED = 5


@dataclass(frozen=True, slots=True)
class DeviceBefore:
    """One device before the change.

    `polls_share` is what part of the polls that its periods ask for were made, 0 to 1; `good` says
    whether it gave good values; `good_per_s` how many.
    """

    polls_share: float
    good: bool
    good_per_s: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """What worked before a change; small enough to be kept on disk with the trial.

    `acking` are the uplinks whose destination acknowledged something. `restarting` says that
    something died by itself before the change, too.
    """

    devices: Mapping[str, DeviceBefore]
    committing: bool
    acking: tuple[str, ...]
    fleet: bool
    memory_bytes: int
    restarting: bool

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON can say it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Baseline:
        """Read what `to_json` gave; of nothing, a baseline that misses nothing."""
        if not data:
            return cls(
                {}, committing=False, acking=(), fleet=False, memory_bytes=0, restarting=False
            )
        devices = {name: DeviceBefore(**one) for name, one in data["devices"].items()}
        return cls(**{**data, "devices": devices, "acking": tuple(data["acking"])})


def baseline(window: Sequence[Vitals]) -> Baseline:
    """Give what worked in `window`, at least one look, oldest first."""
    first, last = window[0], window[-1]
    return Baseline(
        devices={
            name: _device_before(first.devices.get(name), now, first, last)
            for name, now in last.devices.items()
        },
        committing=not last.journal.trouble
        and _fresh(last.journal.last_commit_s, last.monotonic_s, FRESH_S),
        acking=tuple(
            name
            for name, now in last.uplinks.items()
            if _acks(now, first.uplinks.get(name) if _span(first, last) >= MIN_WINDOW_S else None)
        ),
        fleet=last.fleet_connected is True,
        memory_bytes=last.memory_bytes,
        restarting=last.restarts > first.restarts,
    )


def _device_before(
    then: DeviceVitals | None, now: DeviceVitals, first: Vitals, last: Vitals
) -> DeviceBefore:
    """Look at the window; at all since the device began where that says more, or it is new."""
    began_s = first.monotonic_s
    polls, good = now.polls, now.good_samples
    if then is None or then.began_s != now.began_s or then.polls_per_s * _span(first, last) < 2.0:
        began_s = now.began_s
    else:
        polls, good = polls - then.polls, good - then.good_samples
    span_s = last.monotonic_s - began_s
    asked = now.polls_per_s * span_s
    # One poll more than there should be may fall into any span: that is not what was usual.
    share = min(1.0, max(0.0, polls - 1.0) / asked) if asked >= 1.0 else float(polls > 0)
    return DeviceBefore(
        polls_share=share,
        good=_fresh(now.last_good_s, last.monotonic_s, fresh_s(now)),
        good_per_s=good / span_s if span_s > 0.0 else 0.0,
    )


def _span(first: Vitals, last: Vitals) -> float:
    return last.monotonic_s - first.monotonic_s


def fresh_s(device: DeviceVitals) -> float:
    """Give how old the last good value of a device may be."""
    return max(FRESH_S, FRESH_PERIODS / device.polls_per_s) if device.polls_per_s else FRESH_S * 3


def _fresh(then_s: float | None, now_s: float, age_s: float) -> bool:
    return then_s is not None and now_s - then_s <= age_s


def _acks(now: UplinkVitals, then: UplinkVitals | None) -> bool:
    """Whether records were acknowledged in the window, or ever where the window saw no other."""
    if then is None or then.began_s != now.began_s:
        return now.acked_records > 0
    return now.acked_records > then.acked_records


@dataclass(frozen=True, slots=True)
class Verdict:
    """`wait`: look again; `good`, `bad`: it is certain. A person reads `reasons` and `remarks`."""

    kind: Literal["wait", "good", "bad"]
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class Probation:
    """One probation: fed with vitals, about one a second, until its verdict is certain."""

    def __init__(
        self, before: Baseline, start: Vitals, length_s: float, memory_limit: int | None = None
    ) -> None:
        """Judge from `start` on, the first look after the change, for `length_s`.

        `memory_limit`, if there is one, is the most memory that may be taken, in bytes.
        """
        self._memory_limit = memory_limit
        self._before, self._start, self._length_s = before, start, length_s
        self._settle_s = min(SETTLE_S, SETTLE_SHARE * length_s)
        self._settled: Vitals | None = None
        self._fleet_s: float | None = None

    def look(self, now: Vitals) -> Verdict:
        """Judge by what is seen now."""
        elapsed_s = _span(self._start, now)
        if self._settled is None and elapsed_s >= self._settle_s:
            self._settled = now
        if now.fleet_connected:
            self._fleet_s = now.monotonic_s
        certain = [*self._certain(now)]
        if certain:
            return Verdict("bad", tuple(certain))
        if elapsed_s < self._length_s:
            return Verdict("wait")
        reasons = [*self._devices(now), *self._journal(now), *self._uplinks(now), *self._fleet(now)]
        remarks = tuple(self._remarks(now))
        return Verdict("bad" if reasons else "good", tuple(reasons), remarks)

    def _certain(self, now: Vitals) -> list[str]:
        """Find what waiting cannot mend."""
        found: list[str] = []
        if now.restarts > self._start.restarts and not self._before.restarting:
            found.append(f"{now.restarts - self._start.restarts} parts died and were begun again")
        grown = now.memory_bytes - self._before.memory_bytes
        if self._before.memory_bytes and grown > MEMORY_GROWTH_BYTES:
            found.append(
                f"memory grew by {grown >> 20} MiB, more than {MEMORY_GROWTH_BYTES >> 20} MiB"
            )
        if self._memory_limit is not None and now.memory_bytes > self._memory_limit:
            found.append(
                f"it takes {now.memory_bytes >> 20} MiB of memory, more than "
                f"{self._memory_limit >> 20} MiB"
            )
        left_s = max(0.0, self._length_s - _span(self._start, now))
        slow = [
            name
            for name, device in now.devices.items()
            if self._polls(name, device, now) + device.polls_per_s * left_s
            < self._needed(name, device)
        ]
        return found + _said(slow, "no longer polled as often as before")

    def _polls(self, name: str, device: DeviceVitals, now: Vitals) -> float:
        """Give the polls of a device since all had settled, or began again."""
        since = (self._settled or now).devices.get(name)
        if since is None or since.began_s != device.began_s:
            return float(device.polls)
        return float(device.polls - since.polls)

    def _needed(self, name: str, device: DeviceVitals) -> float:
        before = self._before.devices.get(name)
        if before is None or not before.good:
            return 0.0
        settled_s = _span(self._start, self._settled) if self._settled else self._settle_s
        asked = device.polls_per_s * max(0.0, self._length_s - settled_s)
        return POLLS_SHARE * before.polls_share * asked - POLLS_SLACK

    def _devices(self, now: Vitals) -> list[str]:
        silent = [
            name
            for name, device in now.devices.items()
            if (before := self._before.devices.get(name)) is not None
            and before.good
            and not self._good(before, device, now)
        ]
        return _said(silent, "gave good values before the change, and gives none now")

    def _good(self, before: DeviceBefore, device: DeviceVitals, now: Vitals) -> bool:
        """Whether a device still gives good values: since the change, and of late."""
        if device.polls_per_s:
            since_s = self._start.monotonic_s
            return (
                device.last_good_s is not None
                and device.last_good_s >= since_s
                and _fresh(device.last_good_s, now.monotonic_s, fresh_s(device))
            ) or device.polls_per_s * self._length_s < 1.0
        if before.good_per_s * self._length_s < MIN_EXPECTED:
            return True
        return device.last_good_s is not None and device.last_good_s >= self._start.monotonic_s

    def _journal(self, now: Vitals) -> list[str]:
        if not self._before.committing:
            return []
        if now.journal.trouble:
            return [f"the journal takes nothing: {now.journal.trouble}"]
        due = any(self._flows(device) for device in now.devices.values())
        last_s = now.journal.last_commit_s
        if due and (last_s is None or last_s < self._start.monotonic_s):
            return ["nothing was journaled since the change"]
        return []

    def _flows(self, device: DeviceVitals) -> bool:
        return device.last_good_s is not None and device.last_good_s >= self._start.monotonic_s

    def _uplinks(self, now: Vitals) -> list[str]:
        last_s = now.journal.last_commit_s
        if last_s is None or last_s < self._start.monotonic_s:
            return []  # there is nothing that could be acknowledged
        there = [name for name in self._before.acking if name in now.uplinks]
        found = [
            f"the destination {name} acknowledged before the change, and does not now"
            for name in there
            if not self._acked(name, now)
        ]
        # If all were exchanged, one of the new ones must work, or nothing leaves the box.
        exchanged = bool(self._before.acking and now.uplinks and not there)
        if exchanged and not any(self._acked(name, now) for name in now.uplinks):
            found.append("no destination acknowledges any more")
        return found

    def _acked(self, name: str, now: Vitals) -> bool:
        """Whether a destination acknowledged something since the change."""
        uplink, since = now.uplinks[name], self._start.uplinks.get(name)
        if since is None or since.began_s != uplink.began_s:
            return uplink.acked_records > 0
        return uplink.acked_records > since.acked_records

    def _fleet(self, now: Vitals) -> list[str]:
        if not self._before.fleet or now.fleet_connected is None:
            return []
        # A stream that the change has cut off may seem to be there for some seconds more.
        if self._fleet_s is not None and self._fleet_s >= self._start.monotonic_s + self._settle_s:
            return []
        return ["the fleet server was reached before the change, and is not now"]

    def _remarks(self, now: Vitals) -> list[str]:
        quiet = [
            name
            for name, device in now.devices.items()
            if not self._flows(device)
            and not ((before := self._before.devices.get(name)) and before.good)
        ]
        deaf = [
            name
            for name in now.uplinks
            if name not in self._before.acking and not self._acked(name, now)
        ]
        found = _said(quiet, "gave no good value yet, nor before the change")
        return found + [
            f"the destination {name} acknowledged nothing yet" for name in deaf[:_LISTED]
        ]


def _said(names: Sequence[str], what: str) -> list[str]:
    """Give one sentence for some devices."""
    if not names:
        return []
    shown = ", ".join(names[:_LISTED])
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return [f"device{'s' if len(names) > 1 else ''} {shown}{more}: {what}"]
