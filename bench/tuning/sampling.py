"""How params of a trial are chosen, and Optuna's ways of ending trials early."""

from __future__ import annotations

import functools
import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from bench.errors import BenchError, UsageError
from bench.studies import Objective
from bench.text import did_you_mean, listing, one_line
from bench.tuning.choosing import Choice, classes_of, maker, read_choice
from bench.tuning.directions import directions_of
from bench.tuning.ladders import LADDERS
from bench.tuning.quiet import quietly, silence

Fixed = Callable[[int], Mapping[str, Any] | None]
"""Trial's number -> its params by name, or None where they are to be sampled."""

_KEPT = 32
_TRIES = 12
_CHEAP = ("tpe", "random", "nsgaii", "nsgaiii", "qmc")
# Drawn by a generator of each param's own: a trial that is taken up in the midst of its
# suggestions goes on as it would have.
_INDEPENDENT = ("random", "tpe", "grid")
# One sequence, from which each trial takes its point: all trials must have the same.
_ONE_SEQUENCE = ("qmc",)


def make_sampler(
    text: str, seed: int, objectives: Sequence[Objective], fixed: Fixed
) -> BaseSampler:
    """Return the sampler that a text describes.

    Args:
        text: `NAME[:key=value,...]`; `tpe`, `random`, `grid`, or another class of
            `optuna.samplers`, in any case, with or without `Sampler`.
        seed: of the study. What a trial is given depends on it, on the trial's number and on
            what the storage holds, not on which process asks or how often it was started.
        objectives: of the study.
        fixed: gives the params of trials that are not sampled (the defaults of trial 0; the
            points of `grid`). A value outside its range is brought to the nearest inside, in
            Optuna's books only.

    Raises:
        UsageError: there is no such sampler, or it has no such option.
    """
    choice = read_choice(text, "sampler")
    return _Sampler(choice.name, _maker(choice, seed), seed, fixed)


def _maker(choice: Choice, seed: int) -> functools.partial[Any]:
    """Return what makes samplers as they were chosen."""
    options = dict(choice.options)
    given: dict[str, Any] = {"seed": _hash(seed)}
    if choice.name == "tpe":
        # Optuna's own defaults of these differ with the number of objectives and among versions.
        options.setdefault("multivariate", options.get("group", False))
        options.setdefault("constant_liar", True)
    else:
        given["warn_independent_sampling"] = False
    # The points of a grid are fixed; what lies beyond them is drawn.
    name = "random" if choice.name == "grid" else choice.name
    return maker(Choice(choice.text, name, options), "sampler", _samplers(), **given)


def is_grid(text: str) -> bool:
    """Return whether a sampler's text asks for a grid, whose points `fixed` must give."""
    return read_choice(text, "sampler").name == "grid"


class _Sampler(BaseSampler):
    """Another sampler, made anew with a seed of its own for each trial.

    A sampler that is kept would go on with random numbers that depend on how many trials this
    process has asked for, and give the same ones again after the process was started again.
    """

    def __init__(self, name: str, make: functools.partial[Any], seed: int, fixed: Fixed) -> None:
        self._name = name
        self._make = make
        self._seed = seed
        self._fixed = fixed
        self._of_trials: OrderedDict[int, BaseSampler] = OrderedDict()

    def reseed_rng(self) -> None:
        """Do nothing: seeds come from trials' numbers."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return what is sampled jointly; nothing where params are fixed."""
        if self._fixed(trial.number) is not None:
            return {}
        with quietly():
            return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return params that are sampled jointly."""
        if self._fixed(trial.number) is not None:
            return {}
        with quietly():
            return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return one param: as fixed, or sampled by itself."""
        given = self._fixed(trial.number)
        if given is not None and param_name in given:
            return nearest(given[param_name], param_distribution)
        with quietly():
            if self._name in _INDEPENDENT:
                sampler = self._make(seed=_hash(self._seed, trial.number, param_name))
            else:
                sampler = self._of(trial)
            return sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Prepare a trial."""
        if self._fixed(trial.number) is None:
            with quietly():
                self._of(trial).before_trial(study, trial)

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if trial.number not in self._of_trials:
            is_shared = self._name in _ONE_SEQUENCE
            seed = _hash(self._seed) if is_shared else _hash(self._seed, trial.number)
            self._of_trials[trial.number] = self._make(seed=seed)
            if len(self._of_trials) > _KEPT:
                self._of_trials.popitem(last=False)
        return self._of_trials[trial.number]


def _samplers() -> dict[str, type]:
    return {"grid": BaseSampler, **classes_of(optuna.samplers, "sampler", BaseSampler)}


def _hash(*parts: object) -> int:
    """Return a seed of 32 bits that differs wherever the parts do."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def nearest(value: Any, distribution: BaseDistribution) -> Any:
    """Return the value of a distribution that is nearest to one that may be outside it."""
    if isinstance(distribution, CategoricalDistribution):
        return _nearest_choice(value, distribution.choices)
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return value
    if not _is_number(value):
        return distribution.low
    low, high, step = distribution.low, distribution.high, distribution.step
    inside = min(max(float(value), low), high)
    if step is not None:
        inside = min(low + round((inside - low) / step) * step, high)
    return int(inside) if isinstance(distribution, IntDistribution) else float(inside)


