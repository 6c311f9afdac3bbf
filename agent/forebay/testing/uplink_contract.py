"""What every uplink must do, as tests: derive from `UplinkContract` and give it a destination.

Owns the words of `interfaces.Uplink` turned into checks: outage, partial accept, duplicate send.
Must not know any uplink. Needs pytest-asyncio in auto mode; the subclass has a fixture named
`destination`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from forebay.errors import UplinkError, UplinkUnavailable
from forebay.interfaces import Head, Offer
from forebay.model import Position, Stream
from forebay.testing.records import make_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.interfaces import Receipt, Terms, Uplink
    from forebay.model import Record

PATIENCE_S = 20.0
"""The longest wait for anything that must happen."""


class Destination(Protocol):
    """A real destination under the test's control, whose store outlives `stop`."""

    def uplink(self) -> Uplink:
        """Make an uplink to it; nothing is connected yet."""
        ...

    async def start(self) -> None:
        """Come back, at the same place, with everything stored."""
        ...

    async def stop(self) -> None:
        """Break every session and be gone."""
        ...

    def accept(self, records: int | None) -> None:
        """From the next session on store at most so many records in each; None: all."""
        ...

    def stored(self) -> Mapping[Position, bytes]:
        """Give the payloads that are durable there, in the order of their commits."""
        ...

    def stored_twice(self) -> int:
        """Give how many records are in the store more than once."""
        ...


class UplinkContract:
    """The suite. Every test opens its sessions as the forwarder does.

    An uplink that reads payloads needs records that make sense: it overrides `record`, `shown` and
    `offer`.
    """

    def record(
        self,
        seq: int,
        payload: bytes | None = None,
        *,
        stream: Stream = Stream.TELEMETRY,
        epoch: int = 1 << 32,
    ) -> Record:
        """Make the record to be sent as `seq`; one with a `payload` differs from all others."""
        return make_record(seq, payload, stream=stream, epoch=epoch)

    def shown(self, record: Record) -> bytes:
        """Give what `Destination.stored` must show of a record."""
        return record.payload

    def offer(self, records: Sequence[Record]) -> Offer:
        """Give the offer of a gateway whose journal holds `records`."""
        return _offer(records)

    async def test_records_arrive_in_order_and_byte_for_byte(
        self, destination: Destination
    ) -> None:
        """Receipts come for what is sent, in order, and never beyond it."""
        sent = [self.record(seq, bytes(range(256)) * seq) for seq in range(1, 21)]
        uplink = destination.uplink()
        await uplink.connect(self.offer(sent))
        await uplink.send(sent[:7], historical=False)
        await uplink.send(sent[7:], historical=False)
        covered = await _covered(uplink, 20)
        await uplink.close()
        assert covered == sorted(covered), "receipts went back"
        assert covered[-1] == 20, "a receipt covers what was never sent"
        assert destination.stored() == {r.position: self.shown(r) for r in sent}
        assert [p.seq for p in destination.stored()] == list(range(1, 21)), "out of order"

    async def test_streams_do_not_mix(self, destination: Destination) -> None:
        """The same seq in two streams and two epochs names four records."""
        sent = [
            self.record(1, stream=stream, epoch=epoch)
            for stream in (Stream.EVENTS, Stream.TELEMETRY)
            for epoch in (1 << 32, 2 << 32)
        ]
        uplink = destination.uplink()
        await uplink.connect(self.offer(sent))
        for record in sent:
            await uplink.send([record], historical=False)
        seen: set[tuple[Stream, int]] = set()
        async with asyncio.timeout(PATIENCE_S):
            async for receipt in uplink.receipts():
                seen.add((receipt.resume.stream, receipt.resume.epoch))
                if len(seen) == 4:
                    break
        await uplink.close()
        assert destination.stored() == {r.position: self.shown(r) for r in sent}

    async def test_outage_before_the_session(self, destination: Destination) -> None:
        """A destination that is not there is UplinkUnavailable with a hint, and can come back."""
        await destination.stop()
        uplink = destination.uplink()
        refused = await _connect_error(uplink, self.offer([]))
        assert isinstance(refused, UplinkUnavailable)
        assert refused.hint
        await uplink.close()
        await destination.start()
        await uplink.connect(self.offer([]))
        await uplink.close()

    async def test_outage_within_the_session(self, destination: Destination) -> None:
        """Reader and sender both learn it as UplinkError, and the next session resumes."""
        sent = [self.record(seq) for seq in range(1, 4)]
        uplink = destination.uplink()
        await uplink.connect(self.offer(sent))
        await uplink.send(sent[:1], historical=False)
        await _covered(uplink, 1)
        await destination.stop()
        assert (await _receipts_error(uplink)).hint
        assert (await _send_error(uplink, sent[1:])).hint
        await uplink.close()
        await destination.start()
        terms = await uplink.connect(self.offer(sent))
        await uplink.send(_left(terms, sent), historical=False)
        await _covered(uplink, 3)
        await uplink.close()
        assert list(destination.stored().values()) == [self.shown(r) for r in sent]
        assert destination.stored_twice() == 0

    async def test_partial_accept(self, destination: Destination) -> None:
        """What the destination did not store has no receipt, and is stored when sent again."""
        sent = [self.record(seq) for seq in range(1, 6)]
        destination.accept(2)
        uplink = destination.uplink()
        await uplink.connect(self.offer(sent))
        await uplink.send(sent, historical=False)
        assert (await _covered(uplink, 2))[-1] == 2, "a receipt covers what is not stored"
        assert [p.seq for p in destination.stored()] == [1, 2]
        await uplink.close()
        destination.accept(None)
        terms = await uplink.connect(self.offer(sent))
        await uplink.send(_left(terms, sent), historical=False)
        await _covered(uplink, 5)
        await uplink.close()
        assert [p.seq for p in destination.stored()] == [1, 2, 3, 4, 5]
        assert destination.stored_twice() == 0

    async def test_duplicate_send(self, destination: Destination) -> None:
        """Records sent again, in one session and in the next, are stored once and acknowledged."""
        sent = [self.record(seq) for seq in range(1, 4)]
        for _ in range(2):
            uplink = destination.uplink()
            await uplink.connect(self.offer(sent))
            await uplink.send(sent, historical=False)
            await uplink.send(sent, historical=False)
            assert (await _covered(uplink, 3))[-1] == 3
            await uplink.close()
        assert list(destination.stored().values()) == [self.shown(r) for r in sent]
        assert destination.stored_twice() == 0

    async def test_close_never_raises(self, destination: Destination) -> None:
        """Before a session, twice, after an outage: closing is always safe, and soon over."""
        uplink = destination.uplink()
        async with asyncio.timeout(PATIENCE_S):
            await uplink.close()
            await uplink.connect(self.offer([]))
            await destination.stop()
            await uplink.close()
            await uplink.close()

    async def test_cancelled_reader(self, destination: Destination) -> None:
        """The forwarder ends a session by cancelling its reader; the next one must open."""
        uplink = destination.uplink()
        await uplink.connect(self.offer([]))
        reader = asyncio.create_task(_receipts_error(uplink), name="reader")
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait({reader})
        assert reader.cancelled()
        await uplink.close()
        await uplink.connect(self.offer([]))
        await uplink.close()


