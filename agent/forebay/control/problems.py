"""What a person should be told first: lines, the worst first.

Owns the wording and the order. Looks at engines and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay.model import ClockState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from forebay.acquisition.session import Session
    from forebay.control.pluginview import PluginStatus
    from forebay.events import Events
    from forebay.forwarding.forwarder import Forwarder
    from forebay.journal.figures import JournalStats
    from forebay.pipeline.anchors import Anchors

LEAST_FREE_BYTES = 256 << 20
"""Free space below which a person is told: sixteen segments of the default size."""

LEAST_WEAR_S = 3_600.0
"""How long must have been written before a day's worth is reckoned from it."""
DAY_S = 86_400.0
GIB = float(1 << 30)

UNSYNCED_S = 600.0
"""For how long a clock may be left alone before a person is told: time servers take their time."""
STEP_TOLD_S = 86_400.0
"""For how long a person is told of the last step of the clock."""


def of_data(
    stats: JournalStats, lost_samples: int, free_bytes: int | None, growth_bytes: int
) -> Iterator[str]:
    """Tell of samples that are gone and of a disk that is, or will be, full.

    `lost_samples` never reached the disk; `growth_bytes` is how much the journal may still grow;
    `free_bytes` is None where the disk does not say.
    """
    if stats.dropped_samples:
        yield (
            f"journal: full, {stats.dropped_samples:,} samples were dropped undelivered since the "
            "start (forebay ledger has the account; repair the uplink, or raise journal.max_size)"
        )
    if stats.thinned_samples:
        yield (
            f"journal: old readings are coarser, {stats.thinned_samples:,} samples were taken out "
            "of what is on disk to make room (repair the uplink, or raise journal.max_size)"
        )
    if lost_samples:
        yield (
            f"journal: {lost_samples:,} samples were lost since the start because the "
            "disk was too slow (forebay journal status; poll less, or raise journal.memory)"
        )
    if free_bytes is None:
        yield (
            "disk: the one that the journal lies on does not answer "
            "(dmesg; is it still there, and mounted?)"
        )
    elif free_bytes < LEAST_FREE_BYTES:
        yield (
            f"disk: only {free_bytes >> 20} MiB are free where the journal lies "
            "(free some: when it is full, old data goes first, then what is new)"
        )
    elif growth_bytes > free_bytes:
        yield (
            f"disk: the journal may grow by {growth_bytes >> 20:,} MiB and only "
            f"{free_bytes >> 20:,} MiB are free, so that it thins readings sooner "
            "(free some, or lower journal.max_size)"
        )


def of_log(events: Events) -> Iterator[str]:
    """Tell of lines of the log that nobody has."""
    if events.lines_lost:
        yield f"log: {events.lines_lost:,} lines could not be written (is its reader gone?)"


def of_metrics(unserved: str, unsent: str) -> Iterator[str]:
    """Tell of who does not hear of this gateway: `trouble` of MetricsServer, of MetricsPusher."""
    if unserved:
        yield f"metrics: {unserved}"
    if unsent:
        yield f"metrics: {unsent}"


class Wear(NamedTuple):
    """What was written to the disk, in how many seconds, and how much a day may be; 0: any."""

    written_bytes: int
    over_s: float
    budget_a_day: int


def of_journal(trouble: str, quarantined: int, wear: Wear) -> Iterator[str]:
    """Tell what keeps the journal from writing, what it has set aside, how hard the disk is worn.

    `trouble` is that of `JournalStats`; `quarantined` counts records.
    """
    if trouble:
        yield f"journal: nothing is written: {trouble}"
    if quarantined:
        yield (
            f"journal: {quarantined:,} records are in quarantine "
            "(forebay journal quarantine ls; mend the destination, then retry or drop them)"
        )
    if wear.budget_a_day and wear.over_s >= LEAST_WEAR_S:
        a_day = wear.written_bytes / wear.over_s * DAY_S
        if a_day > wear.budget_a_day:
            yield (
                f"disk: {a_day / GIB:,.1f} GiB are written a day, "
                f"journal.wear_budget is {wear.budget_a_day / GIB:,.1f} GiB "
                "(forebay journal forecast says what takes the most)"
            )


def of_clock(anchors: Anchors, now_s: float) -> Iterator[str]:
    """Tell of a wall clock that was set, or that nothing sets; `now_s` is monotonic."""
    step = anchors.last_step
    if step is not None and now_s - step.at_s < STEP_TOLD_S:
        often = "once" if anchors.steps == 1 else f"{anchors.steps} times"
        yield (
            f"clock: it was set by {step.by_s:+,.1f} s, {(now_s - step.at_s) / 60:,.0f} min ago; "
            f"{often} since the start (look at the time server; times in the journal "
            "stay as they are, its anchors tell how to mend them)"
        )
    if anchors.state is ClockState.UNSYNCED and anchors.state_s > UNSYNCED_S:
        yield (
            "clock: nothing corrects it, so times may be wrong by any amount and nothing is "
            "deleted for its age (start chrony, with rtcsync, or systemd-timesyncd)"
        )
    elif anchors.state is ClockState.HOLDOVER:
        yield (
            f"clock: nothing corrects it any more, it may be off by {anchors.error_s:,.0f} s "
            "(is the time server reachable?)"
        )


def of_links(
    sessions: Mapping[str, Session], forwarders: Mapping[str, Forwarder], bad: Mapping[str, int]
) -> Iterator[str]:
    """Tell of devices and uplinks that do not do what they should."""
    for name, session in sessions.items():
        status = session.status
        if status.state != "connected" and status.last_error:
            yield f"device {name}: {status.last_error} ({status.last_hint})"
    for name, forwarder in forwarders.items():
        uplink = forwarder.status()
        if uplink.state != "connected" and uplink.last_error:
            yield f"uplink {name}: {uplink.last_error} ({uplink.last_hint})"
        elif uplink.stuck:
            yield f"uplink {name}: {uplink.stuck}"
    for name, session in sessions.items():
        if session.status.state != "connected":
            continue
        if session.status.overrunning:
            yield (
                f"device {name}: polls take longer than their period, "
                f"{session.status.overruns:,} were missed (lengthen the period)"
            )
        if bad.get(name):
            yield f"device {name}: {bad[name]} tags have no usable value (forebay tags --bad)"


def of_plugins(plugins: Iterable[PluginStatus]) -> Iterator[str]:
    """Tell of plugins that do not do what they should."""
    for one in plugins:
        if one.state in ("refused", "waiting"):
            yield f"plugin {one.name}: {one.last_error} ({one.last_hint})"
        elif one.state == "no-inputs":
            yield f"plugin {one.name}: no tag fits its inputs (forebay tags; set its inputs)"
        elif one.windows_passed:
            yield (
                f"plugin {one.name}: {one.windows_passed:,} windows were given up, behind a gap "
                f"(forebay plugins logs {one.name})"
            )


def notes(forwarders: Mapping[str, Forwarder]) -> Iterator[str]:
    """Tell of what waits because it was configured so."""
    for name, forwarder in forwarders.items():
        uplink = forwarder.status()
        if uplink.state == "connected" and uplink.held and not uplink.stuck:
            yield f"uplink {name}: {uplink.held}"
