"""The check of a configuration that nobody runs yet, in a process that limits itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from forebay.clock import SystemClock
from forebay.config.attempts import Offer
from forebay.config.bundle import MAIN, described
from forebay.config.limits import Limits
from forebay.config.load import load, load_items
from forebay.errors import RequestFailed
from forebay.files import SystemDisk
from forebay.identity import FOLDER, Identity, IdentityStore
from forebay.management import validating
from forebay.management.booting import Booting, Loaders
from forebay.management.generations import Generations
from forebay.management.rollout import Rollout
from forebay.registry import Registry
from forebay.testing.clock import FakeClock
from support.rollouts import Records, ScriptedLive
from support.seams import system_seams

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.config.load import LoadedConfig

HEAD = '[gateway]\nid = "gw-1"\n'
PRESS = """[devices.press]
protocol = "modbus"
host = "192.0.2.7"
tags = [{ name = "t", address = "holding:1", type = "int16" }]
"""


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOREBAY_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("FOREBAY_SOCKET", str(tmp_path / "c.sock"))
    (tmp_path / "gen-1").mkdir()
    return tmp_path / "gen-1" / MAIN


def say(main: Path, text: str) -> None:
    """Have the configuration be this."""
    main.write_text(text, encoding="utf-8")


async def test_what_is_sound_has_no_fault(main: Path) -> None:
    say(main, HEAD + PRESS)
    assert await validating.validate(main, ["device press"]) == validating.Validated((), ())


async def test_outer_faults_refuse_and_items_are_left_out(main: Path) -> None:
    say(main, "[gateway]\nid = 7\n")
    found = await validating.validate(main, [])
    assert [fault.path for fault in found.faults] == ["gateway.id"]
    say(main, HEAD + PRESS.replace("holding:1", "nowhere:1"))
    found = await validating.validate(main, [])
    assert (found.faults, len(found.quarantined)) == ((), 1)


async def test_what_works_now_is_never_left_out(main: Path) -> None:
    say(main, HEAD + PRESS.replace('"modbus"', '"modbux"'))
    found = await validating.validate(main, ["device press", "uplink gone"])
    (fault,) = found.faults
    assert fault.path == "devices.press"
    assert "works now and would be left out" in fault.message
    assert (await validating.validate(main, [])).faults == ()


async def test_nothing_is_kept_in_a_copy(main: Path) -> None:
    say(main, HEAD + '[journal]\ndirectory = "journal"\n')
    found = await validating.validate(main, [])
    assert [fault.path for fault in found.faults] == ["journal.directory"]


async def test_a_configuration_that_eats_all_time_is_ended(
    main: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(main.parent / "press.csv")  # whoever opens it, waits
    say(main, HEAD + PRESS)
    monkeypatch.setattr(validating, "DEADLINE_S", 0.01)
    with pytest.raises(RequestFailed, match="could not be checked"):
        await validating.validate(main, [])


def rollout_of(tmp_path: Path, file: Path, limits: dict[str, object]) -> Rollout:
    """Give what tries configurations on a real disk, by the real check, within `limits`."""

    def items(path: Path) -> LoadedConfig:
        return load_items(path, Registry(), os.environ)

    def strict(path: Path) -> LoadedConfig:
        return load(path, Registry(), os.environ)

    generations = Generations(tmp_path / "state" / "config", SystemDisk())
    boot = Booting(file, generations, SystemClock(), Loaders(strict, items))
    live, bounds = ScriptedLive(boot.start(), FakeClock()), Limits.model_validate(limits)
    return Rollout(boot, live, Records(), system_seams(), validating.validate, lambda: bounds)


async def test_a_push_makes_no_box_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when one configuration goes to all boxes by mistake: each would speak for the first."""
    monkeypatch.setenv("FOREBAY_STATE", str(tmp_path / "state"))
    file = tmp_path / "forebay.toml"
    file.write_text(HEAD, encoding="utf-8")
    rollout = rollout_of(tmp_path, file, {})
    identity = Identity("enrolled-7", bytes(16), "a:1", "a:2", 1, b"", b"", b"", b"")
    staged = {}
    for name, enrolled in (("other-1", False), ("enrolled-7", False), ("enrolled-7", True)):
        if enrolled:
            IdentityStore(tmp_path / "state" / FOLDER, SystemDisk()).replace(identity)
        text = f'[gateway]\nid = "{name}"\n'.encode()

        async def content(_: bytes, text: bytes = text) -> bytes:
            return text

        offer = Offer(described({MAIN: text}), content, f"{name} {enrolled}", "fleet", "anna")
        attempt = await rollout._notes.begin("aa", offer.offer_id, "fleet", "anna", "")  # noqa: SLF001
        staged[name, enrolled] = await rollout._ready(attempt.id, offer)  # noqa: SLF001
    assert [found is not None for found in staged.values()] == [False, False, True]
    assert "the configuration of enrolled-7, another gateway" in rollout.attempts()[-2].error


async def test_who_is_not_root_is_held_to_the_limits_of_the_box(main: Path, tmp_path: Path) -> None:
    file = tmp_path / "forebay.toml"
    file.write_text(HEAD, encoding="utf-8")
    rollout = rollout_of(tmp_path, file, {"endpoints": ["10.0.0.0/8:502"]})
    contents = {MAIN: (HEAD + PRESS).encode()}

    async def content(sha256: bytes) -> bytes:
        del sha256
        return contents[MAIN]

    staged = {}
    for who, source in (("uid:0", "local"), ("uid:4711", "local"), ("uid:0", "fleet")):
        offer = Offer(described(contents), content, f"{who} {source}", source, who)
        attempt = await rollout._notes.begin("aa", offer.offer_id, source, who, "")  # noqa: SLF001
        staged[who, source] = await rollout._ready(attempt.id, offer)  # noqa: SLF001
    assert [found is not None for found in staged.values()] == [True, False, False]
    last = rollout.attempts()[-1]
    assert "devices.press" in last.error
