"""What every schedule does: a factor for each step, by the plan or by the finished epochs alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.conformance.evidence import raised
from bench.conformance.rules import Broken, rule
from bench.conformance.suggestions import rule_on_suggestions
from bench.engine.device import seed_everything
from bench.engine.rates import RatePlan, checked_schedule
from bench.errors import PluginError
from bench.records import EpochMetrics
from bench.registry import Offer

Made = Sequence[float] | Callable[[Sequence[EpochMetrics]], float]

EPOCHS, EACH = 6, 7
"""Epochs of the usual run, and steps of each."""
SHORT = ((1, 1), (1, 2), (2, 1), (1, 5), (3, 1))
"""Epochs and steps an epoch of runs that leave no room."""
LOSSES = ((1.0, 0.7, 0.5, 0.4, 0.35, 0.3), (1.0,) * 6, (0.5, 0.9, 0.2, 3.0, 0.2, 0.2))
"""Val losses of runs: one that learns, one that does not, one that jumps about."""


def built(offer: Offer, epochs: int = EPOCHS, each: int = EACH, **params: Any) -> Made:
    """Return what a schedule makes for a run, once it is known to be of use."""
    steps = epochs * each
    made = offer.component.factory(steps, each, **params)
    try:
        checked: Made = checked_schedule(made, steps, "`build`")
    except PluginError as error:
        raise Broken(
            f"with steps={steps} and steps_per_epoch={each} {error}",
            "return a finite number for each of the `steps`, or a function of the finished epochs",
        ) from error
    return checked


def histories(val_losses: Sequence[float]) -> list[list[EpochMetrics]]:
    """Return the finished epochs of a run before each of its epochs."""
    epochs = [
        EpochMetrics(
            epoch=epoch,
            epochs=len(val_losses),
            train_loss=loss,
            train_accuracy=0.5,
            val_loss=loss,
            val_accuracy=0.5,
            lr=0.1,
            seconds=1.0,
            images_per_second=100.0,
            steps=epoch * EACH,
            val_score=-loss,
        )
        for epoch, loss in enumerate(val_losses, start=1)
    ]
    return [epochs[:count] for count in range(len(epochs))]


def factors(made: Made, val_losses: Sequence[float] = LOSSES[0], each: int = EACH) -> list[float]:
    """Return the factors of all steps of a run, as the run asks for them: epoch by epoch."""
    plan = RatePlan(made, each, where="`build`'s function")
    try:
        return [factor for history in histories(val_losses) for factor in plan.factors(history)]
    except PluginError as error:
        raise Broken(
            str(error), "let it take any number of finished epochs, none included"
        ) from error


@rule("schedule")
def gives_each_step_a_factor(offer: Offer) -> None:
    """Each step of a run has a factor, a finite number."""
    made = built(offer)
    for val_losses in LOSSES:
        factors(made, val_losses)


rule_on_suggestions("schedule", lambda offer, **params: factors(built(offer, **params)))


@rule("schedule")
def fits_runs_of_any_length(offer: Offer) -> None:
    """So have the steps of runs of a single step or epoch."""
    for epochs, each in SHORT:
        try:
            factors(built(offer, epochs, each), LOSSES[0][:epochs], each)
        except Exception as error:
            raise Broken(
                f"with steps={epochs * each} and steps_per_epoch={each} {raised(error, offer)}",
                "mind runs of a single step or epoch, in which there is no way from first to last",
            ) from error


@rule("schedule")
def never_turns_the_rate_round(offer: Offer) -> None:
    """Its factors are 0 or more, and not all of them 0."""
    for val_losses in LOSSES:
        found = factors(built(offer), val_losses)
        lowest = min(found)
        if lowest < 0:
            raise Broken(
                f"step {found.index(lowest)} of {len(found)} has the factor {lowest:.4g}",
                "end at 0 at the lowest: below it steps go up the loss",
            )
        if not any(found):
            raise Broken(
                f"all {len(found)} factors are 0", "give some steps a factor above 0, 1 at the peak"
            )


@rule("schedule")
def is_the_same_each_time(offer: Offer) -> None:
    """The same run has the same factors, whatever the seed: it may be resumed."""
    found = []
    for seed in (1, 2):
        seed_everything(seed)
        found.append(factors(built(offer)))
    for step, (one, other) in enumerate(zip(*found, strict=True)):
        if one != other:
            raise Broken(
                f"step {step} has the factor {one:.6g} the first time and {other:.6g} the next",
                "compute factors from `steps`, `steps_per_epoch` and params alone, drawing nothing",
            )


@rule("schedule")
def looks_only_at_finished_epochs(offer: Offer) -> None:
    """A function looks at the finished epochs alone, not at earlier calls."""
    for val_losses in LOSSES:
        made = built(offer)
        if not callable(made):
            return
        past = histories(val_losses)
        forwards = [float(made(history)) for history in past]
        changed = [
            place
            for place, (now, then) in enumerate(zip(past, histories(val_losses), strict=True))
            if now != then
        ]
        if changed:
            raise Broken(
                f"it changed the list of {changed[0]} finished epochs that it was given",
                "leave the list as it is; work on a copy",
            )
        again = [float(made(history)) for history in past[::-1]][::-1]
        # A resumed run builds it anew, and asks for the epoch that it has come to.
        resumed = [float(_function(offer)(history)) for history in past]
        for other, how in ((again, "asked again"), (resumed, "built anew, as in a resumed run")):
            for place, (one, two) in enumerate(zip(forwards, other, strict=True)):
                if one != two:
                    raise Broken(
                        f"after {place} finished epochs it returned {one:.6g}, and {two:.6g} when "
                        f"{how}",
                        "compute the factor from the finished epochs alone, from the first one on; "
                        "keep nothing from call to call",
                    )


def _function(offer: Offer) -> Callable[[Sequence[EpochMetrics]], float]:
    made = built(offer)
    assert callable(made)
    return made
