"""What the two sides of the plugin host hand each other: who runs a process, and who has the data.

Owns these shapes and the one Protocol between them. Must not know processes, sockets or the
journal: `host` asks a `Feed` for work and gives it the results; `feed` knows no process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, overload

import numpy as np

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from forebay.model import ValueType


class OutputKind(StrEnum):
    """Where the results of an output go: see `plugin.proto`."""

    TAG = "tag"
    EVENT = "event"
    BLOB = "blob"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Input:
    """One tag that windows hold; `tag` is DEVICE/TAG, `type` what the plugin gets (scaled)."""

    role: str
    tag: str
    type: ValueType
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """One thing that a plugin gives.

    `least` and `most` bound its numbers, where the manifest does. `target` is the DEVICE/TAG that
    an output of kind WRITE asks for.
    """

    name: str
    kind: OutputKind
    type: ValueType
    unit: str = ""
    least: float | None = None
    most: float | None = None
    target: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The samples of one input: `input` is its index in the inputs, `axis` in the work's axes.

    `values` has shape (rows,) and the input's dtype; texts and bytes are object arrays. `quality`
    is uint32 of shape (rows,), or None where all are Good. Where a quality is bad, the value means
    nothing.
    """

    input: int
    axis: int
    values: NDArray[Any]
    quality: NDArray[np.uint32] | None = None


class Range(NamedTuple):
    """`rows` rows of an axis from row `first` on."""

    first: int
    rows: int


class Window(NamedTuple):
    """What is looked at at once: [begin_ns, end_ns), and its rows on each axis of the work."""

    number: int
    begin_ns: int
    end_ns: int
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Cut(Sequence[Window]):
    """Windows that follow each other, as columns: no object each, unless one is asked for.

    `first` is the number of the first. `begin_ns` and `end_ns` are int64 of shape (windows,);
    `rows` is int64 of shape (windows, axes, 2): the first row on each axis, and how many.
    """

    first: int
    begin_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, windows: Sequence[Window]) -> Cut:
        """Give windows, whose numbers follow each other, as columns."""
        axes = len(windows[0].ranges) if windows else 0
        ranges = [window.ranges for window in windows]
        return cls(
            windows[0].number if windows else 0,
            np.array([window.begin_ns for window in windows], np.int64),
            np.array([window.end_ns for window in windows], np.int64),
            np.array(ranges, np.int64).reshape(len(windows), axes, 2),
        )

    def __len__(self) -> int:
        """Give how many windows there are."""
        return len(self.begin_ns)

    @overload
    def __getitem__(self, index: int) -> Window: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Window]: ...

    def __getitem__(self, index: int | slice) -> Window | Sequence[Window]:
        """Give one window, or a list of some."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return Window(
            self.first + place,
            int(self.begin_ns[place]),
            int(self.end_ns[place]),
            tuple(Range(first, count) for first, count in self.rows[place].tolist()),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One or more windows over columns that they share, as they go to a plugin in one message.

    `axes` are int64 arrays of times in ns, each of shape (rows,). `mark` is the feed's own: how far
    its cursor may move when this is done. No one else looks at it. Two works are the same only if
    they are one object.
    """

    axes: Sequence[NDArray[np.int64]]
    series: Sequence[Series]
    windows: Cut
    mark: object = None

    @property
    def samples(self) -> int:
        """How many samples its series hold."""
        return sum(len(self.axes[series.axis]) for series in self.series)


@dataclass(frozen=True, slots=True, eq=False)
class OutputColumn:
    """Samples of one output, as the plugin gave them: what they say is not checked yet.

    `output` is the index in the outputs and may lie outside of them. `windows` is intp of shape
    (rows,): the place in the work of the window that each row is of, never descending. `times_ns`
    is int64 of shape (rows,), or None for one sample a window, at its last moment of data;
    `quality` None: all Good.
    """

    output: int
    windows: NDArray[np.intp]
    values: NDArray[Any]
    times_ns: NDArray[np.int64] | None = None
    quality: NDArray[np.uint32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """The answer to one Work: columns over all of its windows.

    `failures` says why a window could not be worked on, by its place in the work. `took_s` is the
    time from when the work was sent.
    """

    columns: Sequence[OutputColumn] = ()
    failures: Mapping[int, str] = field(default_factory=dict)
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the results of one Work.

    `samples` were taken; `refused` counts samples that were not, by reason in a few words
    (`unknown output`, `not finite`, `quota`); `failed` windows the plugin could not work on, and
    `failure` says why of the last of them.
    """

    samples: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    failure: str = ""


class Feed(Protocol):
    """The data of one plugin instance: windows out of the journal, results into it.

    Used by one host, on one event loop. Every work that `next` gave is ended exactly once, in the
    order in which it was given: by `done`, by `passed`, or by these for each of what `split` made
    of it. `next` may be waiting while `done` runs. JournalError from any of them ends the host.
    """

    async def run(self) -> None:
        """Follow the journal. The host runs it as a task from before `inputs` until `close`."""
        ...

    @property
    def changed(self) -> asyncio.Event:
        """Set when `inputs` would give others than it gave last; `inputs` clears it.

        Not before all windows are given that were complete with the inputs of until then.
        The host ends what is out, starts the plugin anew and asks for `inputs`; works that were
        given before that still end as above.
        """
        ...

    @property
    def outputs(self) -> Sequence[Output]:
        """What the plugin may give, in the order of its manifest."""
        ...

    def inputs(self) -> Sequence[Input]:
        """Give the tags that windows hold from now on.

        Empty as long as no tag fits, or fewer than a role needs: then `changed` is set when one
        more does.
        """
        ...

    async def next(self) -> Work | None:
        """Wait for the next work; None if there will be none any more (a replay at its end).

        May be cancelled at any await: nothing is lost by it, the same work comes next time.
        """
        ...

    async def done(self, work: Work, results: Results) -> Verdict:
        """Check and take over `results`, then move the cursor behind `work`."""
        ...

    async def passed(self, work: Work, reason: str) -> None:
        """Give `work` up: a Gap(NOT_COMPUTED) takes the place of its results, the cursor moves."""
        ...

    def split(self, work: Work) -> Sequence[Work]:
        """Give `work` as works of one window each, in order, for the second try."""
        ...

    async def close(self) -> None:
        """Let go of the journal. Works that are out and not ended come again from the next feed."""
        ...
