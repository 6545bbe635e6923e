"""Trials that follow a script, by which a space is explored before anything runs.

A space is defined by asking: only a trial that answers shows what comes next. `explore` gives
every answer once, `leaves` all combinations of them.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.tuning.domains import Domain


@dataclass
class Path:
    """What one trial was asked for, and what came of it.

    Attributes:
        asked: by name, in order.
        answers: by name.
        values: what is set, by the names that `--set` knows.
    """

    asked: dict[str, Domain] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


Chooser = Callable[[str, Domain], Any]
"""Answers a question: a name, and what may be answered."""
Walk = Callable[[Chooser], Path]
"""Has a chooser answer everything that a space asks for."""

_SOME = 8
"""Ranges of so many whole numbers are tried out number by number, others at both ends and once
in between."""
_RANDOM_WALKS = 64
"""What takes several answers at once to be asked for is found by chance."""


class ScriptedTrial:
    """Stands for a trial where there is none, for what a component may look at beside asking."""

    number = 0

    def __init__(self) -> None:
        self.user_attrs: dict[str, Any] = {}

    def set_user_attr(self, key: str, value: Any) -> None:
        """Remember a note."""
        self.user_attrs[key] = value


def tries(domain: Domain) -> list[Any]:
    """Return the answers that `explore` gives."""
    few = domain.size <= _SOME
    points = domain.points(_SOME if few else 3)
    # The ends of a range come before its middle: errors are found there.
    return points if few else [points[0], *points[2:], points[1]] if len(points) > 2 else points


def explore(walk: Walk) -> tuple[list[Path], list[Path]]:
    """Return paths on which every answer is given at least once, and some at random.

    From each path that brought something new, each answer is changed by itself, which finds
    whatever one answer after another leads to.
    """
    seen: set[tuple[str, int]] = set()
    paths: list[Path] = []
    queue: list[Mapping[str, int]] = [{}]
    while queue:
        script = queue.pop(0)
        path = walk(functools.partial(_scripted, script))
        paths.append(path)
        for name, domain in path.asked.items():
            for index in range(1, len(tries(domain))):
                if (name, index) not in seen:
                    seen.add((name, index))
                    queue.append({**script, name: index})
    generator = random.Random(0)
    chance = [
        walk(lambda name, domain: generator.choice(tries(domain))) for _ in range(_RANDOM_WALKS)
    ]
    return paths, chance


def _scripted(script: Mapping[str, int], name: str, domain: Domain) -> Any:
    possible = tries(domain)
    return possible[min(script.get(name, 0), len(possible) - 1)]


def leaves(walk: Walk, points: Callable[[str, Domain], list[Any]]) -> Iterator[Path]:
    """Yield a path for every combination of answers; what is asked may depend on them.

    Args:
        walk: of the space.
        points: the answers to a question.
    """
    prefix: list[int] = []
    while True:
        replay = _Replay(prefix, points)
        yield walk(replay)
        widths = replay.widths
        prefix = [*prefix, *([0] * (len(widths) - len(prefix)))]
        while prefix and prefix[-1] + 1 >= widths[len(prefix) - 1]:
            prefix.pop()
        if not prefix:
            return
        prefix[-1] += 1


class _Replay:
    """Answers as a prefix of decisions says, then with the first of the possible answers.

    Attributes:
        widths: how many answers each question had.
    """

    def __init__(self, prefix: list[int], points: Callable[[str, Domain], list[Any]]) -> None:
        self.widths: list[int] = []
        self._prefix = prefix
        self._points = points

    def __call__(self, name: str, domain: Domain) -> Any:
        possible = self._points(name, domain)
        depth = len(self.widths)
        self.widths.append(len(possible))
        return possible[self._prefix[depth] if depth < len(self._prefix) else 0]
