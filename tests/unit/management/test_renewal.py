"""When certificates are renewed, and how soon after an attempt that failed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from forebay.identity import FOLDER, IDENTITY, Identity, IdentityStore
from forebay.management.events import IDENTITY_FAILED, IDENTITY_LOST
from forebay.management.renewal import BACKOFF, Renewal, renew_at_s
from support.certificates import Authority
from support.forwarding import make_seams
from support.processes import free_port, until

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MONTH = timedelta(days=30)


@given(st.floats(0, 1, exclude_max=True))
def test_a_certificate_is_renewed_in_the_middle_of_its_time(draw: float) -> None:
    at_s = renew_at_s(BEGIN, BEGIN + MONTH, draw) - BEGIN.timestamp()
    assert 15 * 86_400 <= at_s <= 18 * 86_400


def test_boxes_that_were_enrolled_together_do_not_come_together() -> None:
    rng = random.Random(1)
    hours = Counter(
        int(renew_at_s(BEGIN, BEGIN + MONTH, rng.random()) // 3600) for _ in range(10_000)
    )
    assert max(hours.values()) < 3 * 10_000 / len(hours)
    assert len(hours) > 70


def test_attempts_that_fail_come_less_and_less_often() -> None:
    rng = random.Random(2)
    waits = [BACKOFF.wait_s(failures, rng.random()) for failures in range(1, 15)]
    assert all(low < high for low, high in zip(waits[:7], waits[2:9], strict=True))
    assert max(waits) <= BACKOFF.most


async def test_trouble_is_told_once_and_ends_nothing(tmp_path: Path) -> None:
    """A box whose certificate has expired, and whose server is gone; then its file is damaged."""
    authority = Authority(tmp_path / "pki")
    pair = authority.issue_from("gw-1", BEGIN - 3 * MONTH, BEGIN - 2 * MONTH)
    bound = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    away = f"127.0.0.1:{free_port()}"
    identity = Identity(
        *("gw-1", bytes(16), away, away, 7),
        *(pair.cert.read_bytes(), pair.key.read_bytes(), authority.ca.read_bytes(), bound),
    )
    seams = make_seams()
    store = IdentityStore(tmp_path / FOLDER, seams.disk)
    store.replace(identity)
    renewal = Renewal(tmp_path, seams)
    running = asyncio.create_task(renewal.run(), name="renewal")
    try:
        await until(lambda: seams.events.count(IDENTITY_FAILED), "it asks")
        asked = store.pending()
        assert asked is not None
        assert (asked.gateway, asked.generation) == ("gw-1", 7)
        began_s = seams.clock.monotonic_s()
        await until(lambda: seams.clock.monotonic_s() - began_s > 60.0, "a minute, hurried")
        assert seams.events.count(IDENTITY_FAILED) == 1
        assert store.pending() == asked  # always with the same key
        assert store.current() == identity
        (tmp_path / FOLDER / IDENTITY).write_bytes(b"rot")
        await until(lambda: seams.events.count(IDENTITY_LOST), "it sees the damage")
        assert not running.done()
        store.replace(identity)
        await until(lambda: seams.events.count(IDENTITY_FAILED) == 2, "it asks again")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
