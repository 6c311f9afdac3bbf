"""Which tags a plugin gets, and batches as columns of just these.

Owns the choice of inputs by patterns, and the translation of a batch into rows on axes: one axis
for all tags of a dense batch, one for each tag of a sparse one. Pure, and without an object per
sample. Must not know windows or the journal.
"""

from __future__ import annotations

from fnmatch import translate
from functools import cached_property
from re import compile as pattern
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.model import ValueType
from forebay.pluginhost.seams import Input

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from forebay.model import Batch, Schema, Stream, Tag
    from forebay.pluginhost.manifest import InputSettings

NO_DATA = 0x809B_0000
"""BadNoData (OPC UA Part 6, Annex A.2): the row has nothing of this tag."""
_NUMBERS = frozenset(ValueType) - {ValueType.STRING, ValueType.BYTES}


class Key(NamedTuple):
    """Names an axis: a group of tags that are read together, or one `tag` of it by itself."""

    stream: Stream
    source: str
    group: str
    tag: str = ""


class Block(NamedTuple):
    """Rows of one axis out of one record.

    `times_ns` and `received_ns` are int64 of shape (rows,). `inputs` are the inputs that are here,
    `values` one array of shape (rows,) each, `quality` uint32 of shape (rows, inputs).
    """

    key: Key
    times_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    inputs: tuple[int, ...]
    values: tuple[NDArray[Any], ...]
    quality: NDArray[np.uint32]


class Chosen(NamedTuple):
    """What of one schema is wanted: inputs, and for each the column and its place in its lane."""

    inputs: tuple[int, ...]
    columns: NDArray[np.intp]
    lanes: tuple[int, ...]
    places: tuple[int, ...]


