"""`forebay demo`: an outage, an anomaly in it that is flagged, a ledger that balances."""

from __future__ import annotations

import json

import pytest

from support.processes import run_forebay

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.mark.long
async def test_the_anomaly_is_flagged_while_the_server_is_away_and_the_ledger_balances() -> None:
    code, said = await run_forebay("demo", "--seconds", "24")
    assert code == 0, said
    assert "the plugin flagged it" in said, said
    *_, last = said.splitlines()
    ledger = json.loads(last)
    assert ledger["produced"] == ledger["delivered"] > 0
    assert ledger == {**ledger, "pending": 0, "gapped": 0, "quarantined": 0, "duplicates": 0}
    lines = said.splitlines()
    quiet = [one for one in lines if "polling and forwarding" in one]
    assert not any("ANOMALY" in one for one in quiet), "it was flagged before it was there"