def _nearest_choice(value: Any, choices: Sequence[Any]) -> Any:
    for choice in choices:
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):
            return choice
    numbers = [choice for choice in choices if _is_number(choice)]
    if numbers and _is_number(value):
        return min(numbers, key=lambda choice: abs(choice - value))
    return choices[0]


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def check_sampler(
    make: Callable[[], BaseSampler],
    suggest: Callable[[Any], Any],
    objectives: Sequence[Objective],
    text: str,
) -> None:
    """Try a sampler on made-up trials, before anything is trained.

    Args:
        make: gives a fresh sampler, as `make_sampler` does.
        suggest: asks a trial for everything searched, as `Space.suggest` does.
        objectives: of the study.
        text: how the user named the sampler, for messages.

    Raises:
        UsageError: it cannot search this; says why and which can.
    """
    silence()
    error = _failure(make(), suggest, objectives)
    if error is None:
        return
    able = [name for name in _CHEAP if _failure(_plain(name), suggest, objectives) is None]
    if "random" not in able:
        raise error  # what is searched is at fault, not who searches it
    raise UsageError(
        f"the sampler `{text}` cannot search this: {_reason(error)}; {listing(able)} can"
    ) from error


def _plain(name: str) -> BaseSampler:
    return make_sampler(name, 0, (), lambda number: None)


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) or isinstance(error.__cause__, ModuleNotFoundError):
        missing = error if isinstance(error, ModuleNotFoundError) else error.__cause__
        name = getattr(missing, "name", None)
        if name:
            return f"it needs the package `{name}` (pip install {name})"
    return one_line(str(error), limit=300).rstrip(".") or type(error).__name__


def _failure(
    sampler: BaseSampler, suggest: Callable[[Any], Any], objectives: Sequence[Objective]
) -> Exception | None:
    """Return what a sampler says to made-up trials, None where all goes well."""
    directions = directions_of(objectives)
    with quietly():
        study = optuna.create_study(directions=directions, sampler=sampler)
        try:
            for _ in range(_TRIES):
                trial = study.ask()
                suggest(trial)
                values = [_hash(trial.number, each.name) / 2**32 for each in objectives]
                study.tell(trial, values)
        except BenchError:
            raise
        except Exception as error:
            return error
    return None


def make_pruner(text: str) -> optuna.pruners.BasePruner | None:
    """Return Optuna's pruner that a text describes, None for `none`.

    Raises:
        UsageError: there is no such pruner, or it has no such option.
    """
    choice = read_choice(text, "pruner")
    if choice.name == "none":
        if choice.options:
            raise UsageError(f"--pruner `{text}`: `none` has no options")
        return None
    known = classes_of(optuna.pruners, "pruner", optuna.pruners.BasePruner)
    if choice.name not in known:
        every = ["none", *LADDERS, *sorted(known.keys() - LADDERS.keys())]
        hint = did_you_mean(text.partition(":")[0], every)
        raise UsageError(f"--pruner `{text}`: there is no such pruner{hint}; {listing(every, 20)}")
    make = maker(choice, "pruner", known)
    with quietly():
        pruner: optuna.pruners.BasePruner = make()
    return pruner
