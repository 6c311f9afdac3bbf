"""Servers that echo no handles of requests are served; those that mix answers up are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asyncua.server.uaprocessor import UaProcessor

from forebay.drivers.opcua.binary import CodecError
from forebay.drivers.opcua.transport import Echo
from forebay.errors import ProtocolViolation
from support.asyncua_server import NAMESPACE, small_server
from support.opcua import connected, device, read_once
from support.streams import Listener

if TYPE_CHECKING:
    from collections.abc import Callable

LEVEL = {"level": (f"nsu={NAMESPACE};s=Level", "float64")}


def echoing(monkeypatch: pytest.MonkeyPatch, echoed: Callable[[int], int]) -> None:
    """Let servers answer to a request with another handle than its own."""
    send: Any = UaProcessor.send_response

    def answer(self: UaProcessor, handle: int, *more: Any, **also: Any) -> None:
        send(self, echoed(handle), *more, **also)

    monkeypatch.setattr(UaProcessor, "send_response", answer)


@pytest.mark.parametrize("constant", [0, 7_000_000])
async def test_a_server_that_echoes_nothing_is_read_and_heard(
    monkeypatch: pytest.MonkeyPatch, constant: int
) -> None:
    echoing(monkeypatch, lambda _: constant)
    async with small_server(Level=1.5) as server:
        spec = device(server.endpoint, LEVEL)
        async with connected(spec) as driver:
            assert (await read_once(driver, spec))["level"].value == 1.5
            async with Listener(driver, {spec.schemas[0]: 0.05}) as heard:
                await heard.until(lambda _: heard.values("level") == [1.5])


async def test_an_answer_to_another_request_is_refused_of_a_server_that_echoes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mixed = 0
    echoing(monkeypatch, lambda handle: handle - mixed)
    async with small_server(Level=1.5) as server:
        spec = device(server.endpoint, LEVEL)
        async with connected(spec) as driver:
            assert (await read_once(driver, spec))["level"].value == 1.5
            mixed = 1
            with pytest.raises(ProtocolViolation, match="an answer to request"):
                await read_once(driver, spec)


def test_the_first_answer_says_whether_a_server_echoes() -> None:
    strict, lax = Echo(), Echo()
    strict.check(1, 1)
    strict.check(0, 2)  # says nothing, as some answers of some servers do
    with pytest.raises(CodecError, match="request 1 where 3"):
        strict.check(1, 3)
    lax.check(0, 1)
    lax.check(9, 2)
