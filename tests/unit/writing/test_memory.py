"""What earlier runs let out is remembered, boundedly, and only what went out counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay.clock import Stamp
from forebay.columnar import encode_batch
from forebay.model import Outcome, Position, Stream
from forebay.testing.records import make_record
from forebay.writing.audit import INTENT, OUTCOME, Deed, to_batch
from forebay.writing.memory import MAX_IDS, READ_BYTES, Memory, remember

if TYPE_CHECKING:
    from forebay.model import Record

FIRST = Deed("w1", INTENT, "write", "press/a", "1", "uid:7", "")


def ended(deed: Deed, outcome: str) -> Deed:
    return deed._replace(step=OUTCOME, outcome=outcome)


def encoded(deed: Deed) -> bytes:
    return encode_batch([to_batch(deed, Stamp(1, 1))])


class Segment(NamedTuple):
    stream: Stream
    epoch: int
    first_seq: int
    bytes: int


class Trail:
    """Segments of set sizes, and the deeds that stand in them, one a record."""

    def __init__(self, segments: list[Segment], deeds: list[Deed]) -> None:
        self._segments = segments
        self.records = [
            make_record(
                n, encode_batch([to_batch(deed, Stamp(1, 1))]), stream=Stream.AUDIT, epoch=1
            )
            for n, deed in enumerate(deeds, 1)
        ]
        self.read_after: list[Position] = []

    async def opened(self) -> None: ...

    def segments(self) -> list[Segment]:
        return self._segments

    def newest(self, stream: Stream) -> Position:
        assert stream is Stream.AUDIT
        return self.records[-1].position

    async def read(self, after: Position, max_bytes: int) -> list[Record]:
        assert max_bytes > 0
        self.read_after.append(after)
        return [record for record in self.records if record.position > after][:2]


def test_an_intent_is_open_until_its_outcome() -> None:
    known = Memory()
    known.note(FIRST)
    assert known.open() == [FIRST]
    known.note(ended(FIRST, "good"))
    assert known.open() == []
    done = known.get("w1")
    assert done is not None
    assert done.outcome is Outcome.GOOD
    known.note(ended(FIRST, "unknown"))
    assert known.get("w1") == done, "the first word counts"


def test_what_was_refused_before_it_went_out_is_no_use_of_its_id() -> None:
    known = Memory()
    known.note(ended(FIRST, "refused"))
    assert known.get("w1") is None


def test_a_refusal_of_another_request_with_the_same_id_ends_nothing() -> None:
    known = Memory()
    known.note(FIRST)
    known.note(ended(FIRST._replace(value="2"), "refused"))
    assert known.open() == [FIRST]


def test_only_so_many_are_remembered_the_oldest_go() -> None:
    known = Memory()
    for number in range(MAX_IDS + 5):
        known.note(FIRST._replace(id=f"w{number}"))
    assert known.get("w4") is None
    assert known.get("w5") is not None
    assert len(known.open()) == MAX_IDS


async def test_all_of_a_short_trail_is_read_in_pieces() -> None:
    deeds = [FIRST._replace(id=f"w{n}") for n in range(3)]
    deeds += [ended(deeds[0], "good"), ended(deeds[2], "refused")]
    trail, known = Trail([Segment(Stream.AUDIT, 1, 1, 900)], deeds), Memory()
    await remember(trail, known)
    assert [deed.id for deed in known.open()] == ["w1"]
    assert trail.read_after[0] == Position(Stream.AUDIT, 1, 0)
    assert len(trail.read_after) == 3


async def test_of_a_long_trail_only_the_end_is_read() -> None:
    segments = [
        Segment(Stream.AUDIT, 1, 1, READ_BYTES),
        Segment(Stream.AUDIT, 1, 3, READ_BYTES // 2),
        Segment(Stream.AUDIT, 1, 4, READ_BYTES // 2),
        Segment(Stream.TELEMETRY, 1, 1, READ_BYTES),
    ]
    deeds = [FIRST._replace(id=f"w{n}") for n in range(5)]
    trail, known = Trail(segments, deeds), Memory()
    await remember(trail, known)
    assert [deed.id for deed in known.open()] == ["w2", "w3", "w4"]


async def test_a_record_that_cannot_be_read_says_nothing() -> None:
    trail = Trail([Segment(Stream.AUDIT, 1, 1, 900)], [FIRST, FIRST._replace(id="w2")])
    known = Memory()
    first, second = trail.records
    trail.records = [make_record(1, first.payload[:-3], stream=Stream.AUDIT, epoch=1), second]
    await remember(trail, known)
    assert [deed.id for deed in known.open()] == ["w2"]
