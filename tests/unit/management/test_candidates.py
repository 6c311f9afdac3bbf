"""Which connection settings a box believes, and what they make of its identity."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from forebay._proto import fleet_pb2 as pb
from forebay.errors import FleetRefused, IdentityUnusable
from forebay.identity import Identity
from forebay.management.candidates import (
    RECORD,
    Record,
    applied,
    is_address,
    read_record,
    verify,
    write_record,
)
from forebay.management.offers import digest
from forebay.testing.disk import FaultyDisk

if TYPE_CHECKING:
    from pathlib import Path

KEY, OTHER = (ed25519.Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
NOW_NS = 1_000
IDENTITY = Identity(
    gateway="gw-1",
    instance_uid=b"i" * 16,
    address="old:1",
    enrollment_address="old:2",
    generation=1,
    certificate=b"c",
    key=b"k",
    authorities=b"a",
    bound_key=b"b",
    signing_keys=(KEY.public_key().public_bytes_raw(),),
)
GOOD = pb.ConnectionSettings(
    gateway="gw-1", offer_id="o", address="new:1", version=5, expires_ns=2_000
)


def signed(
    settings: pb.ConnectionSettings, *keys: ed25519.Ed25519PrivateKey, kind: str = "connection"
) -> pb.Signed:
    payload = settings.SerializeToString(deterministic=True)
    message = b"forebay " + kind.encode() + b" v1\0" + payload
    signatures = [
        pb.Signature(
            key_id=hashlib.sha256(key.public_key().public_bytes_raw()).digest()[:8],
            signature=key.sign(message),
        )
        for key in keys or (KEY,)
    ]
    return pb.Signed(kind=kind, payload=payload, signatures=signatures)


def changed(**fields: object) -> pb.ConnectionSettings:
    settings = pb.ConnectionSettings()
    settings.CopyFrom(GOOD)
    settings.MergeFrom(pb.ConnectionSettings(**fields))  # type: ignore[arg-type]
    return settings


def test_what_is_signed_for_this_box_and_new_is_believed() -> None:
    settings = verify(signed(GOOD), IDENTITY, Record(), NOW_NS)
    assert applied(IDENTITY, settings) == replace(IDENTITY, address="new:1")


@pytest.mark.parametrize(
    ("offer", "code"),
    [
        (signed(GOOD, kind="desired-state"), "kind"),
        (signed(GOOD, OTHER), "signature"),
        (signed(changed(gateway="gw-2")), "gateway"),
        (signed(changed(version=3)), "replay"),
        (signed(changed(version=4)), "mixed"),
        (signed(changed(expires_ns=NOW_NS)), "expired"),
        (signed(changed(address="nowhere")), "invalid"),
        (signed(changed(enrollment_address="a b:1")), "invalid"),
        (signed(changed(authorities=[b"none"])), "invalid"),
        (signed(changed(authorities=[b"none"] * 9)), "invalid"),
        (signed(changed(signing_keys=[b"short"])), "invalid"),
        (signed(changed(signing_keys=[OTHER.public_key().public_bytes_raw()])), "signature"),
        (pb.Signed(kind="connection", payload=b"\xff" * (64 << 10) + b"x"), "kind"),
    ],
    ids=range(13),
)
def test_all_else_is_refused_by_its_reason(offer: pb.Signed, code: str) -> None:
    with pytest.raises(FleetRefused) as caught:
        verify(offer, IDENTITY, Record(version=4, payload="of another"), NOW_NS)
    assert caught.value.code == code


def test_the_newest_may_come_again_beyond_its_end() -> None:
    offer = signed(GOOD)
    known = Record(version=5, payload=digest(offer))
    assert verify(offer, IDENTITY, known, 3_000) == GOOD


def test_who_is_believed_from_now_on_signs_too() -> None:
    key = OTHER.public_key().public_bytes_raw()
    settings = verify(signed(changed(signing_keys=[key]), KEY, OTHER), IDENTITY, Record(), None)
    assert applied(IDENTITY, settings).signing_keys == (key,)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("fleet.example.org:7443", True),
        ("[2001:db8::1]:7443", True),
        ("10.0.0.1:1", True),
        ("2001:db8::1:7443", False),
        ("host:0", False),
        ("host:65536", False),
        ("host:", False),
        (":1", False),
        ("unix:/tmp/x:1", False),
        ("a,b:1", False),
        ("user@host:1", False),
    ],
)
def test_addresses(text: str, *, good: bool) -> None:
    assert is_address(text) is good


def test_what_was_seen_holds_for_one_enrollment(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.makedirs(tmp_path)
    record = Record(7, "p", "mine", "offer", ended=True, error="why")
    write_record(tmp_path, disk, record)
    assert read_record(tmp_path, disk, "mine") == record
    assert read_record(tmp_path, disk, "another") == Record(instance="another")
    disk.write_atomic(tmp_path / RECORD, b"{}")
    with pytest.raises(IdentityUnusable):
        read_record(tmp_path, disk, "mine")
