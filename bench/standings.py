"""Methods over several datasets: mean ranks, and which of them can be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from bench import stats
from bench.naming import labels_across
from bench.rows import METRIC_NAMES, Row

MOST_NAMED = 10
"""Methods that the sentence names; tables and pictures have all."""


@dataclass(frozen=True)
class Standings:
    """The mean ranks of the methods that several datasets have in common.

    Attributes:
        metric: by which they are ranked on each dataset.
        datasets: their names.
        methods: best first.
        standing: of the methods, in that order.
        left_out: methods that lack a score on one of the datasets.
    """

    metric: str
    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    standing: stats.Standing
    left_out: int

    def __str__(self) -> str:
        """Say it in a sentence."""
        ranked = [*zip(self.methods, self.standing.ranks, strict=True)]
        ranks = ", ".join(f"{name} {rank:.1f}" for name, rank in ranked[:MOST_NAMED])
        if len(ranked) > MOST_NAMED:
            ranks += f" and {len(ranked) - MOST_NAMED} more"
        text = (
            f"mean ranks over {len(self.datasets)} datasets by test {METRIC_NAMES[self.metric]}: "
            f"{ranks}; those less than {self.standing.critical:.1f} apart cannot be told apart "
            f"(Nemenyi at 5 %; that all are alike, Friedman: p {self.standing.p:.2g})"
        )
        if self.left_out:
            text += f"; {self.left_out} without a score on each of them are left out"
        return text

    def to_plain(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        plain = asdict(self)
        plain["standing"]["ranks"] = self.standing.ranks.tolist()
        return plain

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_plain` wrote."""
        found = dict(data["standing"])
        found["ranks"] = np.array(found["ranks"], np.float64)
        found["cliques"] = tuple(map(tuple, found["cliques"]))
        names = {name: tuple(data[name]) for name in ("datasets", "methods")}
        return cls(**{**data, **names, "standing": stats.Standing(**found)})

    def to_dict(self) -> dict[str, Any]:
        """Return what `leaderboard.json` holds of it."""
        return {
            "metric": self.metric,
            "datasets": list(self.datasets),
            "methods": [
                {"name": name, "mean_rank": float(rank)}
                for name, rank in zip(self.methods, self.standing.ranks, strict=True)
            ],
            "critical_difference": self.standing.critical,
            "p": self.standing.p,
            "cliques": [
                [self.methods[place] for place in clique] for clique in self.standing.cliques
            ],
            "left_out": self.left_out,
        }


def over_datasets(blocks: Sequence[Sequence[Row]]) -> list[Standings]:
    """Return the standings of some blocks, one for each metric; none of fewer than five datasets.

    Of a dataset that has several blocks none counts: whose protocol should it be?

    Args:
        blocks: the rows of each.
    """
    scored = [[row for row in rows if row.score is not None] for rows in blocks]
    by_metric: dict[str, dict[str, list[Sequence[Row]]]] = {}
    for rows in filter(None, scored):
        found = by_metric.setdefault(rows[0].metric, {})
        found.setdefault(rows[0].dataset, []).append(rows)
    result = []
    for metric, datasets in by_metric.items():
        single = {name: several[0] for name, several in datasets.items() if len(several) == 1}
        if len(single) >= stats.FEWEST_DATASETS:
            standings = _standings(metric, single)
            result += [standings] if standings is not None else []
    return result


def _standings(metric: str, blocks: dict[str, Sequence[Row]]) -> Standings | None:
    labels = labels_across([row for rows in blocks.values() for row in rows])
    scores: dict[str, dict[str, float]] = {}
    for dataset, rows in blocks.items():
        for row in rows:
            assert row.score is not None
            scores.setdefault(labels[id(row)], {})[dataset] = row.score.mean
    common = {name: found for name, found in scores.items() if len(found) == len(blocks)}
    if len(common) < 2:
        return None
    table = np.array([[found[dataset] for found in common.values()] for dataset in blocks])
    found = stats.standing(table)
    order = np.argsort(found.ranks, kind="stable")
    places = {int(place): number for number, place in enumerate(order)}
    return Standings(
        metric,
        tuple(blocks),
        tuple([*common][place] for place in order),
        replace(
            found,
            ranks=found.ranks[order],
            cliques=tuple(tuple(places[each] for each in clique) for clique in found.cliques),
        ),
        len(scores) - len(common),
    )
