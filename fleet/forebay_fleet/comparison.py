"""Whether a gateway and this server tell the same story of a stream, and if not, why that may be.

Pure: owns the mapping of the two accounts (docs/reference/fleet.md, "Compared with the gateway")
and the reasons. Must not know files or how the answer is shown.

    gateway                         server
    delivered                       samples
    gapped + quarantined            gapped + refused + forked
    produced - pending              all of these
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forebay_fleet.store.reader import LineRow

MAX_DOCUMENT_BYTES = 16 << 20
CLOCKS_DIFFER_NS = 60 * 10**9
"""By so much the clocks of a gateway and of this server may differ, and nobody notices."""
_HINT = "give what `forebay ledger --json` prints on the gateway"


class Verdict(StrEnum):
    """What comparing found; all but DIFFER are as it should be.

    UNDER_WAY: what differs is sent, or waits to be, and not yet acknowledged. EXPLAINED: the
    gateway knows of what was gone before it first came here, or of what this server's store lost.
    """

    AGREE = "agree"
    UNDER_WAY = "under way"
    EXPLAINED = "explained"
    DIFFER = "differ"


@dataclass(frozen=True, slots=True)
class GatewayAccount:
    """One stream as the gateway tells it for one uplink, in samples."""

    produced: int = 0
    delivered: int = 0
    pending: int = 0
    gapped: int = 0
    quarantined: int = 0

    @property
    def gone(self) -> int:
        """What this server will not get, or not as a sample."""
        return self.gapped + self.quarantined

    @property
    def missing(self) -> int:
        """What the gateway itself cannot account for; a defect unless it is 0."""
        return self.produced - self.delivered - self.pending - self.gone


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """One stream as this server has it, in samples but for `open` and `earlier`.

    Those are positions: known and not here yet; gone before the gateway came here. `restored` says
    that this store was once put back from a backup. `newer` of the samples may have come after the
    gateway gave its account; None if nobody can know, then all may.
    """

    samples: int = 0
    gapped: int = 0
    refused: int = 0
    forked: int = 0
    open: int = 0
    earlier: int = 0
    restored: bool = False
    newer: int | None = None

    @property
    def gone(self) -> int:
        """What is not here as a sample and accounted for."""
        return self.gapped + self.refused + self.forked


@dataclass(slots=True)
class Comparison:
    """The answer for one stream."""

    stream: str
    gateway: GatewayAccount
    server: ServerAccount
    verdict: Verdict = Verdict.AGREE
    reasons: list[str] = field(default_factory=list)

    def found(self, verdict: Verdict, reason: str) -> None:
        """Note a difference. The worst verdict stays; `Verdict` lists them from good to bad."""
        order = list(Verdict)
        self.verdict = max(self.verdict, verdict, key=order.index)
        self.reasons.append(reason)

    def as_dict(self) -> dict[str, Any]:
        """Give it for JSON."""
        return asdict(self) | {"verdict": self.verdict.value}


def compare(stream: str, gateway: GatewayAccount, server: ServerAccount) -> Comparison:
    """Compare one stream: the gateway's account first, this server's a moment later."""
    answer = Comparison(stream, gateway, server)
    if gateway.missing:
        answer.found(
            Verdict.DIFFER,
            f"the gateway cannot account for {abs(gateway.missing)} samples itself: a defect there",
        )
    ahead = server.samples - gateway.delivered
    more = server.gone - gateway.gone
    waited = max(0, min(ahead, gateway.pending))
    kept = max(0, min(ahead - waited, -more))
    if kept:
        answer.found(
            Verdict.EXPLAINED,
            f"{kept} samples are here that the gateway counts as gapped: it cannot show any more"
            " that it delivered them",
        )
    _compare_delivered(answer, ahead - kept, waited)
    _compare_gone(answer, more + kept, newer=ahead > waited + kept and server.newer != 0)
    return answer


def _compare_delivered(answer: Comparison, ahead: int, waited: int) -> None:
    """`ahead` samples are here beyond those delivered; `waited` of them may still be pending."""
    if waited:
        answer.found(
            Verdict.UNDER_WAY,
            f"{waited} samples are stored here that the gateway has no ack for yet",
        )
    surplus = max(0, ahead - waited)
    newer = surplus if answer.server.newer is None else min(surplus, answer.server.newer)
    if newer:
        answer.found(
            Verdict.UNDER_WAY,
            f"{newer} samples are newer than the gateway's account: take it again",
        )
    if surplus > newer:
        answer.found(
            Verdict.DIFFER,
            f"{surplus - newer} samples of this gateway came before its account and are not in it:"
            " another box, or an older journal of this one, wrote here too",
        )
    if ahead < 0 and answer.server.restored:
        answer.found(
            Verdict.EXPLAINED,
            f"{-ahead} delivered samples are not here: this store was restored from a backup, and"
            " they come again if the gateway still has them",
        )
    elif ahead < 0:
        answer.found(
            Verdict.DIFFER,
            f"{-ahead} delivered samples are not here: they went to another server, or this store"
            " lost them; see ledger --verify",
        )


def _compare_gone(answer: Comparison, more: int, *, newer: bool) -> None:
    """`more` samples are counted as gone here than there; `newer`: so are samples stored."""
    gateway, server = answer.gateway, answer.server
    if more < 0 and server.earlier:
        answer.found(
            Verdict.EXPLAINED,
            f"{-more} samples were gone before the gateway first came here, or came back to a"
            f" restored store: {server.earlier} positions here are from before that",
        )
    elif more < 0 and (gateway.pending or server.open):
        answer.found(Verdict.UNDER_WAY, f"the Gap records for {-more} samples have not come yet")
    elif more < 0 and server.restored:
        answer.found(
            Verdict.EXPLAINED,
            f"{-more} samples that the gateway no longer has were in the store that was lost",
        )
    elif more < 0:
        answer.found(
            Verdict.DIFFER,
            f"{-more} samples that the gateway counts as gone are not told of here: the uplink is"
            " younger than they are, or their Gap records are missing",
        )
    elif more > 0 and (newer or more <= gateway.pending):
        answer.found(
            Verdict.UNDER_WAY, f"{more} samples are accounted for here that still wait there"
        )
    elif more > 0:
        answer.found(
            Verdict.DIFFER,
            f"{more} samples are counted as gone here and not there: take the gateway's account"
            " again; if it stays, Gaps overlap in part (see ledger --verify)",
        )


def server_accounts(
    lines: Iterable[LineRow],
    open_: dict[int, int],
    newer: dict[int, int] | None,
    *,
    restored: bool,
) -> dict[int, ServerAccount]:
    """Add up a gateway's lines by stream.

    `open_` are the watermarks' counts, `newer` the samples that came after the gateway's account.
    """
    of_stream: dict[int, list[LineRow]] = {}
    for line in lines:
        of_stream.setdefault(line.stream, []).append(line)
    return {
        stream: ServerAccount(
            samples=sum(line.samples for line in own),
            gapped=sum(line.gapped for line in own),
            refused=sum(line.refused for line in own),
            forked=sum(line.forked for line in own),
            open=open_.get(stream, 0),
            earlier=sum(line.gone_earlier for line in own),
            restored=restored,
            newer=None if newer is None else newer.get(stream, 0),
        )
        for stream, own in of_stream.items()
    }


def gateway_accounts(document: bytes, uplink: str | None) -> dict[str, GatewayAccount]:
    """Read what `forebay ledger --json` prints: the accounts of one uplink, by stream.

    Raises:
        UsageError: it is none, or has no such uplink, or several and `uplink` is None.
    """
    lines = _lines(document)
    names = sorted({str(line.get("uplink", "")) for line in lines} - {""})
    if uplink is None and len(names) != 1:
        raise UsageError(
            f"it has the uplinks {', '.join(names) or '(none)'}", hint="name one: --uplink NAME"
        )
    wanted = names[0] if uplink is None else uplink
    if wanted not in names:
        raise UsageError(
            f"it has no uplink {wanted!r}", hint=f"it has: {', '.join(names) or 'none'}"
        )
    return {
        str(line.get("stream", "")): _account(line) for line in lines if line["uplink"] == wanted
    }


def taken_ns(document: bytes) -> int | None:
    """Read when the gateway gave its account, by its clock; None if it does not say.

    Raises:
        UsageError: it is no account.
    """
    found = _read(document).get("taken_ns")
    if found is None:
        return None
    if type(found) is not int or not 0 <= found < 1 << 63:
        raise UsageError("the time of the gateway's account is none", hint=_HINT)
    return found


def _read(document: bytes) -> dict[str, Any]:
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageError("that is no account of a gateway", hint=_HINT)
    return found


def _lines(document: bytes) -> Sequence[dict[str, Any]]:
    lines = _read(document).get("lines")
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise UsageError("that is no account of a gateway", hint=_HINT)
    return lines


def _account(line: dict[str, Any]) -> GatewayAccount:
    counts = {name: line.get(name) for name in GatewayAccount.__dataclass_fields__}
    if not all(type(count) is int and 0 <= count < 1 << 63 for count in counts.values()):
        raise UsageError("a count of the gateway's account is no number", hint=_HINT)
    return GatewayAccount(**counts)  # type: ignore[arg-type] # checked above
