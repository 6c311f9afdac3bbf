"""What one line says of a record, made beside the event loop and from as little as possible.

Owns the words. Must not know how records are read. A schema of tens of thousands of tags takes long
to decode and is asked for in each of its many copies, so that only its head is looked at, once.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from forebay.columnar import (
    decode_anchor,
    decode_batch,
    decode_gap,
    peek_schema,
    peek_schema_id,
)
from forebay.control.view import RecordSummary
from forebay.errors import JournalCorrupt
from forebay.model import RecordKind
from forebay.writing import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from forebay.model import Record, Schema

_MAX_TEXTS = 1_000


class Summaries:
    """Summarises records. The schemas that are in use now are known; `find` decodes any other."""

    def __init__(self, used: Iterable[Schema], find: Callable[[int], Schema]) -> None:
        """`find` gives a schema by its id, KeyError if there is none; it is called in a thread."""
        self._used, self._find = tuple(used), find
        self._names: dict[int, str] = {}
        self._texts: dict[bytes, str] = {}
        # A thread goes on after its caller was cancelled, so that a lock of the loop would not do.
        self._lock = threading.Lock()

    async def of(self, records: Sequence[Record]) -> list[RecordSummary]:
        """Summarise; the event loop goes on meanwhile."""
        return await asyncio.to_thread(self.now, records)

    def now(self, records: Sequence[Record]) -> list[RecordSummary]:
        """Summarise, and block meanwhile."""
        with self._lock:
            if not self._names:
                self._names = {schema.id: _name(schema) for schema in self._used}
            if len(self._texts) > _MAX_TEXTS:
                self._texts.clear()
            return [self._summary(record) for record in records]

    def _summary(self, record: Record) -> RecordSummary:
        position = record.position
        try:
            text = self._text(record)
        except JournalCorrupt as error:
            text = str(error)
        return RecordSummary(
            stream=position.stream.value,
            epoch=position.epoch,
            seq=position.seq,
            kind=record.kind.name.lower(),
            samples=record.samples,
            bytes=len(record.payload),
            time_min_ns=record.time_min_ns,
            time_max_ns=record.time_max_ns,
            text=text,
        )

    def _text(self, record: Record) -> str:
        """Raises JournalCorrupt."""
        match record.kind:
            case RecordKind.BATCH:
                return self._batch(record.payload)
            case RecordKind.SCHEMA:
                text = self._texts.get(record.hash)
                if text is None:
                    source, group, tags = peek_schema(record.payload)
                    text = self._texts[record.hash] = f"{source} {group}: {tags:,} tags"
                return text
            case RecordKind.GAP:
                gap = decode_gap(record.payload)
                count = "an unknown number of" if gap.samples is None else f"{gap.samples:,}"
                return f"{gap.cause.name.lower()}: {count} samples {gap.source}".rstrip()
            case RecordKind.ANCHOR:
                anchor = decode_anchor(record.payload)
                return f"boot {anchor.boot_id[:8]}, clock {anchor.state.name.lower()}"

    def _batch(self, payload: bytes) -> str:
        """Give what a batch is of; of the audit, what it says."""
        schema_id = peek_schema_id(payload)
        for schema in (audit.SCHEMA, audit.CONFIGURATIONS, audit.COMMANDS, audit.CARRIED):
            if schema_id == schema.id:
                deeds = audit.from_batch(decode_batch(payload, schema))
                return "; ".join(audit.sentence(deed) for deed in deeds)
        name = self._names.get(schema_id)
        if name is None:
            try:
                name = _name(self._find(schema_id))
            except KeyError:
                return "of an unknown schema"
        return name


def _name(schema: Schema) -> str:
    return f"{schema.source} {schema.group}"
