"""What every driver must do, as tests: derive from the suites and give them a real device.

Owns the words of `interfaces.Driver`, `PolledDriver`, `StreamedDriver` and `WritableDriver` turned
into checks. Must not know any driver. Needs pytest-asyncio in auto mode; the subclass has a fixture
named `device`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol, cast

import pytest

from forebay.acquisition.plan import Learned, plan
from forebay.acquisition.refine import refine
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable, WriteInDoubt
from forebay.interfaces import Urgency
from forebay.model import is_bad

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from forebay.acquisition.line import SharedLine
    from forebay.interfaces import (
        Driver,
        PolledDriver,
        Reader,
        Scan,
        StreamedDriver,
        WritableDriver,
    )
    from forebay.model import Sample, Schema

PATIENCE_S = 20.0
"""The longest wait for anything that must happen."""
SLACK_NS = 5_000_000
"""What two clocks read one after the other may differ by."""
_STEP_S = 0.01


class FieldDevice(Protocol):
    """A real device of another make, behind a line under the test's control.

    `schema` are tags that it has; among them something that tells one state of the device from the
    next. `line` is the one that all its drivers share.
    """

    schema: Schema
    line: SharedLine

    def driver(self) -> Driver:
        """Make a driver for it; nothing is connected yet."""
        ...

    def astray(self) -> Driver:
        """Make a driver, on a line of its own, for a place where nobody is."""
        ...

    async def turn(self) -> None:
        """Bring the device into another state, unless every read does that."""
        ...

    def state(self, samples: Sequence[Sample]) -> int:
        """Give the number of the state that the samples show; a later one is greater.

        AssertionError if a value is wrong, or if they are not all of one state.
        """
        ...

    @property
    def connections(self) -> int:
        """How many connections to it are open."""
        ...

    @property
    def asked_bytes(self) -> int:
        """How many bytes have been sent to it."""
        ...

    def hold(self) -> None:
        """Keep back what it answers, from now on."""
        ...

    def release(self) -> None:
        """Send on what was kept back, and what comes."""
        ...

    async def cut(self) -> None:
        """Break every connection to it."""
        ...


class RefusingDevice(FieldDevice, Protocol):
    """One that has not all it is asked for: `refused` names tags of `partly` that it refuses."""

    partly: Schema
    refused: frozenset[str]


class WritableDevice(FieldDevice, Protocol):
    """One that takes writes: of `writable` (tag) the values `first` and `second`."""

    writable: str
    first: int | float
    second: int | float


class DriverContract:
    """What holds for every driver."""

    async def test_making_one_touches_no_network(self, device: FieldDevice) -> None:
        """Nor does giving one up that never connected."""
        driver = device.driver()
        await driver.close()
        assert device.connections == 0

    async def test_where_nobody_is_there_is_an_error_with_a_hint(self, device: FieldDevice) -> None:
        """And closing after it, once or twice, raises nothing."""
        driver = device.astray()
        with pytest.raises(DeviceError) as caught:
            async with asyncio.timeout(PATIENCE_S):
                await driver.connect()
        assert caught.value.hint
        assert is_bad(caught.value.status)
        await driver.close()
        await driver.close()

    async def test_what_is_closed_leaves_nothing_behind(self, device: FieldDevice) -> None:
        """No task, and no connection but one that the line keeps for others."""
        before = asyncio.all_tasks()
        driver = device.driver()
        await driver.connect()
        assert device.connections == 1
        await driver.close()
        await driver.close()
        await _until(lambda: device.connections == 0)
        await _until(lambda: not {t for t in asyncio.all_tasks() - before if not t.done()})


class PolledContract(DriverContract):
    """What holds for drivers that are asked."""

    async def test_each_read_is_right_fresh_and_dated_by_its_own_time(
        self, device: FieldDevice
    ) -> None:
        """Ten reads, one after the other, of as many states."""
        driver = await connected(device)
        reader, states = compiled(driver, device.schema), []
        for _ in range(10):
            await device.turn()
            began_ns = time.time_ns()
            scan = await read(device, reader)
            ended_ns = time.time_ns()
            assert not scan.refusals
            states.append(device.state(list(scan.batch.iter_samples())))
            assert (scan.batch.received_ns >= began_ns - SLACK_NS).all()
            assert (scan.batch.received_ns <= ended_ns + SLACK_NS).all()
            if scan.batch.index is None:  # else the device dates its values
                assert (scan.batch.times_ns >= began_ns - SLACK_NS).all()
                assert (scan.batch.times_ns <= scan.batch.received_ns).all()
        await driver.close()
        assert states == sorted(set(states)), "a state was shown twice, or after a later one"

    async def test_a_driver_follows_another_on_the_same_line(self, device: FieldDevice) -> None:
        """As the session makes them: connect, read, close, and again."""
        states = []
        for _ in range(3):
            driver = await connected(device)
            await device.turn()
            scan = await read(device, compiled(driver, device.schema))
            states.append(device.state(list(scan.batch.iter_samples())))
            await driver.close()
        assert states == sorted(set(states))

    async def test_a_line_that_breaks_in_the_middle_of_a_read_is_unreachable(
        self, device: FieldDevice
    ) -> None:
        """So it is for each read after it; then a new connection reads."""
        driver = await connected(device)
        reader = compiled(driver, device.schema)
        device.hold()
        asked = device.asked_bytes
        reading = asyncio.create_task(read(device, reader), name="read")
        await _asked(device, asked)
        await device.cut()
        with pytest.raises(DeviceUnreachable) as caught:
            await reading
        assert caught.value.hint
        with pytest.raises(DeviceError):
            await read(device, reader)
        await driver.close()
        device.release()
        await self._reads(device)

    async def test_the_answer_to_a_read_that_was_given_up_is_nobodys(
        self, device: FieldDevice
    ) -> None:
        """Neither while it is awaited by nobody nor when the next read's answer is due."""
        driver = await connected(device)
        reader = compiled(driver, device.schema)
        await device.turn()
        before = device.state(list((await read(device, reader)).batch.iter_samples()))
        device.hold()
        asked = device.asked_bytes
        reading = asyncio.create_task(read(device, reader), name="read")
        await _asked(device, asked)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert reading.cancelled()
        await driver.close()
        await device.turn()
        following = asyncio.create_task(self._reads(device), name="following")
        await asyncio.sleep(0)
        device.release()
        assert await following > before

    async def test_silence_is_unreachable_in_time_and_never_data(self, device: FieldDevice) -> None:
        """And what comes after it is not data, either."""
        driver = await connected(device)
        reader = compiled(driver, device.schema)
        await device.turn()
        before = device.state(list((await read(device, reader)).batch.iter_samples()))
        device.hold()
        with pytest.raises(DeviceUnreachable):
            await read(device, reader)
        await driver.close()
        await device.turn()
        device.release()
        assert await self._reads(device) > before

    async def _reads(self, device: FieldDevice) -> int:
        """Connect until it works, as a session would; read once and give the state."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                driver = device.driver()
                try:
                    await driver.connect()
                    scan = await read(device, compiled(driver, device.schema))
                    return device.state(list(scan.batch.iter_samples()))
                except DeviceError:
                    await asyncio.sleep(_STEP_S)
                finally:
                    await driver.close()


class RefusingContract:
    """What holds for drivers that are asked for what the device has not."""

    async def test_what_is_refused_spares_its_neighbours(self, device: RefusingDevice) -> None:
        """A refusal is no exception, and a plan that learns from it reads all the rest."""
        driver = await connected(device)
        scan = await settled(device, cast("PolledDriver", driver))
        samples = {sample.tag.name: sample for sample in scan.batch.iter_samples()}
        assert {n for n, s in samples.items() if is_bad(s.quality)} == device.refused
        assert all(samples[name].value is None for name in device.refused)
        await driver.close()


class WritableContract:
    """What holds for drivers that can change their device."""

    async def test_what_was_written_is_read_back(self, device: WritableDevice) -> None:
        """Each value, exactly."""
        driver = cast("WritableDriver", await connected(device))
        for value in (device.first, device.second, device.first):
            async with device.line.turn(Urgency.WRITE):
                await driver.write(device.writable, value)
                assert await driver.read_back(device.writable) == value
        await driver.close()

    async def test_a_write_without_an_answer_is_in_doubt(self, device: WritableDevice) -> None:
        """Whether the line is silent or breaks: it was sent, and nobody knows."""
        for breaks in (False, True):
            driver = cast("WritableDriver", await connected(device))
            async with device.line.turn(Urgency.WRITE):
                await driver.write(device.writable, device.first)  # now it knows all it must
                device.hold()
                asked = device.asked_bytes
                writing = asyncio.create_task(
                    driver.write(device.writable, device.second), name="write"
                )
                await _asked(device, asked)
                if breaks:
                    await device.cut()
                with pytest.raises(WriteInDoubt):
                    await writing
            await driver.close()
            device.release()

    async def test_a_write_without_a_connection_is_refused(self, device: WritableDevice) -> None:
        """Nothing was sent, and that is known."""
        driver = cast("WritableDriver", await connected(device))
        await device.cut()
        await _until(lambda: device.connections == 0)
        with pytest.raises((DeviceRefused, DeviceUnreachable)) as caught:
            async with device.line.turn(Urgency.WRITE):
                await driver.write(device.writable, device.second)
        assert not isinstance(caught.value, WriteInDoubt)
        await driver.close()


class StreamedContract(DriverContract):
    """What holds for drivers whose device sends by itself."""

    async def test_each_state_comes_once_and_in_order(self, device: FieldDevice) -> None:
        """Ten of them; a state is all that is known of it when the next one begins to come."""
        driver = await connected(device)
        async with Listening(driver, device) as listening:
            states = [await listening.after(0)]
            for _ in range(10):
                await device.turn()
                states.append(await listening.after(states[-1]))
        await driver.close()
        assert states == sorted(set(states))

    async def test_a_line_that_breaks_ends_the_stream_with_an_error(
        self, device: FieldDevice
    ) -> None:
        """And the next driver on it goes on from what the device has then."""
        driver = await connected(device)
        async with Listening(driver, device) as listening:
            before = await listening.after(0)
            await device.cut()
            with pytest.raises(DeviceError) as caught:
                async with asyncio.timeout(PATIENCE_S):
                    await listening.task
            assert caught.value.hint
        await driver.close()
        again = await connected(device)
        async with Listening(again, device) as listening:
            await device.turn()
            await listening.after(before)
        await again.close()

    async def test_closing_ends_a_stream_that_waits(self, device: FieldDevice) -> None:
        """It ends at once, and by an error or its end, whatever the device does."""
        driver = await connected(device)
        async with Listening(driver, device) as listening:
            await listening.after(0)
            listening.task.cancel()
            await asyncio.gather(listening.task, return_exceptions=True)
            device.hold()
            async with asyncio.timeout(PATIENCE_S):
                await driver.close()
        device.release()


class Listening:
    """Takes what a driver streams, as a session does; knows the last sample of each tag."""

    def __init__(self, driver: Driver, device: FieldDevice) -> None:
        self._driver, self._device = cast("StreamedDriver", driver), device
        self._last: dict[str, Sample] = {}
        self.task = asyncio.create_task(self._listen(), name="listen")

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def after(self, state: int) -> int:
        """Wait until the last samples show a whole state after `state`; give it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if len(self._last) == len(self._device.schema.tags):
                    try:
                        shown = self._device.state(list(self._last.values()))
                    except AssertionError:
                        shown = state  # half of the next one has come
                    if shown > state:
                        return shown
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(_STEP_S)

    async def _listen(self) -> None:
        async for batch in self._driver.stream({self._device.schema: 0.05}):
            for sample in batch.iter_samples():
                self._last[sample.tag.name] = sample


