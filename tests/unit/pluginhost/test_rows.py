"""Which tags a plugin gets, and batches as columns of just these."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.journal.thinning import thin
from forebay.model import Batch, Schema, Stream, Tag, ValueType, is_bad
from forebay.pluginhost.manifest import InputSettings
from forebay.pluginhost.rows import NO_DATA, Block, Selection
from support.batches import SCHEMA, dense, sparse
from support.fuzz import examples

T = Stream.TELEMETRY
OVEN = Schema("oven", "a", (Tag("temp", "1", ValueType.FLOAT32), Tag("_own", "2", ValueType.INT16)))


def roles(**patterns: object) -> dict[str, InputSettings]:
    return {
        name: InputSettings.model_validate(p if isinstance(p, dict) else {"tags": p})
        for name, p in patterns.items()
    }


def names(selection: Selection) -> list[str]:
    return [f"{one.role}:{one.tag}:{one.type}" for one in selection.inputs]


def test_inputs_follow_roles_and_patterns_and_then_the_tag_lists() -> None:
    chosen = Selection(
        roles(a=["oven/*", "press/*temp"], b={"tags": ["*/*"], "types": ["string"]}),
        [(T, SCHEMA), (T, OVEN)],
        "me",
    )
    assert names(chosen) == [
        "a:oven/temp:float32",
        "a:press/motor/temp:float32",
        'b:press/batch "id":string',
    ]
    assert chosen.streams == (T,)


def test_scaled_tags_are_float64_and_own_results_are_no_inputs() -> None:
    own = Schema("me", "results", (Tag("score", "", ValueType.FLOAT64),))
    chosen = Selection(roles(a=["press/pressure", "me/*"]), [(T, SCHEMA), (T, own)], "me")
    assert names(chosen) == ["a:press/pressure:float64"]


def test_a_role_with_too_few_tags_leaves_no_inputs_and_too_many_are_counted() -> None:
    few = Selection(roles(a={"tags": ["press/*"], "min": 9}), [(T, SCHEMA)], "me")
    assert (few.inputs, few.missing) == ((), {"a": 3})
    many = Selection(roles(a={"tags": ["press/*"], "max": 2}), [(T, SCHEMA)], "me")
    assert len(many.inputs) == 2
    assert many.beyond == {"a": 4}


def expected(batch: Batch, tags: list[str]) -> dict[str, list[tuple[int, object, int]]]:
    out: dict[str, list[tuple[int, object, int]]] = {tag: [] for tag in tags}
    for sample in batch.iter_samples():
        if sample.tag.name in out:
            out[sample.tag.name].append((sample.time_ns, sample.value, sample.quality))
    return out


def seen(selection: Selection, blocks: list[Block]) -> dict[str, list[tuple[int, object, int]]]:
    out: dict[str, list[tuple[int, object, int]]] = {}
    for block in blocks:
        for place, (number, values) in enumerate(zip(block.inputs, block.values, strict=True)):
            tag = selection.inputs[number].tag.removeprefix("press/")
            rows = out.setdefault(tag, [])
            for time, value, quality in zip(
                block.times_ns.tolist(),
                values.tolist(),
                block.quality[:, place].tolist(),
                strict=True,
            ):
                if quality != NO_DATA:
                    rows.append((time, None if is_bad(quality) else value, quality))
    return out


ALL = ["running", "pressure", "motor/temp", "energy", "steps", "level"]


@examples(60)
@given(st.integers(1, 6), st.integers(0, 999), st.sets(st.sampled_from(ALL), min_size=1), st.data())
def test_blocks_hold_what_the_batch_holds(
    rows: int, seed: int, tags: set[str], data: st.DataObject
) -> None:
    selection = Selection(roles(a=[f"press/{tag}" for tag in sorted(tags)]), [(T, SCHEMA)], "me")
    batch = dense(rows, seed)
    chosen = selection.of(T, SCHEMA)
    assert chosen is not None
    blocks = list(selection.blocks(batch, chosen, together=None))
    assert len(blocks) == 1
    assert seen(selection, blocks) == expected(batch, sorted(tags))
    keep = sorted(data.draw(st.sets(st.integers(0, batch.samples - 1), min_size=1)))
    thinned = sparse(batch, keep)
    there = {tag: rows for tag, rows in expected(thinned, sorted(tags)).items() if rows}
    for together in (None, False, True):
        found = seen(selection, list(selection.blocks(thinned, chosen, together=together)))
        assert {tag: rows for tag, rows in found.items() if rows} == there
    apart = seen(selection, list(selection.blocks(batch, chosen, together=False)))
    assert apart == expected(batch, sorted(tags))


def test_what_was_thinned_stays_on_the_axis_of_its_group() -> None:
    selection = Selection(roles(a=["press/level", "press/steps"]), [(T, SCHEMA)], "me")
    chosen = selection.of(T, SCHEMA)
    assert chosen is not None
    (thinned,) = thin([dense(20, 1, bad=False)], 10)
    assert thinned.index is not None
    (block,) = selection.blocks(thinned, chosen, together=True)
    assert block.key.tag == ""
    assert len(np.unique(block.times_ns)) == len(block.times_ns)
    assert (block.quality == NO_DATA).any()


def test_a_tag_of_two_roles_is_on_one_axis() -> None:
    selection = Selection(roles(a=["press/level"], b=["press/*l"]), [(T, SCHEMA)], "me")
    chosen = selection.of(T, SCHEMA)
    assert chosen is not None
    batch = sparse(dense(3, 1), range(21))
    (block,) = selection.blocks(batch, chosen, together=None)
    assert block.inputs == (0, 1)
    assert selection.members(block.key) == (0, 1)


@pytest.mark.parametrize("kind", [ValueType.STRING, ValueType.INT32])
def test_a_tag_that_had_another_type_before_counts_if_both_are_numbers(kind: ValueType) -> None:
    selection = Selection(roles(a=["oven/temp"]), [(T, OVEN)], "me")
    old = replace(OVEN, tags=(replace(OVEN.tags[0], type=kind),))
    chosen = selection.of(T, old)
    if kind is ValueType.STRING:
        assert chosen is None
        return
    assert chosen is not None
    batch = Batch(old, np.array([5]), np.array([6]), (np.array([[7]], np.int32),))
    (block,) = selection.blocks(batch, chosen, together=None)
    assert block.values[0].dtype == np.float32
