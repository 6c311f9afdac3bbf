"""Sealing at the box, opening at the server: two implementations of one layout."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from hypothesis import given
from hypothesis import strategies as st

from forebay.identity import Identity
from forebay.management.sealing import COLLECTION_BYTES, Sealer
from forebay_fleet.carried import sealing
from forebay_fleet.carried.sealing import Damaged, Unsealer
from support.fuzz import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW_NS = 1_800_000_000_000_000_000
BOUND = ed25519.Ed25519PrivateKey.generate()
RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw


def identity(sealing_key: bytes) -> Identity:
    """Give a box that seals to this key."""
    pem = BOUND.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    names = ("gw-1", b"i" * 16, "fleet:1", "fleet:2", 1, b"", b"", b"")
    return Identity(*names, bound_key=pem, sealing_key=sealing_key)


def made(server: Unsealer, frames: Sequence[bytes]) -> bytes:
    """Give a file with these frames, the last of them marked so."""
    sealer = Sealer(identity(server.public), "cloud", bytes(COLLECTION_BYTES), NOW_NS)
    parts = [sealer.begin()]
    parts += [sealer.frame(one, last=at == len(frames) - 1) for at, one in enumerate(frames)]
    return b"".join([*parts, sealer.end()])


def opened(server: Unsealer, data: bytes) -> list[tuple[bytes, bool]]:
    """Prove a file, and give what is in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        path.write_bytes(data)
        with path.open("rb") as file:
            sealed = sealing.opened(file)
            sealing.check(file, sealed, BOUND.public_key().public_bytes(*RAW))
            return list(server.frames(file, sealed))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6))
@examples(25)
def test_what_is_sealed_comes_out_in_order_and_whole(frames: list[bytes]) -> None:
    server = Unsealer(x25519.X25519PrivateKey.generate())
    last = len(frames) - 1
    assert opened(server, made(server, frames)) == [
        (one, at == last) for at, one in enumerate(frames)
    ]


def test_no_two_files_look_alike_and_none_shows_what_is_in_it() -> None:
    server = Unsealer(x25519.X25519PrivateKey.generate())
    secret = b"the recipe of the house" * 20
    one, other = made(server, [secret]), made(server, [secret])
    assert secret not in one
    shared = sum(a == b for a, b in zip(one[100:], other[100:], strict=True))
    assert shared < len(one) // 2


def test_who_has_the_files_key_can_not_move_its_frames() -> None:
    """A frame is bound to its place: the signature is the box's, and each tag holds the number."""
    server = Unsealer(x25519.X25519PrivateKey.generate())
    sealer = Sealer(identity(server.public), "cloud", bytes(COLLECTION_BYTES), NOW_NS)
    begin, first, second = sealer.begin(), sealer.frame(b"1"), sealer.frame(b"2", last=True)
    del second
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        # Signed again by the very box, so that nothing but the frames' own numbers can tell.
        path.write_bytes(begin + first + first + sealer.end())
        with path.open("rb") as file:
            found = server.frames(file, sealing.opened(file))
            assert next(found) == (b"1", False)
            with pytest.raises(Damaged, match="frame 1"):
                next(found)


@pytest.mark.parametrize("data", [b"", b"FORBAYD1", b"FORBAYD1" + b"\xff" * 80, b"FORBAYD2" * 20])
def test_what_is_no_such_file_is_told(data: bytes) -> None:
    with pytest.raises(Damaged) as caught:
        opened(Unsealer(x25519.X25519PrivateKey.generate()), data)
    assert caught.value.hint
