"""The commands about people, programs and the audit, and what they refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from forebay_fleet.cli import app
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import gateways
from forebay_fleet.identity.gateways import GatewayRow
from forebay_fleet.identity.opening import ENROLLMENT
from forebay_fleet.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

PASSWORD = "four unrelated words here\n"


def run(data: Path, *words: str, told: str = "") -> Result:
    return CliRunner().invoke(app, [*words, "--data", str(data)], input=told)


def ask(data: Path, *words: str, told: str = "") -> Any:
    done = run(data, *words, "--json", told=told)
    assert done.exit_code == 0, done
    return json.loads(done.stdout)


def test_a_user_from_the_first_day_to_the_last(tmp_path: Path) -> None:
    assert ask(tmp_path, "user", "add", "ada", "--role", "admin", told=PASSWORD) == {
        "name": "ada",
        "role": "admin",
    }
    ask(tmp_path, "user", "add", "bob", told=PASSWORD)
    ask(tmp_path, "user", "role", "bob", "operator", "--why", "night shift")
    ask(tmp_path, "user", "passwd", "bob", told=PASSWORD.upper())
    assert ask(tmp_path, "user", "disable", "bob")["state"] == "disabled"
    rows = ask(tmp_path, "user", "list")
    assert [(row["name"], row["role"], row["disabled"]) for row in rows] == [
        ("ada", "admin", False),
        ("bob", "operator", True),
    ]
    assert "password" not in rows[0]
    assert ask(tmp_path, "user", "enable", "bob")["state"] == "active"
    told = ask(tmp_path, "audit", "--subject", "bob")
    assert [entry["what"] for entry in told] == [
        *("user.enable", "user.disable", "user.password", "user.role", "user.add"),
    ]
    assert told[3]["why"] == "night shift"
    assert "night shift" in run(tmp_path, "audit").stdout
    table = run(tmp_path, "user", "list").stdout
    assert "operator" in table


def test_a_token_is_shown_once_and_ends(tmp_path: Path) -> None:
    shown = run(tmp_path, "api-token", "add", "mes", "--for", "1h")
    text = shown.stdout.splitlines()[-1]
    assert text.startswith("fba1_")
    (row,) = ask(tmp_path, "api-token", "list")
    assert (row["name"], row["role"], row["state"]) == ("mes", "viewer", "open")
    assert text not in run(tmp_path, "api-token", "list").stdout
    ask(tmp_path, "api-token", "revoke", row["id"], "--why", "seen in a log")
    assert ask(tmp_path, "api-token", "list")[0]["state"] == "revoked"


@pytest.mark.parametrize(
    ("words", "told", "said"),
    [
        (("user", "add", "ada"), "short\n", "12 to 256 characters"),
        (("user", "add", "ada"), "", "no password to read"),
        (("user", "add", "ada", "--role", "king"), PASSWORD, "no role 'king'"),
        (("user", "add", "a b"), PASSWORD, "no user's name"),
        (("user", "passwd", "nobody"), PASSWORD, "no user 'nobody'"),
        (("user", "disable", "nobody"), "", "no user 'nobody'"),
        (("api-token", "add", "mes", "--for", "400d"), "", "a year at most"),
        (("api-token", "add", "a b"), "", "is no name"),
        (("api-token", "revoke", "00"), "", "no token '00'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_hint(
    tmp_path: Path, words: tuple[str, ...], told: str, said: str
) -> None:
    done = run(tmp_path, *words, told=told)
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)
    assert done.exception.hint


def test_whatever_a_command_changes_for_boxes_stands_in_the_audit(tmp_path: Path) -> None:
    with Registry(tmp_path) as registry:
        registry.tell("pin", "ab" * 32)
        registry.tell(ENROLLMENT, "127.0.0.1:7444")
        with registry.transaction() as db:
            gateways.put(db, GatewayRow("gw-1", b"k", 1, 0, b"k", b"c", 0, "", 0, 0, 0))
    (tmp_path / "forebay.toml").write_text('[gateway]\nid = "gw-1"\n', "utf-8")
    ask(tmp_path, "push", "gw-1", str(tmp_path / "forebay.toml"), "--reason", "by hand")
    ask(tmp_path, "move", "gw-1", "127.0.0.1:7443")
    write = ("send", "write", "gw-1", "oven/setpoint", "180", "--wait", "0", "--reason", "recipe 7")
    ask(tmp_path, *write)
    ask(tmp_path, "gateways", "revoke", "gw-1", "--reason", "stolen")
    ask(tmp_path, "gateways", "unlock", "gw-1")
    token = ask(tmp_path, "token", "create", "--gateway", "gw-2")
    ask(tmp_path, "token", "revoke", token["id"])
    told = ask(tmp_path, "audit", "--subject", "gw-1")[::-1]
    assert [(one["what"], one["why"]) for one in told] == [
        *(("config.push", "by hand"), ("gateway.move", ""), ("command.write", "recipe 7")),
        *(("gateway.revoke", "stolen"), ("gateway.unlock", "")),
    ]
    assert {one["via"] for one in told} == {"command line"}
    sent = told[2]["details"]
    assert (sent["device"], sent["tag"], sent["uint_value"]) == ("oven", "setpoint", "180")
    made = ask(tmp_path, "audit", "--subject", token["id"])
    assert [one["what"] for one in made] == ["token.revoke", "token.create"]
    assert made[1]["details"]["gateway"] == "gw-2"
    before = len(ask(tmp_path, "audit"))
    for words in (
        *(("push", "gw-3", str(tmp_path / "forebay.toml")), ("move", "gw-3", "127.0.0.1:7443")),
        *(("gateways", "unlock", "gw-3"), ("token", "revoke", token["id"] + "0")),
    ):
        assert run(tmp_path, *words).exit_code != 0
    assert len(ask(tmp_path, "audit")) == before  # what was not done is not there
