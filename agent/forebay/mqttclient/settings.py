"""What a person writes about any MQTT broker: where it is, and how we show who we are.

Owns the settings that every adapter for MQTT has, and what makes them valid. Must not know aiomqtt:
checking a configuration imports no protocol library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from forebay.settings import Host, Settings, check_pair

_TLS_PORT = 8883
_PLAIN_PORT = 1883

Version = Literal["5", "3.1.1"]
"""A version of the protocol."""
ClientId = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9._-]*$")]
"""A name that any broker takes."""


class BrokerSettings(Settings):
    """A broker: TLS by default, verified against the machine's authorities or `ca`.

    An adapter extends it, and says in its own words what `version` and `client_id` mean to it.
    """

    host: Annotated[Host, Field(description="Name or IP address of the broker.")]
    port: Annotated[
        int | None, Field(ge=1, le=65_535, description="TCP port; 8883, or 1883 without TLS.")
    ] = None
    tls: Annotated[bool, Field(description="Whether the connection is encrypted.")] = True
    ca: Annotated[
        Path | None, Field(description="Certificate authorities (PEM) to trust instead.")
    ] = None
    certificate: Annotated[Path | None, Field(description="Our certificate (PEM).")] = None
    key: Annotated[Path | None, Field(description="The private key of our certificate.")] = None
    username: Annotated[str, Field(max_length=256, description="User; empty for none.")] = ""
    password_file: Annotated[
        Path | None, Field(description="File that holds the password of `username`.")
    ] = None
    version: Annotated[Version, Field(description="Protocol version.")] = "5"
    client_id: Annotated[ClientId, Field(description="Our name, unique at the broker.")] = ""
    keepalive: Annotated[
        int, Field(ge=2, le=600, description="Seconds after which a silent broker is probed.")
    ] = 15

    @property
    def port_used(self) -> int:
        """The port, or the registered one for what `tls` says."""
        return self.port or (_TLS_PORT if self.tls else _PLAIN_PORT)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        check_pair(self.certificate, self.key)
        if not self.tls and (self.ca or self.certificate):
            raise ValueError("ca, certificate and key need TLS; write tls = true, or remove them")
        if (self.password_file is not None) != bool(self.username):
            raise ValueError(
                "username and password_file come together; "
                + ("add username" if self.password_file else "add password_file")
                + ", or remove both"
            )
        return self
