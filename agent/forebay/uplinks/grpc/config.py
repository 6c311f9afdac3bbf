"""What a person writes about a fleet server: its address, and who this gateway is to it.

Owns every check that needs no network. Must not know gRPC.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from forebay.settings import (
    Host,
    IsDirectory,
    Seconds,
    UplinkSettings,
    is_loopback,
    parse_host,
)

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\]|([^\s\[\]:/]{1,253})):([0-9]{1,5})")
_MAX_ADDRESS_CHARACTERS = 261


def split_address(address: str) -> tuple[str, int]:
    """Give host and port of `host:port` or `[IPv6]:port`; ValueError says what is wrong."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"{address!r} is not an address; write fleet.example.org:7443")
    host, port = parse_host(match[1] or match[2]), int(match[3])
    if not 1 <= port <= 65_535:
        raise ValueError(f"{address!r} has no valid port; write one from 1 to 65535")
    return host, port


class GrpcSettings(UplinkSettings):
    """One fleet server, reached over gRPC with mutual TLS."""

    address: Annotated[
        str, Field(max_length=_MAX_ADDRESS_CHARACTERS, description="The server, as host:port.")
    ]
    ca: Annotated[
        Path | None, Field(description="PEM file of the authorities that may sign the server.")
    ] = None
    cert: Annotated[
        Path | None,
        Field(description="PEM file of this gateway's certificate; its CN is the gateway's id."),
    ] = None
    key: Annotated[Path | None, Field(description="PEM file of the certificate's key.")] = None
    identity: Annotated[
        Path | None,
        IsDirectory(in_state=True),
        Field(
            description=(
                "`fleet`: certificate, key and authorities are those of `forebay fleet enroll`, "
                "instead of `ca`, `cert` and `key`."
            )
        ),
    ] = None
    server_name: Annotated[
        Host | None,
        Field(
            description="Name that the server's certificate must carry, if not the address's host.",
        ),
    ] = None
    plaintext: Annotated[
        bool, Field(description="No TLS at all; only to a server on this machine, for trials.")
    ] = False
    connect_timeout: Annotated[
        Seconds, Field(gt=0, le=300, description="Longest wait for a session to be agreed.")
    ] = 10.0

    @field_validator("address")
    @classmethod
    def _readable(cls, address: str) -> str:
        split_address(address)
        return address

    @field_validator("identity")
    @classmethod
    def _of_the_fleet(cls, identity: Path | None) -> Path | None:
        if identity not in (None, Path("fleet")):
            raise ValueError('there is one identity, that of `forebay fleet enroll`; write "fleet"')
        return identity

    @model_validator(mode="after")
    def _secured(self) -> Self:
        files = {"ca": self.ca, "cert": self.cert, "key": self.key}
        if self.identity is not None:
            given = [name for name, path in files.items() if path is not None]
            given += ["plaintext"] if self.plaintext else []
            if given:
                raise ValueError(f"identity brings its own TLS; remove {', '.join(given)}")
            return self
        if not self.plaintext:
            if missing := [name for name, path in files.items() if path is None]:
                raise ValueError(f"mutual TLS needs {', '.join(missing)}; give the PEM files")
            return self
        host, _ = split_address(self.address)
        if not is_loopback(host):
            raise ValueError(
                f"plaintext is only for this machine, and {host} is not; give ca, cert and key"
            )
        if given := [name for name, path in files.items() if path is not None]:
            raise ValueError(f"plaintext uses no {', '.join(given)}; remove them or plaintext")
        return self
