"""Works of one window each, out of one of many: for a second try.

Pure. Must not know who asks for it.
"""

from __future__ import annotations

from forebay.pluginhost.seams import Cut, Range, Series, Work
from forebay.pluginhost.windows import Taken


def split(work: Work) -> list[Work]:
    """Give a work as works of one window each, with the rows of just that."""
    assert isinstance(work.mark, Taken)
    found = []
    for place, window in enumerate(work.windows):
        cuts = [slice(first, first + count) for first, count in window.ranges]
        found.append(
            Work(
                [times[cut] for times, cut in zip(work.axes, cuts, strict=True)],
                [
                    Series(
                        one.input,
                        one.axis,
                        one.values[cuts[one.axis]],
                        None if one.quality is None else one.quality[cuts[one.axis]],
                    )
                    for one in work.series
                ],
                Cut.of([window._replace(ranges=tuple(Range(0, n) for _, n in window.ranges))]),
                work.mark.of.alone(work.mark.run, work.mark.received_ns, place),
            )
        )
    return found
