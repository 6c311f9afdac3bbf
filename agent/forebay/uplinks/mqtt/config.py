"""What a person writes about a broker as a destination: where, by which topics, in which form.

Owns the settings and what makes them valid. Must not know aiomqtt: checking a configuration imports
no protocol library.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from forebay.mqttclient.settings import BrokerSettings, ClientId, Version
from forebay.settings import Bytes, Seconds, UplinkSettings, is_loopback
from forebay.uplinks.mqtt.topics import parse_template

_ONE_LEVEL = re.compile(r"[^\x00-\x1f\x7f/+#]{1,128}")


def _one_level(text: str) -> str:
    """Give `text` if it can be one level of a topic; ValueError if not."""
    if _ONE_LEVEL.fullmatch(text) is None:
        raise ValueError(f"{text[:64]!r} is no level of a topic; write a name without /, + and #")
    return text


OneLevel = Annotated[str, AfterValidator(_one_level)]
"""A name that stands between two slashes of a topic."""


class MqttUplinkSettings(BrokerSettings, UplinkSettings):
    """An MQTT broker.

    TLS by default, verified against the machine's certificate authorities or `ca`. Plain text has
    to be asked for with `tls = false`, and once more if it would leave this machine.
    """

    kind: Literal["mqtt"]
    insecure: Annotated[
        bool, Field(description="Whether plain text may leave this machine at all.")
    ] = False
    format: Annotated[
        Literal["json", "sparkplug_b"],
        Field(description="`json` by topics of your own; `sparkplug_b` as Eclipse Sparkplug 3.0."),
    ] = "json"
    topic: Annotated[
        str,
        Field(
            max_length=512,
            description="`json`: topic with {gateway}, {device}, {group}, {stream} and {tag}; with "
            "{tag} each sample is a message, without it each record.",
        ),
    ] = "forebay/{gateway}/{device}/{group}/{tag}"
    notices: Annotated[
        str,
        Field(
            max_length=512,
            description="`json`: topic of gaps and other notes, with {gateway} and {stream}.",
        ),
    ] = "forebay/{gateway}/notices"
    group_id: Annotated[OneLevel, Field(description="`sparkplug_b`: group of this edge node.")] = (
        "forebay"
    )
    node_id: Annotated[
        OneLevel | None,
        Field(description="`sparkplug_b`: edge node; the gateway's id if none."),
    ] = None
    primary_host: Annotated[
        OneLevel | None,
        Field(description="`sparkplug_b`: host without which nothing is sent, by its STATE."),
    ] = None
    version: Annotated[
        Version, Field(description="Protocol version; with 5 a broker says why it refuses.")
    ] = "5"
    client_id: Annotated[
        ClientId,
        Field(description="Our name, unique at the broker; forebay-GATEWAY-UPLINK if empty."),
    ] = ""
    needs_listener: Annotated[
        bool,
        Field(description="Whether what nobody subscribes to waits instead (version 5)."),
    ] = False
    timeout: Annotated[
        Seconds, Field(gt=0, le=300, description="Longest wait for the broker to take us in.")
    ] = 10.0
    max_inflight: Annotated[
        int, Field(ge=1, le=10_000, description="Messages sent ahead of the broker's PUBACKs.")
    ] = 200
    max_payload: Annotated[
        Bytes, Field(ge=1 << 10, le=16 << 20, description="Larger messages are sent in pieces.")
    ] = 128 << 10

    @field_validator("topic")
    @classmethod
    def _topic(cls, value: str) -> str:
        parse_template(value, {"gateway", "device", "group", "stream", "tag"})
        return value

    @field_validator("notices")
    @classmethod
    def _notices(cls, value: str) -> str:
        parse_template(value, {"gateway", "stream"})
        return value

    @model_validator(mode="after")
    def _is_private(self) -> Self:
        if not self.tls and not self.insecure and not is_loopback(self.host):
            raise ValueError(
                f"plain text would leave this machine for {self.host}; write tls = true, or "
                "insecure = true if everybody on the way may read it"
            )
        return self
