"""Data that go out by hand: a collection of what an uplink has not delivered, and its answer.

Owns what is collected, and what an acknowledgement moves: the uplink's cursor, never backwards,
never past what was collected here, and never twice by the same word. To the server a collection is
a session that was long under way. Must not know sticks, nor how a file is sealed (`sealing`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from forebay import __version__, uplinkproto
from forebay._proto import carried_pb2 as pb
from forebay._proto import fleet_pb2
from forebay.clock import stamp
from forebay.config.carried import Acknowledged, Begun, Collected
from forebay.errors import JournalFull, RequestFailed, RequestInvalid, UplinkMisbehaved
from forebay.forwarding import resume
from forebay.forwarding.aside import Aside
from forebay.forwarding.status import backlog
from forebay.identity import ENROLL_HINT, FOLDER, NOT_ENROLLED, current
from forebay.interfaces import Offer, Terms
from forebay.management import collected
from forebay.management.collected import Collection
from forebay.management.events import DATA_CARRIED
from forebay.management.offers import is_signed
from forebay.management.sealing import COLLECTION_BYTES, KEY_BYTES, Sealer
from forebay.management.walk import Walk
from forebay.model import Position, RecordKind, Stream
from forebay.writing.audit import CARRIED, INTENT, OUTCOME, Deed, to_batch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
    from pathlib import Path

    from forebay.forwarding.resume import Start
    from forebay.identity import Identity
    from forebay.interfaces import Resume, Seams
    from forebay.journal.cursor import Cursor
    from forebay.journal.journal import Journal
    from forebay.management.runtime import Runtime
    from forebay.model import Record

KIND = "usb-ack"
MOST_PAUSE_S = 1.0
"""The longest pause between two groups of records."""
AUDIT_S = 10.0
"""The longest wait for the audit."""
MAX_ACK_BYTES = 1 << 20
MAX_REFUSED = 4096
_AGAIN_HINT = "carry the acknowledgement of the collection that this box made last"


class Collecting:
    """Of one agent. One collection and one acknowledgement at a time."""

    def __init__(self, state: Path, runtime: Runtime, seams: Seams) -> None:
        """Touch nothing yet."""
        self._folder, self._state = state / FOLDER, state
        self._runtime, self._seams = runtime, seams
        self._turn = asyncio.Lock()

    # --- data out ---------------------------------------------------------------------------------

    async def collect(
        self, uplink: str, max_bytes: int, after: bytes, who: str
    ) -> AsyncGenerator[Begun | bytes | Collected]:
        """See `Carrying.collect`. What the uplink lacks stays in the journal until it is acked."""
        async with self._taken():
            identity = await self._identity()
            journal, cursor = self._journal(), self._cursor(uplink)
            if len(identity.sealing_key) != KEY_BYTES:
                raise RequestFailed(
                    "the server has given no key to seal data to",
                    hint="it does with the next certificate; see `forebay fleet status`",
                )
            begin = await self._begin(uplink, cursor, after)
            id_ = os.urandom(COLLECTION_BYTES)
            sealer = Sealer(identity, uplink, id_, self._seams.clock.now_ns())
            await self._audit(Deed(id_.hex(), INTENT, "collect", uplink, "", who, ""))
            yield Begun(id_, identity.gateway)
            yield sealer.begin()
            hello = self._hello(identity, journal, cursor)
            yield await asyncio.to_thread(sealer.frame, hello)
            walk = Walk(journal, cursor, begin, max_bytes)
            clock, began_s = self._seams.clock, self._seams.clock.monotonic_s()
            async for records, absent in walk.groups():
                yield await asyncio.to_thread(_framed, sealer, records, absent)
                # Half of the time is for who polls: a stick is never in a hurry.
                await clock.sleep(min(clock.monotonic_s() - began_s, MOST_PAUSE_S))
                began_s = clock.monotonic_s()
            kept = Collection(
                id=id_.hex(),
                uplink=uplink,
                instance=identity.instance_uid.hex(),
                incarnation=_incarnation(cursor),
                ends={stream.value: walk.ends[stream][1:] for stream in Stream},
            )
            await asyncio.to_thread(collected.note, self._folder, self._seams.disk, kept)
            end = pb.DataEnd(records=walk.records, payload_bytes=walk.payload_bytes)
            done = Deed(kept.id, OUTCOME, "collect", uplink, f"{walk.records} records", who, "")
            await self._audit(done._replace(outcome="good"))
            yield sealer.frame(end.SerializeToString(), last=True) + sealer.end()
            self._tell("collected", kept, walk.records)
            yield walk.told()

    async def _begin(self, uplink: str, cursor: Cursor, after: bytes) -> Mapping[Stream, Position]:
        """Give the positions behind which to begin. RequestInvalid for no such collection."""
        begin = {stream: cursor.get(stream) for stream in Stream}
        if not after:
            return begin
        known = await self._known()
        before = next((one for one in known if (one.id, one.uplink) == (after.hex(), uplink)), None)
        if before is None:
            raise RequestInvalid(
                f"nothing was collected for {uplink} as {after.hex()}", hint="collect anew"
            )
        return {stream: max(begin[stream], before.end(stream)) for stream in Stream}

    def _hello(self, identity: Identity, journal: Journal, cursor: Cursor) -> bytes:
        """Give what a session would open with now; collections count as its sessions."""
        epoch = journal.epoch  # first, as in `Forwarder`: the heads then tell all of what is older
        offer = Offer(
            identity.gateway,
            self._seams.clock.boot_id,
            0,
            resume.offered(journal.heads(), cursor),
            epoch=epoch,
        )
        now_ns = self._seams.clock.now_ns()
        return uplinkproto.hello(offer, now_ns, __version__).SerializeToString()

    # --- the server's word ------------------------------------------------------------------------

    async def acknowledge(self, data: bytes, who: str) -> Acknowledged:
        """See `Carrying.acknowledge`."""
        async with self._taken():
            identity = await self._identity()
            ack = _proved(data, identity)
            known = await self._known()
            of = self._collection(ack, known, identity)
            cursor = self._cursor(of.uplink)
            _check_store(ack, of, cursor)
            ends = {
                stream: max(one.end(stream) for one in known if one.uplink == of.uplink)
                for stream in Stream
            }
            deed = Deed(of.id, INTENT, "acknowledge", of.uplink, "", who, "")
            await self._audit(deed)
            found = await self._apply(ack, cursor, ends)
            await asyncio.to_thread(
                collected.note, self._folder, self._seams.disk, collected.acknowledged(of)
            )
            with contextlib.suppress(RequestFailed):  # it has happened, and the log tells of it
                value = f"{found.records} records"
                await self._audit(deed._replace(step=OUTCOME, value=value, outcome="good"))
        self._tell("acknowledged", of, found.records)
        return found

    def _collection(
        self, ack: pb.DataAck, known: Iterable[Collection], identity: Identity
    ) -> Collection:
        """Give the collection that is acknowledged. RequestInvalid if it is none of ours."""
        instance = identity.instance_uid.hex()
        of = next((one for one in known if one.id == ack.collection.hex()), None)
        if of is None or (of.uplink, of.instance) != (ack.uplink, instance):
            raise RequestInvalid("this box did not collect what it acknowledges", hint=_AGAIN_HINT)
        if of.acknowledged:
            raise RequestInvalid(
                "it is a replay: that collection was acknowledged before", hint=_AGAIN_HINT
            )
        return of

    async def _apply(
        self, ack: pb.DataAck, cursor: Cursor, ends: Mapping[Stream, Position]
    ) -> Acknowledged:
        """Move the cursor as a session's beginning would, not past `ends`."""
        journal, remarks = self._journal(), list[str]()
        terms = _terms(ack)
        heads = resume.offered(journal.heads(), cursor)
        aside = Aside(ack.uplink, journal, cursor, self._seams)
        doubts = await resume.doubtful(terms, heads, journal, cursor)
        await self._part_epochs(terms, set(doubts), aside)
        if doubts:
            remarks.append(
                "the server has other records than this box under some of the same numbers: these "
                "are collected again under new ones"
            )
        start = resume.plan(heads, terms.resume, aside.positions(), doubts)
        same = resume.is_known(terms.incarnation, cursor)
        if not same and any(start.after[one] < cursor.get(one) for one in Stream):
            remarks.append(
                "the server's store was restored from a backup, and has less than it had: what it "
                "lost is gone there unless this box connects to it"
            )
        goals = {s: min(start.after[s], ends[s]) for s in Stream}
        goals = {s: goal for s, goal in goals.items() if goal > cursor.get(s)}
        refused = await self._refused(ack, goals, journal, cursor)
        await aside.refused(refused)
        before = {stream: cursor.get(stream) for stream in Stream}
        for goal in goals.values():
            cursor.advance(goal)
        resume.testify(_sure(terms, start, cursor, same=same), terms.incarnation, cursor)
        forwarder = self._runtime.uplinks.forwarders.get(ack.uplink)
        if forwarder is not None:
            forwarder.catch_up()
        return Acknowledged(
            ack.uplink, _moved(journal, before, before | goals), len(refused), tuple(remarks)
        )

    async def _part_epochs(
        self, terms: Terms, doubts: set[tuple[Stream, int]], aside: Aside
    ) -> None:
        """Begin a new epoch where the server knows this one otherwise, as a session would."""
        journal = self._journal()
        now = journal.epoch
        if resume.outrun(terms.newest_epoch, now):
            reason = "a destination knows a younger one of this gateway"
            await journal.new_epoch(reason, above=terms.newest_epoch or 0)
        elif resume.ahead(journal.heads(), terms.resume, now) or any(e == now for _, e in doubts):
            await aside.close_epoch(
                now, "a destination has other records than we under our numbers"
            )

    async def _refused(
        self,
        ack: pb.DataAck,
        goals: Mapping[Stream, Position],
        journal: Journal,
        cursor: Cursor,
    ) -> list[tuple[Position, str, int]]:
        """Give what the server refused of what the cursor will pass: place, code, samples."""
        found: list[tuple[Position, str, int]] = []
        for one in ack.refused[:MAX_REFUSED]:
            stream = uplinkproto.stream(one.stream)
            if stream is None or stream not in goals:
                continue
            position = Position(stream, one.epoch, one.seq)
            if not cursor.get(stream) < position <= goals[stream]:
                continue
            records = await journal.read(position._replace(seq=one.seq - 1), 1, cursor)
            if records and records[0].position == position:
                batch = records[0].kind is RecordKind.BATCH
                found.append((position, one.code[:128], records[0].samples if batch else 0))
        return found

    # --- what both need ---------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _taken(self) -> AsyncGenerator[None]:
        """Have the turn, or say that somebody else has it."""
        if self._turn.locked():
            raise RequestFailed("a collection is under way", hint="wait until it has ended")
        async with self._turn:
            yield

    async def _identity(self) -> Identity:
        found = await asyncio.to_thread(current, self._state, self._seams.disk)
        if found is None:
            raise RequestInvalid(NOT_ENROLLED, hint=ENROLL_HINT)
        own = self._runtime.loaded.config.gateway.id
        if found.gateway != own:
            raise RequestInvalid(
                f"this box is {found.gateway} in its fleet, and {own} in its configuration",
                hint="give it one id: enroll it anew, or set gateway.id",
            )
        return found

    async def _audit(self, deed: Deed) -> None:
        """Put on record what is about to happen, or did. RequestFailed if that cannot be."""
        batch = to_batch(deed, stamp(self._seams.clock), CARRIED)
        try:
            async with asyncio.timeout(AUDIT_S):
                await self._runtime.pipeline.commit(batch)
        except (TimeoutError, JournalFull) as error:
            raise RequestFailed(
                "the audit could not be written", hint="see `forebay journal status`: the disk"
            ) from error

    def _tell(self, step: str, of: Collection, records: int) -> None:
        self._seams.events.emit(
            DATA_CARRIED, step=step, uplink=of.uplink, collection=of.id, records=records
        )

    async def _known(self) -> tuple[Collection, ...]:
        return await asyncio.to_thread(collected.read, self._folder, self._seams.disk)

    def _journal(self) -> Journal:
        journal = self._runtime.journal
        if journal.detached:
            raise RequestFailed("there is no journal now", hint="see `forebay journal status`")
        return journal

    def _cursor(self, uplink: str) -> Cursor:
        uplinks = self._runtime.loaded.uplinks
        names = [name for name, _, its in uplinks if getattr(its, "identity", None) == self._folder]
        if uplink not in names:  # the fleet server can speak for no other destination
            raise RequestInvalid(
                f"no uplink {uplink!r} leads to the fleet server",
                hint=f'those with identity = "fleet" do: {", ".join(names) or "none"}',
            )
        return self._runtime.journal.cursor(uplink)


