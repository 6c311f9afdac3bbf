"""gRPC to a Forebay fleet server: one bidirectional stream of `uplink.proto` under mutual TLS.

Owns what this uplink is called and what a person configures. Importing it loads no gRPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay import identity
from forebay.errors import IdentityUnusable
from forebay.files import SystemDisk
from forebay.interfaces import UplinkSpec
from forebay.uplinks.grpc.check import check
from forebay.uplinks.grpc.config import GrpcSettings

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.interfaces import Seams
    from forebay.uplinks.grpc.uplink import GrpcUplink


def _build(name: str, settings: GrpcSettings, seams: Seams) -> GrpcUplink:
    from forebay.uplinks.grpc.uplink import GrpcUplink

    return GrpcUplink(name, settings, seams)


def _reaches(settings: GrpcSettings) -> tuple[str, ...]:
    return (settings.address,)


def _secured(settings: GrpcSettings, state: Path) -> tuple[str, str] | None:
    """Give the server's name and its authorities; see `UplinkSpec.secured`."""
    if settings.plaintext:
        return None
    if settings.identity is None:
        assert settings.ca is not None, "its settings say so"
        return settings.server_name or "", settings.ca.read_text("utf-8")
    found = identity.current(state, SystemDisk())
    if found is None:
        raise IdentityUnusable(identity.NOT_ENROLLED, hint=identity.ENROLL_HINT)
    return settings.server_name or "", found.authorities.decode()


SPEC = UplinkSpec(
    kind="grpc",
    settings=GrpcSettings,
    build=_build,
    requires={},
    check=check,
    reaches=_reaches,
    secured=_secured,
)
