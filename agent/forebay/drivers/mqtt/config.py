"""What a person writes about an MQTT broker and the tags behind it.

Owns the settings and what makes them valid. Must not know aiomqtt: checking a configuration imports
no protocol library.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from forebay.drivers.mqtt.address import parse_address, parse_pointer
from forebay.mqttclient.settings import BrokerSettings, ClientId, Version
from forebay.settings import Bytes, DeviceSettings, Seconds, TagSettings


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


class MqttSettings(BrokerSettings, DeviceSettings):
    """An MQTT broker.

    TLS by default, verified against the machine's certificate authorities or `ca`. Plain text has
    to be asked for with `tls = false`.
    """

    protocol: Literal["mqtt"]
    version: Annotated[
        Version, Field(description="Protocol version; only 5 lets the broker know our limits.")
    ] = "5"
    client_id: Annotated[
        ClientId,
        Field(description="Name of our session, unique at the broker; forebay-DEVICE if empty."),
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
    max_payload: Annotated[
        Bytes, Field(ge=1, le=16 << 20, description="Larger payloads are not looked into.")
    ] = 64 << 10
