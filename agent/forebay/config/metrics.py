"""`[metrics]`: whether and where Prometheus may ask how this gateway does.

Owns what may be set, and that nothing is told beyond this machine in the clear or to everybody.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from forebay.config.otlp import OtlpSettings
from forebay.settings import Host, Settings, check_pair, is_loopback

PORT = 9464
"""That of OpenTelemetry's own exporter for Prometheus: where collectors look for a process."""


class MetricsSettings(Settings):
    """Whether Prometheus may ask this gateway how it does: `http://127.0.0.1:9464/metrics`.

    Beyond this machine only by TLS, and only who has the token.
    """

    enabled: Annotated[
        bool, Field(description="Whether anybody listens. What is told is in the reference.")
    ] = False
    listen: Annotated[
        Host,
        Field(
            description=(
                "Address to listen at. Any but that of the machine itself needs `certificate`, "
                "`key` and `token`."
            )
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535, description="Port to listen at.")] = PORT
    certificate: Annotated[
        Path | None,
        Field(description="PEM file of the certificate; with it only TLS is answered."),
    ] = None
    key: Annotated[Path | None, Field(description="PEM file of the certificate's key.")] = None
    token: Annotated[
        Path | None,
        Field(
            description=(
                "File whose only line is what a client has to bring as `Authorization: Bearer`; "
                "at least 16 characters."
            )
        ),
    ] = None
    otlp: Annotated[
        OtlpSettings | None, Field(description="The collector of OpenTelemetry that is told too.")
    ] = None

    @property
    def in_use(self) -> bool:
        """Whether anybody is told."""
        return self.enabled or self.otlp is not None

    @model_validator(mode="after")
    def _pair(self) -> MetricsSettings:
        check_pair(self.certificate, self.key)
        return self

    @model_validator(mode="after")
    def _not_for_everybody(self) -> MetricsSettings:
        shut = self.certificate is not None and self.token is not None
        if self.enabled and not is_loopback(self.listen) and not shut:
            raise ValueError(
                f"listen = {self.listen!r} is reached from other machines; add certificate, key "
                "and token, or listen at 127.0.0.1 and let a proxy or a collector on this machine "
                "pass it on"
            )
        return self
