"""What happens, told once: a log line and its metric are declared together and emitted together.

Owns the list of events and the sink that writes them. Must not know who emits. Declarations are
constants; the sink, with its metric registry, is made by the composition root and handed down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import structlog
from prometheus_client import CollectorRegistry, Counter

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of thing that happens.

    `name` is the log line's event; `counter` is the metric that counts it (`forebay_` is put
    before, `_total` behind), labelled by `labels`, which must be among the fields of each emission
    and have few values (a device, never a tag).
    """

    name: str
    level: Level
    help: str
    counter: str
    labels: tuple[str, ...] = ()


DEVICE_CONNECTED = Event(
    "device_connected", "info", "Connections made to a device.", "device_connections", ("device",)
)
DEVICE_LOST = Event(
    "device_lost",
    "warning",
    "Connections to a device lost or never made.",
    "device_losses",
    ("device",),
)
LINE_LOST = Event(
    "line_lost",
    "warning",
    "Times that several devices of one line were lost together.",
    "line_losses",
    ("line",),
)
LINE_RESTORED = Event(
    "line_restored",
    "info",
    "Times that several devices of one line came, or came back, together.",
    "line_returns",
    ("line",),
)
TAGS_REFUSED = Event(
    "tags_refused", "warning", "Tags that a device refused to give.", "tags_refused", ("device",)
)
FILE_TAKEN = Event(
    "file_taken", "info", "Files of a folder that were taken whole.", "files_taken", ("device",)
)
FILE_REFUSED = Event(
    "file_refused",
    "warning",
    "Files of a folder that are not taken; each is told and counted once.",
    "files_refused",
    ("device",),
)
TAGS_BAD = Event(
    "tags_bad",
    "warning",
    "Times that tags went bad while their device answered.",
    "tags_bad",
    ("device",),
)
TAGS_GOOD = Event(
    "tags_good", "info", "Times that tags came back that were bad.", "tags_good", ("device",)
)
FILTER_REFUSED = Event(
    "filter_refused",
    "warning",
    "Groups whose filter a device refused for some tags, which are told unfiltered.",
    "filters_refused",
    ("device",),
)
SAMPLING_REVISED = Event(
    "sampling_revised",
    "warning",
    "Times that a device gave a group slower sampling, shorter queues or later news than asked.",
    "samplings_revised",
    ("device",),
)
PLAN_FORGOTTEN = Event(
    "plan_forgotten",
    "warning",
    "Times that what a device had taught could not be read or kept.",
    "plans_forgotten",
    ("device",),
)
CERTIFICATE_MADE = Event(
    "certificate_made",
    "warning",
    "Certificates of our own made because none was given.",
    "certificates_made",
)
CERTIFICATE_EXPIRES = Event(
    "certificate_expires",
    "warning",
    "Times that a device's certificates were found to expire soon, or to have expired.",
    "certificates_expiring",
    ("device",),
)
SERVER_CLOCK_OFF = Event(
    "server_clock_off",
    "warning",
    "Times that a device's own clock was found to be wrong.",
    "server_clocks_off",
    ("device",),
)
SERVER_CLOCK_RIGHT = Event(
    "server_clock_right",
    "info",
    "Times that a device's clock was found right after it had been wrong.",
    "server_clocks_right",
    ("device",),
)
EVENTS_REFUSED = Event(
    "events_refused",
    "warning",
    "Times that a device refused to tell its events.",
    "events_refused",
    ("device",),
)
HISTORY_READ = Event(
    "history_read",
    "info",
    "Holes of an outage that were filled from a device's own history.",
    "history_reads",
    ("device",),
)
FRAME_REFUSED = Event(
    "frame_refused", "warning", "Frames that broke their protocol.", "frames_refused", ("device",)
)
POLL_OVERRUN = Event(
    "poll_overrun",
    "warning",
    "Polls that began after their period was over.",
    "poll_overruns",
    ("device",),
)
SESSION_FAILED = Event(
    "session_failed",
    "error",
    "Faults of a driver that its session contained.",
    "session_failures",
    ("device",),
)
WRITE_ENDED = Event(
    "write_ended",
    "info",
    "Requests to write or call that were done or refused.",
    "writes",
    ("device", "outcome"),
)
WRITE_IN_DOUBT = Event(
    "write_in_doubt",
    "warning",
    "Requests to write or call of which nobody knows whether the device took them.",
    "writes_in_doubt",
    ("device",),
)
RING_OVERFLOW = Event(
    "ring_overflow", "error", "Batches that found no room before the journal.", "ring_overflows"
)
JOURNAL_OPENED = Event("journal_opened", "info", "Starts of the journal.", "journal_opens")
JOURNAL_RECOVERED = Event(
    "journal_recovered",
    "warning",
    "Starts that found a torn or damaged tail.",
    "journal_recoveries",
)
JOURNAL_FAILED = Event(
    "journal_failed", "error", "Writes or flushes that the disk refused.", "journal_failures"
)
JOURNAL_DETACHED = Event(
    "journal_detached",
    "error",
    "Starts without a journal: values are read and shown, and nothing is kept.",
    "journal_detachments",
)
JOURNAL_ATTACHED = Event(
    "journal_attached",
    "info",
    "Times that a journal could be opened at last.",
    "journal_attachments",
)
DISK_FULL = Event(
    "disk_full", "error", "Times the journal's disk had no room for a segment.", "disk_full"
)
DISK_HAS_ROOM = Event(
    "disk_has_room", "info", "Times the journal's disk had room again.", "disk_room"
)
EPOCH_BEGUN = Event(
    "epoch_begun",
    "warning",
    "Epochs begun while running: numbers of the one before were in doubt.",
    "epochs_begun",
)
SEGMENT_SEALED = Event(
    "segment_sealed", "debug", "Segments closed and indexed.", "segments_sealed", ("stream",)
)
SEGMENT_DROPPED = Event(
    "segment_dropped", "info", "Segments removed by retention.", "segments_dropped", ("stream",)
)
SEGMENT_THINNED = Event(
    "segment_thinned",
    "info",
    "Segments that kept few samples a bucket, for want of space.",
    "segments_thinned",
    ("stream",),
)
DATA_LOST = Event(
    "data_lost", "error", "Gaps written for data that is not there.", "gaps", ("cause",)
)
QUARANTINE_DROPPED = Event(
    "quarantine_dropped",
    "warning",
    "Copies that left quarantine, and no destination has the record.",
    "quarantine_drops",
    ("cause",),
)
UPLINK_CONNECTED = Event(
    "uplink_connected",
    "info",
    "Sessions opened with a destination.",
    "uplink_connections",
    ("uplink",),
)
UPLINK_LOST = Event(
    "uplink_lost",
    "warning",
    "Sessions with a destination lost or refused.",
    "uplink_losses",
    ("uplink",),
)
UPLINK_REJECTED = Event(
    "uplink_rejected",
    "error",
    "Records that a destination refused for good.",
    "uplink_rejections",
    ("uplink",),
)
UPLINK_SET_ASIDE = Event(
    "uplink_set_aside",
    "error",
    "Records put into quarantine because a destination will not take them.",
    "uplink_records_set_aside",
    ("uplink",),
)
UPLINK_UNHEARD = Event(
    "uplink_unheard",
    "warning",
    "Sessions in which a broker said of a message that nobody subscribes to it.",
    "uplink_unheard_sessions",
    ("uplink",),
)
UPLINK_FORKED = Event(
    "uplink_forked",
    "error",
    "Destinations that have other records than we under our numbers: the journal was put back.",
    "uplink_forks",
    ("uplink",),
)
UPLINK_FAILED = Event(
    "uplink_failed",
    "error",
    "Faults of an uplink adapter that its forwarder contained.",
    "uplink_failures",
    ("uplink",),
)
CONFIG_WARNED = Event(
    "config_warned", "warning", "Faults that did not forbid a start.", "config_warnings"
)
CONFIG_CHANGED = Event(
    "config_changed", "info", "Changes of the configuration under way.", "config_changes"
)
CLOCK_STATE = Event(
    "clock_state",
    "info",
    "Changes of what the kernel knows of the wall clock.",
    "clock_states",
    ("state",),
)
CLOCK_STEPPED = Event(
    "clock_stepped", "warning", "Steps of the wall clock while the agent ran.", "clock_steps"
)
PLUGIN_STARTED = Event(
    "plugin_started", "info", "Starts of a plugin that became ready.", "plugin_starts", ("plugin",)
)
PLUGIN_FAILED = Event(
    "plugin_failed",
    "warning",
    "Times that a plugin's process did not start, died, was too slow or broke its protocol.",
    "plugin_failures",
    ("plugin", "kind"),
)
PLUGIN_CIRCUIT_OPENED = Event(
    "plugin_circuit_opened",
    "error",
    "Times that a plugin failed so often that it is left alone for a while.",
    "plugin_circuit_openings",
    ("plugin",),
)
PLUGIN_PASSED = Event(
    "plugin_passed",
    "warning",
    "Windows that were given up because a plugin failed on them twice.",
    "plugin_windows_passed",
    ("plugin",),
)
PLUGIN_REFUSED = Event(
    "plugin_refused",
    "warning",
    "Reasons for which results of a plugin were refused, each told once.",
    "plugin_refusals",
    ("plugin",),
)
PLUGIN_SWAPPED = Event(
    "plugin_swapped", "info", "Times that another version took over.", "plugin_swaps", ("plugin",)
)
PLUGIN_SWAP_FAILED = Event(
    "plugin_swap_failed",
    "warning",
    "Times that another version did not take over; the one before went on.",
    "plugin_swap_failures",
    ("plugin",),
)
PLUGIN_UNCONFINED = Event(
    "plugin_unconfined",
    "warning",
    "Starts of a plugin without bubblewrap, with limits alone.",
    "plugins_unconfined",
    ("plugin",),
)
PLUGIN_SKIPPED = Event(
    "plugin_skipped",
    "warning",
    "Times that a plugin passed over records without working on them.",
    "plugin_skips",
    ("plugin",),
)
PLUGIN_PROGRESS_LOST = Event(
    "plugin_progress_lost",
    "error",
    "Files of a plugin's progress that were damaged.",
    "plugin_progress_losses",
    ("plugin",),
)
METRICS_UNSERVED = Event(
    "metrics_unserved",
    "warning",
    "Times that the address of [metrics] could not be listened at.",
    "metrics_unserved",
)
METRICS_UNSENT = Event(
    "metrics_unsent",
    "warning",
    "Times that the collector of [metrics.otlp] could not be told any more.",
    "metrics_unsent",
)
STOOD_STILL = Event(
    "stood_still",
    "warning",
    "Times in which nothing ran: the process stopped, the machine suspended, the loop blocked.",
    "stand_stills",
)
AGENT_STALLED = Event(
    "agent_stalled",
    "error",
    "Times in which no poll or no commit made progress, so that the watchdog was not fed.",
    "agent_stalls",
)
AGENT_STARTED = Event("agent_started", "info", "Starts of the agent.", "agent_starts")
AGENT_STOPPING = Event("agent_stopping", "info", "Orderly stops begun.", "agent_stops_begun")
AGENT_STOPPED = Event("agent_stopped", "info", "Orderly stops of the agent.", "agent_stops")