async def connected(device: FieldDevice) -> Driver:
    """Give a connected driver."""
    driver = device.driver()
    async with asyncio.timeout(PATIENCE_S):
        await driver.connect()
    return driver


def compiled(driver: Driver, schema: Schema) -> Reader:
    """Plan a group as the poller does, and give its reader."""
    polled = cast("PolledDriver", driver)
    spans = polled.spans(schema)
    blocks = () if spans is None else plan(spans, polled.limits).blocks
    return polled.reader(schema, blocks)


async def read(device: FieldDevice, reader: Reader) -> Scan:
    """Read once, with the line's turn held."""
    async with asyncio.timeout(PATIENCE_S), device.line.turn(Urgency.POLL):
        return await reader.read()


async def settled(device: RefusingDevice, driver: PolledDriver) -> Scan:
    """Read `partly` and learn from what is refused until there is nothing more to learn."""
    learned = Learned()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            spans = driver.spans(device.partly)
            made = None if spans is None else plan(spans, driver.limits, learned)
            reader = driver.reader(device.partly, made.blocks if made else ())
            async with device.line.turn(Urgency.POLL):
                scan = await reader.read()
            if made is None or not any(refusal.permanent for refusal in scan.refusals):
                return scan
            learned = refine(made, scan.refusals, learned)


async def _asked(device: FieldDevice, before: int) -> None:
    """Wait until more was sent to the device than `before` bytes."""
    await _until(lambda: device.asked_bytes > before)


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what drivers do is seen from outside only
            await asyncio.sleep(_STEP_S)
