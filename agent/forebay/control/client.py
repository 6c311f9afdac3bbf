"""Asks a running agent over the control socket.

Owns the questions and their paging. Must not know how answers are shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay._proto import control_pb2 as pb
from forebay.control.carryquestions import CarryQuestions
from forebay.control.configquestions import ConfigQuestions
from forebay.control.devicequestions import DeviceQuestions
from forebay.control.limits import PAGE_TAGS, QUARANTINE_IDS, READ_TAGS
from forebay.control.pluginquestions import PluginQuestions
from forebay.control.tendquestions import TendQuestions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RETRY_DEADLINE_S = 60.0
"""Longest wait for a destination to say whether it takes one quarantined record."""


class AgentClient(CarryQuestions, ConfigQuestions, DeviceQuestions, PluginQuestions, TendQuestions):
    """One connection to the agent; see `Asking` for what it raises."""

    def status(self) -> pb.StatusReply:
        """Ask for the gateway at a glance."""
        return self._ask("GetStatus", pb.StatusRequest(), pb.StatusReply.FromString)

    def fleet(self) -> pb.FleetReply:
        """Ask how the line to the fleet server is."""
        return self._ask("GetFleet", pb.FleetRequest(), pb.FleetReply.FromString)

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
