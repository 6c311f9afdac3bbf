"""`[metrics.otlp]`: which collector of OpenTelemetry this gateway tells how it does.

Owns that nothing leaves this machine in the clear.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from forebay.settings import Host, Seconds, Settings, check_pair, is_loopback

PORT = 4317
"""That of OTLP over gRPC."""


class OtlpSettings(Settings):
    """A collector of OpenTelemetry that is sent all metrics, by OTLP over gRPC.

    This needs the extra `forebay[otlp]`, and not that `[metrics]` is enabled.
    """

    host: Annotated[Host, Field(description="The collector.")]
    port: Annotated[int, Field(ge=1, le=65_535, description="Its port for OTLP over gRPC.")] = PORT
    every: Annotated[Seconds, Field(ge=1, le=3600, description="How often it is told.")] = 60.0
    ca: Annotated[
        Path | None,
        Field(
            description=(
                "PEM file of the authorities that may sign the collector; if not given, those "
                "that gRPC brings."
            )
        ),
    ] = None
    certificate: Annotated[
        Path | None, Field(description="PEM file of the certificate that is shown to it.")
    ] = None
    key: Annotated[Path | None, Field(description="PEM file of the certificate's key.")] = None
    token: Annotated[
        Path | None,
        Field(
            description=(
                "File whose only line goes along as `Authorization: Bearer`; never in the clear."
            )
        ),
    ] = None
    plaintext: Annotated[
        bool, Field(description="No TLS at all; only to a collector on this machine.")
    ] = False

    @model_validator(mode="after")
    def _pair(self) -> OtlpSettings:
        check_pair(self.certificate, self.key)
        return self

    @model_validator(mode="after")
    def _shut(self) -> OtlpSettings:
        if not self.plaintext:
            return self
        if not is_loopback(self.host):
            raise ValueError(
                f"plaintext is only for this machine, and {self.host} is not; remove it, or let a "
                "collector on this machine pass it on"
            )
        files = {"ca": self.ca, "certificate": self.certificate, "token": self.token}
        if given := [name for name, path in files.items() if path is not None]:
            raise ValueError(f"plaintext uses no {', '.join(given)}; remove them or plaintext")
        return self

    @property
    def address(self) -> str:
        """The collector as `host:port`; an address of IPv6 has its brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
