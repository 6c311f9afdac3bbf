"""Keys and certificates where the power goes: whole or not there, and never the wrong pair."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from forebay_fleet import certificates
from forebay_fleet.desired import signing
from forebay_fleet.errors import CertificateError
from forebay_fleet.identity import authorities
from support.boxes import Bureau, HandBox

if TYPE_CHECKING:
    from pathlib import Path


def test_a_server_in_a_container_starts_after_its_power_went_as_it_made_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There its process has the same number each time."""
    kept: list[Any] = []

    def cut(*_: object) -> None:
        kept.extend((left, left.read_bytes()) for left in tmp_path.iterdir())
        raise OSError(errno.EIO, "the power went")

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", cut)
        with pytest.raises(Exception, match="the power went"):
            signing.load(tmp_path)
    assert kept
    for left, content in kept:
        left.write_bytes(content)  # a process that is gone has cleared nothing up
    first = signing.load(tmp_path)
    assert signing.load(tmp_path).public == first.public


def test_a_certificate_is_durable_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an empty next.crt keeps a server from starting that was well."""
    certificates.init(tmp_path, "test CA")
    flushed: list[int] = []
    fsync, link = os.fsync, os.link

    def seen(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def named(source: Path, target: Path) -> None:
        assert source.stat().st_size > 100
        assert source.stat().st_ino in flushed
        link(source, target)
        flushed.clear()

    monkeypatch.setattr(os, "fsync", seen)
    monkeypatch.setattr(os, "link", named)
    authorities.rotate(tmp_path, "the next")
    assert flushed == [tmp_path.stat().st_ino]
    assert len(authorities.load(tmp_path).trusted) == 2


@pytest.mark.parametrize("lost", ["crt", "key"])
def test_half_an_authority_is_never_put_in_place(tmp_path: Path, lost: str) -> None:
    certificates.init(tmp_path, "test CA")
    before = authorities.load(tmp_path).signer
    authorities.rotate(tmp_path, "the next")
    (tmp_path / f"next.{lost}").unlink()
    with pytest.raises(CertificateError, match="not whole"):
        authorities.switch(tmp_path)
    assert authorities.load(tmp_path).signer == before


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_switch_that_is_cut_off_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    certificates.init(tmp_path, "test CA")
    following = authorities.rotate(tmp_path, "the next")
    place, done = type(tmp_path).replace, 0

    def cut(source: Path, target: Path) -> Path:
        nonlocal done
        done += 1
        if done == steps:
            raise OSError(errno.EIO, "the power went")
        return place(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(type(tmp_path), "replace", cut)
        with pytest.raises(CertificateError):
            authorities.switch(tmp_path)
    authorities.switch(tmp_path)
    assert authorities.load(tmp_path).signer == following


def test_boxes_connect_while_the_authority_cannot_sign(tmp_path: Path) -> None:
    bureau = Bureau(tmp_path, time.time_ns())
    HandBox(bureau).enroll(bureau.token())
    assert not bureau.office.behind(bureau.registry, "gw-1", 1)
    (bureau.pki / "ca.key").rename(bureau.pki / "in the safe")
    assert not bureau.office.behind(bureau.registry, "gw-1", 1)


def test_a_box_whose_clock_is_slow_is_asked_to_renew_in_time(tmp_path: Path) -> None:
    bureau = Bureau(tmp_path, time.time_ns())
    HandBox(bureau).enroll(bureau.token())
    (end_ns,) = bureau.registry.rows("SELECT expires_ns FROM gateways")[0]
    for share, asked in ((0.5, False), (0.3, True), (-1.0, True)):
        bureau.now_ns = end_ns - round(share * 30 * 86_400 * 1e9)
        assert bureau.office.behind(bureau.registry, "gw-1", 1) is asked
