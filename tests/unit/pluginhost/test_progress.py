"""The file of a plugin's progress: what is saved comes back, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.model import Position, Stream
from forebay.pluginhost.progress import Progress, decode, encode, load, save
from forebay.pluginhost.rows import Key
from forebay.pluginhost.windows import Moment, Through
from forebay.testing.disk import FaultyDisk
from support.fuzz import examples

POSITIONS = {s: Position(s, (7 << 32) + 3, 9 + s.number) for s in Stream}
SOME = Progress(
    (3, 1, 0, 0, "pump/speed"),
    Moment(Through(12, 3, None), {Key(Stream.EVENTS, "a", "b", "ü"): -5}, 17),
    POSITIONS,
    POSITIONS,
)
PATH = Path("/state/score.json")


@pytest.mark.parametrize("progress", [SOME, Progress()])
def test_what_is_saved_comes_back(progress: Progress) -> None:
    disk = FaultyDisk()
    assert load(PATH, disk) is None
    save(PATH, disk, progress)
    assert load(PATH, disk) == progress


@examples(200)
@given(st.data())
def test_a_damaged_file_is_refused_or_is_whole(data: st.DataObject) -> None:
    text = bytearray(encode(SOME))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(text))
    except ValueError:
        return
    assert found.moment.through.number >= 0
    assert all(position.seq >= 0 for position in found.positions.values())


@pytest.mark.parametrize("broken", [b"", b"[]", b"{}", b"\xff", b'{"format": 2}', b"[" * 100_000])
def test_what_is_no_file_of_ours_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match="progress"):
        decode(broken)
    told = json.loads(encode(SOME))
    for key in told:
        with pytest.raises(ValueError, match="progress"):
            decode(json.dumps({k: v for k, v in told.items() if k != key}).encode())
