"""An agent in this process that is reconfigured under way, and PLCs that count what they give."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

from forebay.agent import serve
from forebay.columnar import decode_batch, peek_schema_id
from forebay.config.load import load, load_items
from forebay.model import Position, RecordKind, Stream
from forebay.registry import Registry
from support.processes import until
from support.seams import system_seams
from support.writable_plc import WritablePlc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from forebay.config.load import LoadedConfig
    from forebay.control.answers import Answers
    from forebay.control.view import LedgerLine
    from forebay.management.runtime import Runtime
    from forebay.management.views import Applied
    from forebay.model import Batch

HEAD = '[gateway]\nid = "gw-live"\n[journal]\nmax_size = "256 MiB"\ncommit_interval = "50 ms"\n'
HEADER = "name,address,type,group\n"


class CountingPlc(WritablePlc):
    """Its holding register 0 is one more with each read of it: a value is the number of a poll.

    `given` are the values that were answered, `read_s` when each was (the loop's clock). Registers
    from 1 on are what they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.given: list[int] = []
        self.read_s: list[float] = []
        self.connections = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await super()._serve(reader, writer)

    def _read(self, function: int, address: int, count: int) -> bytes:
        if function == 3 and address == 0:
            self.registers[0] += 1
            self.given.append(self.registers[0])
            self.read_s.append(asyncio.get_running_loop().time())
        return super()._read(function, address, count)


def device(port: int, tags: str = "count,holding:0,uint16,\n", period: str = "40 ms") -> str:
    """Give the text of one device and, behind a NUL, its tag list."""
    return (
        f'protocol = "modbus"\nhost = "127.0.0.1"\nport = {port}\ntags = "NAME.csv"\n'
        f'timeout = "2 s"\n[devices.NAME.groups.default]\nperiod = "{period}"\n\0{HEADER}{tags}'
    )


class LiveAgent:
    """`agent.serve` in a task. Only what `write` puts into `folder` is configured."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder / "config", folder / "state"
        self.folder.mkdir()
        self.stop = asyncio.Event()
        self.began = asyncio.Event()
        self.answers: Answers | None = None
        self._runtime: Runtime | None = None
        self._serving: asyncio.Task[bool] | None = None

    @property
    def runtime(self) -> Runtime:
        """What is to be changed."""
        assert self._runtime is not None
        return self._runtime

    def write(self, devices: Mapping[str, str], more: str = "", head: str = HEAD) -> None:
        """Write a configuration of `devices` (as `device` gives them) and the text `more`."""
        tables = []
        for name, text in devices.items():
            table, _, tags = text.replace("NAME", name).partition("\0")
            tables.append(f"[devices.{name}]\n{table}")
            (self.folder / f"{name}.csv").write_text(tags, encoding="utf-8")
        text = f"{head}\n{''.join(tables)}\n{more}"
        (self.folder / "forebay.toml").write_text(text, encoding="utf-8")

    def loaded(self, *, items: bool = False) -> LoadedConfig:
        """Load what was written."""
        environ = {
            "FOREBAY_STATE": str(self.state),
            "FOREBAY_SOCKET": str(self.state / "control.sock"),
        }
        return (load_items if items else load)(self.folder / "forebay.toml", Registry(), environ)

    async def apply(self, devices: Mapping[str, str], more: str = "") -> Applied:
        """Write, load beside the loop, and apply."""
        self.write(devices, more)
        return await self.runtime.apply(await asyncio.to_thread(self.loaded))

    async def __aenter__(self) -> Self:
        serving = serve(
            self.loaded(items=True), system_seams(), self.stop, self._control, beside=self._beside
        )
        self._serving = asyncio.create_task(serving, name="agent")
        await until(lambda: self.began.is_set() or self._ended(), "it runs")
        if self._ended():
            await self.end()
        return self

    def _ended(self) -> bool:
        return self._serving is not None and self._serving.done()

    async def __aexit__(self, *_: object) -> None:
        if self._serving is not None:
            await self.end()

    async def end(self) -> bool:
        """Stop in order; give whether it is to begin again."""
        assert self._serving is not None
        self.stop.set()
        serving, self._serving = self._serving, None
        return await serving

    async def ended(self) -> bool:
        """Wait until it ends by itself; give whether it is to begin again."""
        assert self._serving is not None
        serving, self._serving = self._serving, None
        return await serving

    @contextlib.asynccontextmanager
    async def _control(self, _: Path, answers: Answers) -> AsyncIterator[None]:
        self.answers = answers
        yield

    async def _beside(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.began.set()

    async def ledger(self, uplink: str = "") -> LedgerLine:
        """Give telemetry's line of the ledger for `uplink`."""
        assert self.answers is not None
        lines = await self.answers.ledger()
        return next(i for i in lines if (i.stream, i.uplink) == ("telemetry", uplink))

    async def values(self, device: str, tag: str) -> list[tuple[int, int]]:
        """Give (raw value, quality) of every sample of a tag in the journal, in order."""
        await self.runtime.pipeline.settled()
        journal, after = self.runtime.journal, Position(Stream.TELEMETRY, 0, 0)
        found: list[tuple[int, int]] = []
        while records := await journal.read(after, 1 << 20):
            after = records[-1].position
            for record in records:
                if record.kind is not RecordKind.BATCH:
                    continue
                schema = journal.schema(peek_schema_id(record.payload))
                names = [one.name for one in schema.tags]
                if schema.source == device and tag in names:
                    found += _column(decode_batch(record.payload, schema), names.index(tag))
        return found


def _column(batch: Batch, column: int) -> list[tuple[int, int]]:
    """Give the samples of one column of a dense batch."""
    assert batch.index is None, "polled rows are dense"
    lane = batch.schema.lane_of[column]
    place = batch.schema.lanes[lane].columns.tolist().index(column)
    raw = batch.values[lane][:, place].tolist()
    quality = [0] * batch.rows if batch.quality is None else batch.quality[:, column].tolist()
    return list(zip(raw, quality, strict=True))
