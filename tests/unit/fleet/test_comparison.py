"""Two accounts of one stream: which differences have a reason, and which are a fault."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.comparison import (
    GatewayAccount,
    ServerAccount,
    Verdict,
    compare,
    gateway_accounts,
    taken_ns,
)
from forebay_fleet.errors import UsageError
from support.fleet import FleetServer, Gateway, record
from support.fleet_ingest import batch, gap, schema

if TYPE_CHECKING:
    from pathlib import Path

HERE = ServerAccount(samples=900, gapped=70, refused=20, forked=10)


def there(
    delivered: int = 900, pending: int = 0, gapped: int = 70, more: int = 0
) -> GatewayAccount:
    """A gateway that balances, but for `more`."""
    return GatewayAccount(
        delivered + pending + gapped + 30 + more, delivered, pending, gapped, quarantined=30
    )


@pytest.mark.parametrize(
    ("gateway", "server", "verdict", "reason"),
    [
        (there(), HERE, Verdict.AGREE, ""),
        (there(more=5), HERE, Verdict.DIFFER, "cannot account for 5 samples itself"),
        (there(850, pending=60), HERE, Verdict.UNDER_WAY, "50 samples are stored here"),
        (there(850), HERE, Verdict.UNDER_WAY, "50 samples are newer"),
        (there(910), HERE, Verdict.DIFFER, "10 delivered samples are not here"),
        (there(gapped=90), HERE, Verdict.DIFFER, "20 samples that the gateway counts as gone"),
        (there(gapped=90, pending=5), HERE, Verdict.UNDER_WAY, "Gap records for 20 samples"),
        (there(gapped=60), HERE, Verdict.DIFFER, "10 samples are counted as gone here"),
        (there(gapped=60, pending=10), HERE, Verdict.UNDER_WAY, "still wait there"),
    ],
)
def test_verdicts(
    gateway: GatewayAccount, server: ServerAccount, verdict: Verdict, reason: str
) -> None:
    answer = compare("telemetry", gateway, server)
    assert answer.verdict is verdict
    assert reason in "; ".join(answer.reasons)
    assert bool(answer.reasons) is (verdict is not Verdict.AGREE)


@pytest.mark.parametrize(
    ("newer", "verdict", "reasons"),
    [
        (50, Verdict.UNDER_WAY, ["50 samples are newer"]),
        (70, Verdict.UNDER_WAY, ["50 samples are newer"]),
        (20, Verdict.DIFFER, ["20 samples are newer", "30 samples of this gateway came before"]),
        (0, Verdict.DIFFER, ["50 samples of this gateway came before its account"]),
    ],
)
def test_only_what_came_after_the_account_may_be_newer(
    newer: int, verdict: Verdict, reasons: list[str]
) -> None:
    answer = compare("telemetry", there(850), replace(HERE, newer=newer))
    assert answer.verdict is verdict
    assert [said[: len(reason)] for said, reason in zip(answer.reasons, reasons, strict=True)] == (
        reasons
    )


def test_what_a_restored_store_lost_is_explained() -> None:
    server = ServerAccount(samples=500, restored=True)
    assert compare("t", GatewayAccount(900, 900), server).verdict is Verdict.EXPLAINED
    assert compare("t", GatewayAccount(900, 500, 0, 400), server).verdict is Verdict.EXPLAINED


def test_what_the_gateway_cannot_show_that_it_delivered_may_be_here() -> None:
    """It lost its cursor, or came back to a restored store: it counts its own past as gapped."""
    server = ServerAccount(samples=510, earlier=12, restored=True)
    answer = compare("t", GatewayAccount(900, 500, 0, 400), server)
    assert answer.verdict is Verdict.EXPLAINED
    assert [reason.split()[0] for reason in answer.reasons] == ["10", "390"]


def test_what_was_gone_before_the_gateway_came_is_explained() -> None:
    server = ServerAccount(samples=500, earlier=12)
    answer = compare("t", GatewayAccount(900, 500, 0, 400), server)
    assert answer.verdict is Verdict.EXPLAINED
    assert "12 positions" in answer.reasons[0]


def line(uplink: str, **counts: Any) -> dict[str, Any]:
    zeros = dict.fromkeys(GatewayAccount.__dataclass_fields__, 0)
    return {"stream": "telemetry", "uplink": uplink, "accepted": 3, **zeros, **counts}


def test_an_uplink_has_to_be_named_where_there_are_several() -> None:
    document = json.dumps({"lines": [line("a", delivered=1), line("b", delivered=2)]}).encode()
    assert gateway_accounts(document, "b") == {"telemetry": GatewayAccount(delivered=2)}
    with pytest.raises(UsageError, match="a, b"):
        gateway_accounts(document, None)
    with pytest.raises(UsageError, match="no uplink 'c'"):
        gateway_accounts(document, "c")


@pytest.mark.parametrize(
    "document",
    [
        *("", "[]", "{}", "null", '{"lines": 3}', '{"lines": [3]}', "[" * 100_000),
        '{"lines": []}',
        json.dumps({"lines": [line("cloud", delivered="1")]}),
        json.dumps({"lines": [line("cloud", delivered=-1)]}),
        json.dumps({"lines": [line("cloud", delivered=True)]}),
        json.dumps({"lines": [line("cloud", delivered=1 << 63)]}),
        json.dumps({"lines": [{"uplink": "cloud"}]}),
    ],
)
def test_what_is_no_account_is_refused(document: str) -> None:
    with pytest.raises(UsageError):
        gateway_accounts(document.encode(), None)


def test_an_account_may_say_when_it_was_taken() -> None:
    assert taken_ns(b'{"taken_ns": 17, "lines": []}') == 17
    assert taken_ns(b'{"lines": []}') is None
    for wrong in (b'"now"', b"-1", b"1.5", b"true", b"9223372036854775808"):
        with pytest.raises(UsageError):
            taken_ns(b'{"taken_ns": ' + wrong + b"}")


async def test_samples_of_another_box_are_found(tmp_path: Path) -> None:
    """They came two minutes before this box was asked, and it knows nothing of them."""
    file = tmp_path / "ledger.json"
    minute_ns = 60 * 10**9
    now_ns = time.time_ns()

    def against(server: FleetServer, taken_ns: int | None) -> tuple[int, str, str]:
        told = {} if taken_ns is None else {"taken_ns": taken_ns}
        account = line("cloud", produced=30, delivered=30)
        file.write_text(json.dumps({"lines": [account], **told}))
        done = server.command("ledger", "--gateway", "g", "--against", str(file))
        return done.returncode, done.stdout.splitlines()[1].split("  ")[-1], done.stdout

    with FleetServer(tmp_path) as server:
        async with Gateway(server.address, server.issue("g"), "g") as gateway:
            await gateway.send(schema(1), batch(2, 50))
            await gateway.ack_up_to(2)
        assert against(server, now_ns)[:2] == (0, "under way")
        server.stop()
        with apsw.Connection(str(server.data / "fleet.db")) as db:
            db.execute("UPDATE records SET received_ns = received_ns - ?", (2 * minute_ns,))
        code, verdict, text = against(server, now_ns)
        assert (code, verdict) == (1, "differ")
        assert "20 samples of this gateway came before its account" in text
        assert "the gateway's account is " in text
        assert against(server, now_ns - 2 * minute_ns)[:2] == (0, "under way")
        code, verdict, text = against(server, now_ns + 10 * minute_ns)
        assert (code, verdict) == (0, "under way")
        assert "the gateway's clock is " in text
        assert " min ahead: what is newer" in text
        code, verdict, text = against(server, None)
        assert (code, verdict) == (0, "under way")
        assert "does not say when it was taken" in text
        server.start()


async def test_the_command_says_whether_both_agree(tmp_path: Path) -> None:
    with FleetServer(tmp_path) as server:
        async with Gateway(server.address, server.issue("g"), "g") as gateway:
            await gateway.send(
                *(schema(1), batch(2, 50), gap(3, 0, 0, samples=7, epoch=0)),
                *(gap(5, 4, 4, samples=3), record(6, uplink_pb2.GAP, b"\x08\x63", samples=2)),
            )
            await gateway.ack_up_to(6)
        file = tmp_path / "ledger.json"

        def against(*words: str, **counts: int) -> tuple[int, str]:
            file.write_text(json.dumps({"lines": [line("cloud", **counts)], "total": {}}))
            done = server.command("ledger", "--gateway", "g", "--against", str(file), *words)
            return done.returncode, done.stdout + done.stderr

        code, text = against(produced=62, delivered=50, gapped=10, quarantined=2)
        assert (code, text.splitlines()[1].split()[-1]) == (0, "agree")
        assert max(map(len, text.splitlines())) <= 80
        code, text = against(produced=63, delivered=51, gapped=10, quarantined=2)
        assert (code, "1 delivered samples are not here" in text) == (1, True)
        code, text = against("--json", produced=62, delivered=40, pending=22)
        (stream,) = json.loads(text)["streams"]
        assert (code, stream["verdict"]) == (0, "under way")
        assert stream["server"]["gapped"] == 10
        code, text = against("--uplink", "other", produced=1)
        assert (code, "no uplink 'other'" in text) == (2, True)
        nameless = server.command("ledger", "--against", str(file))
        assert (nameless.returncode, "name it: --gateway" in nameless.stderr) == (2, True)
        nowhere = server.command("ledger", "--gateway", "g", "--against", str(tmp_path / "none"))
        assert (nowhere.returncode, "No such file" in nowhere.stderr) == (2, True)
