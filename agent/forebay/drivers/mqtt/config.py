"""What a person writes about an MQTT broker and the tags behind it.

Owns the settings and what makes them valid. Must not know aiomqtt: checking a configuration imports
no protocol library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from forebay.drivers.mqtt.address import parse_address, parse_pointer
from forebay.settings import Bytes, DeviceSettings, Host, Seconds, TagSettings

_TLS_PORT = 8883
_PLAIN_PORT = 1883


class MqttTag(TagSettings):
    """One value in the messages of one topic; `address` is the topic, with `#/pointer` for JSON."""

    time: Annotated[
        str,
        Field(
            max_length=1024,
            description="JSON Pointer to the value's time: ISO 8601, or milliseconds since 1970.",
        ),
    ] = ""

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parse_address(value)
        return value

    @field_validator("time")
    @classmethod
    def _is_pointer(cls, value: str) -> str:
        parse_pointer(value)
        return value

    @model_validator(mode="after")
    def _has_document(self) -> Self:
        if self.time and parse_address(self.address).pointer is None:
            raise ValueError("time needs a JSON payload; write the address as topic#/pointer")
        return self


class MqttSettings(DeviceSettings):
    """An MQTT broker.

    TLS by default, verified against the machine's certificate authorities or `ca`. Plain text has
    to be asked for with `tls = false`.
    """

    protocol: Literal["mqtt"]
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
    version: Annotated[
        Literal["5", "3.1.1"],
        Field(description="Protocol version; only 5 lets the broker know our limits."),
    ] = "5"
    client_id: Annotated[
        str,
        Field(
            max_length=128,
            pattern=r"^[A-Za-z0-9._-]*$",
            description="Name of our session, unique at the broker; forebay-DEVICE if empty.",
        ),
    ] = ""
    clean_session: Annotated[
        bool, Field(description="Whether messages sent while we were away may be lost.")
    ] = False
    session_expiry: Annotated[
        Seconds,
        Field(ge=60, le=4e9, description="How long the broker keeps our session (version 5)."),
    ] = 7 * 86_400.0
    qos: Annotated[
        Literal[0, 1], Field(description="1: acknowledged after the journal's intake; 0: never.")
    ] = 1
    keepalive: Annotated[
        int, Field(ge=2, le=600, description="Seconds after which a silent broker is probed.")
    ] = 15
    max_payload: Annotated[
        Bytes, Field(ge=1, le=16 << 20, description="Larger payloads are not looked into.")
    ] = 64 << 10

    @property
    def port_used(self) -> int:
        """The port, or the registered one for what `tls` says."""
        return self.port or (_TLS_PORT if self.tls else _PLAIN_PORT)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError(
                "certificate and key come together; "
                + ("add key" if self.key is None else "add certificate")
                + ", or remove both"
            )
        if not self.tls and (self.ca or self.certificate):
            raise ValueError("ca, certificate and key need TLS; write tls = true, or remove them")
        if (self.password_file is not None) != bool(self.username):
            raise ValueError(
                "username and password_file come together; "
                + ("add username" if self.password_file else "add password_file")
                + ", or remove both"
            )
        return self
