"""The driver: subscribes to the topics of its tags and gives what they say as batches.

Owns what a session sees, and the order of things: a message is acknowledged when its batch was
taken. Must not know aiomqtt (`link` does) or payloads (`routes` does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from forebay.clock import stamp
from forebay.drivers.mqtt.faults import translate
from forebay.drivers.mqtt.link import Link
from forebay.drivers.mqtt.routes import Routes
from forebay.events import TAGS_REFUSED
from forebay.model import Quality
from forebay.mqttclient.credentials import CredentialsUnusable, read_credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from forebay.drivers.mqtt.config import MqttSettings, MqttTag
    from forebay.interfaces import DeviceSpec, Seams
    from forebay.model import Batch, Schema

_SAMPLES_AT_ONCE = 5000
_SHOWN = 5


class MqttDriver:
    """Listens to one broker."""

    def __init__(self, spec: DeviceSpec, seams: Seams) -> None:
        """Touch no network."""
        self._device, self._seams = spec.name, seams
        self._settings = cast("MqttSettings", spec.settings)
        self._tags = cast("Mapping[str, MqttTag]", spec.tags)
        self._link: Link | None = None
        self._absent: set[str] = set()

    async def connect(self) -> None:
        """See `Driver.connect`."""
        try:
            credentials = await read_credentials(self._settings, self._seams.disk)
        except CredentialsUnusable as error:
            raise translate(error, "connecting") from error
        self._link = Link(self._device, self._settings, credentials, self._seams.clock)
        await self._link.open()

    async def close(self) -> None:
        """See `Driver.close`."""
        if self._link is not None:
            await self._link.shut()

    async def stream(self, schemas: Mapping[Schema, float]) -> AsyncIterator[Batch]:
        """See `StreamedDriver.stream`. The periods mean nothing here: a broker has no sampling."""
        assert self._link is not None, "stream before connect"
        link = self._link
        routes = Routes(tuple(schemas), self._tags)
        refused = await link.subscribe_all(routes.topics)
        self._note_refused(routes, refused)
        now = stamp(self._seams.clock)
        for batch in routes.refused(refused, Quality.BAD_NOT_READABLE, now):
            yield batch
        at_once = max(1, _SAMPLES_AT_ONCE // routes.widest)
        while True:
            messages = await link.receive(at_once)
            batches, absent = routes.batches(messages)
            self._note_absent(absent)
            for batch in batches:
                yield batch
            link.ack(messages)
            await link.forget({m.topic for m in messages if m.topic and m.topic not in routes})

    def _note_refused(self, routes: Routes, topics: list[str]) -> None:
        if topics:
            reason, hint = "the broker refused to subscribe", "check the broker's access rules"
            self._tell(routes.tags_of(topics), reason, hint)

    def _note_absent(self, names: set[str]) -> None:
        """Tell once of a tag that its message lacks: a slip in the pointer looks just so."""
        new = names - self._absent
        if new:
            self._absent |= new
            self._tell(sorted(new), "the message has no such field", "check the address's pointer")

    def _tell(self, tags: list[str], reason: str, hint: str) -> None:
        self._seams.events.emit(
            TAGS_REFUSED,
            device=self._device,
            tags=len(tags),
            first=tags[:_SHOWN],
            reason=reason,
            hint=hint,
        )
