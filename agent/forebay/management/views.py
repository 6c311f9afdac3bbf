"""What the parts of management see of one another: the running agent, and what shows that it works.

Owns shapes only. Who gives them is `management.runtime`; who asks judges a change by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.config.load import LoadedConfig


@dataclass(frozen=True, slots=True)
class DeviceVitals:
    """One enabled device, since it was last begun: a device that changed counts from 0 again.

    `polls` are rows of polls, whatever their quality; `polls_per_s` is how many its periods ask
    for, 0 if nothing of it is polled. `good_samples` had a quality that is not Bad; `last_good_s`
    is when the last of them came, None for never. Times are monotonic seconds.
    """

    began_s: float
    polls: int
    polls_per_s: float
    good_samples: int
    last_good_s: float | None


@dataclass(frozen=True, slots=True)
class JournalVitals:
    """The journal of this run: how often something became durable, and when it last did.

    `last_commit_s` is monotonic, None for never. `trouble` says why nothing can be written now.
    """

    commits: int
    last_commit_s: float | None
    trouble: str


@dataclass(frozen=True, slots=True)
class UplinkVitals:
    """One enabled uplink, since it was last begun: records acknowledged, and whether it is up."""

    began_s: float
    acked_records: int
    connected: bool


@dataclass(frozen=True, slots=True)
class Vitals:
    """What shows at one moment that an agent does its work; cheap enough for once a second.

    `fleet_connected` is None where no fleet server is known. `memory_bytes` is resident, of this
    process and its plugins. `restarts` counts what died by itself and was begun again since
    the start: drivers that failed and plugins' processes.
    """

    monotonic_s: float
    devices: Mapping[str, DeviceVitals]
    journal: JournalVitals
    uplinks: Mapping[str, UplinkVitals]
    fleet_connected: bool | None
    memory_bytes: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of `Live.apply`.

    `changed` names what was begun, ended or begun again, as "device press". With `restart` nothing
    was touched: what differs cannot change while the agent runs, and `Live.again` is to be called.
    """

    changed: tuple[str, ...]
    restart: bool = False


class Live(Protocol):
    """The running agent, as far as it can be changed."""

    @property
    def loaded(self) -> LoadedConfig:
        """The configuration that runs."""
        ...

    async def apply(self, loaded: LoadedConfig) -> Applied:
        """Run `loaded` from now on; only what differs is touched. One call at a time.

        It returns when what was changed has begun, which says nothing yet of whether it works.
        A cancellation does not stop it half way. Raises nothing of a part's own.
        """
        ...

    def again(self) -> None:
        """End everything in order, then load and begin anew, in this process."""
        ...

    def vitals(self) -> Vitals:
        """Give what shows that the agent works."""
        ...
