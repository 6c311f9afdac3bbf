"""What an author of a plugin implements and is given: `Plugin`, `Setup`, `Result`.

Owns the words of the author's side. Must not know of sockets or messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_plugin.types import Kind, Type
    from forebay_plugin.window import Window

Value = bool | int | float | str | bytes | np.generic
"""One value of an output. It must fit the output's type exactly: 0.5 is no int32, 300 no uint8."""


class PluginError(Exception):
    """What an author raises where the message alone says enough: it is told without a traceback.

    In `setup` it ends the process, in `process` it fails the window.
    """


@dataclass(frozen=True)
class Input:
    """One tag that windows hold. `tag` is DEVICE/TAG, `role` the manifest's table `[inputs.ROLE]`.

    `type` is that of the values in a `Series`; `unit` is what the tag list says, often empty.
    """

    role: str
    tag: str
    type: Type
    unit: str = ""


@dataclass(frozen=True)
class Output:
    """One table `[outputs.NAME]` of the manifest."""

    name: str
    kind: Kind
    type: Type
    unit: str = ""


@dataclass(frozen=True)
class Setup:
    """What is fixed while a plugin process lives.

    Attributes:
        plugin: name of this instance, the source of its results.
        settings: the plugin's own settings, as in TOML; plain JSON types.
        deadline_s: for the windows that come at once; who needs longer is ended. 0: none is known.
        max_message_bytes: of the results of the windows that come at once.
        state_directory: the plugin's own, kept over restarts. All else is read-only, or gone with
            the process.
        model_directory: read-only; None if there is none.
        replay: results go nowhere but to a person: do nothing beside giving them.
    """

    plugin: str
    settings: Mapping[str, Any]
    inputs: Sequence[Input]
    outputs: Sequence[Output]
    state_directory: Path
    model_directory: Path | None = None
    deadline_s: float = 0.0
    max_message_bytes: int = 4 * 1024 * 1024
    replay: bool = False

    def tags(self, role: str) -> list[str]:
        """Names DEVICE/TAG of one role, in the order of the columns of `Window.matrix`."""
        return [entry.tag for entry in self.inputs if entry.role == role]


@dataclass(frozen=True)
class Result:
    """Samples of one output: `value` for one sample, or `values` with `times_ns` for several.

    Attributes:
        output: name of an output of the manifest.
        value: the one value.
        values: (rows) values instead of `value`.
        times_ns: (rows) nanoseconds since 1970 UTC. None with one sample: the last moment of the
            window's data.
        quality: OPC UA StatusCode of all rows, or (rows). Where it is bad, the value is not sent.
    """

    output: str
    value: Value | None = None
    values: Sequence[Value] | npt.NDArray[Any] | None = None
    times_ns: Sequence[int] | npt.NDArray[np.int64] | int | None = None
    quality: int | Sequence[int] | npt.NDArray[np.uint32] = field(default=0)


Results = Iterable[Result] | Mapping[str, Value | None] | None
"""What `process` gives: `{"score": 0.7}` for one sample each (None: no sample), or `Result`s."""


class Table(Sequence[Results]):
    """What `process_many` may give for windows that have one sample of the same outputs each.

    It costs nothing for each window, which a model of some microseconds notices.
    """

    def __init__(
        self,
        windows: int,
        columns: Mapping[str, npt.NDArray[Any]],
        *,
        places: npt.NDArray[np.intp] | None = None,
        quality: int | npt.NDArray[np.uint32] = 0,
        also: Mapping[int, Sequence[Result]] | None = None,
    ) -> None:
        """Give `columns`, output -> (rows) values, for some or all of `windows` windows.

        Args:
            windows: how many there are.
            columns: names of outputs of numbers, and a value for each row.
            places: (rows) which window each row is of, ascending; None: one row for each.
            quality: OPC UA StatusCode of all rows, or (rows). Where it is bad, no value is sent.
            also: more results of some windows, by their place.

        Raises:
            ValueError: lengths differ, or places are not in order or of no window.
        """
        self.windows, self.columns = windows, columns
        self.places = np.arange(windows) if places is None else np.asarray(places, np.intp)
        rows = len(self.places)
        self.quality = np.broadcast_to(np.asarray(quality, np.uint32), (rows,))
        self.also = also or {}
        out = rows and not 0 <= self.places[0] <= self.places[-1] < windows
        if out or (np.diff(self.places) <= 0).any():
            raise ValueError(f"places of a table must ascend from 0 to {windows - 1}")
        for name, values in columns.items():
            if np.shape(values) != (rows,):
                raise ValueError(f"{name}: {np.shape(values)} values for {rows} rows")

    def __len__(self) -> int:
        return self.windows

    @overload
    def __getitem__(self, index: int) -> Results: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Results]: ...

    def __getitem__(self, index: int | slice) -> Results | Sequence[Results]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self.windows))]
        place = range(self.windows)[index]
        row = int(np.searchsorted(self.places, place))
        found: list[Result] = []
        if row < len(self.places) and self.places[row] == place:
            quality = int(self.quality[row])
            found += [
                Result(name, values[row], quality=quality) for name, values in self.columns.items()
            ]
        return [*found, *self.also.get(place, ())]


class Plugin:
    """Subclass this, and hand the class to `serve`.

    The host makes one object a process and calls from one thread: `setup` once, then `process` for
    every window in the order of the journal (or `process_many`, if it is overridden, for all that
    came at once), then `close`. After a crash windows come again that have been given before: a
    plugin that keeps state between windows keeps it in `Setup.state_directory`, and knows by
    `Window.begin_ns` what it has seen.
    """

    def setup(self, setup: Setup) -> Mapping[str, str] | None:  # noqa: ARG002 - for subclasses
        """Load models, check settings. What it gives is shown by `forebay plugins show`.

        An exception ends the process with its message.
        """
        return None

    def process(self, window: Window) -> Results:
        """Work on one window. An exception fails this window and no other."""
        raise NotImplementedError

    def process_many(self, windows: Sequence[Window]) -> Sequence[Results]:
        """Work on windows that came at once, one answer each: for models that are fast in batches.

        A `Table` of arrays is the cheapest answer; `grouped` gives the windows as arrays.
        If it raises, it is called again for each window alone, so that one bad window costs no
        other.
        """
        return [self.process(window) for window in windows]

    def close(self) -> None:
        """Called once at the end: the host's wish, SIGTERM, or the host's death."""
