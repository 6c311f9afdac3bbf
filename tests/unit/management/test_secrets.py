"""Where secrets are found: names, files, settings of plugins, variables."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from forebay.management import secrets

if TYPE_CHECKING:
    from pathlib import Path


def found(text: str, base: Path) -> set[str]:
    return set(secrets.of_tables(tomllib.loads(text), base))


def test_what_stands_under_a_secrets_name_is_one(tmp_path: Path) -> None:
    text = """
[devices.keymachine]
protocol = "modbus"
host = "10.0.0.1"
password = "one-1"
[uplinks.cloud]
auth = { user = "me", any = ["two-2", "three-3"] }
pin = 4711
"""
    assert found(text, tmp_path) == {"one-1", "me", "two-2", "three-3", "4711"}


def test_files_that_hold_secrets_are_read_and_their_paths_are_none(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("line one\nline two\n", "utf-8")
    pem = "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\n"
    (tmp_path / "k.pem").write_text(pem, "utf-8")
    told = found('[devices.a]\npassword_file = "pw"\nkey = "k.pem"\nca = "pw"', tmp_path)
    assert {"line one", "line two", "MIIabc"} <= told
    assert not told & {"pw", "k.pem", "-----BEGIN PRIVATE KEY-----"}


def test_settings_of_a_plugin_may_hold_one_under_any_name(tmp_path: Path) -> None:
    text = """
[plugins.x]
plugin = "x"
[plugins.x.settings]
mode = "fast"
where = { to = "https://a:b@c", who = "abcd-1234-efgh" }
"""
    assert found(text, tmp_path) == {"https://a:b@c", "abcd-1234-efgh"}


def test_variables_and_credentials(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("deep", "utf-8")
    environ = {"A_TOKEN": "x1", "HOME": "/root", secrets.CREDENTIALS: str(tmp_path)}
    told = set(secrets.of_environment(environ))
    assert {"x1", "deep"} <= told
    assert "/root" not in told


def test_what_cannot_be_read_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (secrets.MAX_FILE_BYTES + 1))
    (tmp_path / "folder").mkdir()
    text = 'password_file = "large"\nkey = "folder"\ntoken = "\\u0000"\nsecret = "gone/away"'
    assert found(text, tmp_path) == {"folder", "\0", "gone/away"}