def _offer(records: Sequence[Record]) -> Offer:
    heads: dict[tuple[Stream, int], Head] = {}
    for record in records:
        stream, epoch, seq = record.position
        heads[stream, epoch] = Head(stream, epoch, 1, seq + 1)
    return Offer("gateway-1", "boot-1", 1, tuple(heads.values()))


def _left(terms: Terms, records: Sequence[Record]) -> list[Record]:
    """Give the records that the destination does not say it has."""
    done = {(r.stream, r.epoch): r.committed_seq for r in terms.resume}
    return [r for r in records if r.position.seq > done.get(r.position[:2], 0)]


async def _covered(uplink: Uplink, last: int) -> list[int]:
    """Give the seqs of the receipts until one covers `last`."""
    seqs: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        async for receipt in uplink.receipts():
            seqs.append(receipt.resume.committed_seq)
            if seqs[-1] >= last:
                return seqs
    raise AssertionError("receipts ended without an error")


async def _receipts_error(uplink: Uplink) -> UplinkError:
    seen: list[Receipt] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            seen.extend([receipt async for receipt in uplink.receipts()])
    except UplinkError as error:
        return error
    raise AssertionError(f"receipts ended without an error after {seen}")


async def _send_error(uplink: Uplink, records: Sequence[Record]) -> UplinkError:
    """Send until it fails: a transport may take some before it knows."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await uplink.send(records, historical=False)
            except UplinkError as error:
                return error


async def _connect_error(uplink: Uplink, offer: Offer) -> UplinkError:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await uplink.connect(offer)
    except UplinkError as error:
        return error
    raise AssertionError("connected to a destination that is not there")
