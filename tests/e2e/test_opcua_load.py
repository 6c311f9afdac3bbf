"""Ten thousand items at one second from node-opcua: every sample arrives, once and in order.

Some nodes that are not there lie among them, which costs nobody else anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.acquisition.line import SharedLine
from forebay.drivers.opcua.driver import OpcUaDriver
from forebay.events import TAGS_REFUSED
from forebay.model import Quality
from support.opcua_load import Heard, load_device, load_server
from support.seams import system_seams

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TAGS = 10_000
ABSENT = 3
SAMPLES_EACH = 6


async def test_every_sample_of_ten_thousand_items_arrives(
    node_binary: Path, node_opcua_dir: Path, tmp_path: Path
) -> None:
    """Each variable counts its samples, so that a missing one would leave a hole."""
    del node_opcua_dir  # it must be there
    with load_server(str(node_binary), str(tmp_path), TAGS) as endpoint:
        spec = load_device(endpoint, TAGS, ABSENT)
        seams = system_seams()
        driver = OpcUaDriver(spec, seams, SharedLine(spec.name, seams.clock))
        heard = Heard(spec.schemas[0])
        try:
            await driver.connect()
            async for batch in driver.stream({spec.schemas[0]: 1.0}):
                heard.take(batch)
                if heard.each[:TAGS].min() >= SAMPLES_EACH:
                    break
            polled = (await driver.reader(spec.schemas[0], ()).read()).batch
        finally:
            await driver.close()
    unknown = dict.fromkeys(range(TAGS, TAGS + ABSENT), int(Quality.BAD_NODE_ID_UNKNOWN))
    assert heard.qualities == unknown
    assert polled.quality is not None
    assert {c: q for c, q in enumerate(polled.quality.tolist()) if q} == unknown
    assert polled.rows == TAGS + ABSENT
    assert seams.events.count(TAGS_REFUSED, device="load") == 2, "once told, not once a tag"
