"""How params of a trial are chosen, and Optuna's ways of ending trials early."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.studies import Objective

if TYPE_CHECKING:
    import optuna

Fixed = Callable[[int], Mapping[str, Any] | None]
"""Trial's number -> its params by name, or None where they are to be sampled."""


def make_sampler(
    text: str, seed: int, objectives: Sequence[Objective], fixed: Fixed
) -> optuna.samplers.BaseSampler:
    """Return the sampler that a text describes.

    Args:
        text: `NAME[:key=value,...]`; `tpe`, `random`, `grid`, or another class of
            `optuna.samplers`, in any case, with or without `Sampler`.
        fixed: gives the params of trials that are not sampled (the defaults of trial 0; the
            points of `grid`). A value outside its range is brought to the nearest inside, in
            Optuna's books only.

    Raises:
        UsageError: there is no such sampler, or it has no such option.
    """
    raise NotImplementedError


def is_grid(text: str) -> bool:
    """Return whether a sampler's text asks for a grid, whose points `fixed` must give."""
    raise NotImplementedError


def check_sampler(
    make: Callable[[], optuna.samplers.BaseSampler],
    suggest: Callable[[Any], Any],
    objectives: Sequence[Objective],
    text: str,
) -> None:
    """Try a sampler on made-up trials, before anything is trained.

    Args:
        make: gives a fresh sampler, as `make_sampler` does.
        suggest: asks a trial for everything searched, as `Space.suggest` does.
        text: how the user named the sampler, for messages.

    Raises:
        UsageError: it cannot search this; says why and which can.
    """
    raise NotImplementedError


def make_pruner(text: str) -> optuna.pruners.BasePruner | None:
    """Return Optuna's pruner that a text describes, None for `none`.

    Raises:
        UsageError: there is no such pruner, or it has no such option.
    """
    raise NotImplementedError
