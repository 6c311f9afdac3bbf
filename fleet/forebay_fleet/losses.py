"""What a reader of values has to know of what is not there: gaps and thinned stretches, by time.

Owns the reading side of gaps. Must not know how it is shown (`cli`).
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.store.gaps import THINNED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay_fleet.decode import SchemaView
    from forebay_fleet.query import TagHistory


class Loss(NamedTuple):
    """A stretch of source time in which samples are missing; both ends are inclusive.

    `cause` is that of a Gap record, or THINNED: then the tag still has values in it, with lower
    resolution. `samples` counts what is missing there, of all tags of the device (`source`) or,
    without one, of all devices; None where nobody can know.
    """

    cause: str
    time_from_ns: int
    time_to_ns: int
    samples: int | None
    source: str


def losses(history: TagHistory, span_ns: tuple[int, int]) -> list[Loss]:
    """Give what is missing around a tag in `span_ns` (mended times, inclusive), the oldest first.

    Left out are Gap records of which everything is here, for it was another server that lacks it,
    and those whose samples another one says again.
    Positions that were gone before the gateway came here have no times, and are in the ledger only.
    """
    found = list(_gaps(history))
    thinned = history.columns if history.history.thinned(history.gateway_id) else []
    for schema, _ in thinned:
        found.extend(_thinned(history, schema, span_ns))
    within = (
        loss for loss in found if loss.time_to_ns >= span_ns[0] and loss.time_from_ns <= span_ns[1]
    )
    return sorted(within, key=lambda loss: (loss.time_from_ns, loss.time_to_ns, loss.cause))


def _gaps(history: TagHistory) -> Iterator[Loss]:
    for row in history.history.told(history.gateway_id, history.device):
        said_elsewhere = row.missing and row.samples and not row.counted
        if row.missing == 0 or said_elsewhere:
            continue
        by_ns = history.correction_ns(row.line, row.seq)
        samples = None if row.samples is None else row.counted
        yield Loss(row.cause, row.time_from_ns + by_ns, row.time_to_ns + by_ns, samples, row.source)


def _thinned(history: TagHistory, schema: SchemaView, span_ns: tuple[int, int]) -> Iterator[Loss]:
    """Give the stretches of a schema's batches that thinning went through without a break."""
    rows = history.details(schema, span_ns)
    for thinned, run in groupby(rows, key=lambda row: row.thinned > 0):
        if thinned:
            own = list(run)
            yield Loss(
                THINNED,
                min(row.time_min_ns for row in own),
                own[-1].time_max_ns,
                sum(row.thinned for row in own),
                schema.message.source,
            )
