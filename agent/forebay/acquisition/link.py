"""The connection that the two halves of a session share: one keeps it up, the other uses it.

Owns who is connected, and why not. Must not know protocols, schedules or what is read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.errors import DeviceError


class Link:
    """Up between `up` and `down`.

    `tried` is set once the first attempt has ended, well or badly; `status` is the StatusCode of
    what cannot be read meanwhile.
    """

    def __init__(
        self, proven: Callable[[], None], contained: Callable[[Exception], DeviceError]
    ) -> None:
        """Begin down, with nothing tried.

        `proven` is called when a connection has shown its worth; `contained` turns a defect of the
        driver into the error that ends its connection, and tells of it.
        """
        self._proven, self.contained = proven, contained
        self.tried = asyncio.Event()
        self.status = int(Quality.BAD_NOT_CONNECTED)
        self._lost: asyncio.Future[DeviceError] | None = None

    def up(self) -> asyncio.Future[DeviceError]:
        """Say that it is up; gives a future that holds the error once `fail` was called."""
        self._lost = asyncio.get_running_loop().create_future()
        self.tried.set()
        return self._lost

    def prove(self) -> None:
        """Say that the device gives what it is asked for: a connection alone says little."""
        self._proven()

    def down(self) -> None:
        """Say that it is down, or did not come up."""
        self._lost = None
        self.tried.set()

    def fail(self, error: DeviceError) -> None:
        """Say that it cannot be trusted any more.

        Whoever keeps it up gives it up and tries anew.
        """
        self.status = error.status
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(error)
