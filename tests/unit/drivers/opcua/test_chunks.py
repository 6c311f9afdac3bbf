"""Requests of bounded size, and smaller ones where the server says that they were too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.opcua.chunks import in_chunks
from forebay.errors import DeviceRefused, DeviceUnreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

TOO_MANY = 0x80100000
DENIED = 0x801F0000


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 70))
async def test_every_item_is_asked_once_in_order(count: int, bearable: int, size: int) -> None:
    async def ask(piece: Sequence[int]) -> list[int]:
        if len(piece) > bearable:
            raise DeviceRefused("too many", hint="", status=TOO_MANY)
        return [item * 2 for item in piece]

    answers, worked = await in_chunks(range(count), size, ask)
    flat = [
        (item, answer)
        for p, a in answers
        if isinstance(a, list)
        for item, answer in zip(p, a, strict=True)
    ]
    assert flat == [(item, item * 2) for item in range(count)]
    if count > bearable and size > bearable:
        assert worked <= bearable


async def test_another_refusal_is_of_that_piece_alone() -> None:
    async def ask(piece: Sequence[int]) -> str:
        if 3 in piece:
            raise DeviceRefused("denied", hint="", status=DENIED)
        return "fine"

    answers, worked = await in_chunks(range(6), 2, ask)
    assert [getattr(a, "status", a) for _, a in answers] == ["fine", DENIED, "fine"]
    assert worked == 2


async def test_one_item_that_is_too_much_ends_in_a_refusal() -> None:
    async def ask(piece: Sequence[int]) -> str:
        raise DeviceRefused("too large", hint="", status=TOO_MANY)

    answers, _ = await in_chunks(range(3), 8, ask)
    assert len(answers) == 3


async def test_a_lost_server_passes() -> None:
    async def ask(piece: Sequence[int]) -> str:
        raise DeviceUnreachable("gone", hint="", status=0x80310000)

    with pytest.raises(DeviceUnreachable):
        await in_chunks(range(3), 2, ask)
