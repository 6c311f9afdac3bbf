"""The figures of a running agent as Prometheus takes them.

Owns how a `Sight` becomes metric families, and the text in the format that the client takes:
OpenMetrics 1.0, or Prometheus 0.0.4. Must not know where the figures come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder

from forebay.control import figures
from forebay.control.figures import Sight, Stream
from forebay.model import ClockState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from forebay.control.figures import Table
    from forebay.control.pluginview import PluginStatus
    from forebay.control.view import DeviceStatus, JournalStatusReply, UplinkStatus

T = TypeVar("T")
_N = TypeVar("_N", "DeviceStatus", "UplinkStatus", "PluginStatus")

INFO = "Name and version of the gateway."
CLOCK = "1 for what is known of the wall clock."
CLOCK_STATES = tuple(state.name.lower() for state in ClockState)


class _Given:
    """A collector of what is already there."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        """Give them."""
        return self._families


def text(sight: Sight, counted: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Give the text of all metrics and its content type, for a client with this Accept.

    `counted` has the counters of events. May be called beside the event loop.
    """
    encode, content_type = choose_encoder(format_for(accept))
    registry = CollectorRegistry()
    registry.register(_Given(every(sight, counted)))
    return encode(registry), content_type


def format_for(accept: str) -> str:
    """Give what a client with this Accept is answered in: one of two formats, whatever it wants.

    The library's own reading of Accept fails on some, and promises versions that it does not write.
    """
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        versions = [word for word in parameters if word.startswith("version=")]
        if kind == "application/openmetrics-text" and versions in ([], ["version=1.0.0"]):
            return f"{kind}; version=1.0.0"
    return "text/plain; version=0.0.4"


def every(sight: Sight, counted: CollectorRegistry) -> list[Metric]:
    """Give all metrics: of what was seen, of what happened, and of the process."""
    process = ProcessCollector(namespace="forebay", registry=None)
    return [*families(sight), *counted.collect(), *process.collect()]


def families(sight: Sight) -> Iterator[Metric]:
    """Give the metrics of what was seen."""
    told = {"gateway": sight.status.gateway, "version": sight.status.version}
    yield InfoMetricFamily("forebay", INFO, told)
    clock = GaugeMetricFamily("forebay_clock_state", CLOCK, labels=("state",))
    for state in CLOCK_STATES:
        clock.add_metric((state,), float(sight.clock.state.name.lower() == state))
    yield clock
    yield from _of(figures.GATEWAY, ((sight, ()),))
    yield from _of(figures.DEVICE, _on(sight.devices))
    yield from _of(figures.UPLINK, _on(sight.uplinks))
    yield from _of(figures.PLUGIN, _on(sight.plugins))
    yield from _of(figures.JOURNAL, ((sight.journal, ()),))
    yield from _of(figures.STREAM, ((one, (one.name,)) for one in streams(sight.journal)))
    yield from _of(figures.LEDGER, ((one, (one.stream, one.uplink)) for one in sight.ledger))


def streams(journal: JournalStatusReply) -> list[Stream]:
    """Give each stream of the journal once, in order of urgency."""
    found: dict[str, Stream] = {}
    for part in journal.streams:
        was = found.get(part.stream, Stream(part.stream, 0, part.max_bytes, 0, 0, 0))
        found[part.stream] = Stream(
            part.stream,
            was.bytes + part.bytes,
            part.max_bytes,
            was.segments + part.segments,
            was.samples + part.samples,
            min(filter(None, (was.oldest_ns, part.oldest_ns)), default=0),
        )
    return list(found.values())


def _on(rows: Iterable[_N]) -> Iterator[tuple[_N, tuple[str, ...]]]:
    """Give what is switched on with its label: nobody is called for what somebody switched off."""
    return ((row, (row.name,)) for row in rows if row.state != "disabled")


def _of(table: Table[T], rows: Iterable[tuple[T, tuple[str, ...]]]) -> Iterator[Metric]:
    told = list(rows)
    for figure in table.figures:
        kind = CounterMetricFamily if figure.counts else GaugeMetricFamily
        family = kind(f"forebay_{figure.name}", figure.help, labels=table.labels)
        for row, labels in told:
            value = figure.of(row)
            if value is not None:
                family.add_metric(labels, float(value))
        if family.samples:
            yield family
