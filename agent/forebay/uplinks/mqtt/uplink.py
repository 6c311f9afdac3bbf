"""The session with a broker: records out as messages, receipts when all of theirs have a PUBACK.

Owns what is on its way, and the order of things: a message leaves when there is room, a record is
received when every record before it is. Must not know aiomqtt (`link` does) nor payloads (a `Form`
does).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from forebay.errors import JournalCorrupt, UplinkError, UplinkUnavailable
from forebay.events import UPLINK_UNHEARD
from forebay.interfaces import Receipt, Resume, Terms
from forebay.model import Position, RecordKind
from forebay.mqttclient.credentials import CredentialsUnusable, read_credentials
from forebay.positions import Account
from forebay.readings import SchemaShelf, note, readings
from forebay.uplinks.mqtt.faults import translate
from forebay.uplinks.mqtt.form import Item
from forebay.uplinks.mqtt.json_form import JsonForm
from forebay.uplinks.mqtt.link import Link
from forebay.uplinks.mqtt.sparkplug import Node, SparkplugForm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from typing import NoReturn

    from forebay.interfaces import Offer, Seams
    from forebay.model import Record, Stream
    from forebay.uplinks.mqtt.config import MqttUplinkSettings
    from forebay.uplinks.mqtt.form import Form, Message

    Epoch = tuple[Stream, int]

CREDIT_BYTES = 4 << 20
"""Payload bytes that may be on their way; as messages they take up to fifty times as much."""
MAX_RECORD_BYTES = 16 << 20
"""The largest record that a journal holds: its messages are cut as the broker wants them."""
UNREADABLE = "Unreadable"
"""The code of a record that this version cannot read."""
_AT_ONCE = 200
_MAX_FLYING = 1 << 16
_PACKET_OVERHEAD_BYTES = 1 << 10


@dataclass(eq=False, slots=True)
class _Flight:
    """A record on its way: messages without a PUBACK, and whether all of them have left."""

    position: Position
    first_seq: int
    unacked: int = 0
    left: bool = False
    refused: str = ""


class MqttUplink:
    """Implements `interfaces.Uplink`; see the README for what a Receipt means here."""

    def __init__(self, name: str, settings: MqttUplinkSettings, seams: Seams) -> None:
        """Touches neither network nor disk."""
        self._name, self._settings, self._seams = name, settings, seams
        self._node, self._bd_seq = Node(), seams.rng.randrange(256)
        self._link: Link | None = None
        self._form: Form | None = None
        self._births: asyncio.Task[NoReturn] | None = None
        self._hop: asyncio.Task[list[Message]] | None = None
        self._turn = asyncio.Lock()
        self._news, self._heard = asyncio.Event(), asyncio.Event()
        self._unheard_messages, self._unheard_told = 0, False
        self._begin()

    async def connect(self, offer: Offer) -> Terms:
        """See `Uplink.connect`. Files are read each time, so that renewed ones count."""
        settings = self._settings
        self._begin()
        self._shelf = SchemaShelf(offer.schema)
        for told in offer.delivered:
            self._account.add(told.stream, told.epoch, 1, told.committed_seq)
            for first, last in told.islands:
                self._account.add(told.stream, told.epoch, first, last)
        try:
            credentials = await read_credentials(settings, self._seams.disk)
        except CredentialsUnusable as error:
            raise translate(error, "connecting") from error
        self._bd_seq = (self._bd_seq + 1) % 256
        form = self._form = self._make_form(offer.gateway, settings.max_payload)
        client_id = settings.client_id or f"forebay-{offer.gateway}-{self._name}"
        link = self._link = Link(client_id, settings, credentials, form.will)
        link.on_ack, link.on_command, link.on_fault = self._acked, self._command, self._news.set
        link.on_unheard = self._unheard
        await link.open()
        if 0 < link.max_packet_bytes < settings.max_payload + _PACKET_OVERHEAD_BYTES:
            raise UplinkUnavailable(
                f"the broker takes packets of {link.max_packet_bytes} bytes at most",
                hint=f"set max_payload to {link.max_packet_bytes - _PACKET_OVERHEAD_BYTES} or less",
            )
        await link.listen(form.topics)
        await self._may_begin(form)
        async with self._turn:
            await self._put_due(form, link)
        self._births = asyncio.create_task(
            self._answer(form, link), name=f"uplink[{self._name}].births"
        )
        return Terms(
            f"mqtt {settings.host}:{settings.port_used}",
            offer.delivered,
            CREDIT_BYTES,
            MAX_RECORD_BYTES,
        )

    async def send(
        self, records: Sequence[Record], *, historical: bool, absent_from: Sequence[int] = ()
    ) -> None:
        """See `Uplink.send`. Waits while as many messages as allowed have no PUBACK."""
        link, form = self._session()
        holes = absent_from or [0] * len(records)
        for record, absent in zip(records, holes, strict=True):
            async with self._turn:
                await self._put_due(form, link)
                await self._put(record, absent or record.position.seq, historical=historical)

    async def receipts(self) -> AsyncIterator[Receipt]:
        """See `Uplink.receipts`: one for all that was acknowledged meanwhile in an epoch."""
        while True:
            while self._touched:
                (stream, epoch), refused = self._touched.popitem()
                runs = self._account.runs(stream, epoch)
                told = Resume(stream, epoch, runs.whole, islands=runs.islands)
                unheard, self._unheard_messages = self._unheard_messages, 0
                yield Receipt(told, CREDIT_BYTES, tuple(refused), unheard_messages=unheard)
            link, _ = self._session()
            if link.fault is not None:
                raise link.fault
            self._news.clear()
            await self._news.wait()

    async def close(self) -> None:
        """See `Uplink.close`; a goodbye takes a second at most."""
        link, form, births, hop = self._link, self._form, self._births, self._hop
        self._link = self._form = self._births = self._hop = None
        self._news.set()
        if births is not None:
            births.cancel()
            await asyncio.wait([births])
        if hop is not None:
            await asyncio.wait([hop])  # a thread is in the form, which the next session needs
        if link is None:
            return
        if form is not None and not form.waits:
            await link.leave(form.end())
        await link.shut()

    # --- out --------------------------------------------------------------------------------------

    async def _put(self, record: Record, first_seq: int, *, historical: bool) -> None:
        link, form = self._session()
        flight = _Flight(record.position, first_seq)
        assert len(self._flying) < _MAX_FLYING, "the forwarder has fewer on their way"
        self._flying.append(flight)
        try:
            await self._publish(link, flight, self._messages(form, record, historical=historical))
        except JournalCorrupt:
            flight.refused = UNREADABLE
            said = {"kind": "refused", "code": UNREADABLE}
            notice = form.messages(Item(record, None, said, historical))
            await self._publish(link, flight, notice)
        except KeyError:
            raise UplinkUnavailable(
                f"the journal has dropped the schema of {record.position.stream} "
                f"{record.position.seq} meanwhile",
                hint="it goes on behind it by itself",
            ) from None
        flight.left = True
        self._settle()

    async def _publish(self, link: Link, flight: _Flight, messages: Iterator[Message]) -> None:
        while batch := await self._made(messages):
            for message in batch:
                await link.room()
                self._of_message[link.put(message)] = flight
                flight.unacked += 1

    async def _made(self, messages: Iterator[Message]) -> list[Message]:
        """Make the next messages, away from the event loop."""
        self._hop = asyncio.create_task(
            asyncio.to_thread(lambda: list(islice(messages, _AT_ONCE))),
            name=f"uplink[{self._name}].form",
        )
        return await asyncio.shield(self._hop)

    def _messages(self, form: Form, record: Record, *, historical: bool) -> Iterator[Message]:
        if record.kind is RecordKind.SCHEMA:
            self._shelf.put(record)
            return
        found = None
        if record.kind is RecordKind.BATCH:
            found = readings(record, self._shelf.of(record))
        yield from form.messages(Item(record, found, note(record), historical))

    async def _put_due(self, form: Form, link: Link) -> None:
        for message in form.due():
            await link.room()
            link.put(message)

    async def _answer(self, form: Form, link: Link) -> NoReturn:
        """Be born again when a host asks while nothing is sent."""
        while True:
            self._heard.clear()
            await self._heard.wait()
            try:
                async with self._turn:
                    await self._put_due(form, link)
            except UplinkError as error:
                link.fail(error)

    # --- in ---------------------------------------------------------------------------------------

    def _acked(self, number: int) -> None:
        flight = self._of_message.pop(number, None)
        if flight is not None:
            flight.unacked -= 1
            self._settle()

    def _unheard(self, topic: str) -> None:
        self._unheard_messages += 1
        if not self._unheard_told:
            self._unheard_told = True
            self._seams.events.emit(
                UPLINK_UNHEARD,
                uplink=self._name,
                topic=topic,
                hint="the broker threw it away: start a consumer with a session that lasts, or "
                "set needs_listener = true",
            )

    def _settle(self) -> None:
        """Account for the records at the front that have all their PUBACKs."""
        while self._flying and self._flying[0].left and not self._flying[0].unacked:
            flight = self._flying.popleft()
            stream, epoch, seq = flight.position
            self._account.add(stream, epoch, flight.first_seq, seq)
            refused = self._touched.setdefault((stream, epoch), [])
            if flight.refused:
                refused.append((flight.position, flight.refused))
            self._news.set()

    def _command(self, topic: str, payload: bytes) -> None:
        if self._form is None or self._link is None:
            return
        try:
            self._form.hear(topic, payload)
        except UplinkError as error:
            self._link.fail(error)
        self._heard.set()

    # --- the session ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Forget everything of the last session."""
        self._account = Account()
        self._flying: deque[_Flight] = deque(maxlen=_MAX_FLYING)
        self._of_message: dict[int, _Flight] = {}
        self._touched: dict[Epoch, list[tuple[Position, str]]] = {}
        self._unheard_messages, self._unheard_told = 0, False

    def _session(self) -> tuple[Link, Form]:
        if self._link is None or self._form is None:
            raise UplinkUnavailable("the session is closed", hint="it is opened anew by itself")
        return self._link, self._form

    def _make_form(self, gateway: str, max_payload: int) -> Form:
        if self._settings.format == "json":
            return JsonForm(gateway, self._settings, max_payload)
        clock = self._seams.clock
        return SparkplugForm(gateway, self._settings, max_payload, self._node, self._bd_seq, clock)

    async def _may_begin(self, form: Form) -> None:
        """Wait until whoever must be there is."""
        try:
            async with asyncio.timeout(self._settings.timeout):
                while form.waits:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise UplinkUnavailable(
                f"the primary host {self._settings.primary_host!r} is not online",
                hint="start it, or remove primary_host",
            ) from None
