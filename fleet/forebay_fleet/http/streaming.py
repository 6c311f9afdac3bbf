"""An answer in parts, for who takes them: a client that stalls keeps no place for long.

Must not know what the parts are.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from fastapi.responses import StreamingResponse

from forebay_fleet.values.offer import STALLED_S

if TYPE_CHECKING:
    from starlette.types import Message, Send

_log = structlog.get_logger()


class Streamed(StreamingResponse):
    """Breaks off once its client has taken nothing for STALLED_S."""

    async def stream_response(self, send: Send) -> None:
        """Send all parts; see Starlette."""

        async def within(message: Message) -> None:
            await asyncio.wait_for(send(message), STALLED_S)

        try:
            await super().stream_response(within)
        except TimeoutError:  # what is not complete, the server closes
            _log.warning("reader_stalled", after_s=STALLED_S)
