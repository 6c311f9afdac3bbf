"""A folder as a device for the drivers' contract suites: files that a line tester leaves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from forebay.acquisition.line import SharedLine
from forebay.drivers.folder import SPEC
from forebay.files import SystemDisk
from forebay.interfaces import DeviceSpec
from forebay.model import Schema
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forebay.interfaces import Driver
    from forebay.model import Sample

_NAMES = ("a", "b", "c")


class BenchFolder:
    """As `forebay.testing.driver_contract.FieldDevice`; a connection is who has the lock."""

    asked_bytes = 0

    def __init__(self, directory: Path) -> None:
        self._directory, self._seams, self._turns = directory, system_seams(), 0
        self._folder = directory / "results"
        self._folder.mkdir()
        rows = [{"name": n, "address": n, "type": "int32"} for n in _NAMES]
        tags = [SPEC.tag.model_validate(row) for row in rows]
        self.schema = Schema("tester", "default", tuple(tag.to_tag() for tag in tags))
        self._tags = {tag.name: tag for tag in tags}
        self.line = SharedLine("tester", self._seams.clock)

    def driver(self) -> Driver:
        return self._build(self._folder)

    def astray(self) -> Driver:
        return self._build(self._directory / "nowhere")

    async def turn(self) -> None:
        self._turns += 1
        text = f"{','.join(_NAMES)}\n{','.join([str(self._turns)] * len(_NAMES))}\n"
        part = self._folder / f"{self._turns}.csv.part"
        part.write_text(text, encoding="utf-8")
        part.rename(part.with_suffix(""))

    def state(self, samples: Sequence[Sample]) -> int:
        value = samples[0].value
        assert {sample.value for sample in samples} == {value}
        assert isinstance(value, int)
        return value

    @property
    def connections(self) -> int:
        path = self._directory / "state" / "tester.lock"
        if not path.exists():
            return 0
        lock = SystemDisk().lock(path)
        if lock is not None:
            lock.close()
        return int(lock is None)

    def hold(self) -> None:
        """Do nothing: it only waits for files."""

    def release(self) -> None:
        """Do nothing."""

    async def cut(self) -> None:
        """Put another folder in its place, as a mount that comes and goes does."""
        self._folder.rename(self._directory / f"before-{os.urandom(4).hex()}")
        self._folder.mkdir()

    def _build(self, folder: Path) -> Driver:
        settings = SPEC.settings.model_validate(
            {"protocol": "folder", "directory": folder, "tags": (), "look": 0.05, "settle": 0}
        )
        state = self._directory / "state"
        spec = DeviceSpec("tester", settings, (self.schema,), self._tags, state)
        return SPEC.build(spec, self._seams, self.line)
