"""gRPC to a Forebay fleet server: one bidirectional stream of `uplink.proto` under mutual TLS.

Owns what this uplink is called and what a person configures. Importing it loads no gRPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.interfaces import UplinkSpec
from forebay.uplinks.grpc.check import check
from forebay.uplinks.grpc.config import GrpcSettings

if TYPE_CHECKING:
    from forebay.interfaces import Seams
    from forebay.uplinks.grpc.uplink import GrpcUplink


def _build(name: str, settings: GrpcSettings, seams: Seams) -> GrpcUplink:
    from forebay.uplinks.grpc.uplink import GrpcUplink

    return GrpcUplink(name, settings, seams)


def _reaches(settings: GrpcSettings) -> tuple[str, ...]:
    return (settings.address,)


SPEC = UplinkSpec(
    kind="grpc",
    settings=GrpcSettings,
    build=_build,
    requires={},
    check=check,
    reaches=_reaches,
)
