"""A rollout over many boxes: waves, failures, deadlines, windows, people who stop it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.access import trail
from forebay_fleet.artifacts.published import Published
from forebay_fleet.desired import states
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import gateways
from forebay_fleet.registry import Registry, RegistryThread
from forebay_fleet.rollouts import book, engine, hearing, labels, offering
from forebay_fleet.rollouts.plans import BoxState, Plan, State
from support.processes import until
from support.rollout_boxes import ANNA, MAIN, Boxes, Counting, cut_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = [f"gw-{number:02}" for number in range(1, 21)]


@pytest.fixture
def boxes(data: Path) -> Iterator[Boxes]:
    with Registry(data) as registry:
        yield Boxes(registry, data, NAMES)


def test_it_goes_in_waves_and_each_waits_for_the_one_before(boxes: Boxes) -> None:
    id_ = boxes.start(Plan(canary=1, percents=(25, 100)))
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.OFFERED) == {"gw-01"}
    boxes.say("gw-01", "probation")
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.OFFERED) == {"gw-01"}
    boxes.say("gw-01", "committed")
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.OFFERED) == set(NAMES[1:5])
    for name in NAMES[1:4]:
        boxes.say(name, "committed")
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.OFFERED) == {"gw-05"}
    boxes.say("gw-05", "committed")
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.OFFERED) == set(NAMES[5:])
    for name in NAMES[5:]:
        boxes.say(name, "committed")
    boxes.turn(id_)
    found = book.find(boxes.registry, id_)
    assert (found.state, found.said) == (State.DONE, "20 committed")
    assert found.ended_ns > found.began_ns
    assert engine.going(boxes.registry) == []


def test_a_canary_that_fails_stops_it_and_no_other_box_is_touched(boxes: Boxes) -> None:
    id_ = boxes.start(Plan(canary=1))
    boxes.turn(id_)
    boxes.say("gw-01", "rolled_back", "device oven gives no data")
    boxes.turn(id_)
    boxes.turn(id_, 86_400)
    found = book.find(boxes.registry, id_)
    assert found.state is State.STOPPED
    assert boxes.in_state(id_, BoxState.WAITING) == set(NAMES[1:])
    assert book.boxes(boxes.registry, id_)[0].said == "device oven gives no data"
    assert all(states.newest(boxes.registry, name) is None for name in NAMES[1:])
    said = [entry.what for entry in trail.entries(boxes.registry, subject=id_)]
    assert said == ["rollout.stopped", "rollout.start"]


def test_what_a_person_bears_does_not_stop_it_again(boxes: Boxes) -> None:
    id_ = boxes.start(Plan(canary=1, percents=(50, 100)))
    boxes.turn(id_)
    boxes.say("gw-01", "failed", "no such driver")
    boxes.turn(id_)
    with pytest.raises(UsageError, match="is stopped"):
        book.pause(boxes.registry, ANNA, id_, "no")
    book.resume(boxes.registry, ANNA, id_, "that one is a spare")
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.OFFERED) == set(NAMES[1:10])
    boxes.say("gw-02", "rolled_back", "again")
    boxes.turn(id_)
    assert book.find(boxes.registry, id_).state is State.STOPPED


def test_a_budget_of_failures(boxes: Boxes) -> None:
    id_ = boxes.start(Plan(canary=0, percents=(50, 100), failures=1))
    boxes.turn(id_)
    boxes.say("gw-01", "rolled_back", "x")
    for name in NAMES[1:10]:
        boxes.say(name, "committed")
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.OFFERED) == set(NAMES[10:])
    boxes.say("gw-11", "rolled_back", "y")
    boxes.turn(id_)
    assert book.find(boxes.registry, id_).state is State.STOPPED


def test_a_box_that_is_off_is_late_and_may_still_come(boxes: Boxes) -> None:
    id_ = boxes.start(Plan(canary=2, deadline_s=600))
    boxes.turn(id_)
    boxes.say("gw-01", "committed")
    boxes.turn(id_, 599)
    assert book.find(boxes.registry, id_).state is State.RUNNING
    boxes.turn(id_, 2)
    boxes.turn(id_)
    late = book.boxes(boxes.registry, id_)[1]
    assert (late.gateway, late.state) == ("gw-02", BoxState.LATE)
    assert "off" in late.said
    assert book.find(boxes.registry, id_).state is State.STOPPED
    boxes.say("gw-02", "committed")
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.COMMITTED) == {"gw-01", "gw-02"}
    book.resume(boxes.registry, ANNA, id_, "it came")
    boxes.turn(id_)
    assert len(boxes.in_state(id_, BoxState.OFFERED)) == 3


def test_paused_it_offers_nothing_and_hears_all(boxes: Boxes) -> None:
    id_ = boxes.start(Plan(canary=1))
    boxes.turn(id_)
    book.pause(boxes.registry, ANNA, id_, "shift change")
    boxes.say("gw-01", "committed")
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.COMMITTED) == {"gw-01"}
    assert len(boxes.in_state(id_, BoxState.WAITING)) == 19
    book.resume(boxes.registry, ANNA, id_, "")
    boxes.turn(id_)
    assert len(boxes.in_state(id_, BoxState.OFFERED)) == 4


def test_it_rests_between_waves(boxes: Boxes) -> None:
    id_ = boxes.start(Plan(canary=1, rest_s=3600))
    boxes.turn(id_)
    boxes.say("gw-01", "committed")
    boxes.turn(id_)
    boxes.turn(id_, 3500)
    assert boxes.in_state(id_, BoxState.OFFERED) == set()
    boxes.turn(id_, 200)
    assert len(boxes.in_state(id_, BoxState.OFFERED)) == 4


def test_each_box_changes_in_the_window_of_its_own_time_zone(boxes: Boxes) -> None:
    labels.put(boxes.registry, ANNA, "gw-01", {"timezone": "Asia/Shanghai"}, "")
    boxes.now_ns = 1_795_377_600 * 10**9  # 2026-11-22 20:00 UTC, 04:00 in Shanghai
    id_ = boxes.start(Plan(canary=2, window="03:00-05:00"))
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.OFFERED) == {"gw-01"}
    boxes.say("gw-01", "committed")
    boxes.turn(id_, 6 * 3600)
    assert boxes.in_state(id_, BoxState.WAITING) >= {"gw-02"}
    boxes.turn(id_, 3600)
    assert boxes.in_state(id_, BoxState.OFFERED) == {"gw-02"}


def test_abort_puts_back_what_ran_before(boxes: Boxes) -> None:
    for name in NAMES[:2]:
        boxes.push_old(name)
    id_ = boxes.start(Plan(canary=3))
    boxes.turn(id_)
    assert boxes.content("gw-01") == MAIN
    boxes.say("gw-01", "committed")
    boxes.turn(id_)
    book.abort(boxes.registry, ANNA, id_, "wrong one", put_back=True)
    assert engine.going(boxes.registry) == [id_]
    boxes.turn(id_)
    assert (boxes.content("gw-01"), boxes.content("gw-02")) == (b"# old\n", b"# old\n")
    assert boxes.content("gw-01", "a.csv") == b"1,2\n"
    assert not boxes.desired("gw-03").files
    state = boxes.state_of(id_)
    assert (state["gw-01"], state["gw-03"], state["gw-20"]) == ("back", "left", "left")
    assert engine.going(boxes.registry) == []
    assert book.find(boxes.registry, id_).state is State.ABORTED


def test_a_box_that_is_told_something_else_is_left_alone(boxes: Boxes) -> None:
    id_ = boxes.start(Plan(canary=1))
    boxes.turn(id_)
    offer = states.Offer("bert", "", 1, 2)
    states.push(boxes.registry, boxes.signer, "gw-01", {"forebay.toml": b"# mine\n"}, offer)
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.LEFT) == {"gw-01"}
    book.abort(boxes.registry, ANNA, id_, "", put_back=True)
    boxes.turn(id_)
    assert boxes.content("gw-01") == b"# mine\n"


def test_who_was_off_while_the_window_was_open_does_not_change_when_it_is_shut(
    boxes: Boxes,
) -> None:
    boxes.now_ns = 1_795_377_600 * 10**9  # 2026-11-22 20:00 UTC
    id_ = boxes.start(Plan(canary=2, window="20:00-22:00", deadline_s=30 * 3600))
    boxes.turn(id_)
    first = boxes.desired("gw-01")
    assert first.expires_ns == 1_795_384_800 * 10**9  # 22:00
    boxes.say("gw-02", "probation")
    boxes.turn(id_, 12 * 3600)
    assert boxes.desired("gw-01").offer_id == first.offer_id
    under_way = boxes.desired("gw-02").offer_id
    boxes.turn(id_, 12 * 3600)  # the next evening
    again = boxes.desired("gw-01")
    assert again.offer_id != first.offer_id
    assert again.expires_ns == first.expires_ns + 86_400 * 10**9
    assert boxes.desired("gw-02").offer_id == under_way
    boxes.say("gw-01", "failed", "it has expired")
    boxes.turn(id_, 3 * 3600)
    assert boxes.state_of(id_)["gw-01"] == "offered"
    boxes.turn(id_, 4 * 3600)  # its time is from the first offer
    assert boxes.state_of(id_)["gw-01"] == "late"
    boxes.say("gw-01", "committed")
    boxes.turn(id_)
    assert boxes.state_of(id_)["gw-01"] == "committed"


def test_after_an_abort_nobody_begins_with_it(boxes: Boxes) -> None:
    boxes.push_old("gw-02")
    id_ = boxes.start(Plan(canary=4))
    boxes.turn(id_)
    boxes.say("gw-03", "probation")
    boxes.say("gw-04", "committed")
    boxes.turn(id_)
    book.abort(boxes.registry, ANNA, id_, "wrong", put_back=False)
    boxes.turn(id_)
    assert not boxes.desired("gw-01").files
    assert boxes.content("gw-02") == b"# old\n"
    assert (boxes.content("gw-03"), boxes.content("gw-04")) == (MAIN, MAIN)
    state = boxes.state_of(id_)
    assert [state[name] for name in NAMES[:4]] == ["left", "back", "offered", "committed"]
    assert hearing.unheard(boxes.registry, boxes.now_ns) == [id_]
    boxes.say("gw-03", "rolled_back", "no data")
    boxes.turn(id_)
    assert boxes.state_of(id_)["gw-03"] == "failed"
    assert hearing.unheard(boxes.registry, boxes.now_ns) == []


def test_an_abort_when_boxes_failed_and_were_revoked(boxes: Boxes) -> None:
    boxes.push_old("gw-01")
    id_ = boxes.start(Plan(canary=3))
    boxes.turn(id_)
    for name in NAMES[:2]:
        boxes.say(name, "rolled_back", "no data")
    with boxes.registry.transaction() as db:
        for name in NAMES[1:3]:
            gateways.deny(db, gateways.Denied(name, "revoked", "sold", 1))
    boxes.turn(id_)
    book.abort(boxes.registry, ANNA, id_, "wrong", put_back=False)
    boxes.turn(id_)
    assert engine.going(boxes.registry) == []
    state = boxes.state_of(id_)
    assert [state[name] for name in NAMES[:3]] == ["failed", "left", "left"]
    assert boxes.content("gw-01") == b"# old\n"


def test_all_that_was_done_can_be_put_back_later_with_its_packages(boxes: Boxes) -> None:
    package = fleet_pb2.Package(name="rules", version="1.0.0")
    boxes.push_old("gw-01", package)
    id_ = boxes.start(Plan(canary=0, percents=()))
    boxes.turn(id_)
    for name in NAMES:
        boxes.say(name, "committed")
    boxes.turn(id_)
    with pytest.raises(UsageError, match="is done"):
        book.abort(boxes.registry, ANNA, id_, "", put_back=False)
    book.abort(boxes.registry, ANNA, id_, "found out a day later", put_back=True)
    boxes.turn(id_)
    assert boxes.content("gw-01") == b"# old\n"
    assert list(boxes.desired("gw-01").packages) == [package]
    state = boxes.state_of(id_)
    assert (state["gw-01"], state["gw-02"]) == ("back", "left")
    assert boxes.content("gw-02") == MAIN


def test_who_comes_after_the_end_is_heard(boxes: Boxes) -> None:
    id_ = boxes.start(Plan(canary=0, percents=(), failures=1, deadline_s=60))
    boxes.turn(id_)
    for name in NAMES[1:]:
        boxes.say(name, "committed")
    boxes.turn(id_, 61)
    assert book.find(boxes.registry, id_).said == "19 committed, 1 late"
    assert hearing.unheard(boxes.registry, boxes.now_ns) == [id_]
    boxes.say("gw-01", "committed")
    boxes.turn(id_)
    assert book.counts(boxes.registry, id_) == {BoxState.COMMITTED: 20}
    assert hearing.unheard(boxes.registry, boxes.now_ns) == []


def test_what_a_person_does_meanwhile_counts(boxes: Boxes) -> None:
    """An engine has read a rollout, or has lost its lease, and then somebody changes it."""
    id_ = boxes.start(Plan(canary=1))
    before = book.find(boxes.registry, id_)
    book.pause(boxes.registry, ANNA, id_, "wait")
    assert not offering.offer(boxes.registry, boxes.kit, before, boxes.now_ns)
    assert states.newest(boxes.registry, "gw-01") is None
    book.resume(boxes.registry, ANNA, id_, "")
    boxes.turn(id_)
    first = boxes.desired("gw-01").offer_id
    assert not offering.offer(boxes.registry, boxes.kit, before, boxes.now_ns)
    assert boxes.desired("gw-01").offer_id == first


@pytest.mark.parametrize(
    ("put_back", "expected"),
    [
        (None, ["committed", "committed", "committed"]),
        (False, ["committed", "left", "left"]),
        (True, ["back", "left", "left"]),
    ],
)
def test_cut_off_anywhere_it_goes_on(
    tmp_path: Path, *, put_back: bool | None, expected: list[str]
) -> None:
    """Each life of the server ends one statement later than the one before."""
    names = NAMES[:3]
    with Registry(tmp_path) as registry:
        first = Boxes(registry, tmp_path, names)
        first.push_old("gw-01")
        id_ = first.start(Plan(canary=1, percents=(100,)))
    offers: dict[str, set[str]] = {name: set() for name in names}
    lives, over = 0, False
    while not over:
        lives += 1
        with Registry(tmp_path) as registry:
            boxes = first.after_restart(registry)
            with cut_after(registry, lives):
                boxes.turn(id_)
                offered = boxes.in_state(id_, BoxState.OFFERED)
                running = book.find(registry, id_).state is State.RUNNING
                if running and len(offered) == 2 and put_back is not None:
                    book.abort(registry, ANNA, id_, "", put_back=put_back)
                elif running and offered:
                    boxes.say(min(offered), "committed")
                over = not offered and not engine.going(registry)
            for name in names:
                if states.newest(registry, name) is not None:
                    offers[name].add(boxes.desired(name).offer_id)
    with Registry(tmp_path) as registry:
        boxes = first.after_restart(registry)
        state = boxes.state_of(id_)
        assert [state[name] for name in names] == expected
        told = [entry.what for entry in trail.entries(registry, subject=id_)]
        assert sorted(told) == sorted({*told})
    before, undone = (1, 0, 0), [int(one != "committed") for one in expected]
    sizes = [len(offers[name]) for name in names]
    assert sizes == [1 + was + back for was, back in zip(before, undone, strict=True)]
    assert lives > 20


async def test_one_that_cannot_go_on_keeps_no_other(tmp_path: Path) -> None:
    with Registry(tmp_path) as registry:
        boxes = Boxes(registry, tmp_path, NAMES)
        labels.put(registry, ANNA, "gw-01", {"odd": "yes"}, "")
        odd = boxes.start(Plan(), selector="odd")
        good = boxes.start(Plan(), selector="odd!=yes")
        with registry.transaction() as db:
            db.execute("UPDATE rollout_boxes SET variables = '{' WHERE rollout = ?", (odd,))
    stopping = asyncio.Event()
    async with RegistryThread(tmp_path) as thread:
        tools = engine.Tools(boxes.signer, Published(tmp_path))
        running = asyncio.create_task(engine.Engine(thread, tools, stopping).run())
        with Registry(tmp_path) as registry:
            await until(lambda: book.counts(registry, good).get(BoxState.OFFERED), "an offer")
        stopping.set()
        await running
    with Registry(tmp_path) as registry:
        assert book.counts(registry, odd) == {BoxState.WAITING: 1}


def test_a_box_is_in_one_rollout_at_a_time(boxes: Boxes) -> None:
    id_ = boxes.start(Plan())
    with pytest.raises(UsageError, match=f"in rollout {id_}"):
        boxes.start(Plan())
    book.abort(boxes.registry, ANNA, id_, "", put_back=False)
    assert boxes.start(Plan()) != id_


def test_each_box_gets_its_own_values_and_a_missing_one_stops_it_at_once(boxes: Boxes) -> None:
    template = {"forebay.toml": b'[gateway]\nid = "${gateway}"\nline = "${line}"\n'}
    for number, name in enumerate(NAMES[:-1], 1):
        labels.put_variables(boxes.registry, ANNA, name, {"line": number}, "")
    with pytest.raises(UsageError, match=r"gw-20: forebay\.toml:3: the box has no variable 'line'"):
        boxes.start(Plan(), template)
    assert book.listed(boxes.registry) == []
    labels.put_variables(boxes.registry, ANNA, "gw-20", {"line": 20}, "")
    id_ = boxes.start(Plan(canary=0, percents=(100,)), template)
    labels.put_variables(boxes.registry, ANNA, "gw-02", {"line": 99}, "too late for this one")
    boxes.turn(id_)
    assert boxes.content("gw-02") == b'[gateway]\nid = "gw-02"\nline = 2\n'


def test_two_engines_offer_nothing_twice(boxes: Boxes) -> None:
    id_ = boxes.start(Plan(canary=1))
    assert engine.leased(boxes.registry, "one")
    assert not engine.leased(boxes.registry, "two")
    assert engine.leased(boxes.registry, "one")
    boxes.turn(id_)
    first = boxes.desired("gw-01").offer_id
    boxes.turn(id_)
    assert boxes.desired("gw-01").offer_id == first


def test_two_servers_at_once_offer_nothing_twice(boxes: Boxes, data: Path) -> None:
    """As when the clock of one is wrong, and both believe that they have the lease."""
    id_ = boxes.start(Plan(canary=0, percents=()))
    together = threading.Barrier(2)

    def serve() -> int:
        signer = Counting(boxes.signer)
        with Registry(data) as registry:
            together.wait(30)
            while engine.step(registry, offering.Kit(signer), id_, boxes.now_ns):
                pass
        return signer.signed

    with ThreadPoolExecutor(2) as servers:
        done = [servers.submit(serve) for _ in range(2)]
        assert sum(one.result(60) for one in done) == len(NAMES)
    assert boxes.in_state(id_, BoxState.OFFERED) == set(NAMES)


def test_named_canaries_go_first_and_must_be_selected(boxes: Boxes) -> None:
    with pytest.raises(UsageError, match="gw-99 is not among"):
        boxes.start(Plan(), canaries=("gw-99",))
    id_ = boxes.start(Plan(canary=2), canaries=("gw-20",))
    boxes.turn(id_)
    assert boxes.in_state(id_, BoxState.OFFERED) == {"gw-20", "gw-01"}