def _framed(sealer: Sealer, records: Sequence[Record], absent: Sequence[int]) -> bytes:
    message = uplinkproto.group(records, historical=True, absent_from=absent)
    return sealer.frame(message.SerializeToString())


def _proved(data: bytes, identity: Identity) -> pb.DataAck:
    """Read an acknowledgement that this box is to believe. RequestInvalid for any other."""
    signed, ack = fleet_pb2.Signed(), pb.DataAck()
    hint = "carry the file that `forebay-fleet usb ingest` wrote, as it is"
    try:
        if len(data) > MAX_ACK_BYTES:
            raise RequestInvalid("it is too large for an acknowledgement", hint=hint)
        signed.ParseFromString(data)
        if signed.kind != KIND:
            raise RequestInvalid("it is no acknowledgement, or not all of it", hint=hint)
        if not is_signed(signed, identity.signing_keys):
            raise RequestInvalid(
                "no key that this box knows has signed it: it was changed, or is of another server",
                hint=hint,
            )
        ack.ParseFromString(signed.payload)
    except DecodeError:
        raise RequestInvalid("it is no acknowledgement, or not all of it", hint=hint) from None
    if ack.gateway != identity.gateway:
        raise RequestInvalid(f"it is for {ack.gateway[:64]!r}", hint="carry it to that box")
    return ack


