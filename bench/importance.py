"""How much each param that was searched mattered, by Optuna's own evaluator.

Optuna and scikit-learn take seconds to import, so they are imported only once there is something
to evaluate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.records import canonical, digest
from bench.store import Store
from bench.studies import StudyRecord, TrialRecord, TrialState

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

REVISION = 1
"""Of how importances are computed; another one forgets those that are remembered."""
MIN_TRIALS = 10
"""Complete trials below which a forest of trees has nothing to learn from."""


@dataclass(frozen=True)
class Importances:
    """How much each param mattered.

    Attributes:
        shares: by param, the largest first; they add up to 1. Empty where it cannot be told.
        reason: one sentence: why it cannot be told, or what the shares are.
    """

    shares: dict[str, float]
    reason: str


@dataclass(frozen=True)
class _Column:
    """A param as the evaluator sees it: a number on an even scale, or the place of a choice.

    Attributes:
        places: by trial number, where it lies.
        low: the smallest place.
        high: the largest.
        is_choice: whether places are those of choices.
    """

    places: dict[int, float]
    low: float
    high: float
    is_choice: bool


def importances(study: StudyRecord, values: Mapping[int, float], seed: int = 0) -> Importances:
    """Return the shares of the params in what the trials differ by.

    fANOVA (Hutter, Hoos and Leyton-Brown 2014) as Optuna has it: of a random forest that predicts
    the value from the params, the variance that each param explains alone. What is searched by its
    logarithm is handed over as a logarithm; on its plain scale the largest learning rates would
    fill nearly the whole axis. A param that did not apply to a trial is taken to be at its
    default, as the authors' own implementation does.

    Args:
        study: what was searched, and the trials.
        values: what trials scored, by number; only complete ones count. Infinite ones are left out.
        seed: of the forest.
    """
    known = [
        trial
        for trial in study.trials
        if trial.state is TrialState.COMPLETE and math.isfinite(values.get(trial.number, math.nan))
    ]
    columns = {name: _column(space, known, name) for name, space in study.space.items()}
    varying = {
        name: column for name, column in columns.items() if len({*column.places.values()}) > 1
    }
    if len(known) < MIN_TRIALS:
        count = f"{len(known)} complete trial{'s' * (len(known) != 1)}"
        return Importances({}, f"{count}; importances need {MIN_TRIALS}")
    if len({values[trial.number] for trial in known}) == 1:
        return Importances({}, "all trials have the same value")
    if not varying:
        return Importances({}, "no param varied")
    try:
        shares = _evaluated(varying, {trial.number: values[trial.number] for trial in known}, seed)
    except RuntimeError:
        return Importances({}, "the trials hardly differ in value")
    shares |= {name: 0.0 for name in columns if name not in varying}
    total = sum(shares.values())
    ordered = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
    says = f"share of what params explain alone, by fANOVA on {len(known)} complete trials"
    return Importances({name: share / total for name, share in ordered}, says)


def remembered(store: Store, study: StudyRecord, values: Mapping[int, float]) -> Importances:
    """Return what `importances` does, from the index where it has been computed before.

    Args:
        store: of the results that the study is among.
        study: what was searched, and the trials.
        values: what trials scored, by number.
    """
    trials = [[trial.number, str(trial.state), trial.params] for trial in study.trials]
    key = digest([REVISION, study.space, trials, sorted(values.items())])
    place = f"importances:{study.id}"
    try:
        kept = json.loads(store.recall([place])[place])
        if kept["key"] == key:
            shares = {str(name): float(share) for name, share in kept["shares"].items()}
            return Importances(shares, str(kept["reason"]))
    except (KeyError, ValueError, TypeError, AttributeError):
        pass  # not computed yet, or damaged
    found = importances(study, values)
    plain = {"key": key, "shares": found.shares, "reason": found.reason}
    store.remember({place: json.dumps(plain)})
    return found


def _column(space: Mapping[str, Any], trials: Sequence[TrialRecord], name: str) -> _Column:
    """Return where trials lie on an even scale; those to which the param did not apply too."""
    is_choice = space.get("kind") == "choice"
    choices = [canonical(choice) for choice in space.get("choices", ())]
    places: dict[int, float] = {}
    for trial in trials:
        if name not in trial.params:
            continue
        value = trial.params[name]
        if is_choice:
            text = canonical(value)
            if text not in choices:  # a default outside what is searched
                choices.append(text)
            places[trial.number] = float(choices.index(text))
        elif (place := _place(space, value)) is not None:
            places[trial.number] = place
    missing = [trial.number for trial in trials if trial.number not in places]
    if missing and places:
        # Trial 0 has the defaults; where even there it did not apply, the middle of what was seen.
        middle = sorted(places.values())[len(places) // 2]
        places |= dict.fromkeys(missing, places.get(0, middle))
    if is_choice:
        return _Column(places, 0.0, float(len(choices) - 1), True)
    searched = [_place(space, space.get(end)) for end in ("low", "high")]
    ends = [*places.values(), *(end for end in searched if end is not None)]
    return _Column(places, min(ends, default=0.0), max(ends, default=0.0), False)


def _place(space: Mapping[str, Any], value: Any) -> float | None:
    """Return where a number lies on the scale that it is searched by; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if not space.get("log"):
        return float(value)
    return math.log(value) if value > 0 else None


def _evaluated(
    columns: Mapping[str, _Column], values: Mapping[int, float], seed: int
) -> dict[str, float]:
    """Return Optuna's importances of columns that vary, of values by trial number.

    Raises:
        RuntimeError: the values hardly differ.
    """
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    # Names of its own: those of params may be anything.
    names = {f"x{place}": name for place, name in enumerate(columns)}
    distributions = {short: _distribution(columns[name]) for short, name in names.items()}
    storage = optuna.storages.InMemoryStorage()
    sampler = optuna.samplers.RandomSampler(seed=seed)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would announce the study
    try:
        rebuilt = optuna.create_study(storage=storage, sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)
    for number, value in values.items():
        params = {short: columns[name].places[number] for short, name in names.items()}
        rebuilt.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=value)
        )
    found = get_param_importances(rebuilt, evaluator=FanovaImportanceEvaluator(seed=seed))
    return {names[short]: float(share) for short, share in found.items()}


def _distribution(column: _Column) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if column.is_choice:
        return CategoricalDistribution([float(place) for place in range(int(column.high) + 1)])
    return FloatDistribution(column.low, column.high)
