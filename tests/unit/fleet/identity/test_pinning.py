"""While a server runs its authority changes; the tokens made meanwhile name the one that signs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from forebay_fleet import certificates
from forebay_fleet.identity import authorities, pinning
from forebay_fleet.identity.requests import spki_hash
from forebay_fleet.registry import Registry, RegistryThread
from forebay_fleet.tls import Credentials
from support.processes import until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_tokens_name_who_signed_what_boxes_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinning, "LOOK_S", 0.01)
    pki = tmp_path / "pki"
    certificates.init(pki, "first")
    pair = certificates.issue_server(pki, pki, ["localhost"], 1)
    files = Credentials(pair.certificate, pair.key, authorities=pki)
    first = pinning.pin(files, pki)
    assert first == spki_hash(authorities.load(pki).signer.public_key()).hex()
    async with RegistryThread(tmp_path / "data") as registry:
        await registry(lambda known: known.tell(pinning.PIN, first))
        running = asyncio.create_task(pinning.follow(files, pki, registry, first), name="pin")
        authorities.rotate(pki, "second")
        authorities.switch(pki)
        # The next one signs, and the server still shows a certificate of the one before.
        assert pinning.pin(files, pki) == first
        for path in (pair.certificate, pair.key):
            path.unlink()
        certificates.issue_server(pki, pki, ["localhost"], 1)
        second = spki_hash(authorities.load(pki).signer.public_key()).hex()
        assert second != first
        with Registry(tmp_path / "data") as beside:  # as `token create` reads it
            await until(lambda: beside.fact(pinning.PIN) == second, "tokens name the second")
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
