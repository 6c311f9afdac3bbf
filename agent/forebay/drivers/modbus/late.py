"""The answers that were given up and may still come, by transaction id.

Pure. Owns which ids must not be used and how long a late answer is believed in. Must not know
frames or connections.
"""

from __future__ import annotations

from forebay.errors import DeviceUnreachable
from forebay.model import Quality

MOST = 1024
"""So many given-up answers are remembered; of more, the oldest is forgotten."""
BELIEVED_S = 300.0
"""An answer that takes longer than this is none."""


class LateAnswers:
    """Ids of requests whose answers were given up, oldest first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._given_up: dict[int, tuple[int, float, float]] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._given_up

    def __len__(self) -> int:
        return len(self._given_up)

    def add(self, number: int, unit: int, sent_s: float, now_s: float) -> None:
        """Remember that the answer of `unit` to `number`, asked for at `sent_s`, may still come."""
        self._given_up.pop(number, None)
        while len(self._given_up) >= MOST:
            del self._given_up[next(iter(self._given_up))]
        self._given_up[number] = (unit, sent_s, now_s)

    def take(self, number: int) -> tuple[int, float]:
        """Forget `number`, whose answer came; gives unit and when it was asked for."""
        unit, sent_s, _ = self._given_up.pop(number)
        return unit, sent_s

    def may_begin(self, rest: bytes) -> bool:
        """Whether a late answer may begin with these bytes, at least one."""
        if len(rest) == 1:
            return any(number >> 8 == rest[0] for number in self._given_up)
        return (rest[0] << 8 | rest[1]) in self._given_up

    def free_from(self, first: int, count: int, now_s: float) -> int:
        """Give the first id from `first` on that begins `count` ids of which none may still come.

        Raises DeviceUnreachable if there is no such run of ids: a new connection has one.
        """
        if not self._given_up:
            return first
        for number, (_, _, since_s) in list(self._given_up.items()):
            if now_s - since_s > BELIEVED_S:
                del self._given_up[number]
        tried = 0
        while tried <= 0xFFFF:
            hit = max(
                (own for n in self._given_up if (own := (n - first) & 0xFFFF) < count), default=-1
            )
            if hit < 0:
                return first
            tried += hit + 1
            first = (first + hit + 1) & 0xFFFF
        raise DeviceUnreachable(
            f"{len(self._given_up)} answers are still owed on this connection",
            hint="the device drops most requests: ask for less, or less often",
            status=Quality.BAD_TIMEOUT,
        )