def _terms(ack: pb.DataAck) -> Terms:
    """Give an acknowledgement as what opens a session. RequestInvalid if it cannot be."""
    try:
        told = uplinkproto.resumes(ack.committed)
    except UplinkMisbehaved as error:
        raise RequestInvalid(str(error), hint=error.hint) from None
    return Terms(ack.incarnation, told, 0, 0, ack.newest_epoch)


def _check_store(ack: pb.DataAck, of: Collection, cursor: Cursor) -> None:
    """Refuse the word of a store that is no more. RequestInvalid."""
    now = _incarnation(cursor)
    if now not in (of.incarnation, ack.incarnation[: resume.INCARNATION_MAX]):
        raise RequestInvalid(
            "it is older than the server's store, which was restored since",
            hint="collect again, and carry that to the server",
        )


def _incarnation(cursor: Cursor) -> str:
    """Give the destination's incarnation, as this cursor was told last; empty: never."""
    told = [witness for stream in Stream if (witness := cursor.witness(stream)) is not None]
    return max(told, key=lambda one: one.position.epoch).incarnation if told else ""


def _sure(terms: Terms, start: Start, cursor: Cursor, *, same: bool) -> list[Resume]:
    """Give of what lines the server's chain may be believed in a later session."""
    return [
        told
        for told in terms.resume
        if (told.stream, told.epoch) not in start.doubts
        and (same or start.after[told.stream] >= cursor.get(told.stream))
    ]


def _moved(
    journal: Journal, before: Mapping[Stream, Position], after: Mapping[Stream, Position]
) -> int:
    """Count the records between two places."""
    segments = journal.segments()
    return backlog(segments, before).records - backlog(segments, after).records
