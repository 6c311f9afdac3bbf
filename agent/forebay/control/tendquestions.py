"""What a running agent is asked to do with itself.

Owns these questions. Must not know how answers are shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay._proto import control_pb2 as pb
from forebay.control.asking import Asking

if TYPE_CHECKING:
    from collections.abc import Iterator

TEND_S = 60.0
"""The longest time that a part may take to end and begin."""


class TendQuestions(Asking):
    """What a command asks; see `Asking` for what it raises."""

    def restart_part(self, part: str) -> pb.TendReply:
        """Have a part end and begin again."""
        request = pb.RestartRequest(part=part)
        return self._ask("RestartPart", request, pb.TendReply.FromString, TEND_S)

    def log_level(self, level: str, for_s: float) -> pb.TendReply:
        """Have more or less logged for a while."""
        request = pb.LogLevelRequest(level=level, for_s=for_s)
        return self._ask("SetLogLevel", request, pb.TendReply.FromString, TEND_S)

    def log(self, after: int = 0, limit: int = 0) -> pb.LogReply:
        """Ask for lines of the log: the newest `limit` (0: 100) behind number `after`."""
        request = pb.LogRequest(after=after, limit=limit)
        return self._ask("ReadLog", request, pb.LogReply.FromString)

    def support(self, doctor: str = "") -> Iterator[pb.SupportPart]:
        """Ask for a diagnostics bundle, piece by piece; `doctor` is JSON that goes in, too."""
        request = pb.SupportRequest(doctor=doctor)
        yield from self._follow("MakeSupport", request, pb.SupportPart.FromString)