class Selection:
    """The inputs of one plugin, by the schemas that are known."""

    def __init__(self, roles: Mapping[str, InputSettings], schemas: Iterable[tuple[Stream, Schema]],
                 own: str) -> None:  # fmt: skip
        """Choose from `schemas`, each with its stream; never from results of `own` itself.

        Within a role the inputs have the order of its patterns, and under a pattern that of device,
        group and tag list, so that the same tags give the same inputs after every start.
        """
        known: dict[tuple[Stream, str, str], tuple[Stream, Schema]] = {}
        for stream, schema in schemas:
            if schema.source != own:
                known.setdefault((stream, schema.source, schema.group), (stream, schema))
        ordered = [known[key] for key in sorted(known, key=lambda k: (k[0].number, k[1], k[2]))]
        self.inputs: tuple[Input, ...] = ()
        """What windows hold, in the order of the roles; empty if a role has too few tags."""
        self.beyond: dict[str, int] = {}
        """By role, how many tags match beyond the most that it takes."""
        self.missing: dict[str, int] = {}
        """By role, how many tags it needs more."""
        self._places: dict[tuple[Stream, str, str, str], list[int]] = {}
        self._chosen: dict[tuple[Stream, int], Chosen | None] = {}
        self._choose(roles, ordered)

    def _choose(
        self, roles: Mapping[str, InputSettings], ordered: Sequence[tuple[Stream, Schema]]
    ) -> None:
        inputs: list[Input] = []
        for role, settings in roles.items():
            found = list(_matching(settings, ordered))
            if len(found) < settings.min:
                self.missing[role] = settings.min - len(found)
            if len(found) > settings.max:
                self.beyond[role] = len(found) - settings.max
            for stream, schema, tag in found[: settings.max]:
                place = (stream, schema.source, schema.group, tag.name)
                self._places.setdefault(place, []).append(len(inputs))
                inputs.append(Input(role, f"{schema.source}/{tag.name}", seen_type(tag), tag.unit))
        if self.missing:
            self._places.clear()
        else:
            self.inputs = tuple(inputs)

    @cached_property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that inputs are in, most urgent first."""
        return tuple(sorted({place[0] for place in self._places}, key=lambda s: s.number))

    def of(self, stream: Stream, schema: Schema) -> Chosen | None:
        """Give what of batches of `schema` is wanted; None for nothing."""
        key = stream, schema.id
        if key not in self._chosen:
            self._chosen[key] = self._of(stream, schema)
        return self._chosen[key]

    def _of(self, stream: Stream, schema: Schema) -> Chosen | None:
        inputs: list[int] = []
        columns: list[int] = []
        for column, tag in enumerate(schema.tags):
            for number in self._places.get((stream, schema.source, schema.group, tag.name), ()):
                if _fits(self.inputs[number].type, seen_type(tag)):
                    inputs.append(number)
                    columns.append(column)
        if not inputs:
            return None
        order = np.argsort(inputs)
        chosen = np.array(columns, np.intp)[order]
        lanes = schema.lane_of[chosen].tolist()
        places = [
            int(np.searchsorted(schema.lanes[lane].columns, column))
            for lane, column in zip(lanes, chosen.tolist(), strict=True)
        ]
        return Chosen(tuple(sorted(inputs)), chosen, tuple(lanes), tuple(places))

    def members(self, key: Key) -> tuple[int, ...]:
        """Give the inputs that an axis holds, in order."""
        return tuple(
            sorted(
                number
                for place, numbers in self._places.items()
                if place[:3] == key[:3] and key.tag in ("", place[3])
                for number in numbers
            )
        )

    def blocks(self, batch: Batch, chosen: Chosen, *, together: bool | None) -> Iterator[Block]:
        """Give the wanted rows of `batch`, in order.

        `together` says whether the tags of its group share an axis already; None if it has none.
        Then a dense batch gets one for all. What was thinned, or cut because it was too large, is
        sparse and goes on that axis too.
        """
        if together is None:
            together = batch.index is None
        if not together:
            yield from self._apart(batch, chosen)
        elif batch.index is None:
            yield self._dense(batch, chosen)
        else:
            block = self._pivoted(batch, chosen)
            if block is not None:
                yield block

    def _dense(self, batch: Batch, chosen: Chosen) -> Block:
        parts = zip(chosen.inputs, chosen.columns, chosen.lanes, chosen.places, strict=True)
        values = tuple(
            self._seen(batch.schema.tags[column], batch.values[lane][:, place], number)
            for number, column, lane, place in parts
        )
        quality = np.zeros((batch.rows, len(chosen.inputs)), np.uint32)
        if batch.quality is not None:
            quality[:] = batch.quality[:, chosen.columns]
        return Block(key_of(batch), batch.times_ns, batch.received_ns, chosen.inputs, values,
                     quality)  # fmt: skip

    def _apart(self, batch: Batch, chosen: Chosen) -> Iterator[Block]:
        """Give each tag by itself."""
        for numbers, column, rows, raw in _picked(batch, chosen):
            tag = batch.schema.tags[column]
            quality = np.zeros((len(rows), len(numbers)), np.uint32)
            if batch.quality is not None:
                of_tag = batch.quality if batch.index is not None else batch.quality[:, column]
                quality[:] = of_tag[rows][:, None]
            values = tuple(self._seen(tag, raw, number) for number in numbers)
            yield Block(key_of(batch)._replace(tag=tag.name), batch.times_ns[rows],
                        batch.received_ns[rows], numbers, values, quality)  # fmt: skip

    def _pivoted(self, batch: Batch, chosen: Chosen) -> Block | None:
        """Lay a sparse batch into rows of one moment; what a row has not is BadNoData."""
        assert batch.index is not None
        begins = np.ones(batch.rows, np.bool_)
        same = (batch.times_ns[1:] == batch.times_ns[:-1]) & (batch.index[1:] > batch.index[:-1])
        begins[1:] = ~same
        scan = np.cumsum(begins) - 1
        there = np.isin(batch.index, chosen.columns)
        if not there.any():
            return None
        wanted, scan = np.unique(scan[there], return_inverse=True)
        at = np.flatnonzero(there)
        firsts = np.zeros(len(wanted), np.intp)
        firsts[scan[::-1]] = at[::-1]
        quality = np.full((len(wanted), len(chosen.inputs)), NO_DATA, np.uint32)
        row_of = np.full(batch.rows, -1, np.intp)
        row_of[at] = scan
        columns = {number: blank(self.inputs[number].type, len(wanted)) for number in chosen.inputs}
        for numbers, name, rows, raw in _picked(batch, chosen):
            for number in numbers:
                columns[number][row_of[rows]] = self._seen(batch.schema.tags[name], raw, number)
                place = chosen.inputs.index(number)
                quality[row_of[rows], place] = 0 if batch.quality is None else batch.quality[rows]
        return Block(key_of(batch), batch.times_ns[firsts], batch.received_ns[firsts],
                     chosen.inputs, tuple(columns.values()), quality)  # fmt: skip

    def _seen(self, tag: Tag, raw: NDArray[Any], number: int) -> NDArray[Any]:
        """Give a column as readers see it, in the type of the input."""
        kind = self.inputs[number].type
        if kind not in _NUMBERS:
            return raw
        if tag.scaled:
            raw = raw.astype(np.float64) * tag.scale + tag.offset
        return raw.astype(kind.dtype, copy=False)


def _picked(
    batch: Batch, chosen: Chosen
) -> Iterator[tuple[tuple[int, ...], int, NDArray[np.intp], NDArray[Any]]]:
    """Give inputs, column, rows and raw values of each wanted tag that a batch holds."""
    numbers: dict[int, list[int]] = {}
    place_of: dict[int, tuple[int, int]] = {}
    for number, column, lane, place in zip(
        chosen.inputs, chosen.columns.tolist(), chosen.lanes, chosen.places, strict=True
    ):
        numbers.setdefault(column, []).append(number)
        place_of[column] = lane, place
    if batch.index is None:
        every = np.arange(batch.rows)
        for column, mine in numbers.items():
            lane, place = place_of[column]
            yield tuple(mine), column, every, batch.values[lane][:, place]
        return
    lane_of_row = batch.schema.lane_of[batch.index]
    place_in_lane = np.empty(batch.rows, np.intp)
    for lane in range(len(batch.values)):
        here = lane_of_row == lane
        place_in_lane[here] = np.arange(np.count_nonzero(here))
    for column, mine in numbers.items():
        rows = np.flatnonzero(batch.index == column)
        if len(rows):
            yield tuple(mine), column, rows, batch.values[place_of[column][0]][place_in_lane[rows]]


def seen_type(tag: Tag) -> ValueType:
    """Give the type in which readers see a tag."""
    return ValueType.FLOAT64 if tag.scaled and tag.type in _NUMBERS else tag.type


def key_of(batch: Batch) -> Key:
    """Name the axis of a dense batch."""
    return Key(batch.stream, batch.schema.source, batch.schema.group)


def blank(kind: ValueType, rows: int) -> NDArray[Any]:
    """Give a column without values: zeros, or empty texts or bytes."""
    if kind is ValueType.STRING:
        return np.full(rows, "", object)
    return np.full(rows, b"", object) if kind is ValueType.BYTES else np.zeros(rows, kind.dtype)


def _fits(wanted: ValueType, there: ValueType) -> bool:
    """Whether columns of one type can stand for another: all numbers can."""
    return wanted is there or (wanted in _NUMBERS and there in _NUMBERS)


def _kind(kind: ValueType) -> str:
    return "number" if kind in _NUMBERS else kind.value


def _matching(
    settings: InputSettings, ordered: Sequence[tuple[Stream, Schema]]
) -> Iterator[tuple[Stream, Schema, Tag]]:
    """Give the tags of a role, each once."""
    told: set[tuple[str, str]] = set()
    for text in settings.tags:
        fits = pattern(translate(text)).match
        for stream, schema in ordered:
            if stream is not settings.stream:
                continue
            for tag in schema.tags:
                name = schema.source, tag.name
                if (
                    name not in told
                    and not tag.name.startswith("_")
                    and _kind(tag.type) in settings.types
                    and fits(f"{schema.source}/{tag.name}")
                ):
                    told.add(name)
                    yield stream, schema, tag


def greatest(
    values: NDArray[np.int64], first: NDArray[np.int64], counts: NDArray[np.int64], nothing: int
) -> NDArray[np.int64]:
    """Give the greatest of `counts` values from `first` on, for each; `nothing` where it is 0."""
    found = np.full(len(first), nothing)
    some = counts > 0
    if some.any():
        begin, end = first[some], (first + counts)[some]
        if (values[1:] >= values[:-1]).all():
            found[some] = values[end - 1]
        else:
            bounds = np.stack([begin, end], axis=1).ravel()
            found[some] = np.maximum.reduceat(np.append(values, nothing), bounds)[::2]
    return found
