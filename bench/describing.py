"""Cards of the datasets of an experiment, made by its workers.

Counts and samples are taken before anything is trained, so that a report of the first run has them
already. The check, which reads every image, comes when no run is left for a worker to begin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import cards, census, files
from bench.config import ExperimentConfig
from bench.dispatch import Claim, Listed, Task
from bench.errors import StoreError
from bench.jobs import Job, JobKind
from bench.preparing import Ask
from bench.records import RunSpec, RunStatus
from bench.text import one_line

HARD_LIMIT = 2 * census.CHECKED_SECONDS
"""Seconds after which a check is stopped that does not notice by itself how long it takes."""


class Describing:
    """Has workers make the cards of datasets; what goes wrong costs a card and no more.

    Args:
        config: of the experiment.
        results: the results folder.
        say: takes a line for whoever watches.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        results: Path,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._results = results
        self._say = say

    def describe(self, specs: Sequence[RunSpec], ask: Ask) -> None:
        """Have the cards made that are not there yet.

        Args:
            specs: runs, their datasets stored.
            ask: sends jobs to workers.
        """
        wanted = [
            spec for spec in _one_each(specs) if cards.read(self._results, spec.fingerprint) is None
        ]
        requests = [(JobKind.DESCRIBE, self._payload(spec)) for spec in wanted]
        labels = [spec.dataset.name for spec in wanted]
        for spec, answer in zip(wanted, ask(requests, labels), strict=True):
            if answer.result is None:
                why = one_line(answer.error)
                self._say(f"warning: no card of dataset `{spec.dataset.name}`: {why}")

    def checks(
        self, specs: Sequence[RunSpec], job: Callable[[JobKind, dict[str, Any], Path], Job]
    ) -> Listed:
        """Return the tasks that check datasets whose cards lack it.

        Args:
            specs: runs, their datasets stored.
            job: makes a job of its kind, its payload and the file that takes what it prints.
        """
        pending = [spec for spec in _one_each(specs) if self._is_pending(spec)]
        log = self._results / "logs" / f"{JobKind.CHECK}.txt"
        return Listed(
            self._check(spec, job(JobKind.CHECK, self._payload(spec), log)) for spec in pending
        )

    def _check(self, spec: RunSpec, job: Job) -> Task:
        lock = files.lock(self._results / "locks" / f"dataset-{spec.fingerprint}.lock")
        name = spec.dataset.name

        def acquire() -> Claim:
            try:
                lock.acquire(blocking=False)
            except OSError:  # somebody else is at it, or there is no room for a lock
                return Claim.DONE
            if self._is_pending(spec):
                return Claim.TAKEN
            lock.release()
            return Claim.DONE

        def ended(status: RunStatus, error: str, facts: dict[str, Any]) -> None:
            if status not in (RunStatus.OK, RunStatus.INTERRUPTED):
                self._note(spec, one_line(error))

        def started() -> None:
            self._say(f"checking the images of `{name}`")

        return Task(job, ended, started, acquire=acquire, release=lock.release, timeout=HARD_LIMIT)

    def _note(self, spec: RunSpec, error: str) -> None:
        """Write down why a check gave nothing: it would be tried with every experiment."""
        card = cards.read(self._results, spec.fingerprint)
        if card is None:
            return
        reason = census.why_not(spec, f"its check failed ({error})")
        try:
            cards.note(self._results, dataclasses.replace(card, why_not=reason))
        except StoreError as failure:
            self._say(f"warning: {failure}")

    def _is_pending(self, spec: RunSpec) -> bool:
        card = cards.read(self._results, spec.fingerprint)
        return card is not None and card.why_not == cards.PENDING

    def _payload(self, spec: RunSpec) -> dict[str, Any]:
        return {
            "spec": spec.to_dict(),
            "results": str(self._results.absolute()),
            "samples": self._config.pictures != "none",
            "offline": self._config.offline,
        }


def _one_each(specs: Sequence[RunSpec]) -> Iterator[RunSpec]:
    """Yield one run of each stored content."""
    seen: set[str] = set()
    for spec in specs:
        if spec.key and spec.fingerprint not in seen:
            seen.add(spec.fingerprint)
            yield spec
