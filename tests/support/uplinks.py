"""What tests of every uplink ask of one: how its session failed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from forebay.errors import UplinkError
from forebay.testing.uplink_contract import PATIENCE_S

if TYPE_CHECKING:
    from forebay.interfaces import Offer, Uplink


async def failure(uplink: Uplink) -> UplinkError:
    """Give the error that ends the receipts."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for _ in uplink.receipts():
                pass
    except UplinkError as error:
        return error
    raise AssertionError("receipts ended without an error")


async def connect_error(uplink: Uplink, given: Offer) -> UplinkError:
    """Give the error with which it does not connect."""
    with pytest.raises(UplinkError) as caught:
        await uplink.connect(given)
    await uplink.close()
    return caught.value
