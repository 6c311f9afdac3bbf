"""The file uplink on the machine's own disk, in both formats: the contract, and what is its own."""

from __future__ import annotations

import asyncio
import shutil
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.columnar import encode_anchor, encode_gap
from forebay.errors import Fault, UplinkMisbehaved, UplinkUnavailable
from forebay.interfaces import Head, Resume, no_schema
from forebay.model import Anchor, ClockState, Gap, GapCause, RecordKind, Stream
from forebay.testing.records import make_record
from forebay.testing.uplink_contract import PATIENCE_S, UplinkContract
from forebay.uplinks.file import SPEC
from forebay.uplinks.file.config import FileSettings
from support.batches import (
    EPOCH,
    batch_record,
    damaged,
    dense,
    offer,
    position,
    rows_of,
    schema_record,
    shown,
    sparse,
)
from support.processes import until
from support.seams import system_seams
from support.uplink_files import BalkingDisk, entries, stored
from support.uplinks import failure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forebay.files import Disk
    from forebay.interfaces import Offer, Receipt, Uplink
    from forebay.model import Position, Record

FORMATS = ("jsonl", "parquet")
T = Stream.TELEMETRY


def make_uplink(directory: Path, disk: Disk | None = None, **settings: Any) -> Uplink:
    seams = system_seams()
    given = {"kind": "file", "directory": directory, "max_age": 0.2, "min_free": 0, **settings}
    chosen = FileSettings.model_validate(given)
    return SPEC.build("lake", chosen, replace(seams, disk=disk) if disk else seams)


class FilesHere:
    """A directory as the contract's destination."""

    def __init__(self, directory: Path, form: str) -> None:
        self._directory, self._form = directory, form
        self._disk = BalkingDisk()

    def uplink(self) -> Uplink:
        return make_uplink(self._directory, self._disk, format=self._form)

    async def start(self) -> None:
        self._disk.gone = False

    async def stop(self) -> None:
        self._disk.gone = True

    def accept(self, records: int | None) -> None:
        if self._form == "jsonl":
            self._disk.room = records
        else:
            self._disk.free = None if records is None else records + 1

    def stored(self) -> dict[Position, bytes]:
        return stored(self._directory)

    def stored_twice(self) -> int:
        return len(entries(self._directory, parts=True)) - len(self.stored())


@pytest.mark.parametrize("form", FORMATS)
class TestContract(UplinkContract):
    @pytest.fixture
    def destination(self, tmp_path: Path, form: str) -> FilesHere:
        return FilesHere(tmp_path / "lake", form)

    def record(
        self, seq: int, payload: bytes | None = None, *, stream: Stream = T, epoch: int = EPOCH
    ) -> Record:
        scans = 3 if payload is None else len(payload) % 977 + 1
        return batch_record(seq, dense(scans, seq), stream=stream, epoch=epoch)

    def shown(self, record: Record) -> bytes:
        return shown(rows_of(record))

    def offer(self, records: Sequence[Record]) -> Offer:
        return offer(records)


def found(directory: Path, pattern: str) -> list[Path]:
    return sorted(directory.glob(pattern))