class Events:
    """The sink. One per process, handed to every engine and adapter."""

    def __init__(self, log: FilteringBoundLogger | None = None) -> None:
        """Write to `log`, by default structlog's configured one; count in a registry of its own."""
        self.registry = CollectorRegistry()
        self._log: FilteringBoundLogger = structlog.get_logger() if log is None else log
        self._counters: dict[str, Counter] = {}
        self.lines_lost = 0
        """Log lines that could not be written; their events are counted all the same."""

    def emit(self, event: Event, **fields: object) -> None:
        """Log `event` with `fields` and count it.

        For transitions and faults; never once per value or per poll.
        """
        self.tally(event, **fields)
        try:
            getattr(self._log, event.level)(event.name, **fields)
        except OSError:
            # Whoever read the log is gone, or its disk is full. That must not stop the data.
            self.lines_lost += 1

    def tally(self, event: Event, **fields: object) -> None:
        """Count `event` without a line of its own: another one tells it together with others."""
        counter = self._counters.get(event.counter)
        if counter is None:
            counter = Counter(
                f"forebay_{event.counter}", event.help, event.labels, registry=self.registry
            )
            self._counters[event.counter] = counter
        if event.labels:
            counter = counter.labels(*(str(fields[label]) for label in event.labels))
        counter.inc()

    def count(self, event: Event, **labels: str) -> float:
        """Give how often `event` was emitted with these labels; other labels are summed up."""
        counter = self._counters.get(event.counter)
        if counter is None:
            return 0.0
        return sum(
            sample.value
            for metric in counter.collect()
            for sample in metric.samples
            if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
        )
