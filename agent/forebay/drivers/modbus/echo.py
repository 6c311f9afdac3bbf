"""Whether a line repeats what is sent on it, as some adapters of RS-485 do.

Pure. Owns the difference between our own bytes and a device's. Must not know requests or time.

The good answer to most writes is the request itself (MB-APP 6.5, 6.6, 6.16). On a line that repeats
it, a device that is dead seems to confirm. So a write needs to know: from the settings, or from a
read on the same wire.
"""

from __future__ import annotations

_MOST_BYTES = 2048
"""So much of what follows a request is searched for the request."""


class Echo:
    """What one wire repeats; `told`: the settings say that it does.

    `repeats` says whether what is heard may hold our own bytes: None if nobody knows yet. `awaited`
    says that our own bytes are to be cut off before anything is an answer.
    """

    def __init__(self, *, told: bool) -> None:
        """Begin with nothing sent."""
        self._told = told
        self._frame = b""
        self._heard = bytearray()
        self.repeats: bool | None = False if told else None
        self.awaited = False

    def sent(self, frame: bytes) -> None:
        """Note what goes onto the line now."""
        self._frame, self.awaited = frame, self._told
        self._heard.clear()

    def heard(self, data: bytes) -> None:
        """Note what came from the line."""
        if self.repeats is None and self._frame:
            self._heard += data[: _MOST_BYTES - len(self._heard)]

    def answered(self) -> None:
        """Learn from an answer: our own bytes would have come before it."""
        if self.repeats is None:
            self.repeats = self._frame in self._heard

    def ended(self) -> None:
        """Forget the frame: nothing is waited for any more."""
        self._frame, self.awaited = b"", False
        self._heard.clear()

    def cut(self, buffer: bytearray) -> bytearray | None:
        """Cut our own bytes from `buffer`; give what came before them, None if they are not there.

        To be called while `awaited`, which ends with it.
        """
        at = buffer.find(self._frame)
        if at < 0:
            return None
        before = buffer[:at]
        del buffer[: at + len(self._frame)]
        self.awaited = False
        return before
