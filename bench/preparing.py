"""Datasets stored before anything is trained, and the keys of runs completed by their content."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from bench import provenance
from bench.config import ExperimentConfig
from bench.errors import UsageError
from bench.forecast import stored_dataset
from bench.jobs import JobKind
from bench.plan import plan
from bench.records import ComponentRef, RunSpec, RunStatus
from bench.registry import Registry

Content = tuple[str, str, str | None]
"""Of a stored dataset: fingerprint, variant, and the list of its files if it is not decoded."""
Ask = Callable[[Sequence[tuple[JobKind, dict[str, Any]]], Sequence[str]], list["Answer"]]
"""Sends jobs to workers; returns, in order, what became of each."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What became of a job.

    Attributes:
        result: what the worker handed back; None unless it ended well.
        error: why not, in one line.
    """

    status: RunStatus
    result: dict[str, Any] | None
    error: str


class Preparing:
    """Has workers store datasets.

    Args:
        config: of the experiment.
        registry: offers the datasets.
        ask: sends jobs to workers.
        say: takes a line for whoever watches.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        registry: Registry,
        ask: Ask,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._registry = registry
        self._ask = ask
        self._say = say

    def complete(
        self, specs: list[RunSpec], device_name: str
    ) -> tuple[list[RunSpec], dict[str, Answer]]:
        """Store each dataset that is not stored yet, and complete the keys.

        Returns:
            The runs with their keys, and by source what became of datasets that could not be
            prepared, which is to fail their own runs and no others.
        """
        contents: dict[str, Content | None] = {}
        missing: dict[str, RunSpec] = {}
        for spec in specs:
            source = spec.source
            if source in contents:
                continue
            stored = stored_dataset(self._registry.of("dataset", spec.dataset), spec)
            if stored is None:
                contents[source] = None
            else:
                listed = str(stored.files) if stored.files else None
                contents[source] = (stored.fingerprint, stored.variant, listed)
            if stored is None:
                missing[source] = spec
        errors = self._store_datasets(missing, contents)
        if missing:
            # Now it is known what their labels ask for, and so which loss is the default.
            specs = self._plan_again(specs)
        completed = []
        for spec in specs:
            content = contents[spec.source]
            if content is not None:
                spec = dataclasses.replace(spec, files=content[2])
            told = content[:2] if content else None
            spec = provenance.complete(spec, self._registry, told, device_name)
            completed.append(spec)
        return completed, errors

    def _plan_again(self, specs: list[RunSpec]) -> list[RunSpec]:
        """Return the runs as they are planned now, on the device that the workers have."""
        try:
            again = plan(self._config, self._registry).runs
        except UsageError:
            return specs  # what does not suit a dataset fails its own runs, each with the reason
        return [dataclasses.replace(spec, device=specs[0].device) for spec in again]

    def _store_datasets(
        self, missing: dict[str, RunSpec], contents: dict[str, Content | None]
    ) -> dict[str, Answer]:
        """Have workers store datasets; note their contents and return the failures by source."""
        requests = []
        for spec in missing.values():
            self._say(f"preparing dataset `{spec.dataset.name}`")
            payload = {"spec": spec.to_dict(), "offline": self._config.offline}
            requests.append((JobKind.PREPARE, payload))
        labels = [spec.dataset.name for spec in missing.values()]
        errors: dict[str, Answer] = {}
        for source, answer in zip(missing, self._ask(requests, labels), strict=True):
            result = answer.result
            if result is None:
                errors[source] = self._blamed(answer, missing[source].dataset)
                continue
            stored = result["dataset"]
            contents[source] = stored["fingerprint"], stored["variant"], stored["files"]
            for note in result["notes"]:
                self._say(f"  {note}")
        return errors

    def _blamed(self, answer: Answer, ref: ComponentRef) -> Answer:
        """Name the dataset where it has taken the worker with it, which then can say nothing."""
        if answer.status is RunStatus.FAILED:
            return answer
        plugin = self._registry.of("dataset", ref).plugin
        who = f"dataset `{ref.name}` of plugin {plugin.label}"
        return dataclasses.replace(answer, error=f"{who} could not be loaded: {answer.error}")
