"""What a person carries: data out, acknowledged; a configuration in. On real processes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from support.fleet_boxes import Box, Ended, Fleet, command
from support.processes import ASKED_EVERY_S, BIN, free_port, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

WAIT_S = 60.0


async def island(fleet: Fleet, name: str = "box") -> Box:
    """Enroll a box, and cut it off: its line leads nowhere from the first moment on."""
    box = Box(fleet, name)
    assert (await box.enroll(await fleet.token())).code == 0
    text = box.config.read_text("utf-8")
    nowhere = f"127.0.0.1:{free_port()}"
    text = text.replace(f'address = "{fleet.server.address}"', f'address = "{nowhere}"')
    box.config.write_text(text + '[fleet]\nprobation = "5 s"\n', "utf-8")
    cut_off(box, nowhere)
    return box


def cut_off(box: Box, nowhere: str) -> None:
    """Have the identity name a server that nobody reaches."""
    from dataclasses import replace

    from forebay.files import SystemDisk
    from forebay.identity import FOLDER, IdentityStore

    store = IdentityStore(box.state / FOLDER, SystemDisk())
    store.replace(replace(box.identity, address=nowhere, enrollment_address=nowhere))


async def told(box: Box, *words: str, code: int = 0) -> Any:
    """Run a command on the box and give its document."""
    ended: Ended = await box.forebay(*words)
    assert ended.code == code, ended
    return ended.document()


async def delivered(box: Box, condition: Any) -> dict[str, int]:
    """Wait until the box's own account is so."""
    async with asyncio.timeout(WAIT_S):
        while True:
            ended = await box.forebay("ledger")
            assert box.agent.running, box.agent.text()
            if ended.code == 0 and condition(found := await box.ledger()):
                return found
            await asyncio.sleep(ASKED_EVERY_S)


@pytest.mark.long
async def test_data_goes_by_hand_and_its_answer_moves_the_cursor(tmp_path: Path) -> None:
    stick, acks = tmp_path / "stick", tmp_path / "acks"
    stick.mkdir()
    with Fleet(tmp_path) as fleet:
        async with await island(fleet) as box:
            await box.agent.start()
            await delivered(box, lambda sums: sums["pending"] >= 20)

            made = await told(box, "usb", "collect", str(stick), "--uplink", "cloud")
            file = made["files"][0]
            assert file["records"] > 0
            assert not file["more"]
            before = await box.ledger()
            assert before["delivered"] == 0, "nothing is delivered by being copied"

            # The server runs, and owns its store: it takes the file, twice, to one effect.
            taken = await fleet.ask("usb", "ingest", file["file"], "--acks", str(acks))
            again = await fleet.ask("usb", "ingest", file["file"], "--acks", str(acks))
            assert taken[0]["records"] == again[0]["records"] == file["records"]
            there = await fleet.ask("ledger")
            records = sum(line["records"] for line in there["lines"])
            assert records == file["records"], json.dumps(there)

            (answer,) = await told(box, "usb", "acknowledge", taken[0]["ack"])
            assert answer["records"] == file["records"]
            uplink = (await told(box, "uplinks"))["uplinks"][0]
            streams = (await told(box, "journal", "status"))["streams"]
            written = sum(one["next_seq"] - 1 for one in streams)
            assert uplink["pending_records"] + file["records"] <= written, "it is pending no more"
            after = await delivered(box, lambda sums: sums["delivered"] > 0)
            assert after["gapped"] == after["quarantined"] == 0
            assert after["delivered"] <= before["produced"]

            # What comes after it goes with the next one, and nothing twice.
            made = await told(box, "usb", "collect", str(stick), "--uplink", "cloud")
            await fleet.ask("usb", "ingest", made["files"][0]["file"], "--acks", str(acks))
            there = await fleet.ask("ledger")
            assert (
                sum(line["records"] for line in there["lines"])
                == records + made["files"][0]["records"]
            )
            assert sum(line["duplicates"] for line in there["lines"]) == records


