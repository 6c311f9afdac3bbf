"""The driver against a broker that says what a test wants, to the byte (MQTT 3.1.1)."""

from __future__ import annotations

import asyncio

import pytest

from forebay.errors import DeviceError, DeviceUnreachable
from forebay.events import TAGS_REFUSED
from forebay.model import Quality
from support.mqtt import connected, device
from support.scripted_broker import publish, scripted_broker
from support.seams import system_seams
from support.streams import Listener

TAGS = {"open": ("a", "int16"), "shut": ("b", "int16")}


async def test_an_acknowledgement_follows_the_intake() -> None:
    async with scripted_broker() as (scripted, port):
        spec = device(port, TAGS, version="3.1.1")
        async with connected(spec) as driver, Listener(driver, {spec.schemas[0]: 1.0}) as listener:
            listener.open.clear()
            await scripted.subscribed.wait()
            scripted.say(publish(b"a", b"1", 7))
            await listener.until(lambda found: found)
            scripted.say(publish(b"b", b"2", 8))
            await asyncio.wait({listener.task}, timeout=0.3)
            assert scripted.heard == []
            listener.open.set()
            async with asyncio.timeout(5):
                while scripted.heard != [7, 8]:
                    scripted.news.clear()
                    await scripted.news.wait()
    assert [(s.tag.name, s.value) for s in listener.samples] == [("open", 1), ("shut", 2)]


async def test_a_refused_topic_marks_its_tags_and_spares_the_others() -> None:
    seams = system_seams()
    async with scripted_broker(granted=b"\x01\x80") as (scripted, port):
        spec = device(port, TAGS, version="3.1.1")
        async with (
            connected(spec, seams) as driver,
            Listener(driver, {spec.schemas[0]: 1.0}) as listener,
        ):
            await listener.until(lambda found: found)
            scripted.say(publish(b"a", b"1", 7))
            await listener.until(lambda found: len(found) == 2)
    found = [(s.tag.name, s.value, s.quality) for s in listener.samples]
    assert found == [("shut", None, Quality.BAD_NOT_READABLE), ("open", 1, 0)]
    assert seams.events.count(TAGS_REFUSED, device="line") == 1


async def test_a_packet_of_any_size_is_refused_at_its_header() -> None:
    async with scripted_broker() as (scripted, port):
        spec = device(port, TAGS, version="3.1.1")
        async with connected(spec) as driver:
            listener = Listener(driver, {spec.schemas[0]: 1.0})
            await scripted.subscribed.wait()
            scripted.say(b"\x32\xff\xff\xff\x7f\x00\x01a")
            with pytest.raises(DeviceUnreachable, match="packet of 268435455 bytes"):
                await asyncio.wait_for(listener.task, 5)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x32\xff\xff\xff\xff\x7f",  # a length of five bytes
        b"\x32\x01\x00",  # too short for a topic
        b"\x32\x05\x00\xffabc",  # a topic longer than the packet
        b"\x00\x00",  # no packet type
        b"\x90\x03\xff\xff\x01",  # a SUBACK that nobody asked for
        b"\x20\x02\x00\x00\xd0\x00",  # a second CONNACK
    ],
)
async def test_garbage_ends_in_a_device_error_or_is_ignored(garbage: bytes) -> None:
    async with scripted_broker() as (scripted, port):
        spec = device(port, TAGS, version="3.1.1")
        async with connected(spec) as driver:
            listener = Listener(driver, {spec.schemas[0]: 1.0})
            await scripted.subscribed.wait()
            scripted.say(garbage + publish(b"a", b"1", 7))
            await asyncio.wait({listener.task}, timeout=0.5)
            if listener.task.done():
                assert isinstance(listener.task.exception(), DeviceError)
            else:
                assert listener.values("open") == [1]
            async with listener:
                pass


async def test_a_topic_that_is_not_utf_8_is_acknowledged_and_feeds_nothing() -> None:
    async with scripted_broker() as (scripted, port):
        spec = device(port, TAGS, version="3.1.1")
        async with connected(spec) as driver, Listener(driver, {spec.schemas[0]: 1.0}) as listener:
            await scripted.subscribed.wait()
            scripted.say(publish(b"\xff\xfe", b"1", 7) + publish(b"a", b"3", 8))
            await listener.until(lambda found: found)
            async with asyncio.timeout(5):
                while scripted.heard != [7, 8]:
                    scripted.news.clear()
                    await scripted.news.wait()
    assert listener.values("open") == [3]
