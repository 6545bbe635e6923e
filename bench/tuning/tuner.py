"""The studies of an experiment: one for each cell, all with the same budget.

Their trials go to workers in turn, so that all cells come along together. When a study's budget is
spent, what it found is trained like any other cell, with the seeds of final runs.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bench import studies
from bench.budget import Budget, BudgetKind
from bench.config import ExperimentConfig
from bench.dispatch import Supply, Task
from bench.errors import ConfigError, UsageError
from bench.records import RunSpec, RunStatus, digest
from bench.registry import Registry
from bench.runner import Runner
from bench.store import Store
from bench.studies import Objective, StudyRecord
from bench.text import did_you_mean, listing
from bench.tuning import sampling
from bench.tuning.cell import MEASURES, CellStudy
from bench.tuning.ladders import LADDERS
from bench.tuning.owners import BEAT_SECONDS
from bench.tuning.policies import Policy, make_policy
from bench.tuning.shared import SharedStudy, as_stored, difference
from bench.tuning.space import Space, check_used, space_of
from bench.tuning.storage import check_storage, open_storage
from bench.tuning.tuned import TunedCell

if TYPE_CHECKING:
    import optuna

STORAGE_VARIABLE = "BENCH_STORAGE"
"""Names a storage where the config does not: an address with a password is not for files."""
ATTEND_SECONDS = 1.0
"""How often what is in hand is attended to, at the most."""
ATTEND_SHARE = 20
"""So many times longer than it takes is waited before it is done again."""
_TIMED = ("latency_ms", "train_seconds")


class Tuner:
    """Tunes the cells of an experiment. It is what `bench.runner.Tuning` describes."""

    def __init__(
        self,
        config: ExperimentConfig,
        registry: Registry,
        store: Store,
        say: Callable[[str], None],
    ) -> None:
        budget = config.budget
        assert budget is not None, "a tuner is for experiments with `tune`"
        self._config = config
        self._registry = registry
        self._store = store
        self._say = say
        self._budget = budget
        self._objectives = _objectives(config)
        self._storage: optuna.storages.BaseStorage | None = None
        self._cells: list[TunedCell] = []
        self._ids: set[str] = set()

    def check(self, specs: Sequence[RunSpec]) -> None:
        """Raise UsageError now for whatever a study would stumble over.

        Args:
            specs: the runs with default params, with or without keys.
        """
        sampling.make_pruner(self._optunas_pruner())
        check_storage(self._where())
        spaces = []
        for base in _bases(specs):
            space, _ = self._searched(base)
            spaces.append(space)
            grid = self._grid(base, space)

            def sampler(space: Space = space, grid: Any = grid) -> optuna.samplers.BaseSampler:
                return self._sampler(space, grid)

            sampling.check_sampler(
                sampler, space.suggest, self._objectives, text=self._config.sampler
            )
        check_used(spaces, self._config)

    def settled(self, specs: Sequence[RunSpec]) -> list[RunSpec] | None:
        """Return the chosen runs if nothing is left to be searched or trained, else None.

        Raises:
            ConfigError: a study of this experiment was begun with another space.
        """
        if self._config.rerun or not all(spec.key for spec in specs):
            return None
        known = {study.id: study for study in studies.read_all(self._store.root)[0]}
        chosen: list[RunSpec] = []
        for base in _bases(specs):
            identity = self._identity(base)
            self._ids.add(identity)
            study = known.get(identity)
            if study is not None:
                self._check_space(study, base)
            if study is None or not study.over or study.budget != str(self._budget):
                return None
            seeds = {spec.seed for spec in specs if spec.cell == base.cell}
            for runs in study.finals:
                records = [self._store.read(run) for run in runs]
                ended = [r.spec for r in records if r and r.status is RunStatus.OK]
                wanted = [spec for spec in ended if spec.seed in seeds]
                if len(wanted) < len(seeds):
                    return None
                chosen += wanted
        return chosen

    def _check_space(self, study: StudyRecord, base: RunSpec) -> None:
        """Refuse now what the storage would refuse later, when workers are running."""
        space, _ = self._searched(base)
        then, now = as_stored(dict(study.space)), as_stored(space.describe())
        if then != now:
            raise ConfigError(difference(study.name, "space", then, now))

    def open(self) -> None:
        """Make sure that studies can be kept, before anything is started."""
        self._storage = open_storage(self._where(), self._store.root, self._say)

    def _where(self) -> str | None:
        return self._config.storage or os.environ.get(STORAGE_VARIABLE) or None

    def begin(self, specs: Sequence[RunSpec], runner: Runner) -> Supply:
        """Return the trials of all cells in turn, and the chosen runs of those that are over."""
        by_cell: dict[str, list[RunSpec]] = {}
        for spec in specs:
            by_cell.setdefault(spec.cell, []).append(spec)
        for runs in by_cell.values():
            self._cells.append(self._cell(runs, runner))
        return Studies(self._cells)

    def close(self) -> None:
        """Put down what is in hand."""
        with contextlib.ExitStack() as stack:  # all of them, even if the storage is gone
            for cell in self._cells:
                stack.callback(cell.close)

    def records(self) -> list[StudyRecord]:
        """Return what the studies of the experiment have come to, in this call or before."""
        found, _ = studies.read_all(self._store.root)
        return [study for study in found if study.id in self._ids]

    def _cell(self, runs: Sequence[RunSpec], runner: Runner) -> TunedCell:
        assert self._storage is not None, "opened before anything is trained"
        base = runs[0]
        space, policy = self._searched(base)
        grid = self._grid(base, space)
        if grid is not None:
            # Every point once, after the defaults: a grid that is done is spent.
            policy = self._policy(base, Budget(BudgetKind.TRIALS, 1 + len(grid)))
        identity = self._identity(base)
        self._ids.add(identity)
        name = f"{base.dataset.name} · {base.model_label} · {base.optimizer.name} · {identity}"
        study = SharedStudy.open(
            self._storage,
            name,
            self._objectives,
            self._sampler(space, grid),
            sampling.make_pruner(self._optunas_pruner()),
            {"space": space.describe()},
            self._store.root,
        )
        cell = CellStudy(
            *(identity, base, space, study, policy, self._registry, self._objectives),
            seeds=self._config.tune_seeds,
            training=runner.training,
            results=self._store.root,
        )
        return TunedCell(
            *(name, runs, cell, self._config, self._store, self._registry, runner, self._say)
        )

    def _searched(self, base: RunSpec) -> tuple[Space, Policy]:
        policy = self._policy(base, self._budget)
        space = space_of(base, self._config, self._registry)
        if not space.defaults():
            raise UsageError(
                f"nothing of `{base.model.name}` with `{base.optimizer.name}` is searched; name "
                "params by `--search` or `--space`"
            )
        return space, policy

    def _policy(self, base: RunSpec, budget: Budget) -> Policy:
        return make_policy(
            self._config.pruner, budget, int(base.protocol["epochs"]), self._config.tune_seeds
        )

    def _optunas_pruner(self) -> str:
        """Return the pruner as far as it is one of Optuna's."""
        own = self._config.pruner.partition(":")[0] in LADDERS
        return "none" if own else self._config.pruner

    def _grid(self, base: RunSpec, space: Space) -> list[dict[str, Any]] | None:
        """Return the points of a grid search, None where params are sampled."""
        if not sampling.is_grid(self._config.sampler):
            return None
        most = self._policy(base, self._budget).most
        if most is None:
            raise UsageError(
                "`--sampler grid` needs to know how many trials there will be; give `--tune` in "
                "trials or epochs"
            )
        return space.grid(most - 1)

    def _sampler(
        self, space: Space, grid: list[dict[str, Any]] | None
    ) -> optuna.samplers.BaseSampler:
        def fixed(number: int) -> dict[str, Any] | None:
            if number == 0:
                return {**space.defaults(), **space.default_answers()}
            return grid[number - 1] if grid is not None and number <= len(grid) else None

        config = self._config
        return sampling.make_sampler(config.sampler, config.study_seed, self._objectives, fixed)

    def _identity(self, base: RunSpec) -> str:
        """Return the id of a cell's study: equal for all that may be continued.

        The budget may grow, except where it decides how many trials wait for one another; the
        device's name may differ between machines that share a study.
        """
        config = self._config
        key = {name: part for name, part in base.key.items() if name not in ("seed", "device")}
        bracketed = config.pruner.partition(":")[0] in LADDERS
        asked = (
            *(config.sampler, config.pruner, config.tune_seeds, config.study_seed, config.study),
            *([objective.name for objective in self._objectives], base.device),
            str(self._budget) if bracketed or sampling.is_grid(config.sampler) else None,
        )
        return digest([key, asked])[:12]


