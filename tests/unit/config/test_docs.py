"""The reference: complete, true to the settings classes, and fresh in docs/reference."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forebay.config.docs import main, nested, page
from forebay.config.installed import installed
from forebay.config.jsonschema import PATTERNS, json_schema
from forebay.config.model import Config
from forebay.registry import Registry
from forebay.settings import DeviceSettings, TagSettings, UplinkSettings, parse_duration, parse_size
from support.fake_adapters import FakeRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def fake_page() -> str:
    return page(installed(FakeRegistry()))


@pytest.fixture(scope="module")
def fake_schema() -> dict[str, Any]:
    return json_schema(installed(FakeRegistry()))


def test_the_committed_reference_is_fresh(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_check_finds_what_write_mends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "reference"
    arguments = ["--directory", str(directory)]
    assert main([*arguments, "--check"]) == 1
    assert main([*arguments, "--write"]) == 0
    assert main([*arguments, "--check"]) == 0
    (directory / "config.md").write_text("old", "utf-8")
    capsys.readouterr()
    assert main([*arguments, "--check"]) == 1
    assert capsys.readouterr().out == f"stale: {directory / 'config.md'}\n"


def _models(*models: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in models:
        yield model
        fields = model.model_fields.items()
        yield from _models(*(inner for _, inner, _ in nested(fields, "")))


def test_every_key_of_core_and_installed_adapters_is_described() -> None:
    text = page(installed(Registry()))
    adapters = installed(Registry())
    models: list[type[BaseModel]] = [Config, DeviceSettings, TagSettings, UplinkSettings]
    models += [m for d in adapters.drivers for m in (d.settings, d.tag)]
    models += [s.settings for s in adapters.stages] + [u.settings for u in adapters.uplinks]
    for model in _models(*models):
        for name, field in model.model_fields.items():
            assert model is Config or f"| `{name}` |" in text, (model, name)
            described = field.description or name in {"protocol", "kind", "backoff"}
            assert described, f"{model.__name__}.{name} has no description"


def test_a_line_says_what_to_write_and_what_is_so_without_it(fake_page: str) -> None:
    assert "| `port` | whole number, from 1 to 65535 | `1` | Its port. |" in fake_page
    assert "| `pause` | duration, more than 0 s | `250 ms` | Its rest. |" in fake_page
    assert "| `host` | text | **required** | Where it is." in fake_page


def test_an_adapter_shows_only_what_it_adds(fake_page: str) -> None:
    part = fake_page.partition('### `protocol = "fake"`')[2].partition("\n### ")[0]
    keys = re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)
    assert keys[:7] == ["host", "port", "buffer", "pause", "ratio", "login", "rest"]
    assert "bit" in keys
    assert "timeout" not in keys


def test_a_table_within_a_table_shows_the_defaults_that_hold_there(fake_page: str) -> None:
    login = fake_page.partition("[devices.NAME.login]")[2]
    assert "| `user` | text, at most 8 characters | `plc` | Who. |" in login
    backoffs = fake_page.split("backoff]`\n")
    assert "`500 ms`" in backoffs[1].partition("##")[0]
    assert "`200 ms`" in backoffs[2].partition("##")[0]


def test_the_schema_lets_each_protocol_have_its_own_keys(fake_schema: dict[str, Any]) -> None:
    definitions = fake_schema["$defs"]
    devices = definitions["Config"]["properties"]["devices"]
    ((_, choice),) = devices["patternProperties"].items()
    assert choice["properties"]["protocol"]["enum"] == ["fake", "pushy"]
    assert choice["allOf"][0]["then"] == {"$ref": "#/$defs/FakeDevice"}
    device = definitions["FakeDevice"]["properties"]
    assert device["tags"]["anyOf"][1]["items"] == {"$ref": "#/$defs/FakeTag"}
    assert device["stages"]["items"]["properties"]["kind"]["enum"] == ["fake"]
    assert devices["additionalProperties"] is False
    assert definitions["FakeDevice"]["additionalProperties"] is False


def test_the_schema_takes_durations_and_sizes_as_text(fake_schema: dict[str, Any]) -> None:
    device = fake_schema["$defs"]["FakeDevice"]["properties"]
    assert device["pause"]["anyOf"][1] == {"type": "number", "exclusiveMinimum": 0}
    assert device["buffer"]["anyOf"][1] == {
        "type": "number",
        "minimum": 1024,
        "exclusiveMaximum": 1 << 30,
    }
    assert device["buffer"]["default"] == "4 KiB"


def test_every_reference_in_the_schema_leads_somewhere(fake_schema: dict[str, Any]) -> None:
    found = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(fake_schema)))
    assert found <= set(fake_schema["$defs"])
    assert {"Config", "FakeDevice", "FakeTag", "FakeUplink", "FakeStage"} <= found


@pytest.mark.parametrize("parser", [parse_duration, parse_size])
@pytest.mark.parametrize(
    "text",
    [
        *("250 ms", "1s", " 2 min ", "1.5 h", "30 d", "5", "x s", "-1 s", "1 w", "1 000 ms", ""),
        *("64 MiB", "1.5GiB", "3 B", "10 GB", "1 KiB\n"),
    ],
)
def test_the_schema_accepts_exactly_the_texts_that_are_accepted(parser: Any, text: str) -> None:
    try:
        parser(text)
        accepted = True
    except ValueError:
        accepted = False
    assert bool(re.search(PATTERNS[parser], text)) == accepted
