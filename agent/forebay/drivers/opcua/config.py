"""What a person writes about an OPC UA server and its tags.

Owns the settings and what makes them valid. Must not know asyncua: checking a configuration imports
no protocol library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from forebay.drivers.opcua.address import parse_address
from forebay.drivers.opcua.eventsettings import EventSettings
from forebay.drivers.opcua.sampling import (
    MOST_QUEUED,
    DeadbandText,
    OpcUaGroup,
    OwnSampling,
    Trigger,
)
from forebay.settings import DeviceSettings, Name, Seconds, TagSettings, parse_host

_USERINFO = re.compile(r"//[^/]*@")


class OpcUaTag(TagSettings):
    """One node of the server; `address` is its NodeId.

    What it says of its sampling goes before what its group says.
    """

    sampling: Annotated[
        Seconds | None,
        Field(ge=0.001, le=86_400, description="How often the server looks at it."),
    ] = None
    queue_size: Annotated[
        int | None, Field(ge=1, le=MOST_QUEUED, description="Changes that the server keeps of it.")
    ] = None
    deadband: Annotated[
        DeadbandText, Field(description="Smallest change that is told: `0.5`, or `2 %`.")
    ] = ""
    trigger: Annotated[Trigger | None, Field(description="What makes a change of it.")] = None

    @property
    def own_sampling(self) -> OwnSampling:
        """What the tag says for itself."""
        return OwnSampling(self.sampling, self.queue_size, self.deadband, self.trigger)

    @field_validator("address")
    @classmethod
    def _is_node(cls, value: str) -> str:
        parse_address(value)
        return value


class OpcUaSettings(DeviceSettings):
    """An OPC UA server.

    Encrypted by default. Plain text has to be asked for with `security_policy = "None"`.
    """

    protocol: Literal["opcua"]
    tags: Annotated[
        Path | tuple[dict[str, Any], ...],
        Field(
            description="Tag list: a CSV file beside this one, or tables of the same columns. A"
            " server without one is connected to all the same, so that it can be browsed."
        ),
    ] = ()
    endpoint: Annotated[
        str, Field(max_length=4096, description="Address of the server: opc.tcp://host:4840/path.")
    ]
    security_policy: Annotated[
        Literal["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss", "None"],
        Field(description='How messages are protected; "None" sends everything in the clear.'),
    ] = "Basic256Sha256"
    security_mode: Annotated[
        Literal["SignAndEncrypt", "Sign"], Field(description="What the policy is used for.")
    ] = "SignAndEncrypt"
    certificate: Annotated[
        Path | None,
        Field(
            description="Our application certificate (PEM or DER). Without it, one is made at the"
            " first start, in `opcua` of the state directory, for all devices."
        ),
    ] = None
    key: Annotated[
        Path | None, Field(description="The private key of `certificate` (PEM or DER).")
    ] = None
    server_certificate: Annotated[
        Path | None,
        Field(
            description="The certificate that the server must prove to own. Without it, a secured"
            " connection is refused, and the fingerprint of the one that the server shows is told."
        ),
    ] = None
    username: Annotated[str, Field(max_length=256, description="User; empty for anonymous.")] = ""
    password_file: Annotated[
        Path | None, Field(description="File that holds the password of `username`.")
    ] = None
    user_certificate: Annotated[
        Path | None, Field(description="Certificate to log in with, instead of a user name.")
    ] = None
    user_key: Annotated[
        Path | None, Field(description="The private key of `user_certificate` (PEM or DER).")
    ] = None
    session_timeout: Annotated[
        Seconds,
        Field(ge=5, le=3600, description="How long the server keeps a session without a request."),
    ] = 60.0
    keepalive: Annotated[
        Seconds,
        Field(
            ge=0.5,
            le=60,
            description="How often a quiet subscription shows life; three missed are a loss.",
        ),
    ] = 2.0
    publish_requests: Annotated[
        int, Field(ge=1, le=32, description="Publish requests kept in flight.")
    ] = 5
    queue_size: Annotated[
        int,
        Field(ge=2, le=MOST_QUEUED, description="Changes the server keeps per subscribed tag."),
    ] = 10
    groups: Annotated[
        Mapping[Name, OpcUaGroup], Field(description="How each group is subscribed to, or polled.")
    ] = {}
    events: Annotated[
        EventSettings | None, Field(description="Events and alarms; left out, none are asked for.")
    ] = None
    history: Annotated[
        bool,
        Field(
            description="Whether what a subscription missed in an outage is read from the server's"
            " own history, where it keeps one."
        ),
    ] = False
    timestamps: Annotated[
        Literal["source", "server", "gateway"],
        Field(description="Whose clock dates a value; `gateway` for devices whose clock is wrong."),
    ] = "source"
    clock_tolerance: Annotated[
        Seconds,
        Field(
            gt=0,
            le=86_400,
            description="How far the server's clock may be off before that is told in the log.",
        ),
    ] = 30.0

    @model_validator(mode="after")
    def _has_times_of_history(self) -> Self:
        if self.history and self.timestamps != "source":
            raise ValueError(
                'history needs timestamps = "source"; leave out one of them: a hole is found, and'
                " filled, by the server's own times"
            )
        return self

    @field_validator("endpoint")
    @classmethod
    def _is_endpoint(cls, value: str) -> str:
        if _USERINFO.search(value):
            raise ValueError("no user or password in the address; use username and password_file")
        try:
            parts = urlsplit(value)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not (host and port and parts.scheme == "opc.tcp" and value.isprintable()):
            raise ValueError(
                f"{value!r} is not opc.tcp://host:port; write opc.tcp://10.0.4.20:4840"
            )
        parse_host(host)
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for one, other in (
            ("username", "password_file"),
            ("certificate", "key"),
            ("user_certificate", "user_key"),
        ):
            if bool(getattr(self, one)) != bool(getattr(self, other)):
                given, missing = (one, other) if getattr(self, one) else (other, one)
                raise ValueError(f"{given} needs {missing}; add it, or remove {given}")
        if self.username and self.user_certificate:
            raise ValueError("username and user_certificate are two users; remove one")
        return self
