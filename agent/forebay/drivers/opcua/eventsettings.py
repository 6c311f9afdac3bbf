"""What a person writes about the events that a server is to tell.

Owns `[devices.NAME.events]`. Must not know asyncua.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from forebay.drivers.opcua.address import parse_address
from forebay.settings import Seconds, Settings


class EventSettings(Settings):
    """Events and alarms of the server, which go into the stream `events`."""

    notifier: Annotated[
        str,
        Field(max_length=4096, description="The node that tells them: the Server knows all."),
    ] = "i=2253"
    types: Annotated[
        tuple[str, ...],
        Field(
            max_length=100,
            description="NodeIds of the event types kept, with their subtypes; all, if empty.",
        ),
    ] = ()
    min_severity: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="Least severity that is kept. What follows on an alarm that was kept is"
            " kept too, until the alarm is over.",
        ),
    ] = 0
    period: Annotated[
        Seconds, Field(ge=0.1, le=3600, description="How often the server may send events.")
    ] = 0.5
    queue_size: Annotated[
        int,
        Field(ge=1, le=100_000, description="Events that the server keeps while it cannot send."),
    ] = 1000
    refresh: Annotated[
        bool,
        Field(description="Whether the state of all conditions is asked for at each connect."),
    ] = True

    @field_validator("notifier")
    @classmethod
    def _is_node(cls, value: str) -> str:
        if parse_address(value).part:
            raise ValueError(f"{value!r} is a part of a value, and no node")
        return value

    @field_validator("types")
    @classmethod
    def _are_nodes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            cls._is_node(one)
        return value
