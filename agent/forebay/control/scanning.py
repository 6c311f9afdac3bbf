"""Answers ScanDevice: what can be read of a device that does not say what it has.

Owns what one scan may be asked for, and its form on the wire. Must not know protocols: the device's
own driver tries, gently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from forebay._proto import control_pb2 as pb
from forebay.errors import DeviceError, RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from forebay.control.view import AgentView
    from forebay.interfaces import ScannableDriver

AREAS_MOST = 64
"""Most areas that one request names."""
LAST = (1 << 32) - 1
"""Stands for the last address that there is."""


async def scan(view: AgentView, request: pb.ScanRequest) -> AsyncGenerator[pb.ScanReply]:
    """Give one reply for each run that can be read, and now and then how far the search is.

    RequestInvalid for a device that is unknown or cannot be scanned, or a wrong range or area;
    RequestFailed if it is not connected, or falls silent on the way.
    """
    last = request.last or LAST
    if request.first > last:
        raise RequestInvalid(
            f"the range from {request.first} to {last} is empty", hint="write the lower one first"
        )
    if len(request.areas) > AREAS_MOST:
        raise RequestInvalid(f"one scan has at most {AREAS_MOST} areas", hint="name fewer")
    driver = view.connected(request.device)
    if not hasattr(driver, "scan"):
        raise RequestInvalid(
            f"the protocol of {request.device!r} has no addresses to try",
            hint="`forebay browse` may say what the device has",
        )
    try:
        async for found in cast("ScannableDriver", driver).scan(
            tuple(request.areas), request.first, last
        ):
            yield pb.ScanReply(area=found.area, start=found.start, count=found.count)
    except DeviceError as error:
        raise RequestFailed(f"{request.device}: {error}", hint=error.hint) from error
