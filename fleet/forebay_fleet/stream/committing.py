"""What a worker does with the parcels of one part, inside the transactions of its own store.

Blocks; runs on the part's thread. What a record turns out to be only here, where the box has its
ack already, is kept aside with all its bytes, and told. Must not know NATS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import structlog
from google.protobuf.message import DecodeError

from forebay_fleet._proto import ingest_pb2, uplink_pb2
from forebay_fleet.envelope import Refused, identity, judge
from forebay_fleet.ingest import Ingest, SessionEnded
from forebay_fleet.store.writer import LineKey, StoreWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import Self

    from forebay_fleet.limits import Limits

MAX_ISLANDS = 1 << 16
"""Holes of a line that a worker goes along with: a session has but `ledger.MAX_ISLANDS`."""
TWIN_NS = 30 * 10**9
"""How long after a Hello parcels of the boot before may come."""
MOST_KNOWN = 100_000
"""Gateways whose numbers are remembered."""
TOLD_NS = 1 << 63
"""In place of when a Hello came: its twin was told of."""

_log = structlog.get_logger()


class Answer(NamedTuple):
    """What is to be published once the transaction is durable."""

    to: str
    greeting: ingest_pb2.Greeting


class PartStore:
    """One part of the store, and what decides there."""

    def __init__(self, data: Path, part: int, limits: Limits) -> None:
        """Own the part until `close`. Raises as `StoreWriter`."""
        self._store = StoreWriter(data, part)
        self._limits = limits
        self._ingest = Ingest(self._store, limits, lambda: self._received_ns, MAX_ISLANDS)
        self._received_ns = 0
        self._numbers: dict[str, int] = {}
        self._hellos: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def incarnation(self) -> str:
        """Of the store, since this part was opened."""
        return self._store.incarnation

    def close(self) -> None:
        """Give up the part."""
        self._store.close()

    def commit(self, payloads: Sequence[bytes]) -> list[Answer]:
        """Apply parcels in order, durably, or none of them. Raises StoreFailed: then close."""
        answers: list[Answer] = []
        with self._store.transaction():
            for payload in payloads:
                try:
                    parcels = ingest_pb2.Parcels.FromString(payload).parcels
                except DecodeError:
                    _log.error("no_parcels", size=len(payload), hint="who else publishes there?")
                    continue
                for parcel in parcels:
                    self._received_ns = parcel.received_ns
                    if parcel.WhichOneof("content") == "hello":
                        answers.append(Answer(parcel.answer_to, self._greet(parcel)))
                    else:
                        self._take(parcel)
        return answers

    def _greet(self, parcel: ingest_pb2.Parcel) -> ingest_pb2.Greeting:
        greeting = ingest_pb2.Greeting()
        try:
            number, welcome = self._ingest.greet(parcel.hello)
        except SessionEnded as ended:
            greeting.refusal.status, greeting.refusal.reason = ended.status, str(ended)
            return greeting
        self._remember(parcel.gateway, number)
        newest = self._hellos.get(parcel.gateway)
        if newest is None or parcel.received_ns > newest[1] or newest[1] == TOLD_NS:
            self._hellos[parcel.gateway] = (parcel.boot_id, parcel.received_ns)
        greeting.gateway = number
        greeting.welcome.CopyFrom(welcome)
        for told in greeting.welcome.committed:  # a session knows exactly what is here
            line = self._store.find_line(LineKey(number, told.stream, told.epoch))
            if line is not None and len(line.coverage.islands) > len(told.islands):
                del told.islands[:]
                for first, last in line.coverage.islands:
                    told.islands.add(first_seq=first, last_seq=last)
        return greeting

    def _take(self, parcel: ingest_pb2.Parcel) -> None:
        gateway = self._number(parcel.gateway)
        self._find_twin(parcel, gateway)
        records = parcel.records.records
        try:
            acks = self._ingest.take(gateway, records)()
        except SessionEnded as ended:
            self._set_aside(gateway, parcel.gateway, ((one, ended.status) for one in records))
            return
        codes = {
            (ack.committed.stream, ack.committed.epoch, one.seq): one.code
            for ack in acks
            for one in ack.rejected
        }
        if codes:
            refused = [
                (one, code)
                for one in records
                if (code := codes.get((one.stream, one.epoch, one.seq))) and self._untold(one)
            ]
            self._set_aside(gateway, parcel.gateway, refused)

    def _untold(self, record: uplink_pb2.Record) -> bool:
        """Whether who took the record could not see that it would be refused."""
        try:
            judge(record, self._limits.max_record_bytes, lambda _: None)
        except Refused:
            return False
        return True

    def _set_aside(
        self, gateway: int, name: str, refused: Iterable[tuple[uplink_pb2.Record, str]]
    ) -> None:
        for record, code in refused:
            kept = self._store.aside.keep(
                gateway, record, identity(record), code, self._received_ns
            )
            _log.error(
                "record_set_aside" if kept else "record_lost",
                gateway=name,
                stream=record.stream,
                epoch=record.epoch,
                seq=record.seq,
                code=code,
                hint="see: forebay-fleet aside; its bytes are there"
                if kept
                else "too many are aside",
            )

    def _find_twin(self, parcel: ingest_pb2.Parcel, gateway: int) -> None:
        """Note, once a Hello, that a box goes on sending though another boot came as it long since.

        What the box before the other boot had sent may come a little later, by another process.
        """
        boot_id, hello_ns = self._hellos.get(parcel.gateway, (parcel.boot_id, 0))
        if boot_id != parcel.boot_id and parcel.received_ns > hello_ns + TWIN_NS:
            self._hellos[parcel.gateway] = (boot_id, TOLD_NS)
            self._ingest.note_twin(gateway)
            _log.warning("two_boxes", gateway=parcel.gateway, boot_id=parcel.boot_id)

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._store.aside.number(name)
            if number is None:  # the store was put back to before its first Hello
                number, _ = self._ingest.greet(uplink_pb2.Hello(gateway=name))
            self._remember(name, number)
        return number

    def _remember(self, name: str, number: int) -> None:
        if len(self._numbers) >= MOST_KNOWN:
            self._numbers.clear()
            self._hellos.clear()
        self._numbers[name] = number
