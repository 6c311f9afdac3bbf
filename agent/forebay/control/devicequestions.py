"""What a running agent is asked that reaches a device: its plan, what it has, a write, a call.

Owns these questions' deadlines: a device takes longer than an agent. Must not know how answers are
shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay._proto import control_pb2 as pb
from forebay.control.asking import Asking

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEVICE_DEADLINE_S = 65.0
"""Longest wait for the answer to a write, beyond its deadline: for the device, and for the disk.

The agent goes on with it all the same; who asks again with the same id hears how it ended.
"""


class DeviceQuestions(Asking):
    """The questions about devices themselves; see `Asking` for what they raise."""

    def plan(self, device: str) -> pb.PlanReply:
        """Ask how a device is asked, and why so."""
        request = pb.PlanRequest(device=device)
        return self._ask("ExplainPlan", request, pb.PlanReply.FromString)

    def browse(self, device: str, pattern: str) -> Iterator[pb.BrowseReply]:
        """Ask for what a device has under `pattern`, as it is found."""
        request = pb.BrowseRequest(device=device, pattern=pattern)
        return self._follow("BrowseDevice", request, pb.BrowseReply.FromString)

    def scan(
        self, device: str, areas: Sequence[str], first: int, last: int
    ) -> Iterator[pb.ScanReply]:
        """Ask which addresses of a device can be read, as it is found out."""
        request = pb.ScanRequest(device=device, areas=areas, first=first, last=last)
        return self._follow("ScanDevice", request, pb.ScanReply.FromString)

    def write(self, request: pb.WriteRequest) -> pb.WriteReply:
        """Have a tag written; give how it ended."""
        limit_s = max(self._deadline_s, request.deadline_s + DEVICE_DEADLINE_S)
        return self._ask("WriteTag", request, pb.WriteReply.FromString, limit_s)

    def call(self, request: pb.CallRequest) -> pb.WriteReply:
        """Have a method called; give how it ended."""
        limit_s = max(self._deadline_s, request.deadline_s + DEVICE_DEADLINE_S)
        return self._ask("CallMethod", request, pb.WriteReply.FromString, limit_s)
