"""Labels, groups, variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay_fleet.access import trail
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import gateways
from forebay_fleet.registry import Registry
from forebay_fleet.rollouts import labels
from support.rollout_boxes import ANNA, Boxes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry(tmp_path) as opened:
        Boxes(opened, tmp_path, ["a", "b", "c"])
        labels.put(opened, ANNA, "a", {"line": "3", "canary": "yes"}, "first")
        labels.put(opened, ANNA, "b", {"line": "3"}, "")
        yield opened


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("*", ["a", "b", "c"]),
        ("line=3", ["a", "b"]),
        ("line=3,canary", ["a"]),
        ("line!=3", ["c"]),
        ("line = 3 , canary != yes", ["b"]),
        ("@third", ["a", "b"]),
        ("line=4", []),
    ],
)
def test_selectors(registry: Registry, selector: str, found: list[str]) -> None:
    labels.put_group(registry, ANNA, "third", "line=3", "")
    assert labels.select(registry, selector) == found


@pytest.mark.parametrize("wrong", ["", "a=b=c", "line=", "=3", "line=3;x", "Line=3", "@none"])
def test_what_is_no_selector(registry: Registry, wrong: str) -> None:
    with pytest.raises(UsageError):
        labels.select(registry, wrong)


def test_revoked_boxes_are_not_selected(registry: Registry) -> None:
    with registry.transaction() as db:
        gateways.deny(db, gateways.Denied("b", "revoked", "sold", 1))
    assert labels.select(registry, "*") == ["a", "c"]


def test_labels_go_and_who_did_it_stays(registry: Registry) -> None:
    labels.put(registry, ANNA, "a", {"canary": None, "line": "4"}, "moved")
    assert labels.every(registry) == {"a": {"line": "4"}, "b": {"line": "3"}}
    newest = trail.entries(registry, subject="a")[0]
    assert (newest.who, newest.why, newest.details) == (
        "anna",
        "moved",
        {"canary": None, "line": "4"},
    )
    with pytest.raises(UsageError, match="no gateway 'z'"):
        labels.put(registry, ANNA, "z", {"line": "1"}, "")
    with pytest.raises(UsageError, match="no label"):
        labels.put(registry, ANNA, "a", {"Line": "1"}, "")
    with pytest.raises(UsageError, match="no time zone"):
        labels.put(registry, ANNA, "a", {"timezone": "Europe/Entenhausen"}, "")
    with pytest.raises(UsageError, match="would have 65 labels"):
        labels.put(registry, ANNA, "a", {f"n{number}": "1" for number in range(64)}, "")
    assert labels.every(registry)["a"] == {"line": "4"}


def test_variables(registry: Registry) -> None:
    labels.put_variables(registry, ANNA, "a", {"plc": "192.0.2.7", "port": 502, "on": True}, "")
    labels.put_variables(registry, ANNA, "a", {"on": None}, "")
    assert labels.variables(registry) == {"a": {"plc": "192.0.2.7", "port": 502}}
    with pytest.raises(UsageError, match="no variable"):
        labels.put_variables(registry, ANNA, "a", {"PLC": "x"}, "")
    assert labels.values(registry, "a") == {"plc": "192.0.2.7", "port": 502, "gateway": "a"}
    for wrong in ({"gateway": "b"}, {"x": 2**63}, {"x": "\udcff"}, {"x": "a\0b"}):
        with pytest.raises(UsageError):
            labels.put_variables(registry, ANNA, "a", wrong, "")
    with pytest.raises(UsageError, match="longer"):
        labels.put_variables(registry, ANNA, "a", {"x": "y" * 5000}, "")


def test_groups_have_names(registry: Registry) -> None:
    labels.put_group(registry, ANNA, "third", "line=3", "")
    assert labels.groups(registry) == {"third": "line=3"}
    labels.put_group(registry, ANNA, "third", None, "")
    assert labels.groups(registry) == {}
    with pytest.raises(UsageError):
        labels.put_group(registry, ANNA, "No", "line=3", "")
