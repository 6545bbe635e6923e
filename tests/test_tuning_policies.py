"""Which trial goes how far, tried on made-up scores."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import pytest

from bench.budget import Budget, BudgetKind, parse_budget
from bench.errors import ConfigError
from bench.studies import TrialState
from bench.tuning.policies import Decision, Policy, Spent, Together, make_policy


@dataclass
class MadeUp:
    """A trial whose score after each epoch is known beforehand."""

    number: int
    state: TrialState = TrialState.WAITING
    scores: dict[int, float] = field(default_factory=dict)
    epochs: int = 0


def carry_out(
    policy: Policy,
    epochs: int,
    score: object,
    *,
    slots: int = 1,
    fails: frozenset[int] = frozenset(),
) -> list[MadeUp]:
    """Do what a policy says until it says that all is over, `slots` steps at a time."""
    trials: list[MadeUp] = []
    for _ in range(10_000):
        spent = Spent(sum(t.epochs for t in trials), sum(t.epochs for t in trials))
        decision: Decision = policy.decide(trials, spent)
        if decision.over:
            return trials
        for number in decision.prune:
            trials[number].state = TrialState.PRUNED
        steps = list(decision.go_on)
        while decision.create and len(steps) < slots:
            trials.append(MadeUp(len(trials)))
            first = policy.first(trials[-1].number)
            assert first is not None
            steps.append((trials[-1].number, first))
            trials[-1].state = TrialState.RUNNING
            decision = policy.decide(trials, spent)
        assert steps or decision.prune, "nothing is to be done and it is not over"
        for number, until in steps[:slots]:
            trial = trials[number]
            if number in fails:
                trial.state = TrialState.FAILED
                continue
            while True:
                assert until > max(trial.scores, default=0), "no rung is climbed twice"
                trial.epochs = until
                trial.scores[until] = score(number, until)  # type: ignore[operator]
                following = policy.after(until)
                if until == epochs:
                    trial.state = TrialState.COMPLETE
                elif following is None:
                    trial.state = TrialState.WAITING
                else:
                    until = following
                    continue
                break
    raise AssertionError("it is never over")


def steady(number: int, until: int) -> float:
    """Give each trial a rank that all epochs agree upon."""
    return float(random.Random(number).random())


def states(trials: list[MadeUp]) -> dict[TrialState, int]:
    return {state: sum(t.state is state for t in trials) for state in TrialState if state.is_over}


TRIALS = Budget(BudgetKind.TRIALS, 27)


@pytest.mark.parametrize("slots", [1, 4])
def test_without_a_pruner_every_trial_is_trained_to_its_end(slots: int) -> None:
    trials = carry_out(make_policy("none", TRIALS, 10, 1), 10, steady, slots=slots)
    assert states(trials)[TrialState.COMPLETE] == 27
    assert sum(trial.epochs for trial in trials) == 270


@pytest.mark.parametrize("slots", [1, 4])
def test_halving_lets_a_third_past_each_rung_and_finds_the_best(slots: int) -> None:
    trials = carry_out(make_policy("halving", TRIALS, 27, 1), 27, steady, slots=slots)
    reached = {rung: sum(rung in t.scores for t in trials) for rung in (1, 3, 9, 27)}
    assert reached == {1: 27, 3: 9, 9: 3, 27: 1}
    best = max(trials, key=lambda trial: steady(trial.number, 1))
    assert best.state is TrialState.COMPLETE
    # R / (log_eta R + 1) times less than to train all of them to the end.
    assert sum(trial.epochs for trial in trials) == 27 + 9 * 2 + 3 * 6 + 18
    assert 27 * 27 / sum(trial.epochs for trial in trials) == pytest.approx(9.0)


def test_the_number_of_workers_does_not_change_who_is_let_past() -> None:
    runs = [
        carry_out(make_policy("halving", TRIALS, 27, 1), 27, steady, slots=slots)
        for slots in (1, 2, 5, 40)
    ]
    assert all(
        [(t.state, t.scores) for t in run] == [(t.state, t.scores) for t in runs[0]] for run in runs
    )


def test_failed_trials_are_not_let_past_and_hold_nobody_up() -> None:
    fails = frozenset(range(5, 25))
    trials = carry_out(make_policy("halving", TRIALS, 27, 1), 27, steady, slots=3, fails=fails)
    assert states(trials)[TrialState.FAILED] == 20
    assert states(trials)[TrialState.COMPLETE] == 1
    all_fail = carry_out(
        make_policy("halving", TRIALS, 27, 1), 27, steady, fails=frozenset(range(27))
    )
    assert states(all_fail)[TrialState.FAILED] == 27


def test_equal_scores_are_told_apart_by_the_number_of_the_trial() -> None:
    trials = carry_out(make_policy("halving", TRIALS, 27, 1), 27, lambda number, until: 0.5)
    assert [t.number for t in trials if t.state is TrialState.COMPLETE] == [0]


def test_first_epoch_keeps_the_best_and_trains_them_to_the_end() -> None:
    trials = carry_out(make_policy("first-epoch:keep=3", TRIALS, 10, 1), 10, steady)
    order = sorted(trials, key=lambda trial: -steady(trial.number, 1))
    assert [t.number for t in order[:3]] == [
        t.number for t in order if t.state is TrialState.COMPLETE
    ]
    assert sum(trial.epochs for trial in trials) == 27 + 3 * 9


def test_hyperband_has_the_brackets_of_the_paper() -> None:
    # Li et al., 2018, table 1 gives them for R = 81 and eta = 3.
    policy = make_policy("hyperband", Budget(BudgetKind.SECONDS, 1), 81, 1)
    assert isinstance(policy, Together)
    brackets = list(itertools.islice(policy.brackets(), 5))
    assert [bracket.size for bracket in brackets] == [81, 34, 15, 8, 5]
    assert [bracket.rungs[0] for bracket in brackets] == [1, 3, 9, 27, 81]
    assert brackets[0].keep == (27, 9, 3, 1)


@pytest.mark.parametrize("pruner", ["halving", "hyperband", "first-epoch:keep=2", "none", "median"])
@pytest.mark.parametrize("text", ["13", "60epochs", "200epochs", "60s"])
def test_no_budget_is_overspent(pruner: str, text: str) -> None:
    budget = parse_budget(text)
    trials = carry_out(make_policy(pruner, budget, 9, 1), 9, steady, slots=3)
    spent = sum(trial.epochs for trial in trials)
    if budget.kind is BudgetKind.TRIALS:
        assert len(trials) == 13
    elif budget.kind is BudgetKind.EPOCHS:
        # What is left would not pay for one trial more.
        assert spent <= budget.amount < spent + 9 * 2
    else:
        assert spent >= 60  # an epoch takes a second here; what has begun is finished
    assert all(trial.state.is_over for trial in trials)
    assert any(trial.state is TrialState.COMPLETE for trial in trials)


def test_a_trial_too_many_belongs_to_no_bracket() -> None:
    for pruner in ("none", "halving"):
        policy = make_policy(pruner, TRIALS, 9, 1)
        assert policy.first(26) is not None
        assert policy.first(27) is None
        trials = carry_out(policy, 9, steady)
        surplus = MadeUp(27, TrialState.FAILED)
        assert policy.decide([*trials, surplus], Spent()).over


@pytest.mark.parametrize(
    ("pruner", "message"),
    [
        ("halving:eat=4", "has no option `eat` (did you mean `eta`?); it has `eta`, `first`"),
        ("halving:eta=1", "`eta` wants a whole number from 2"),
        ("halving:eta", "`eta` wants a whole number from 2"),
        ("first-epoch:keep=0", "`keep` wants a whole number from 1"),
    ],
)
def test_wrong_options_are_named(pruner: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_policy(pruner, TRIALS, 9, 1)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("pruner", "epochs"),
    [("halving", 1), ("hyperband:first=4", 9), ("first-epoch:first=9", 9), ("median", 1)],
)
def test_a_pruner_that_can_end_nothing_early_is_refused(pruner: str, epochs: int) -> None:
    with pytest.raises(ConfigError) as caught:
        make_policy(pruner, TRIALS, epochs, 1)
    assert f"`--pruner {pruner}` has no rung" in str(caught.value)
    assert ("smaller `first`" in str(caught.value)) == ("first=" in pruner)
    for able in ("none", "nop"):
        make_policy(able, TRIALS, epochs, 1)


@pytest.mark.parametrize("pruner", ["none", "halving", "hyperband", "first-epoch", "median"])
def test_a_budget_that_pays_for_no_trial_is_refused(pruner: str) -> None:
    with pytest.raises(ConfigError, match="`tune` is 17 epochs, and one trial takes 18"):
        make_policy(pruner, parse_budget("17epochs"), 9, 2)


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("20", BudgetKind.TRIALS, 20),
        ("20 trials", BudgetKind.TRIALS, 20),
        ("90s", BudgetKind.SECONDS, 90),
        ("1.5h", BudgetKind.SECONDS, 5400),
        ("1 epoch", BudgetKind.EPOCHS, 1),
    ],
)
def test_budgets_are_read(text: str, kind: BudgetKind, amount: float) -> None:
    assert parse_budget(text) == Budget(kind, amount)


@pytest.mark.parametrize("text", ["", "0", "-3", "2.5", "1.5epochs", "ten", "20 days"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"budget|whole number|nothing to spend"):
        parse_budget(text)
