"""What a person types: labels, variables from a spreadsheet, a rollout, a template for one box."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from forebay_fleet.cli import app
from forebay_fleet.errors import UsageError
from forebay_fleet.registry import Registry
from support.rollout_boxes import Boxes

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = '[gateway]\nid = "${gateway}"\n[devices.oven]\nhost = "${plc}"\n'


class Person:
    """Types commands on a data directory with boxes `a` and `b`."""

    def __init__(self, folder: Path) -> None:
        self.data, self.site = folder / "data", folder / "site"
        self.site.mkdir()
        (self.site / "forebay.toml").write_text(TEMPLATE, "utf-8")
        with Registry(self.data) as registry:
            self.boxes = Boxes(registry, self.data, ["a", "b"])

    def types(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, [*words, "--data", str(self.data)])
        assert done.exit_code == code, (done.output, done.exception)
        if code == 1:
            assert isinstance(done.exception, UsageError), done.exception
        return done.output

    def asks(self, *words: str) -> Any:
        return json.loads(self.types(*words, "--json"))

    def table(self, text: str) -> str:
        path = self.data.parent / "boxes.csv"
        path.write_bytes(text.encode("latin-1"))
        return str(path)

    def told(self, name: str) -> bytes:
        with Registry(self.data) as registry:
            return self.boxes.after_restart(registry).content(name)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


def test_a_rollout_from_a_spreadsheet_to_its_end(person: Person) -> None:
    site = str(person.site)
    person.types("label", "set", "a", "line=3", "--why", "as built")
    person.types("group", "set", "third", "line=3")
    assert person.asks("group", "list") == {"third": {"selector": "line=3", "boxes": 1}}
    faults = json.loads(person.types("rollout", "check", "*", site, "--json", code=2))["faults"]
    assert [one["path"] for one in faults["a"]] == ["forebay.toml:4"]
    person.types("rollout", "start", "*", site, code=1)
    assert person.asks("rollout", "list") == []
    person.types("variable", "import", person.table("gateway,plc,n\na,10.0.0.1,1\nb,10.0.0.2,\n"))
    assert person.asks("variable", "list", "a") == {"plc": "10.0.0.1", "n": 1}
    assert person.asks("variable", "list", "b") == {"plc": "10.0.0.2"}
    id_ = person.asks("rollout", "start", "@third", site, "--window", "00:00-24:00")["id"]
    person.types("rollout", "pause", id_, "--why", "later")
    shown = person.types("rollout", "show", id_)
    assert "paused: later" in shown
    assert "00:00-24:00 UTC, open" in shown
    person.types("rollout", "abort", id_, "--why", "wrong one")
    assert person.asks("rollout", "show", id_)["boxes"][0]["state"] == "left"
    assert len(person.asks("rollout", "show", id_, "--only", "left")["boxes"]) == 1
    assert person.asks("rollout", "show", id_, "--only", "failed")["boxes"] == []
    told = [(one["what"], one["why"]) for one in person.asks("audit", "--subject", id_)]
    assert told == [
        ("rollout.abort", "wrong one"),
        ("rollout.pause", "later"),
        ("rollout.start", ""),
    ]


@pytest.mark.parametrize(
    "text",
    ["name,plc\na,1\n", "gateway,plc\na,1,2\n", "gateway,plc\nz,1\n", "gateway,PLC\na,1\n", "\xff"],
)
def test_a_wrong_spreadsheet_is_told(person: Person, text: str) -> None:
    person.types("variable", "import", person.table(text), code=1)


def test_a_spreadsheet_counts_whole_or_not_at_all(person: Person) -> None:
    person.types("variable", "import", person.table("gateway,n\na,1\nz,2\n"), code=1)
    assert person.asks("variable", "list", "a") == {}
    person.types("label", "import", person.table("gateway,line\na,3\nb,a b\n"), code=1)
    assert person.asks("label", "list") == {"a": {}, "b": {}}
    person.types("label", "import", person.table("gateway,line,site\na,3,\nb,4,ulm\n"))
    assert person.asks("label", "list") == {"a": {"line": "3"}, "b": {"line": "4", "site": "ulm"}}


def test_one_box_gets_a_template_with_its_own_values(person: Person) -> None:
    site = str(person.site)
    person.types("push", "a", site, code=1)
    person.types("variable", "set", "a", "plc=oven.example.org")
    written = person.site.parent / "a"
    person.types("rollout", "render", "a", site, str(written))
    person.types("push", "a", site)
    assert (written / "forebay.toml").read_bytes() == person.told("a")
    person.types("rollout", "render", "a", site, str(written), code=1)
    assert person.told("a") == (b'[gateway]\nid = "a"\n[devices.oven]\nhost = "oven.example.org"\n')
