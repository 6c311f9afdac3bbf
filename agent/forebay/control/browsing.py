"""Answers BrowseDevice: what a device says it has, told while it is still being found.

Owns what one browse may cost, and its form on the wire. Must not know protocols: the device's own
driver walks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from forebay._proto import control_pb2 as pb
from forebay.control.limits import MAX_PATTERN_CHARS
from forebay.errors import DeviceError, RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from forebay.control.view import AgentView
    from forebay.interfaces import BrowsableDriver, Found


async def browse(view: AgentView, request: pb.BrowseRequest) -> AsyncGenerator[pb.BrowseReply]:
    """Give one reply for each thing that the device has under the pattern.

    RequestInvalid for a device that is unknown or cannot be browsed; RequestFailed if it is not
    connected, or says no on the way.
    """
    if len(request.pattern) > MAX_PATTERN_CHARS:
        raise RequestInvalid(
            f"a pattern has at most {MAX_PATTERN_CHARS} characters", hint="shorten the pattern"
        )
    driver = view.connected(request.device)
    if not hasattr(driver, "browse"):
        raise RequestInvalid(
            f"the protocol of {request.device!r} has no way to ask what the device has",
            hint="`forebay scan` may find what can be read",
        )
    try:
        async for found in cast("BrowsableDriver", driver).browse(request.pattern):
            yield _reply(found)
    except DeviceError as error:
        raise RequestFailed(f"{request.device}: {error}", hint=error.hint) from error


def _reply(found: Found) -> pb.BrowseReply:
    return pb.BrowseReply(
        path=found.path,
        address=found.address,
        kind=found.kind,
        type=found.type.value if found.type is not None else "",
        unit=found.unit,
        writable=found.writable,
        description=found.description,
    )