class Studies:
    """A supply: the studies of an experiment in turn."""

    def __init__(self, cells: Sequence[TunedCell]) -> None:
        self._cells = deque(cells)
        self._due = 0.0

    def next(self) -> Task | None:
        """Return a task of the study whose turn it is, or of the next one that has any."""
        for _ in range(len(self._cells)):
            cell = self._cells[0]
            self._cells.rotate(-1)
            if (task := cell.next()) is not None:
                return task
        return None

    @property
    def is_exhausted(self) -> bool:
        """Whether all studies are over and their chosen runs were handed out."""
        return all(cell.is_exhausted for cell in self._cells)

    def attend(self) -> None:
        """Keep what this process has in hand, and let readers see how far it is."""
        begun = time.monotonic()
        if begun < self._due:
            return
        for cell in self._cells:
            cell.attend()
        now = time.monotonic()
        # A database far away is asked less often: meanwhile no worker is handed anything.
        self._due = now + max(ATTEND_SECONDS, min(ATTEND_SHARE * (now - begun), BEAT_SECONDS / 2))


def _bases(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Return the first run of each cell."""
    return list({spec.cell: spec for spec in reversed(specs)}.values())[::-1]


def _objectives(config: ExperimentConfig) -> list[Objective]:
    """Return what is searched for.

    Raises:
        ConfigError: an objective that is unknown, or that this experiment cannot measure.
    """
    for name in config.objectives:
        if name not in MEASURES:
            hint = did_you_mean(name, MEASURES)
            raise ConfigError(
                f"there is no objective `{name}`{hint}; there are {listing(MEASURES)}"
            )
        if name in _TIMED and config.workers > 1:
            raise ConfigError(
                f"`{name}` is measured with the machine to itself; leave `--workers` out"
            )
    if len({*config.objectives}) < len(config.objectives) or not config.objectives:
        raise ConfigError("`objectives` takes each name once; `score` is the default")
    if len(config.objectives) > 1 and config.pruner != "none":
        raise ConfigError(
            f"`--pruner {config.pruner}` compares trials by one score, and there are "
            f"{len(config.objectives)} objectives; leave one of the two out"
        )
    return [Objective(name, MEASURES[name][1]) for name in config.objectives]
