"""A model in service: guarded inputs, a latency budget with a fallback, a candidate in shadow.

Owns which model answers, and what is counted of it. Must not know tags or windows: rows of arrays
come in, rows of arrays go out, with a word on how far each can be trusted.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin.models import drift
from forebay_plugin.models.errors import ModelError, ModelUnfit
from forebay_plugin.models.guard import Guard
from forebay_plugin.models.runtime import Model, interchangeable, load
from forebay_plugin.models.shadow import Shadow
from forebay_plugin.models.store import locate
from forebay_plugin.models.trust import Trust
from forebay_plugin.plugin import PluginError
from forebay_plugin.types import BAD, UNCERTAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from forebay_plugin.models.folder import Arrays

STRIKES = 3
"""Runs over the budget in a row, until the fallback answers."""


@dataclass(frozen=True)
class Policy:
    """What the settings of a plugin say of its model.

    Attributes:
        trust: whom to trust.
        budget_s: for one run; 0: none.
        fallback: outputs that stand in, by name, where no previous model does. Without either, a
            slow model goes on, and is counted; rows of a run that fails have no value.
        retry_s: after which the model is tried again.
        drift_rows: over so many rows, to twice as many, PSI is computed.
    """

    trust: Trust = field(default_factory=Trust)
    budget_s: float = 0.0
    fallback: Mapping[str, float] = field(default_factory=dict)
    retry_s: float = 60.0
    drift_rows: int = 2000

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Policy:
        """Read `trusted_keys`, `pinned_models`, `allow_unsigned`, `budget_ms`, `fallback`, ...

        Raises:
            PluginError: a setting is of another type.
        """
        fallback = settings.get("fallback", {})
        if not isinstance(fallback, dict):
            raise PluginError("settings.fallback must be a table of outputs and numbers")
        return cls(
            trust=Trust.of(settings),
            budget_s=_number(settings, "budget_ms", 0.0) / 1000,
            fallback={name: _number(fallback, name, 0.0) for name in fallback},
            retry_s=_number(settings, "retry_s", 60.0),
            drift_rows=int(_number(settings, "drift_rows", 2000)),
        )


@dataclass(frozen=True)
class Answer:
    """What a run gave.

    Attributes:
        outputs: name -> array, first dimension the rows given; NaN where nothing was computed.
        quality: (rows) OPC UA StatusCodes: Good, Uncertain (an input outside the training's range,
            or a stand-in answered), Bad (an input is missing, or nothing could be computed).
        by: title of the model that answered, or `constant`, or `nothing`.
    """

    outputs: Arrays
    quality: npt.NDArray[np.uint32]
    by: str


class GovernedModel:
    """The active model of a directory with those that stand beside it.

    Attributes:
        counts: rows, `missing` and `outside` rows, `slow` and `failed` runs, `stood_in` rows.
    """

    def __init__(
        self,
        active: Model,
        policy: Policy,
        *,
        previous: Model | None = None,
        candidate: Model | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.active, self.previous, self._policy, self._clock = active, previous, policy, clock
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self._guard = Guard(active.manifest)
        self._drift = drift.from_arrays(
            active.folder.arrays(active.manifest.drift_file), policy.drift_rows
        )
        self._names: dict[str, Sequence[str]] = {
            port.name: port.names for port in active.manifest.inputs.values()
        }
        self._shadow = Shadow(candidate, active.manifest, policy.budget_s) if candidate else None
        self._strikes, self._again_s = 0, 0.0

    @classmethod
    def open(cls, directory: Path | None, policy: Policy) -> GovernedModel:
        """Open a model's folder, or a store with its active, previous and candidate.

        A previous or candidate that cannot be used is noted, and costs nothing else.

        Raises:
            ModelError: the active model cannot be used.
            PluginError: there is no directory.
        """
        if directory is None:
            raise PluginError("no model: set `model` of this plugin to a model's directory")
        roles = locate(directory)
        active = load(roles.active, policy.trust)
        notes: list[str] = []
        found = {
            role: _beside(active, path, role, policy.trust, notes)
            for role, path in (("previous", roles.previous), ("candidate", roles.candidate))
        }
        governed = cls(active, policy, previous=found["previous"], candidate=found["candidate"])
        governed.notes = notes
        return governed

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Answer:
        """Compute rows; the first dimension of every input that data are for is the rows.

        Raises:
            ModelUnfit: the inputs are not those of the manifest.
        """
        checked = self._guard.check(inputs)
        rows = len(checked.computable)
        self.counts["rows"] += rows
        self.counts["missing"] += int((~checked.computable).sum())
        self.counts["outside"] += int(checked.outside.sum())
        for name, counter in self._drift.items():
            if name in inputs:
                counter.add(inputs[name])
        quality = np.where(checked.outside, UNCERTAIN, 0).astype(np.uint32)
        quality[~checked.computable] = BAD
        some = checked.computable
        if not some.any():
            return Answer(self._blank(rows), quality, "nothing")
        whole = bool(some.all())
        given = {
            name: values if whole or not self._guard.has_rows(name) else values[some]
            for name, values in inputs.items()
        }
        computed, by = self._compute(given, int(some.sum()))
        if by != self.active.title:
            self.counts["stood_in"] += int(some.sum())
            quality[some] |= BAD if by == "nothing" else UNCERTAIN
        elif self._shadow is not None:
            self._shadow.compare(given, computed)
        return Answer(computed if whole else self._spread(computed, some), quality, by)

    def rebase(
        self, name: str, edges: drift.Numbers, shares: drift.Numbers, names: Sequence[str]
    ) -> None:
        """Measure the drift of an input against other data than the training's.

        `edges` and `shares` are those of `drift.reference`, of data of the machine itself; `names`
        are those of its columns.
        """
        self._drift[name] = drift.Drift(edges, shares, self._policy.drift_rows)
        self._names[name] = names

    def psi(self) -> dict[str, float]:
        """PSI of each column of the inputs, by its name; NaN while too few rows have come."""
        found = {}
        for name, counter in self._drift.items():
            names = self._names[name]
            for index, value in enumerate(counter.psi()):
                found[names[index] if names else f"{name}[{index}]"] = float(value)
        return found

    def agreement(self) -> dict[str, float]:
        """Figures of the candidate beside the active model; empty without one."""
        return self._shadow.figures() if self._shadow else {}

    def facts(self) -> dict[str, str]:
        """What `forebay plugins show` tells: models, trust, budget, notes."""
        facts = self.active.facts()
        if self.previous:
            facts["previous"] = self.previous.title
        if self._shadow:
            facts["candidate"] = self._shadow.model.title
        if self._policy.budget_s:
            facts["budget"] = f"{self._policy.budget_s * 1000:g} ms a run"
        for number, note in enumerate(self.notes, start=1):
            facts[f"note {number}"] = note
        return facts

    def state(self) -> str:
        """Counts, PSI and agreement as one JSON text: for a text output of a plugin."""
        held = {
            "counts": dict(self.counts),
            "psi": {
                name: round(value, 4) for name, value in self.psi().items() if not np.isnan(value)
            },
            "agreement": self.agreement(),
        }
        return json.dumps(held, sort_keys=True)

    def _compute(self, inputs: Mapping[str, npt.NDArray[Any]], rows: int) -> tuple[Arrays, str]:
        if self._clock() >= self._again_s:
            begun = self._clock()
            try:
                computed = self.active.run(inputs)
            except ModelUnfit:
                self.counts["failed"] += 1
                self._strike()
            else:
                self._time(self._clock() - begun)
                return computed, self.active.title
        if self.previous is not None:
            try:
                return self.previous.run(inputs), self.previous.title
            except ModelUnfit:
                self.counts["failed"] += 1
        blank = self._blank(rows)
        if not self._policy.fallback:
            return blank, "nothing"
        for name, value in self._policy.fallback.items():
            if name in blank:
                blank[name][...] = value
        return blank, "constant"

    def _time(self, took_s: float) -> None:
        if self._policy.budget_s and took_s > self._policy.budget_s:
            self.counts["slow"] += 1
            self._strike()
        else:
            self._strikes = 0

    def _strike(self) -> None:
        """Leave the model alone for a while after some, if there is what can stand in for it."""
        self._strikes += 1
        stand_in = self.previous is not None or bool(self._policy.fallback)
        if stand_in and self._strikes >= STRIKES:
            self._strikes, self._again_s = 0, self._clock() + self._policy.retry_s

    def _blank(self, rows: int) -> Arrays:
        """Outputs of so many rows without a value; free dimensions but the first have size 1."""
        return {
            name: np.full(
                (rows, *(size if isinstance(size, int) else 1 for size in port.shape[1:])), np.nan
            )
            for name, port in self.active.manifest.outputs.items()
        }

    @staticmethod
    def _spread(computed: Arrays, some: npt.NDArray[np.bool_]) -> Arrays:
        spread = {}
        for name, values in computed.items():
            spread[name] = np.full((len(some), *values.shape[1:]), np.nan)
            spread[name][some] = values
        return spread


def _beside(
    active: Model, path: Path | None, role: str, trust: Trust, notes: list[str]
) -> Model | None:
    if path is None:
        return None
    try:
        model = load(path, trust)
    except ModelError as error:
        notes.append(f"{role} is not used: {error}")
        return None
    if not interchangeable(active.manifest, model.manifest):
        notes.append(f"{role} is not used: {model.title} takes or gives something else")
        return None
    return model


def _number(settings: Mapping[str, Any], key: str, default: float) -> float:
    value = settings.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise PluginError(f"settings.{key} must be a number, 0 or more")
    return float(value)
