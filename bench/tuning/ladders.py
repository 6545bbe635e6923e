"""Rungs at which trials wait for one another, and how many are let past each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.errors import ConfigError
from bench.text import did_you_mean, listing
from bench.words import parse_value


@dataclass(frozen=True)
class Bracket:
    """Trials that begin together, and how many of them are let past each rung.

    Attributes:
        size: trials that begin.
        rungs: epochs at which they wait for one another, ascending; the last one is the end.
        keep: how many go on from each rung but the last.
    """

    size: int
    rungs: tuple[int, ...]
    keep: tuple[int, ...]

    @property
    def epochs(self) -> int:
        """What it costs, with one seed, if no trial fails."""
        counts, steps = (self.size, *self.keep), (0, *self.rungs)
        return sum(
            count * (rung - before)
            for count, before, rung in zip(counts, steps, self.rungs, strict=False)
        )


@dataclass(frozen=True)
class Halving:
    """Successive halving: at each rung the best of `eta` go on.

    Jamieson and Talwalkar, 2016 (https://arxiv.org/abs/1502.07943); the rungs are R, R/eta,
    R/eta^2, ... epochs, rounded, and not below `first`.

    Attributes:
        eta: which part goes on; 3 as in Li et al., 2018 (https://arxiv.org/abs/1603.06560).
        first: fewest epochs after which trials are compared.
    """

    eta: int = 3
    first: int = 1

    def brackets(self, epochs: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield brackets of the size that leaves one trial at the end."""
        rungs = rungs_of(epochs, self.eta, self.first)
        while True:
            yield self.eta ** (len(rungs) - 1), rungs

    def keep(self, size: int, rungs: tuple[int, ...]) -> tuple[int, ...]:
        """Return size / eta, size / eta^2, ..., at least one."""
        return tuple(max(1, size // self.eta**step) for step in range(1, len(rungs)))


@dataclass(frozen=True)
class Hyperband(Halving):
    """Hyperband: halving with many short trials, then with fewer that begin at a later rung.

    Li et al., 2018 (https://arxiv.org/abs/1603.06560, algorithm 1): bracket s begins with
    ceil((s_max + 1) / (s + 1) * eta^s) trials.
    """

    def brackets(self, epochs: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the brackets of one Hyperband after another."""
        rungs = rungs_of(epochs, self.eta, self.first)
        most = len(rungs) - 1
        while True:
            for skipped in range(len(rungs)):
                step = most - skipped
                yield math.ceil((most + 1) / (step + 1) * self.eta**step), rungs[skipped:]


@dataclass(frozen=True)
class FirstEpoch:
    """Train all for one epoch and keep the best: what any cleverer pruner must beat.

    Attributes:
        keep_best: how many go on to the end; of a bracket's trials at least one.
        first: epochs after which they are compared.
    """

    keep_best: int = 1
    first: int = 1

    def brackets(self, epochs: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield brackets of as many trials as one whole run has epochs, for each that is kept."""
        first = min(self.first, epochs)
        rungs = (first, epochs) if first < epochs else (epochs,)
        while True:
            yield max(2, epochs // first) * self.keep_best, rungs

    def keep(self, size: int, rungs: tuple[int, ...]) -> tuple[int, ...]:
        """Return how many go on."""
        return (min(size, self.keep_best),) * (len(rungs) - 1)


LADDERS: dict[str, type[Halving | FirstEpoch]] = {
    "halving": Halving,
    "hyperband": Hyperband,
    "first-epoch": FirstEpoch,
}
"""The pruners whose trials wait for one another."""


def ladder_of(name: str, text: str) -> Halving | FirstEpoch:
    """Return the ladder of that name, with the options `eta=4,first=2` that the text holds.

    Raises:
        ConfigError: an option that it does not have, or a wrong value.
    """
    kind = LADDERS[name]
    spelt = {"eta": "eta", "first": "first", "keep": "keep_best"}
    known = [word for word, own in spelt.items() if own in kind.__dataclass_fields__]
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        word, equals, value = part.partition("=")
        word = word.strip()
        if word not in known:
            hint = did_you_mean(word, known)
            raise ConfigError(
                f"pruner `{name}` has no option `{word}`{hint}; it has {listing(known)}"
            )
        number = parse_value(value)
        least = 2 if word == "eta" else 1
        if not equals or isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ConfigError(f"pruner `{name}`: `{word}` wants a whole number from {least}")
        options[spelt[word]] = number
    return kind(**options)


def rungs_of(epochs: int, eta: int, first: int) -> tuple[int, ...]:
    """Return epochs, epochs / eta, ..., rounded, as far as they are not below `first`."""
    found = {epochs}
    rung = epochs / eta
    while round(rung) >= first:
        found.add(round(rung))
        rung /= eta
        if round(rung) < 1:
            break
    return tuple(sorted(found))
