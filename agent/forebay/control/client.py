"""Asks a running agent over the control socket.

Owns deadlines, paging, and the translation of every failure into a ControlError with a next step.
Blocking: commands have no event loop. Must not know how answers are shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc

from forebay._proto import control_pb2 as pb
from forebay.control.address import check
from forebay.control.limits import (
    HINT_KEY,
    MAX_REPLY_BYTES,
    PAGE_TAGS,
    QUARANTINE_IDS,
    READ_TAGS,
    SERVICE,
)
from forebay.errors import AgentUnreachable, ControlError, RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from google.protobuf.message import Message

R = TypeVar("R", bound="Message")

DEADLINE_S = 5.0
"""Longest wait for one answer."""
DEVICE_DEADLINE_S = 330.0
"""Longest wait for a device to answer, beyond the time until a request goes out to it."""
RETRY_DEADLINE_S = 60.0
"""Longest wait for a destination to say whether it takes one quarantined record."""

STREAM_DEADLINE_S = 3600.0
"""Longest time that a device may take to say what it has."""


class AgentClient:
    """One connection to the agent that listens on `path`.

    Entering raises as `address.check`. Every question raises AgentUnreachable if no answer comes
    within `deadline_s`, RequestInvalid or RequestFailed if the agent refuses it.
    """

    def __init__(self, path: Path, deadline_s: float = DEADLINE_S) -> None:
        self._path = path.absolute()
        self._deadline_s = deadline_s
        self._channel: grpc.Channel | None = None

    def __enter__(self) -> Self:
        """Check that somebody listens, then connect."""
        check(self._path)
        self._channel = grpc.insecure_channel(
            f"unix:{self._path}",
            options=(
                ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
                ("grpc.enable_http_proxy", 0),
            ),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def status(self) -> pb.StatusReply:
        """Ask for the gateway at a glance."""
        return self._ask("GetStatus", pb.StatusRequest(), pb.StatusReply.FromString)

    def devices(self) -> pb.DevicesReply:
        """Ask for every device."""
        return self._ask("ListDevices", pb.DevicesRequest(), pb.DevicesReply.FromString)

    def tags(self, device: str = "", pattern: str = "") -> Iterator[pb.TagsReply]:
        """Ask for the tags that match, page by page, at least one page."""
        offset = 0
        while True:
            request = pb.TagsRequest(device=device, pattern=pattern, limit=PAGE_TAGS, offset=offset)
            page = self._ask("ListTags", request, pb.TagsReply.FromString)
            yield page
            offset += len(page.tags)
            if not page.tags or offset >= page.matched:
                return

    def read(self, tags: Sequence[str]) -> pb.ReadReply:
        """Ask for the last values of `tags`, each written `DEVICE/TAG`."""
        reply = pb.ReadReply()
        for start in range(0, len(tags), READ_TAGS):
            request = pb.ReadRequest(tags=tags[start : start + READ_TAGS])
            reply.MergeFrom(self._ask("ReadTags", request, pb.ReadReply.FromString))
        return reply

    def ledger(self) -> pb.LedgerReply:
        """Ask for the running account."""
        return self._ask("GetLedger", pb.LedgerRequest(), pb.LedgerReply.FromString)

    def uplinks(self) -> pb.UplinksReply:
        """Ask for every uplink."""
        return self._ask("ListUplinks", pb.UplinksRequest(), pb.UplinksReply.FromString)

    def journal_status(self) -> pb.JournalStatusReply:
        """Ask for the journal at a glance."""
        return self._ask(
            "GetJournalStatus", pb.JournalStatusRequest(), pb.JournalStatusReply.FromString
        )

    def segments(self, stream: str = "") -> pb.SegmentsReply:
        """Ask for the segments of `stream`, of all if empty."""
        request = pb.SegmentsRequest(stream=stream)
        return self._ask("ListSegments", request, pb.SegmentsReply.FromString)

    def records(
        self, stream: str = "", seq_from: int = 0, limit: int = 0, run: int = 0
    ) -> pb.ShowReply:
        """Ask for records of `stream` from `seq_from` of the epoch with the number `run` on.

        0 and empty leave it to the agent.
        """
        request = pb.ShowRequest(stream=stream, seq_from=seq_from, limit=limit, epoch_number=run)
        return self._ask("ShowRecords", request, pb.ShowReply.FromString)

    def quarantine(self, uplink: str = "") -> pb.QuarantineReply:
        """Ask for what is set aside for `uplink`, for all if empty, oldest first."""
        request = pb.QuarantineRequest(uplink=uplink)
        return self._ask("ListQuarantine", request, pb.QuarantineReply.FromString)

    def retry_quarantined(self, ids: Sequence[str]) -> Iterator[pb.QuarantineDone]:
        """Have these sent once more, one after the other; give what became of each."""
        for one in ids:
            yield self._ask(
                "RetryQuarantined",
                pb.QuarantineChoice(ids=[one]),
                pb.QuarantineDone.FromString,
                deadline_s=max(self._deadline_s, RETRY_DEADLINE_S),
            )

    def drop_quarantined(self, ids: Sequence[str]) -> pb.QuarantineDone:
        """Have these removed for good."""
        reply = pb.QuarantineDone()
        for start in range(0, len(ids), QUARANTINE_IDS):
            request = pb.QuarantineChoice(ids=ids[start : start + QUARANTINE_IDS])
            reply.MergeFrom(self._ask("DropQuarantined", request, pb.QuarantineDone.FromString))
        return reply

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

    def _follow(self, method: str, request: Message, parse: Callable[[bytes], R]) -> Iterator[R]:
        """Give the replies of a question that takes the device as long as it takes."""
        if self._channel is None:
            raise RuntimeError("AgentClient is used outside of its `with` block")
        call: Any = self._channel.unary_stream(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=parse,
        )
        try:
            yield from call(request, timeout=STREAM_DEADLINE_S)
        except grpc.RpcError as error:
            raise self._translated(error, STREAM_DEADLINE_S) from error

    def write(self, request: pb.WriteRequest) -> pb.WriteReply:
        """Have a tag written; give how it ended."""
        limit_s = max(self._deadline_s, request.deadline_s + DEVICE_DEADLINE_S)
        return self._ask("WriteTag", request, pb.WriteReply.FromString, limit_s)

    def call(self, request: pb.CallRequest) -> pb.WriteReply:
        """Have a method called; give how it ended."""
        limit_s = max(self._deadline_s, request.deadline_s + DEVICE_DEADLINE_S)
        return self._ask("CallMethod", request, pb.WriteReply.FromString, limit_s)

    def _ask(
        self,
        method: str,
        request: Message,
        parse: Callable[[bytes], R],
        deadline_s: float | None = None,
    ) -> R:
        if self._channel is None:
            raise RuntimeError("AgentClient is used outside of its `with` block")
        call: Any = self._channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=parse,
        )
        limit_s = self._deadline_s if deadline_s is None else deadline_s
        try:
            reply: R = call(request, timeout=limit_s)
        except grpc.RpcError as error:
            raise self._translated(error, limit_s) from error
        return reply

    def _translated(self, error: Any, limit_s: float) -> ControlError:  # noqa: ANN401 - RpcError and Call in one
        """Give the ControlError that says what `error` means to a person."""
        code: grpc.StatusCode = error.code()
        details: str = error.details() or code.name
        hint = dict(error.trailing_metadata() or ()).get(HINT_KEY, b"").decode()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return AgentUnreachable(
                f"the agent at {self._path} did not answer within {limit_s:g} s",
                hint="see `systemctl status forebay`; if it hangs, restart it",
            )
        if code is grpc.StatusCode.UNAVAILABLE:
            return AgentUnreachable(
                f"the agent at {self._path} hung up ({details})",
                hint="it may be stopping; see `systemctl status forebay`",
            )
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return RequestInvalid(details, hint=hint)
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return RequestFailed(
                "the agent does not know this command", hint="restart it after the upgrade"
            )
        return RequestFailed(details, hint=hint or "see the agent's log: `journalctl -u forebay`")
