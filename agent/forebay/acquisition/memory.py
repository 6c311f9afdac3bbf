"""What devices have taught, kept over restarts: one small file a device.

Owns `DEVICE.json` in its directory. A file is written when something new was learned, at most every
few seconds, and beside the event loop. One that is missing, damaged, too large or of another device
costs the memory and nothing else: the search is made again. Must not know how plans are made.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forebay.acquisition.lengths import Length
from forebay.acquisition.plan import Learned, Refused, Unit
from forebay.events import PLAN_FORGOTTEN
from forebay.model import is_bad

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from forebay.interfaces import DeviceSpec, Seams, Span
    from forebay.model import Schema

SAVE_EVERY_S = 5.0
"""Shortest time between two writes."""
CLOSE_S = 2.0
"""How long the end of a run may be held up for the last write."""
MAX_FILE_BYTES = 8 << 20
_FORMAT = 1
_OF_NO_PLACE = frozenset({"tags", "groups", "stages", "backoff", "timeout", "enabled"})
"""Settings of a device that say nothing of which device it is or what it takes."""

_UnitRow = tuple[str, Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]]


class _File(BaseModel):
    """The file: what every field of `Learned` says, with units as rows of area, start, size."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: int
    device: str
    groups: dict[str, _GroupPart]


class _GroupPart(BaseModel):
    """One group. `schema_id` is that of the tag list it was learned with."""

    model_config = ConfigDict(strict=True, extra="forbid")

    schema_id: int
    refused: list[tuple[str, int, int, Annotated[int, Field(ge=0, lt=1 << 32)]]]
    walls: list[_UnitRow]
    trials: list[tuple[_UnitRow, list[_UnitRow]]]
    lengths: dict[str, tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]]]