def size_of(files: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def remove(files: Sequence[Path]) -> None:
    for path in files:
        path.unlink()


async def written(uplink: Uplink, records: Sequence[Record], **more: Any) -> list[Receipt]:
    """Send `records` in a session of their own; give the receipts until the last is covered."""
    await uplink.connect(offer(records))
    await uplink.send(records, historical=False, **more)
    receipts = await until_covered(uplink, records[-1].position)
    await uplink.close()
    return receipts


async def until_covered(uplink: Uplink, last: Position) -> list[Receipt]:
    seen = []
    async with asyncio.timeout(PATIENCE_S):
        async for receipt in uplink.receipts():
            seen.append(receipt)
            told = receipt.resume
            top = max([told.committed_seq, *(end for _, end in told.islands)])
            if (told.stream, told.epoch) == last[:2] and top >= last.seq:
                return seen
    raise AssertionError("receipts ended")


@pytest.mark.parametrize("form", FORMATS)
async def test_every_kind_of_record_leaves_its_mark(tmp_path: Path, form: str) -> None:
    gap = Gap(GapCause.RETENTION_BYTES, 5, 9, 120, "press", EPOCH - 1, 3, 8)
    anchor = Anchor("boot", 7, 8, ClockState.HOLDOVER, 9)
    thin = batch_record(4, sparse(dense(5, 4), [0, 3, 9, 12, 33]))
    records = [
        schema_record(1),
        make_record(2, encode_gap(gap), kind=RecordKind.GAP, epoch=EPOCH),
        make_record(3, encode_anchor(anchor), kind=RecordKind.ANCHOR, epoch=EPOCH),
        replace(thin, revision=1, thinned=30),
        batch_record(5),
    ]
    await written(make_uplink(tmp_path, format=form), records)
    told = dict(entries(tmp_path, parts=True))
    notes = [told[at].get("note") for at in map(position, (2, 3, 4, 5)) if at in told]
    assert notes == [
        {"kind": "gap", "cause": "RETENTION_BYTES", "from_ns": 5, "to_ns": 9, "samples": 120,
         "device": "press", "lost_epoch": "00000000ffffffff", "lost_seq_from": 3,
         "lost_seq_to": 8},
        {"kind": "anchor", "boot_id": "boot", "wall_ns": 7, "monotonic_ns": 8, "state": "HOLDOVER",
         "error_ns": 9},
        {"kind": "thinned", "from_ns": thin.time_min_ns, "to_ns": thin.time_max_ns, "samples": 30,
         "left": 5, "revision": 1},
        None,
    ]  # fmt: skip
    assert told[position(4)]["rows"] == rows_of(records[3])
    assert told[position(5)]["rows"] == rows_of(records[4])


@pytest.mark.parametrize("form", FORMATS)
async def test_the_backlog_is_told_from_what_is_live(tmp_path: Path, form: str) -> None:
    uplink = make_uplink(tmp_path, format=form)
    old, new = batch_record(1), batch_record(9)
    await uplink.connect(offer([old, new]))
    await uplink.send([new], historical=False)
    await uplink.send([old], historical=True)
    receipts = await until_covered(uplink, old.position)
    while receipts[-1].resume.committed_seq < 1:
        receipts += await until_covered(uplink, old.position)
    await uplink.close()
    assert receipts[-1].resume == Resume(T, EPOCH, 1, islands=((9, 9),))
    told = dict(entries(tmp_path, parts=True))
    assert [told[r.position]["historical"] for r in (old, new)] == [True, False]


@pytest.mark.parametrize("form", FORMATS)
async def test_a_schema_from_before_the_session_is_asked_for(tmp_path: Path, form: str) -> None:
    record = batch_record(2)
    await written(make_uplink(tmp_path, format=form), [record], absent_from=[1])
    assert stored(tmp_path) == {record.position: shown(rows_of(record))}


@pytest.mark.parametrize("form", FORMATS)
async def test_a_schema_that_is_gone_ends_the_session(tmp_path: Path, form: str) -> None:
    record = batch_record(1)
    uplink = make_uplink(tmp_path, format=form)
    bare = replace(offer([record]), schema=no_schema)
    await uplink.connect(bare)
    await uplink.send([record], historical=False)
    error = await failure(uplink)
    await uplink.close()
    assert isinstance(error, UplinkUnavailable)
    assert "schema" in str(error)


@pytest.mark.parametrize("form", FORMATS)
async def test_what_cannot_be_read_is_refused_for_good_and_passed(
    tmp_path: Path, form: str
) -> None:
    records = [batch_record(1), damaged(batch_record(2)), batch_record(3)]
    receipts = await written(make_uplink(tmp_path, format=form), records)
    assert [r.rejected for r in receipts if r.rejected] == [((position(2), "Unreadable"),)]
    assert receipts[-1].resume.committed_seq == 3
    terms = await connected_terms(tmp_path, records, format=form)
    assert terms == (Resume(T, EPOCH, 3),)


@pytest.mark.parametrize("form", FORMATS)
async def test_a_hole_that_will_not_be_filled_is_passed(tmp_path: Path, form: str) -> None:
    records = [batch_record(1), batch_record(5), batch_record(9)]
    uplink = make_uplink(tmp_path, format=form)
    receipts = await written(uplink, records, absent_from=[0, 2, 0])
    assert receipts[-1].resume == Resume(T, EPOCH, 5, islands=((9, 9),))
    # The last one comes again to tell of its hole, and is not stored twice.
    uplink = make_uplink(tmp_path, format=form)
    await uplink.connect(offer(records))
    await uplink.send(records[2:], historical=False, absent_from=[6])
    while receipts[-1].resume != Resume(T, EPOCH, 9):
        receipts = await until_covered(uplink, records[2].position)
    await uplink.close()
    assert await connected_terms(tmp_path, records, format=form) == (Resume(T, EPOCH, 9),)
    assert {at.seq for at in stored(tmp_path)} == {1, 5, 9}
    told = [at for at, about in entries(tmp_path, parts=True) if about["rows"]]
    assert len(told) == 3


@pytest.mark.parametrize("form", FORMATS)
async def test_what_the_journal_has_dropped_will_not_come(tmp_path: Path, form: str) -> None:
    record = batch_record(50)
    uplink = make_uplink(tmp_path, format=form)
    terms = await uplink.connect(replace(offer([record]), heads=(Head(T, EPOCH, 50, 51),)))
    assert terms.resume == (Resume(T, EPOCH, 49),)
    await uplink.send([record], historical=False)
    assert (await until_covered(uplink, record.position))[-1].resume.committed_seq == 50
    await uplink.close()


async def connected_terms(
    directory: Path, records: Sequence[Record], **settings: Any
) -> tuple[Resume, ...]:
    uplink = make_uplink(directory, **settings)
    terms = await uplink.connect(offer(records))
    await uplink.close()
    return terms.resume


@pytest.mark.parametrize("form", FORMATS)
async def test_files_rotate_by_size_and_may_all_be_taken_away(tmp_path: Path, form: str) -> None:
    records = [batch_record(seq, dense(200, seq)) for seq in range(1, 31)]
    uplink = make_uplink(tmp_path, format=form, max_size=64 << 10, max_age=0.5)
    await uplink.connect(offer(records))
    for record in records:
        await uplink.send([record], historical=False)
    await until_covered(uplink, records[-1].position)
    await uplink.close()
    files = found(tmp_path, f"*.{form}")
    assert len(files) > 2
    assert stored(tmp_path) == {r.position: shown(rows_of(r)) for r in records}
    taken = stored(tmp_path, parts=False)
    remove(files)
    more = batch_record(31)
    assert await connected_terms(tmp_path, records, format=form) == (Resume(T, EPOCH, 30),)
    await written(make_uplink(tmp_path, format=form), [*records, more])
    assert taken.keys().isdisjoint(stored(tmp_path))
    assert taken.keys() | stored(tmp_path).keys() == {r.position for r in [*records, more]}


@pytest.mark.parametrize("form", FORMATS)
async def test_without_any_account_the_gateways_own_is_believed(tmp_path: Path, form: str) -> None:
    records = [batch_record(1), batch_record(2)]
    await written(make_uplink(tmp_path, format=form), records)
    remove(found(tmp_path, "*"))
    uplink = make_uplink(tmp_path, format=form)
    delivered = (Resume(T, EPOCH, 1, islands=((7, 8),)),)
    terms = await uplink.connect(offer(records, delivered=delivered))
    await uplink.close()
    assert terms.resume == delivered


@pytest.mark.parametrize("form", FORMATS)
async def test_the_newest_finished_file_will_do_as_an_account(tmp_path: Path, form: str) -> None:
    records = [batch_record(1), batch_record(2)]
    await written(make_uplink(tmp_path, format=form), records)
    uplink = make_uplink(tmp_path, format=form)  # finishes what is old
    await uplink.connect(offer(records))
    await until(lambda: found(tmp_path, f"*.{form}"), "a finished file")
    await uplink.close()
    remove([*found(tmp_path, "*.part"), *found(tmp_path, ".*.account")])
    assert await connected_terms(tmp_path, records, format=form) == (Resume(T, EPOCH, 2),)


async def test_modes_keep_strangers_out(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    await written(make_uplink(directory), [batch_record(1)])
    (part,) = found(directory, "*.jsonl.part")
    assert stat.S_IMODE(part.stat().st_mode) & 0o137 == 0
    assert stat.S_IMODE(directory.stat().st_mode) & 0o027 == 0


@pytest.mark.parametrize("form", FORMATS)
async def test_the_files_of_another_gateway_are_refused(tmp_path: Path, form: str) -> None:
    record = batch_record(1)
    await written(make_uplink(tmp_path, format=form), [record])
    uplink = make_uplink(tmp_path, format=form)
    with pytest.raises(UplinkMisbehaved, match="'gateway-1'"):
        await uplink.connect(replace(offer([record]), gateway="gateway-2"))
    await uplink.close()


async def test_two_writers_of_one_directory_are_refused(tmp_path: Path) -> None:
    first, second = make_uplink(tmp_path), make_uplink(tmp_path)
    await first.connect(offer([]))
    with pytest.raises(UplinkUnavailable, match="another process"):
        await second.connect(offer([]))
    await second.close()
    await first.close()
    await second.connect(offer([]))
    await second.close()


@pytest.mark.parametrize("form", FORMATS)
async def test_a_full_disk_stops_and_says_what_to_do(tmp_path: Path, form: str) -> None:
    free = shutil.disk_usage(tmp_path).free
    uplink = make_uplink(tmp_path, format=form, min_free=free + (64 << 30))
    await uplink.connect(offer([]))
    await uplink.send([batch_record(1)], historical=False)
    error = await failure(uplink)
    with pytest.raises(UplinkUnavailable):
        await uplink.send([batch_record(1)], historical=False)
    await uplink.close()
    assert "is full" in str(error)
    assert "keep_size" in error.hint
    assert stored(tmp_path) == {}


@pytest.mark.parametrize("form", FORMATS)
async def test_nothing_is_deleted_unless_asked(tmp_path: Path, form: str) -> None:
    records = [batch_record(seq, dense(3000, seq)) for seq in range(1, 9)]
    settings: dict[str, Any] = {"format": form, "max_size": 64 << 10}
    for record in records:
        await written(make_uplink(tmp_path, **settings), [record])
    kept = size_of(found(tmp_path, f"*.{form}"))
    most = max(kept // 2, 1 << 20)
    assert kept > most
    assert len(stored(tmp_path)) == 8
    uplink = make_uplink(tmp_path, **settings, keep_size=most)
    await uplink.connect(offer(records))
    await until(lambda: size_of(found(tmp_path, f"*.{form}")) <= most, "old files are deleted")
    await uplink.close()
    left = sorted(at.seq for at in stored(tmp_path))
    assert left
    assert left == list(range(left[0], 9)), "the oldest went first"


async def test_a_file_that_is_taken_while_it_is_written_is_noticed(tmp_path: Path) -> None:
    uplink = make_uplink(tmp_path)
    await uplink.connect(offer([]))
    await uplink.send([batch_record(1)], historical=False)
    (part,) = found(tmp_path, "*.part")
    remove([part])
    error = await failure(uplink)
    await uplink.close()
    assert "moved or removed" in str(error)
    assert ".part" in error.hint


def test_parquet_without_pyarrow_is_a_fault_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("forebay.uplinks.file.find_spec", lambda _: None)

    def faults(form: str) -> list[Fault]:
        given = {"kind": "file", "directory": tmp_path, "format": form}
        return list(SPEC.check("gw", "lake", FileSettings.model_validate(given)))

    assert faults("jsonl") == []
    (fault,) = faults("parquet")
    assert fault.path == "uplinks.lake.format"
    assert "forebay[parquet]" in fault.hint
