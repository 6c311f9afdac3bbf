"""Fault 56: what is carried by hand is old, foreign, changed, cut off or replayed: refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from forebay.errors import JournalFull, RequestFailed, RequestInvalid
from forebay.management import collected
from forebay.model import Stream
from forebay_fleet._proto import carried_pb2, fleet_pb2
from forebay_fleet.carried.taking import KIND
from forebay_fleet.desired.signing import Signer
from forebay_fleet.errors import UsageError
from forebay_fleet.identity.gateways import revoke
from forebay_fleet.registry import Registry
from support.carried import UPLINK, WHO, Hall, Isle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    return Hall(tmp_path / "fleet")


@pytest.fixture
def isle(tmp_path: Path, hall: Hall) -> Isle:
    return Isle(tmp_path / "box", hall)


def resigned(hall: Hall, signed: bytes, **other: object) -> bytes:
    """Give an acknowledgement that says something else, and is signed by the same server."""
    ack = carried_pb2.DataAck.FromString(fleet_pb2.Signed.FromString(signed).payload)
    for name, value in other.items():
        setattr(ack, name, value)
    return hall.signer.sign(KIND, ack.SerializeToString()).SerializeToString()


# --- data out -------------------------------------------------------------------------------------


async def test_what_was_collected_comes_in_once_and_moves_the_place_to_where_it_ended(
    isle: Isle, hall: Hall
) -> None:
    async with isle.open() as box:
        await box.fill(0, 40)
        ends = box.ends()
        path, told = await box.collect()
        await box.fill(40, 60)
        assert told.records == (await hall.ingest(path))[0]["records"] == hall.records()
        found, signed = await hall.ingest(path)
        assert (found["records"], hall.records()) == (told.records, told.records)
        answer = await box.acknowledge(signed)
        assert (answer.records, answer.refused, answer.remarks) == (told.records, 0, ())
        assert box.place() == ends
        _, rest = await box.collect()
        assert rest.records == sum(box.ends()[stream][1] - ends[stream][1] for stream in Stream), (
            "only what came after it"
        )


async def test_each_bit_of_a_file_is_under_the_boxs_signature(isle: Isle, hall: Hall) -> None:
    async with isle.open() as box:
        await box.fill(0, 12)
        path, _ = await box.collect()
    whole = path.read_bytes()
    places = [*range(0, 300, 17), *range(300, len(whole), max(1, len(whole) // 40)), len(whole) - 1]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(UsageError):
            await hall.ingest(path)
    assert hall.records() == 0, "nothing of a file that is not whole is stored"


async def test_a_file_that_is_cut_off_or_goes_on_is_refused(isle: Isle, hall: Hall) -> None:
    async with isle.open() as box:
        await box.fill(0, 12)
        path, _ = await box.collect()
    whole = path.read_bytes()
    for data in (
        b"",
        whole[:8],
        whole[: len(whole) // 2],
        whole[:-1],
        whole + b"\0",
        whole + whole,
    ):
        path.write_bytes(data)
        with pytest.raises(UsageError):
            await hall.ingest(path)
    assert hall.records() == 0
    path.write_bytes(whole)
    await hall.ingest(path)


async def test_a_file_of_a_box_that_may_not_come_is_refused(
    isle: Isle, hall: Hall, tmp_path: Path
) -> None:
    async with isle.open() as box:
        await box.fill(0, 12)
        path, _ = await box.collect()
    with pytest.raises(UsageError, match="no gateway"):
        await Hall(tmp_path / "other").ingest(path)
    with Registry(hall.data) as registry:
        revoke(registry, "gw-1", "stolen", 1)
    with pytest.raises(UsageError, match="revoked"):
        await hall.ingest(path)
    assert hall.records() == 0


async def test_a_file_of_the_box_before_or_for_another_server_is_refused(
    isle: Isle, hall: Hall, tmp_path: Path
) -> None:
    """The id goes to another box, with another bound key; and one server's key opens no other's."""
    async with isle.open() as box:
        await box.fill(0, 12)
        path, _ = await box.collect()
    Isle(tmp_path / "second", hall)
    with pytest.raises(UsageError, match="has not signed"):
        await hall.ingest(path)
    other = Hall(tmp_path / "other")
    Isle(tmp_path / "third", other, bound=isle.bound)
    with pytest.raises(UsageError, match="sealed for another server"):
        await other.ingest(path)
    assert hall.records() == other.records() == 0


# --- the server's word ----------------------------------------------------------------------------


async def test_an_answer_counts_once_whatever_the_box_learned_since(isle: Isle, hall: Hall) -> None:
    async with isle.open() as box:
        await box.fill(0, 20)
        path, _ = await box.collect()
        _, signed = await hall.ingest(path)
        await box.acknowledge(signed)
        place = box.place()
        with pytest.raises(RequestInvalid, match="replay"):
            await box.acknowledge(signed)
        assert box.place() == place
    async with isle.open() as box:
        with pytest.raises(RequestInvalid, match="replay"):
            await box.acknowledge(signed)
        assert box.place() == place


async def test_a_changed_forged_or_foreign_answer_moves_nothing(
    isle: Isle, hall: Hall, tmp_path: Path
) -> None:
    async with isle.open() as box:
        await box.fill(0, 20)
        begin = box.place()
        path, _ = await box.collect()
        _, signed = await hall.ingest(path)
        forger = Signer(ed25519.Ed25519PrivateKey.generate())
        payload = fleet_pb2.Signed.FromString(signed).payload
        bad = [
            forger.sign(KIND, payload).SerializeToString(),
            hall.signer.sign("command", payload).SerializeToString(),
            resigned(hall, signed, gateway="gw-2"),
            resigned(hall, signed, uplink="other"),
            resigned(hall, signed, collection=bytes(16)),
            *(signed[:cut] for cut in range(0, len(signed), 7)),
            signed + bytes(1 << 20),
        ]
        flipped = [
            signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]
            for at in range(3, len(signed), 5)
        ]
        for data in bad + flipped:
            with pytest.raises(RequestInvalid) as caught:
                await box.acknowledge(data)
            assert caught.value.hint
        assert box.place() == begin
        await box.acknowledge(signed)

    # The same id elsewhere: a box that took it over, with a journal of its own.
    async with Isle(tmp_path / "second", hall).open() as second:
        await second.fill(0, 20)
        with pytest.raises(RequestInvalid, match="did not collect"):
            await second.acknowledge(signed)
        assert second.place()[Stream.TELEMETRY] == (0, 0)


async def test_no_answer_goes_past_what_was_collected_or_back(isle: Isle, hall: Hall) -> None:
    """The server has more by another way; then it says that it has less than it had."""
    async with isle.open() as box:
        await box.fill(0, 20)
        first, _ = await box.collect()
        ends, memory = box.ends(), isle.folder / "state" / "fleet" / collected.FILE
        known = memory.read_bytes()
        await box.fill(20, 40)
        second, _ = await box.collect()
        memory.write_bytes(known)
        await hall.ingest(second)
        _, ahead = await hall.ingest(first)
        await box.acknowledge(ahead)
        assert box.place() == ends != box.ends()

        third, _ = await box.collect()
        _, signed = await hall.ingest(third)
        less = carried_pb2.DataAck.FromString(fleet_pb2.Signed.FromString(signed).payload)
        for one in less.committed:
            one.committed_seq, one.chain = 1, b""
            one.islands.clear()
        back = hall.signer.sign(KIND, less.SerializeToString()).SerializeToString()
        assert (await box.acknowledge(back)).records == 0
        assert box.place() == ends


async def test_a_server_that_says_to_have_what_was_never_written_is_not_believed(
    isle: Isle, hall: Hall
) -> None:
    """Then it has other records under these numbers: the journal goes on in another epoch."""
    async with isle.open() as box:
        await box.fill(0, 20)
        path, told = await box.collect()
        _, signed = await hall.ingest(path)
        more = carried_pb2.DataAck.FromString(fleet_pb2.Signed.FromString(signed).payload)
        for one in more.committed:
            one.committed_seq += 1000
            one.chain = b""
        epoch = box.journal.epoch
        answer = await box.acknowledge(
            hall.signer.sign(KIND, more.SerializeToString()).SerializeToString()
        )
        assert (answer.records, len(answer.remarks)) == (0, 1)
        assert box.journal.epoch > epoch
        _, again = await box.collect()
        assert again.records == told.records, "all of it goes again"


async def test_the_word_of_a_store_that_was_restored_since_does_not_count(
    isle: Isle, hall: Hall
) -> None:
    """Its acknowledgement would let go of what the restored store has lost."""
    async with isle.open() as box:
        await box.fill(0, 20)
        first, _ = await box.collect()
        second, _ = await box.collect()
        _, old = await hall.ingest(first)
        (hall.data / "starts.json").write_text('{"incarnation": "other", "starts": 99}', "utf-8")
        _, new = await hall.ingest(second)
        await box.acknowledge(new)
        with pytest.raises(RequestInvalid, match="older than the server's store"):
            await box.acknowledge(old)


async def test_a_damaged_memory_of_collections_costs_a_collection_and_no_data(
    isle: Isle, hall: Hall
) -> None:
    async with isle.open() as box:
        await box.fill(0, 20)
        path, told = await box.collect()
        _, signed = await hall.ingest(path)
        (isle.folder / "state" / "fleet" / collected.FILE).write_bytes(b"{")
        with pytest.raises(RequestInvalid, match="did not collect"):
            await box.acknowledge(signed)
        path, again = await box.collect()
        assert again.records == told.records
        _, signed = await hall.ingest(path)
        assert (await box.acknowledge(signed)).records == told.records
    assert hall.records() == told.records


# --- what else must hold --------------------------------------------------------------------------


async def test_nothing_is_collected_or_acknowledged_without_the_audit(
    isle: Isle, hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: object) -> None:
        raise JournalFull("no room", hint="make room")

    async with isle.open() as box:
        await box.fill(0, 12)
        path, told = await box.collect()
        _, signed = await hall.ingest(path)
        place = box.place()
    with monkeypatch.context() as patch:
        patch.setattr(isle, "audit", full)
        async with isle.open() as box:
            with pytest.raises(RequestFailed, match="audit"):
                await box.collect()
            with pytest.raises(RequestFailed, match="audit"):
                await box.acknowledge(signed)
            assert box.place() == place
    async with isle.open() as box:
        assert (await box.acknowledge(signed)).records == told.records
    steps = [(one.step, one.action, one.who, one.value) for one in isle.deeds]
    done = f"{told.records} records"
    assert steps == [
        ("intent", "collect", WHO, ""),
        ("outcome", "collect", WHO, done),
        ("intent", "acknowledge", WHO, ""),
        ("outcome", "acknowledge", WHO, done),
    ]


async def test_what_the_server_refused_for_good_is_set_aside_before_the_place_passes_it(
    isle: Isle, hall: Hall
) -> None:
    async with isle.open() as box:
        await box.fill(0, 20)
        path, _ = await box.collect()
        _, signed = await hall.ingest(path)
        ack = carried_pb2.DataAck.FromString(fleet_pb2.Signed.FromString(signed).payload)
        line = next(one for one in ack.committed if one.stream == Stream.TELEMETRY.number)
        ack.refused.add(
            stream=line.stream, epoch=line.epoch, seq=line.committed_seq - 1, code="BadDecoding"
        )
        odd = hall.signer.sign(KIND, ack.SerializeToString()).SerializeToString()
        answer = await box.acknowledge(odd)
        assert answer.refused == 1
        (copy,) = box.journal.quarantine.copies(UPLINK)
        assert (copy.position.seq, copy.code) == (line.committed_seq - 1, "BadDecoding")
        assert box.place()[Stream.TELEMETRY] == (line.epoch, line.committed_seq)
        account = box.journal.ledger(Stream.TELEMETRY, box.journal.cursor(UPLINK))
        assert account.quarantined == copy.samples


async def test_several_files_follow_one_another_and_come_in_in_any_order(
    isle: Isle, hall: Hall
) -> None:
    async with isle.open() as box:
        await box.fill(0, 90)
        ends, after, files = box.ends(), b"", []
        more, records = True, 0
        while more:
            path, told = await box.collect(max_bytes=4000, after=after)
            more, after = told.more, bytes.fromhex(path.stem)
            records += told.records
            files.append(path)
        assert len(files) > 2
        answers = [(await hall.ingest(path))[1] for path in reversed(files)]
        assert hall.records() == records
        for signed in answers:
            await box.acknowledge(signed)
        assert box.place() == ends


async def test_holes_in_the_journal_hold_no_answer_up(isle: Isle, hall: Hall) -> None:
    """A record is damaged: a gap tells of it, and the server does not wait for it."""
    async with isle.open() as box:
        await box.fill(0, 60)
        segment = next(one for one in box.journal.segments() if one.stream is Stream.TELEMETRY)
    (file,) = (isle.folder / "journal").rglob(f"{Stream.TELEMETRY}/{segment.file}")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    file.write_bytes(data)
    async with isle.open() as box:
        await box.fill(60, 70)
        for _ in range(2):  # the gap is written as the record is read, behind what is collected
            path, _ = await box.collect()
            _, signed = await hall.ingest(path)
            await box.acknowledge(signed)
        assert box.place() == box.ends()
        account = box.journal.ledger(Stream.TELEMETRY, box.journal.cursor(UPLINK))
        assert account.gapped > 0
    assert hall.problems() == []


async def test_one_collection_at_a_time_and_one_that_is_given_up_leaves_nothing(
    isle: Isle, hall: Hall
) -> None:
    async with isle.open() as box:
        await box.fill(0, 20)
        under_way = box.collecting.collect(UPLINK, 0, b"", WHO)
        assert await anext(under_way)
        with pytest.raises(RequestFailed, match="under way"):
            await box.collect()
        await under_way.aclose()
        assert not (isle.folder / "state" / "fleet" / collected.FILE).exists()
        path, told = await box.collect()
        assert (await hall.ingest(path))[0]["records"] == told.records


async def test_the_fleets_word_moves_no_other_destination(isle: Isle) -> None:
    async with isle.open() as box:
        with pytest.raises(RequestInvalid, match="leads to the fleet server"):
            await anext(box.collecting.collect("broker", 0, b"", WHO))