class Recollection:
    """What one device has taught. All calls but `load` and `save` are of the event loop."""

    def __init__(self, path: Path, spec: DeviceSpec, seams: Seams) -> None:
        """Keep what `spec`'s device teaches in `path`; nothing is read yet."""
        self._path, self._name, self._seams = path, spec.name, seams
        self._device = fingerprint(spec)
        self._groups: dict[str, _GroupPart] = {}
        self._learned: dict[str, tuple[int, Learned]] = {}
        self._failing = False

    def load(self) -> None:
        """Read the file. Blocks; never raises."""
        try:
            data = self._seams.disk.read_bytes(self._path, MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return
        except OSError as error:
            self._forgotten(f"it cannot be read: {error.strerror or error}")
            return
        if len(data) > MAX_FILE_BYTES:
            self._forgotten(f"it is larger than {MAX_FILE_BYTES} bytes")
            return
        try:
            found = _File.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            self._forgotten(f"it is damaged: {first['msg']}")
            return
        if (found.format, found.device) == (_FORMAT, self._device):
            self._groups = found.groups
        else:
            self._forgotten("it is of a device with other settings")

    def recall(self, schema: Schema, spans: Sequence[Span]) -> Learned:
        """Give what was learned of a group whose column i lies at `spans[i]`.

        With another tag list, only places that the device refuses are still known.
        """
        part = self._groups.get(schema.group)
        if part is None:
            return Learned()
        columns: dict[Unit, list[int]] = {}
        for column, span in enumerate(spans):
            columns.setdefault(Unit(span.area, span.start, span.count), []).append(column)
        refused = {
            unit: Refused(row[3], tuple(columns[unit]))
            for row in part.refused
            if (unit := Unit(*row[:3])) in columns and is_bad(row[3])
        }
        if part.schema_id != schema.id:
            return Learned(refused)
        trials = {Unit(*wall): frozenset(Unit(*u) for u in units) for wall, units in part.trials}
        return Learned(
            refused,
            frozenset(Unit(*wall) for wall in part.walls if Unit(*wall) in columns),
            {w: units for w, units in trials.items() if w in units and columns.keys() >= units},
            lengths={a: Length(*two) for a, two in part.lengths.items() if two[0] < two[1]},
        )

    def note(self, schema: Schema, learned: Learned) -> None:
        """Keep what is known of a group from now on; it is written by the next `save`."""
        self._learned[schema.group] = schema.id, learned

    @property
    def changed(self) -> bool:
        """Whether `save` has something to write."""
        return bool(self._learned)

    async def save(self) -> None:
        """Write what was noted, beside the event loop. Never raises for the disk."""
        noted, self._learned = self._learned, {}
        try:
            await asyncio.to_thread(self._write, noted)
        except OSError as error:
            self._learned = {**noted, **self._learned}
            if not self._failing:
                self._forgotten(f"it cannot be written: {error.strerror or error}")
            self._failing = True
        else:
            self._failing = False

    def _write(self, noted: Mapping[str, tuple[int, Learned]]) -> None:
        """Raises OSError."""
        self._groups |= {group: _part(*known) for group, known in noted.items()}
        file = _File(format=_FORMAT, device=self._device, groups=self._groups)
        data = file.model_dump_json().encode()
        if len(data) <= MAX_FILE_BYTES:
            self._seams.disk.makedirs(self._path.parent)
            self._seams.disk.write_atomic(self._path, data)

    def _forgotten(self, error: str) -> None:
        self._seams.events.emit(
            PLAN_FORGOTTEN,
            device=self._name,
            file=str(self._path),
            error=error,
            hint="nothing is lost: what the device refuses is searched for again",
        )


class PlanMemory:
    """The files of all devices. `run` in a task, then `close`."""

    def __init__(self, directory: Path, specs: Iterable[DeviceSpec], seams: Seams) -> None:
        """Keep them in `directory`, which is made when there is something to keep."""
        self._directory, self._seams, self._clock = directory, seams, seams.clock
        self._of = {
            spec.name: Recollection(directory / f"{spec.name}.json", spec, seams) for spec in specs
        }

    async def load(self) -> None:
        """Read all files, beside the event loop. To be called once, before anything is recalled."""
        for one in self._of.values():
            await asyncio.to_thread(one.load)

    async def come(self, spec: DeviceSpec) -> Recollection:
        """Begin to keep what `spec`'s device teaches; give what it taught before."""
        path = self._directory / f"{spec.name}.json"
        one = self._of[spec.name] = Recollection(path, spec, self._seams)
        await asyncio.to_thread(one.load)
        return one

    async def leave(self, device: str) -> None:
        """Write what a device taught, and think of it no more; for how long as `close`."""
        one = self._of.pop(device, None)
        if one is not None and one.changed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await one.save()

    def of(self, device: str) -> Recollection:
        """Give the memory of one device. KeyError for one that is not configured."""
        return self._of[device]

    async def run(self) -> None:
        """Write what is new, until cancelled."""
        while True:
            await self._clock.sleep(SAVE_EVERY_S)
            await self._save()

    async def close(self) -> None:
        """Write what is new at the end of a run; a disk that is stuck is not waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._save()

    async def _save(self) -> None:
        for one in tuple(self._of.values()):
            if one.changed:
                await one.save()


def fingerprint(spec: DeviceSpec) -> str:
    """Give a hash of where a device is and what it is asked: of its settings but a few."""
    settings = spec.settings.model_dump(mode="json", exclude=set(_OF_NO_PLACE))
    text = json.dumps([spec.name, settings], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _part(schema_id: int, learned: Learned) -> _GroupPart:
    return _GroupPart(
        schema_id=schema_id,
        refused=[(u.area, u.start, u.size, r.status) for u, r in learned.refused.items()],
        walls=_rows(learned.walls),
        trials=[(_rows([wall])[0], _rows(units)) for wall, units in learned.trials.items()],
        lengths={area: (length.good, length.refused) for area, length in learned.lengths.items()},
    )


def _rows(units: Iterable[Unit]) -> list[tuple[str, int, int]]:
    return [(unit.area, unit.start, unit.size) for unit in sorted(units)]
