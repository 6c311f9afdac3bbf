"""Tokens: their text, their end, what is kept of them; nonces; how often one may fail."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import RequestInvalid
from forebay.management import asking
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import tokens
from forebay_fleet.identity.challenge import GOOD_S, Challenges
from forebay_fleet.identity.refused import Refused
from forebay_fleet.identity.throttle import (
    BACK_EVERY_S,
    FAILURES,
    MOST_ADDRESSES,
    Throttle,
    address_of,
)
from forebay_fleet.registry import Registry
from support.boxes import PIN, START_NS

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(32)


@given(st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32))
def test_both_sides_read_a_token_alike(secret: bytes, pin: bytes) -> None:
    text = tokens.write(secret, pin)
    assert tokens.secret_of(text) == secret
    assert asking.read_token(f" {text}\n").pin == pin


@given(st.text(max_size=200))
def test_what_is_no_token(text: str) -> None:
    assert tokens.secret_of(text) is None


def test_a_slip_is_seen_before_anything_is_sent() -> None:
    text = tokens.write(bytes(20), bytes(range(32)))
    for place in range(len(tokens.PREFIX), len(text)):
        slip = text[:place] + ("B" if text[place] != "B" else "C") + text[place + 1 :]
        if tokens.secret_of(slip) is None:
            with pytest.raises(RequestInvalid, match="no whole join token"):
                asking.read_token(slip)
        else:  # the last letter has bits that say nothing
            assert place == len(text) - 1


def test_the_secret_is_not_kept(tmp_path: Path) -> None:
    with Registry(tmp_path) as registry:
        text, row = tokens.create(registry, PIN, 60.0, START_NS, gateway=None, replace=False)
        secret = tokens.secret_of(text)
        assert secret is not None
        assert row.id == hashlib.sha256(secret).digest()[:8].hex()
        assert tokens.rows(registry) == [row]
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret not in kept
    assert text.encode() not in kept
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("registry.db")} == {0o600}


@pytest.mark.parametrize("ended", ["expired", "revoked"])
def test_a_token_has_an_end(data: Path, ended: str) -> None:
    with Registry(data) as registry:
        text, row = tokens.create(registry, PIN, 60.0, START_NS, gateway=None, replace=False)
        now_ns = START_NS + 60 * 10**9
        if ended == "revoked":
            now_ns = START_NS + 1
            tokens.revoke(registry, row.id, now_ns)
        with pytest.raises(Refused), registry.transaction() as db:
            tokens.redeem(db, text, "gw-1", KEY, now_ns)
        assert [one.state(now_ns) for one in tokens.rows(registry)] == [ended]


def test_what_cannot_be_a_token(data: Path) -> None:
    with Registry(data) as registry:
        for valid_s, gateway, replace in (
            (86_401.0, None, False),
            (60.0, "a b", False),
            (9, None, True),
        ):
            with pytest.raises(UsageError):
                tokens.create(registry, PIN, valid_s, START_NS, gateway=gateway, replace=replace)
        with pytest.raises(UsageError, match="no token"):
            tokens.revoke(registry, "0011223344556677", START_NS)


def test_a_nonce_is_good_once_for_a_minute_for_one_gateway() -> None:
    now_s = [5.0]
    challenges = Challenges(lambda: now_s[0])
    nonce = challenges.give("gw-1")
    assert challenges.good(nonce, "gw-1")
    assert not challenges.good(nonce, "gw-2")
    assert not challenges.good(nonce[:-1] + b"\0", "gw-1") or nonce[-1] == 0
    assert not challenges.good(b"", "gw-1")
    assert not Challenges(lambda: now_s[0]).good(nonce, "gw-1")
    now_s[0] += GOOD_S - 1
    assert challenges.good(nonce, "gw-1")
    challenges.use(nonce)
    assert not challenges.good(nonce, "gw-1")
    now_s[0] += 2
    assert not challenges.good(nonce, "gw-1")


def test_who_fails_often_waits_and_nobody_else_does() -> None:
    throttle = Throttle()
    for _ in range(FAILURES):
        assert throttle.wait_s("a", 0.0) == 0
        throttle.failed("a", 0.0)
    assert 0 < throttle.wait_s("a", 0.0) <= BACK_EVERY_S
    assert throttle.wait_s("b", 0.0) == 0
    assert throttle.wait_s("a", BACK_EVERY_S) == 0


def test_a_throttle_remembers_so_many(tmp_path: Path) -> None:
    throttle = Throttle()
    for number in range(MOST_ADDRESSES + 5):
        throttle.failed(str(number), 0.0)
    assert len(throttle._buckets) == MOST_ADDRESSES  # noqa: SLF001 - its memory is what it bounds


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:1234", "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3::4%5D:1234", "2001:db8:1:2::/64"),
        ("ipv6:[::ffff:192.0.2.7]:1234", "192.0.2.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::/64"),
        ("unix:/run/x", "unix"),
    ],
)
def test_whom_a_peer_stands_for(peer: str, address: str) -> None:
    assert address_of(peer) == address
