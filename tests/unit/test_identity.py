"""A box's identity on disk: one generation or the other after any power cut, and never a part."""

from __future__ import annotations

import errno
import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from forebay.errors import IdentityUnusable
from forebay.files import SystemDisk
from forebay.identity import (
    IDENTITY,
    PENDING,
    Identity,
    IdentityStore,
    Pending,
    current,
    decode,
    encode,
)
from forebay.testing.disk import FaultyDisk, PowerCut

FOLDER = Path("/state/fleet")
FIRST = Identity(
    gateway="gw-1",
    instance_uid=bytes(range(16)),
    address="fleet:7443",
    enrollment_address="fleet:7444",
    generation=1,
    certificate=b"certificate 1" * 60,
    key=b"key 1" * 60,
    authorities=b"authority" * 200,
    bound_key=b"bound",
    signing_keys=(bytes(32), b"\xff" * 32),
    root=b"{}",
)
SECOND = replace(FIRST, generation=2, certificate=b"certificate 2" * 60, key=b"key 2" * 60)
ASKED = Pending("gw-1", 1, SECOND.key, b"request")


def renewed(disk: FaultyDisk) -> None:
    """Go through a whole renewal, as far as the disk lets it."""
    store = IdentityStore(FOLDER, disk)
    store.prepare(ASKED)
    store.replace(SECOND)


def test_what_is_written_is_read() -> None:
    assert decode(encode(FIRST), Identity) == FIRST
    assert decode(encode(ASKED), Pending) == ASKED


def test_nobody_is_enrolled_at_first(tmp_path: Path) -> None:
    assert current(tmp_path, SystemDisk()) is None
    assert IdentityStore(tmp_path / "fleet", SystemDisk()).pending() is None


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    store = IdentityStore(tmp_path / "fleet", SystemDisk())
    store.prepare(ASKED)
    assert (tmp_path / "fleet" / PENDING).stat().st_mode & 0o777 == 0o600
    store.replace(FIRST)
    assert (tmp_path / "fleet" / IDENTITY).stat().st_mode & 0o777 == 0o600
    assert current(tmp_path, SystemDisk()) == FIRST
    assert store.pending() is None


def test_the_power_may_go_at_every_operation() -> None:
    """With many draws of what survives each cut: the old identity, or the new one with its key."""
    began = FaultyDisk()
    IdentityStore(FOLDER, began).replace(FIRST)
    whole = began.snapshot()
    renewed(whole)
    assert whole.changes > 8
    seen = set()
    for at in range(whole.changes):
        for seed in range(20):
            disk = began.snapshot()
            disk.cut_after(at)
            try:
                renewed(disk)
            except IdentityUnusable as error:
                assert isinstance(error.__cause__, PowerCut)  # noqa: PT017 - one of many cuts
            survived = disk.reboot(random.Random(seed))
            after = IdentityStore(FOLDER, survived)
            found, asked = after.current(), after.pending()
            assert found in (FIRST, SECOND)
            assert asked in (None, ASKED)
            # Once it was durable that it asks, it can ask again until it has what it asked for.
            seen.add((found == SECOND, asked is not None))
            renewed(survived)  # the next run of the agent
            assert after.current() == SECOND
    assert seen == {(False, False), (False, True), (True, True), (True, False)}


def test_what_is_asked_for_is_durable_when_prepare_returns() -> None:
    disk = FaultyDisk()
    IdentityStore(FOLDER, disk).prepare(ASKED)
    for seed in range(50):
        after = IdentityStore(FOLDER, disk.reboot(random.Random(seed)))
        assert after.pending() == ASKED


@pytest.mark.parametrize("call", ["create", "pwrite", "datasync", "rename", "sync_dir"])
def test_a_disk_that_refuses_leaves_the_old_identity(call: str) -> None:
    disk = FaultyDisk()
    store = IdentityStore(FOLDER, disk)
    store.replace(FIRST)
    disk.fail(call, errno.ENOSPC)
    with pytest.raises(IdentityUnusable):
        store.replace(SECOND)
    renamed = call == "sync_dir"
    assert store.current() == (SECOND if renamed else FIRST)
    store.replace(SECOND)
    assert store.current() == SECOND


def test_any_flipped_bit_is_noticed() -> None:
    content = encode(FIRST)
    rng = random.Random(5)
    for _ in range(300):
        bit = rng.randrange(len(content) * 8)
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert (
                decode(bytes(damaged), Identity) == FIRST
            )  # it was in a letter's case, or a space
        except (ValueError, KeyError, TypeError):
            continue


def test_damage_is_told_with_a_way_out() -> None:
    disk = FaultyDisk()
    store = IdentityStore(FOLDER, disk)
    store.replace(FIRST)
    disk.flip(FOLDER / IDENTITY, 8 * 700)
    with pytest.raises(IdentityUnusable, match="damaged") as found:
        store.current()
    assert "--replace" in found.value.hint


def test_one_at_a_time(tmp_path: Path) -> None:
    one, other = (IdentityStore(tmp_path / "fleet", SystemDisk()) for _ in range(2))
    lock = one.lock()
    assert lock is not None
    assert other.lock() is None
    lock.close()
    again = other.lock()
    assert again is not None
    again.close()


def test_what_a_newer_agent_wrote_is_read_by_the_one_before_it() -> None:
    """It may be gone back to, and must still be itself then."""
    outer = json.loads(encode(FIRST))
    outer["body"] = json.dumps(json.loads(outer["body"]) | {"of_the_next": "AAAA"})
    outer["sha256"] = hashlib.sha256(outer["body"].encode()).hexdigest()
    assert decode(json.dumps(outer).encode(), Identity) == FIRST