async def test_a_configuration_comes_by_hand_to_a_box_without_a_line(tmp_path: Path) -> None:
    site, bundle = tmp_path / "site", tmp_path / "gw-1.bundle"
    site.mkdir()
    with Fleet(tmp_path) as fleet:
        async with await island(fleet) as box:
            text = box.config.read_text("utf-8").replace('period = "200 ms"', 'period = "300 ms"')
            (site / "forebay.toml").write_text(text, "utf-8")
            older = await fleet.ask("push", "gw-1", str(site))
            await fleet.ask("usb", "make", "gw-1", str(tmp_path / "older.bundle"))
            (site / "forebay.toml").write_text(text.replace("300 ms", "400 ms"), "utf-8")
            pushed = await fleet.ask("push", "gw-1", str(site), "--reason", "slower")
            await fleet.ask("usb", "make", "gw-1", str(bundle))
            fleet.server.kill()

            await box.agent.start()
            await delivered(box, lambda sums: sums["pending"] > 0)
            refused = await box.forebay("usb", "apply", str(bundle))
            assert refused.code == 2, "nobody is there to confirm it"
            assert "nobody is there" in refused.err
            attempt = await told(box, "usb", "apply", str(bundle), "--yes")
            assert (attempt["phase"], attempt["source"]) == ("committed", "usb"), attempt
            assert attempt["hash"] == pushed["hash"]
            assert attempt["changed"] == ["device sim"]

            again = await told(box, "usb", "apply", str(bundle), "--yes")
            assert again["id"] == attempt["id"], "the same again is nothing"
            replayed = await box.forebay("usb", "apply", str(tmp_path / "older.bundle"), "--yes")
            assert replayed.code == 2
            assert "replay" in replayed.err
            assert older["version"] < pushed["version"]


async def test_kills_and_a_full_stick_cost_nothing_but_another_try(tmp_path: Path) -> None:
    """The agent dies while it is asked, the server while it takes; the stick has no room."""
    stick, acks = tmp_path / "stick", tmp_path / "acks"
    stick.mkdir()
    with Fleet(tmp_path) as fleet:
        async with await island(fleet) as box:
            await box.agent.start()
            await delivered(box, lambda sums: sums["pending"] >= 20)
            small = {"FOREBAY_SOCKET": str(box.socket), "FOREBAY_STATE": str(box.state)}
            words = (BIN / "forebay", "usb", "collect", stick, "--uplink", "cloud")
            full = await command("prlimit", "--fsize=100", *words, **small)
            assert full.code == 2, full
            assert "next: check the stick" in full.err
            assert not list(stick.iterdir()), "no half a file is left behind"

            made = await told(box, "usb", "collect", str(stick), "--uplink", "cloud")
            file = made["files"][0]
            await box.agent.kill()

            # The server is killed with the file in its hands, and finds it when it comes again.
            handed = asyncio.create_task(
                fleet.ask("usb", "ingest", file["file"], "--acks", str(acks)), name="ingest"
            )
            waiting = fleet.server.data / "carried" / "in"
            await until(lambda: waiting.is_dir() and list(waiting.iterdir()), "it is handed over")
            fleet.server.kill()
            fleet.server.start()
            taken = await handed
            assert taken[0]["records"] == file["records"]
            assert not list(waiting.iterdir())
            there = await fleet.ask("ledger", "--verify")
            assert there["verified"]["problems"] == [], there["verified"]

            await box.agent.start()
            await delivered(box, lambda sums: sums["pending"] > 0)
            (answer,) = await told(box, "usb", "acknowledge", taken[0]["ack"])
            assert answer["records"] == file["records"], "what was collected is remembered"
            again = await box.forebay("usb", "acknowledge", taken[0]["ack"])
            assert again.code == 2
            assert "replay" in again.err
            said = (await box.forebay("journal", "show", "--stream", "audit")).out
            assert "collect cloud" in said
            assert "acknowledge cloud" in said
