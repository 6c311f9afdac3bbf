"""The demo passes only if everything produced is in the server's store, once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from forebay.cli.demo.processes import DemoFailed
from forebay.cli.demo.verdict import judge, last_account

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"produced": 100, "delivered": 100, "pending": 0, "gapped": 0, "quarantined": 0}
STORE = {"samples": 100, "duplicates": 0}


def test_all_delivered_once_balances_and_says_so_in_json() -> None:
    verdict = judge(GOOD, STORE)
    assert verdict.balanced
    assert json.loads(verdict.as_json()) == {**GOOD, "duplicates": 0}


@pytest.mark.parametrize(
    ("agent", "store"),
    [
        (GOOD, {"samples": 99, "duplicates": 0}),
        (GOOD, {"samples": 101, "duplicates": 0}),
        (GOOD, {"samples": 100, "duplicates": 1}),
        ({**GOOD, "delivered": 90, "pending": 10}, STORE),
        ({**GOOD, "delivered": 90, "gapped": 10}, STORE),
        ({**GOOD, "quarantined": 1}, STORE),
        ({**GOOD, "produced": 0, "delivered": 0}, {"samples": 0, "duplicates": 0}),
    ],
)
def test_anything_else_does_not(agent: dict[str, int], store: dict[str, int]) -> None:
    assert not judge(agent, store).balanced


def test_the_last_account_of_the_log_counts(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    lines = [{"event": "agent_stopped", "produced": n} for n in (1, 2)]
    log.write_text("noise\n" + "\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    assert last_account(log)["produced"] == 2
    log.write_text("noise\n", encoding="utf-8")
    with pytest.raises(DemoFailed):
        last_account(log)
