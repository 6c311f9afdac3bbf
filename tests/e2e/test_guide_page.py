"""The guide to the page, typed line by line; only the ports are others."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from forebay_fleet.access.oidc.settings import load
from support.pages import PASSWORD
from support.processes import free_port
from support.shown import commands
from support.typist import GUIDES, Typist, blocks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.mark.follows("docs/guides/page.md", "docs/reference/metrics.md")
async def test_the_page(tmp_path: Path) -> None:
    guide = (GUIDES / "page.md").read_text("utf-8")
    ports = {name: str(free_port()) for name in ("7443", "7444", "8443")}
    typed = commands(guide)
    reference = (GUIDES.parent / "reference/metrics.md").read_text("utf-8")
    typed += commands(reference)
    assert len(typed) == 10
    async with AsyncExitStack() as stack:
        typist = Typist(tmp_path, stack)
        said: dict[str, str] = {}
        for line in typed:
            ours = re.sub("7443|7444|8443", lambda found: ports[found[0]], line)
            answer = PASSWORD if "user add" in line else ""
            token = re.search(r"fba1_\S+", "".join(said.values()))
            ours = ours.replace("$TOKEN", token[0] if token else "")
            code, said[line] = await typist.type(ours, answer)
            assert code == 0, (line, said[line])
            if "serve" in line:
                health = f"https://localhost:{ports['8443']}/healthz"
                await typist.until(f"curl -sS --cacert pki/ca.crt {health}", str)
    text = "".join(said.values())
    assert re.search(r"ada +admin +password +active", text)
    assert "user.add" in text
    assert re.search(r"fba1_\S{40}", text)
    assert re.search(r"mes +viewer +open", text)
    assert '{"gateways":[],"after":null}' in text


def test_the_file_of_the_provider_is_sound(tmp_path: Path) -> None:
    (table,) = blocks((GUIDES / "page.md").read_text("utf-8"), "toml")
    (tmp_path / "oidc.toml").write_text(table, "utf-8")
    (tmp_path / "oidc.secret").write_text("secret", "utf-8")
    settings, secret = load(tmp_path / "oidc.toml")
    assert secret == "secret"
    assert settings.roles["line-leads"] == "operator"
