"""Fault 41: desired states that are old, expired, foreign, mixed or forged change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from forebay._proto import fleet_pb2 as box_pb
from forebay.files import SystemDisk
from forebay.management.offers import (
    Expected,
    Seen,
    StateRefused,
    digest,
    read_seen,
    verify,
    write_seen,
)
from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired import states
from forebay_fleet.desired.signing import Signer

if TYPE_CHECKING:
    from pathlib import Path

NOW_NS = 1_800_000_000_000_000_000
DAY_NS = 86_400 * 10**9


@pytest.fixture
def signer() -> Signer:
    return Signer(ed25519.Ed25519PrivateKey.generate())


def made(signer: Signer, *, version: int = 5, gateway: str = "gw-1", **more: int) -> box_pb.Signed:
    state = fleet_pb2.DesiredState(gateway=gateway, version=version, offer_id=f"offer-{version}")
    state.issued_ns = more.get("issued_ns", NOW_NS)
    state.expires_ns = more.get("expires_ns", NOW_NS + DAY_NS)
    state.files.add(path="forebay.toml", sha256=bytes([version % 256]) * 32, size_bytes=10)
    text = f"forebay.toml\0{state.files[0].sha256.hex()}\n".encode()
    from hashlib import sha256

    state.config_hash = sha256(text).digest()
    signed = signer.sign(states.KIND, state.SerializeToString())
    return box_pb.Signed.FromString(signed.SerializeToString())


def expected(signer: Signer, seen: Seen = Seen(), now_ns: int | None = NOW_NS) -> Expected:  # noqa: B008 - frozen
    return Expected("gw-1", (signer.public,), seen, now_ns)


def code(signed: box_pb.Signed, given: Expected) -> str:
    with pytest.raises(StateRefused) as caught:
        verify(signed, given)
    assert caught.value.hint
    return caught.value.code


def test_what_the_server_signs_for_this_box_is_believed(signer: Signer) -> None:
    assert verify(made(signer), expected(signer)).version == 5


def test_a_replay_is_refused_across_restarts(signer: Signer, tmp_path: Path) -> None:
    newest = made(signer, version=6)
    write_seen(tmp_path, SystemDisk(), Seen(6, digest(newest), NOW_NS, "a"))
    seen = read_seen(tmp_path, SystemDisk(), "a")
    assert code(made(signer, version=5), expected(signer, seen)) == "replay"
    assert verify(newest, expected(signer, seen)).version == 6, "the same may come again"
    assert read_seen(tmp_path, SystemDisk(), "b").version == 0, "another enrollment counts anew"


def test_two_states_of_one_version_are_mixed(signer: Signer) -> None:
    seen = Seen(5, digest(made(signer, issued_ns=NOW_NS - 1)), NOW_NS)
    assert code(made(signer), expected(signer, seen)) == "mixed"


def test_a_state_for_another_box_is_refused(signer: Signer) -> None:
    assert code(made(signer, gateway="gw-2"), expected(signer)) == "gateway"


def test_an_expired_state_changes_nothing_whatever_the_clock_says(signer: Signer) -> None:
    late = made(signer, expires_ns=NOW_NS - 1, issued_ns=NOW_NS - DAY_NS)
    assert code(late, expected(signer)) == "expired"
    # Nobody vouches for the clock: what the server said last is a time that has passed.
    assert code(late, expected(signer, Seen(1, "", NOW_NS), None)) == "expired"
    assert verify(late, expected(signer, now_ns=None)).version == 5
    # What was taken in time is no refusal when it comes again with a new stream.
    assert verify(late, expected(signer, Seen(5, digest(late), NOW_NS))).version == 5


def test_a_forged_state_is_refused(signer: Signer) -> None:
    other = Signer(ed25519.Ed25519PrivateKey.generate())
    assert code(made(other), expected(signer)) == "signature"
    signed = made(signer)
    signed.payload = signed.payload[:-1] + bytes([signed.payload[-1] ^ 1])
    assert code(signed, expected(signer)) == "signature"
    signed = made(signer)
    signed.kind = "command"
    assert code(signed, expected(signer)) == "kind"
    signed = made(other)
    signed.signatures[0].key_id = made(signer).signatures[0].key_id
    assert code(signed, expected(signer)) == "signature"
    assert code(made(signer), Expected("gw-1", (), Seen(), NOW_NS)) == "signature"


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".hidden", "a/../b", "forebay.toml/x"])
def test_a_signed_state_may_not_leave_its_directory(signer: Signer, path: str) -> None:
    signed = made(signer)
    state = fleet_pb2.DesiredState.FromString(signed.payload)
    state.files.add(path=path, sha256=b"x" * 32, size_bytes=1)
    again = signer.sign(states.KIND, state.SerializeToString())
    assert code(box_pb.Signed.FromString(again.SerializeToString()), expected(signer)) == "files"


def test_files_that_are_not_those_of_the_hash_are_refused(signer: Signer) -> None:
    state = fleet_pb2.DesiredState.FromString(made(signer).payload)
    state.config_hash = b"y" * 32
    again = signer.sign(states.KIND, state.SerializeToString())
    assert code(box_pb.Signed.FromString(again.SerializeToString()), expected(signer)) == "files"


def test_a_server_whose_clock_was_once_a_century_ahead_is_believed_again(signer: Signer) -> None:
    """Else no later state would ever be in time, and a person would have to go there."""
    ahead_ns = NOW_NS + 27_000 * DAY_NS
    seen = Seen(5, digest(made(signer, issued_ns=ahead_ns)), ahead_ns)
    assert verify(made(signer, version=6), expected(signer, seen)).version == 6
    late = made(signer, version=6, expires_ns=NOW_NS)
    assert code(late, expected(signer, seen)) == "expired"
