"""One seeded life of the file uplink's stores on a disk that fails, and what must hold afterwards.

The sender is the forwarder's part in short: it begins where the store says, sends in order, now and
then ahead of a hole, and keeps what it was told is durable. `simulate` raises AssertionError on the
first promise that is broken.
"""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay.errors import UplinkUnavailable
from forebay.model import RecordKind, Stream
from forebay.positions import Account
from forebay.readings import note, readings
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk, PowerCut
from forebay.uplinks.file.config import FileSettings
from forebay.uplinks.file.jsonl import JsonlStore
from forebay.uplinks.file.parquet import ParquetStore
from forebay.uplinks.file.store import Row
from support.batches import SCHEMA, batch_record, dense, offer, rows_of, schema_record, shown
from support.uplink_files import entries_of

if TYPE_CHECKING:
    from forebay.model import Record
    from forebay.uplinks.file.book import Book
    from forebay.uplinks.file.store import Store

DIRECTORY = Path("/lake")
RECORDS = 24
LIVES_MOST = 5
CHANGES_PER_LIFE_MOST = 45
FAILING = ("datasync", "pwrite", "rename", "sync_dir", "create")


@cache
def journal() -> tuple[Record, ...]:
    """Give the records of two streams and two epochs, in the order of their positions."""
    found = [schema_record(1)]
    found += [batch_record(seq, dense(1 + seq % 5, seq)) for seq in range(2, RECORDS)]
    found += [batch_record(seq, epoch=2 << 32) for seq in range(1, 5)]
    found += [batch_record(seq, stream=Stream.EVENTS) for seq in range(1, 5)]
    return tuple(found)


@dataclass
class Life:
    """Everything that was promised so far, and the disk on which."""

    form: str
    rng: random.Random
    disk: FaultyDisk = field(default_factory=FaultyDisk)
    promised: Account = field(default_factory=Account)
    clock: FakeClock = field(default_factory=FakeClock)

    def settings(self) -> FileSettings:
        """Give settings under which files rotate often."""
        given = {"directory": DIRECTORY, "format": self.form, "min_free": 0, "max_age": 60}
        return FileSettings.model_validate({"kind": "file", "max_size": 64 << 10, **given})

    def session(self, *, calm: bool) -> bool:
        """Open, send what is not there, and close; give whether all of it is durable.

        Not `calm`, any call may fail, and the power may go.
        """
        if not calm:
            self._threaten()
        settings = self.settings()
        kind = ParquetStore if self.form == "parquet" else JsonlStore
        store: Store = kind("lake", settings, self.disk, self.clock)
        try:
            store.folder.open()
            book = store.open(offer(journal()), "dir-1")
            book.settle(offer(journal()))
            self._compare(book)
            self._send(store, book)
            store.close()
        except (OSError, UplinkUnavailable):
            self._end(store)
            return False
        finally:
            store.folder.close()
        self._promise(book)
        return all(record.position in book.account for record in journal())

    def reboot(self) -> None:
        """Find the disk as it is when the power is back."""
        self.disk = self.disk.reboot(self.rng)

    def _threaten(self) -> None:
        if self.rng.random() < 0.7:
            self.disk.cut_after(self.rng.randint(0, CHANGES_PER_LIFE_MOST))
        if self.rng.random() < 0.4:
            number = self.rng.choice((errno.EIO, errno.ENOSPC))
            self.disk.fail(self.rng.choice(FAILING), number, after=self.rng.randint(0, 20))

    def _compare(self, book: Book) -> None:
        """Check that what was promised is there, and nothing that does not exist."""
        for stream, epoch, runs in self.promised:
            for first, last in runs:
                there = book.account.runs(stream, epoch)
                assert there.covers(first, last), f"{stream} {epoch:x} {first}-{last} is gone"
        known = {record.position for record in journal()}
        for stream, epoch, runs in book.account:
            for first, last in runs:
                assert {(stream, epoch, seq) for seq in range(first, last + 1)} <= known

    def _send(self, store: Store, book: Book) -> None:
        left = [record for record in journal() if record.position not in book.account]
        if self.rng.random() < 0.3:  # a live lane before the backlog
            at = self.rng.randint(0, len(left))
            left = left[at:] + left[:at]
        while left:
            count = self.rng.randint(1, 6)
            group, left = left[:count], left[count:]
            if self.rng.random() < 0.1:
                group = [*group, group[0]]  # sent twice
            try:
                for record in group:
                    if not store.holds(record.position, record.position.seq):
                        store.append(row(record))
            except (OSError, UplinkUnavailable):
                store.commit(last=True)
                self._promise(book)
                raise
            store.commit()
            self._promise(book)
            self.clock.freeze(self.rng.choice((0.0, 1.0, 61.0)))
            store.tick()
            self._promise(book)

    def _promise(self, book: Book) -> None:
        for stream, epoch, runs in book.account:
            for first, last in runs:
                self.promised.add(stream, epoch, first, last)

    def _end(self, store: Store) -> None:
        try:
            store.close()
        except PowerCut:
            assert self.disk.off


def row(record: Record) -> Row:
    """Read a record as the uplink does."""
    found = readings(record, SCHEMA) if record.kind is RecordKind.BATCH else None
    return Row(record, found, note(record), historical=False)


def simulate(seed: int, form: str) -> int:
    """Live, fail and live again; then everything is there once. Give how many lives it took."""
    life = Life(form, random.Random(seed))
    lives = 0
    for _ in range(life.rng.randint(1, LIVES_MOST)):
        lives += 1
        life.session(calm=False)
        if life.disk.off or life.rng.random() < 0.3:
            life.reboot()
    if life.disk.off:
        life.reboot()
    life.reboot()  # whatever nobody made durable may go, even now
    whole = life.session(calm=True) and life.session(calm=True)
    assert whole, "a calm session sends everything"
    contents = {path.name: life.disk.read_bytes(path, 1 << 30) for path in life.disk.paths()}
    found = entries_of(contents, parts=True)
    told: list[tuple[Any, bytes]] = [
        (at, shown(about["rows"])) for at, about in found if about["rows"]
    ]
    expected = {
        record.position: shown(rows_of(record))
        for record in journal()
        if record.kind is RecordKind.BATCH
    }
    assert sorted(told) == sorted(expected.items()), "each record once, and as it is"
    return lives
