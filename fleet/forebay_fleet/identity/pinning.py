"""Which authority a join token names: that of the certificate which boxes meet, as it is now.

Owns the fact in the registry that `token create` reads, and that it follows the files: while the
fleet's authority changes, the server takes up another certificate without a restart.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog
from cryptography import x509

from forebay_fleet.errors import FleetError
from forebay_fleet.identity import authorities
from forebay_fleet.identity.requests import spki_hash

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_fleet.registry import Registry, RegistryThread
    from forebay_fleet.tls import Credentials

PIN = "pin"
"""Fact of the registry: SPKI hash of the server's authority, in hex."""
LOOK_S = 2.0
"""How often the files are looked at."""

_log = structlog.get_logger()


def pin(files: Credentials, folder: Path) -> str:
    """Give the SPKI hash, in hex, of who signed the server's certificate. CertificateError."""
    own = x509.load_pem_x509_certificate(files.read()[1])
    return spki_hash(authorities.load(folder).issuer_of(own).public_key()).hex()


async def follow(files: Credentials, folder: Path, registry: RegistryThread, told: str) -> None:
    """Tell the registry, which knows `told`, whenever it becomes another; until cancelled.

    While files are being replaced they are no pair for a time; then tokens are as they were.
    """
    seen: object = None
    said = ""
    while True:
        await asyncio.sleep(LOOK_S)
        now = await asyncio.to_thread(files.state)
        if now == seen:
            continue
        try:
            found = await asyncio.to_thread(pin, files, folder)
            if found != told:
                await registry(partial(_tell, value=found))
                _log.info("tokens_name_another_authority", pin=found)
                told = found
            seen, said = now, ""
        except FleetError as error:
            if str(error) != said:
                _log.warning("tokens_name_no_authority", error=str(error), hint=error.hint)
            said = str(error)


def _tell(registry: Registry, value: str) -> None:
    registry.tell(PIN, value)
