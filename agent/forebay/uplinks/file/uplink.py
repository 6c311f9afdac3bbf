"""The session with a directory: records in, receipts out, everything that blocks on one thread.

Owns the thread, the queue of receipts and the once-a-second look at age and space. Must not know
the form of a file (`store`), credit or back-off.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn, TypeVar

from forebay.clock import AgeClock
from forebay.errors import JournalCorrupt, UplinkUnavailable
from forebay.interfaces import Receipt, Terms
from forebay.model import Position, RecordKind
from forebay.readings import SchemaShelf, note, readings
from forebay.uplinks.file.folder import unavailable
from forebay.uplinks.file.store import CREDIT_BYTES, Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from forebay.clock import Clock
    from forebay.errors import UplinkError
    from forebay.files import Disk
    from forebay.interfaces import Offer, Seams
    from forebay.model import Record
    from forebay.uplinks.file.config import FileSettings
    from forebay.uplinks.file.store import Epoch, Store

MAX_RECORD_BYTES = 16 << 20
"""The largest record that a journal holds."""
UNREADABLE = "Unreadable"
"""The code of a record that this version cannot read."""
_TICK_S = 1.0
_PRUNE_EVERY = 60

T = TypeVar("T")


class FileUplink:
    """Implements `interfaces.Uplink`; see the README for what a Receipt means here."""

    def __init__(self, name: str, settings: FileSettings, seams: Seams) -> None:
        """Touches no disk."""
        self._name, self._settings, self._seams = name, settings, seams
        self._age = AgeClock()
        self._thread: ThreadPoolExecutor | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._store: Store | None = None
        self._ready: dict[Epoch, Receipt] = {}
        self._news = asyncio.Event()
        self._failed: UplinkError | None = None
        self._ticks = 0

    async def connect(self, offer: Offer) -> Terms:
        """See `Uplink.connect`. What a crash left is mended here."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"uplink-{self._name}")
        self._ready.clear()
        self._failed = None
        terms = await self._run(lambda: self._open(offer))
        self._ticker = asyncio.create_task(self._tick(), name=f"uplink[{self._name}].tick")
        return terms

    async def send(
        self, records: Sequence[Record], *, historical: bool, absent_from: Sequence[int] = ()
    ) -> None:
        """See `Uplink.send`; on return they are written, and durable if the format can be.

        A disk that refuses is told by `receipts`, behind the receipts of what it took, and by the
        next call.
        """
        if self._failed is not None:
            raise self._failed
        holes = absent_from or [0] * len(records)
        await self._run(lambda: self._take(records, holes, historical=historical))
        self._news.set()

    async def receipts(self) -> AsyncIterator[Receipt]:
        """See `Uplink.receipts`."""
        while True:
            while self._ready:
                yield self._ready.popitem()[1]
            if self._failed is not None:
                raise self._failed
            self._news.clear()
            await self._news.wait()

    async def close(self) -> None:
        """See `Uplink.close`; waits for the call that the thread is in."""
        self._failed = self._failed or _closed()
        self._news.set()
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.cancel()
            await asyncio.wait([ticker])
        thread, self._thread = self._thread, None
        if thread is not None:
            ending = asyncio.get_running_loop().run_in_executor(thread, self._shut)
            thread.shutdown(wait=False)
            await asyncio.shield(ending)

    async def _tick(self) -> NoReturn:
        while True:
            await self._seams.clock.sleep(_TICK_S)
            await self._run(self._look)
            self._news.set()

    async def _run(self, work: Callable[[], T]) -> T:
        """Do `work` on the thread; every refusal of the disk becomes UplinkUnavailable."""
        if self._thread is None:
            raise _closed()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise unavailable(error, self._settings.directory) from error

    # --- on the thread ----------------------------------------------------------------------------

    def _open(self, offer: Offer) -> Terms:
        clock, disk, settings = self._seams.clock, self._seams.disk, self._settings
        self._store = _store(self._name, settings, disk, clock)
        self._store.folder.open()
        incarnation = f"{clock.now_ns():x}-{self._seams.rng.getrandbits(64):016x}"
        self._shelf = SchemaShelf(offer.schema)
        book = self._book = self._store.open(offer, incarnation)
        return Terms(book.incarnation, book.settle(offer), CREDIT_BYTES, MAX_RECORD_BYTES)

    def _take(self, records: Sequence[Record], holes: Sequence[int], *, historical: bool) -> None:
        assert self._store is not None, "a session that is open"
        touched: dict[Epoch, list[tuple[Position, str]]] = {}
        try:
            for record, absent in zip(records, holes, strict=True):
                position = record.position
                refused = touched.setdefault(position[:2], [])
                if self._store.holds(position, absent or position.seq):
                    continue
                if self._store.holds(position, position.seq):
                    row = Row(record, None, None, historical)  # it comes again, for its hole
                else:
                    row = self._row(record, historical=historical)
                if row.refused:
                    refused.append((position, row.refused))
                self._store.append(row._replace(absent_from=absent))
        except OSError as error:
            self._failed = unavailable(error, self._settings.directory)
        except UplinkUnavailable as error:
            self._failed = error
        # What came before a refusal is good.
        try:
            more = self._store.commit(last=self._failed is not None)
        except OSError as error:
            self._failed = unavailable(error, self._settings.directory)
            return
        self._acknowledge(touched.keys() | more, touched)

    def _row(self, record: Record, *, historical: bool) -> Row:
        """Read a record; one that this version cannot read is refused for good."""
        try:
            if record.kind is RecordKind.SCHEMA:
                self._shelf.put(record)
                return Row(record, None, None, historical)
            if record.kind is RecordKind.BATCH:
                found = readings(record, self._shelf.of(record))
                return Row(record, found, note(record), historical)
            return Row(record, None, note(record), historical)
        except JournalCorrupt:
            return Row(record, None, None, historical, UNREADABLE)
        except KeyError:
            raise UplinkUnavailable(
                f"the journal has dropped the schema of {record.position.stream} "
                f"{record.position.seq} meanwhile",
                hint="it goes on behind it by itself",
            ) from None

    def _look(self) -> None:
        assert self._store is not None, "a session that is open"
        if self._failed is not None:
            return
        try:
            self._store.folder.look()
            self._store.tick()
            self._ticks += 1
            if self._ticks % _PRUNE_EVERY == 1:
                settings, now_ns = self._settings, self._age.now_ns(self._seams.clock.read())
                self._store.folder.prune(now_ns, settings.keep_size, settings.keep_age)
        except OSError as error:
            self._failed = unavailable(error, self._settings.directory)
        except UplinkUnavailable as error:
            self._failed = error

    def _acknowledge(
        self, epochs: Iterable[Epoch], refused: dict[Epoch, list[tuple[Position, str]]]
    ) -> None:
        for epoch in sorted(epochs):
            last = self._ready.pop(epoch, None)  # whoever takes it has it whole
            codes = (*(last.rejected if last else ()), *refused.get(epoch, ()))
            self._ready[epoch] = Receipt(self._book.resume(*epoch), CREDIT_BYTES, codes)

    def _shut(self) -> None:
        store, self._store = self._store, None
        if store is None:
            return
        with contextlib.suppress(OSError):
            store.close()
        store.folder.close()


def _store(name: str, settings: FileSettings, disk: Disk, clock: Clock) -> Store:
    if settings.format == "parquet":
        from forebay.uplinks.file.parquet import ParquetStore

        return ParquetStore(name, settings, disk, clock)
    from forebay.uplinks.file.jsonl import JsonlStore

    return JsonlStore(name, settings, disk, clock)


def _closed() -> UplinkUnavailable:
    return UplinkUnavailable("the session is closed", hint="it is opened anew by itself")
