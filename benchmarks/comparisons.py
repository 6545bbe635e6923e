"""How often tests of a difference go wrong or find what is there, and intervals hold the truth.

python benchmarks/comparisons.py [--simulations 400] [--large 150]
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy import stats as reference
from scipy.special import chdtrc

from bench import hardware, metrics, stats
from bench.stats.crossed import item_variance
from bench.stats.differences import seed_variance

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from simulated import answers

SEEDS = (2, 3, 5, 10)
NOISES = {
    "no noise of seeds": (0.0, 0.0),
    "seeds 0.3 points": (0.003, 0.0),
    "seeds 1 point": (0.01, 0.0),
    "taste": (0.0, 1.0),
    "seeds 0.3 points, taste": (0.003, 1.0),
    "seeds 1 point, taste": (0.01, 1.0),
}
"""Standard deviation of accuracy over seeds; whether methods differ in the items they find hard."""
RESAMPLES = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=400, help="at 1,000 items")
    parser.add_argument("--large", type=int, default=150, help="at 10,000 items")
    given = parser.parse_args()
    began = time.perf_counter()
    sizes = {1000: given.simulations, 10_000: given.large}
    print(
        f"{hardware.cpu_name()}, {hardware.cpu_count()} cores, python {platform.python_version()}, "
        f"numpy {np.__version__}, scipy {scipy.__version__}; n = {given.simulations} simulations "
        f"at 1,000 items, {given.large} at 10,000"
    )
    print("\n### Two equally good methods told apart, % of simulations at 5 %\n")
    heading = ["items", "noise", "seeds", *TESTS]
    table(
        heading,
        (row(n, name, k, count) for n, count in sizes.items() for name in NOISES for k in SEEDS),
    )
    print("\n### Two methods twice the resolvable gap apart told apart, %\n")
    table(
        heading,
        (
            row(n, name, k, count // 2, 2.0)
            for n, count in sizes.items()
            for name in ("seeds 0.3 points", "seeds 1 point, taste")
            for k in SEEDS
        ),
    )
    print("\n### Five copies of a method not all in one tie group, %\n")
    table(
        ["items", "noise", "seeds", "pairs with T3", "pairs with Holm", "four pairs with Holm"],
        (
            copies(n, name, k, count)
            for n, count in sizes.items()
            for name in ("no noise of seeds", "seeds 1 point")
            for k in SEEDS
        ),
    )
    print("\n### Intervals that hold the truth, %\n")
    table(["interval", "of", "%"], coverage(given.simulations))
    print(f"\n{time.perf_counter() - began:.0f} s")


def table(heading: Sequence[str], rows: Any) -> None:
    print("| " + " | ".join(heading) + " |")
    print("|" + "---|" * len(heading))
    for each in rows:
        print("| " + " | ".join(map(str, each)) + " |", flush=True)


def welch(a: Any, b: Any) -> float:
    scores = a.mean(1), b.mean(1)
    return 1.0 if not seed_variance(*scores)[0] else stats.welch(*scores).p


def crossed(a: Any, b: Any) -> float:
    return stats.crossed(stats.Sample.of_items(a), stats.Sample.of_items(b)).p


def satterthwaite(a: Any, b: Any) -> float:
    """Test the same variance with Satterthwaite's degrees of freedom for the sum."""
    parts = [side.mean(1).var(ddof=1) / len(side) for side in (a, b)]
    items = item_variance(stats.Sample.of_items(a), stats.Sample.of_items(b))
    total = sum(parts) + items
    if not total:
        return 1.0
    each = sum(v**2 / (len(a) - 1) for v in parts) + items**2 / (a.shape[1] - 1)
    return float(2 * reference.t.sf(abs(a.mean() - b.mean()) / math.sqrt(total), total**2 / each))


_weights: dict[int, Any] = {}


def bootstrap(a: Any, b: Any) -> float:
    """Resample the seeds of each method and the items of both; tell by the percentile interval."""
    n, k = a.shape[1], len(a)
    generator = np.random.default_rng(n)
    if n not in _weights:
        drawn = (generator.integers(0, n, n) for _ in range(RESAMPLES))
        _weights[n] = np.stack([np.bincount(each, minlength=n) for each in drawn]).astype(
            np.float32
        )
    means = [_weights[n] @ side.T.astype(np.float32) / n for side in (a, b)]
    seeds = [generator.multinomial(k, [1 / k] * k, RESAMPLES) / k for _ in means]
    apart = (means[0] * seeds[0]).sum(1) - (means[1] * seeds[1]).sum(1)
    low, high = np.quantile(apart, [0.025, 0.975])
    return 0.0 if low > 0 or high < 0 else 1.0


def pooled(a: Any, b: Any) -> float:
    """McNemar's test on the items of all seeds together."""
    return stats.mcnemar(a.ravel(), b.ravel()).p


def fisher(a: Any, b: Any) -> float:
    """McNemar's tests of each seed, combined by Fisher's method."""
    each = [stats.mcnemar(x, y).p for x, y in zip(a, b, strict=True)]
    return float(chdtrc(2 * len(each), -2 * np.log(np.maximum(each, 1e-300)).sum()))


TESTS: dict[str, Callable[[Any, Any], float]] = {
    "crossed": crossed,
    "Welch": welch,
    "crossed, Satterthwaite": satterthwaite,
    "bootstrap": bootstrap,
    "McNemar pooled": pooled,
    "McNemar by Fisher": fisher,
}


def row(n: int, name: str, seeds: int, simulations: int, gaps: float = 0.0) -> list[Any]:
    seed_noise, taste = NOISES[name]
    generator = np.random.default_rng([n, seeds, list(NOISES).index(name), int(gaps)])
    # What the seeds resolve, where that is less than what the items do.
    gap = max(stats.resolvable_gap(0.85, n), 1.96 * seed_noise)
    found = dict.fromkeys(TESTS, 0)
    for _ in range(simulations):
        truths = [0.85, 0.85 - gaps * gap]
        pair = answers(generator, truths, seeds, n, seed_noise=seed_noise, taste=taste)
        for test, p_value in TESTS.items():
            found[test] += p_value(*pair) < stats.ALPHA
    shares = [f"{100 * count / simulations:.1f}" for count in found.values()]
    return [f"{n:,}", name, seeds, *shares]


def copies(n: int, name: str, seeds: int, simulations: int) -> list[Any]:
    seed_noise, taste = NOISES[name]
    generator = np.random.default_rng([n, seeds, 5])
    found = [0, 0, 0]
    for _ in range(simulations):
        drawn = answers(generator, [0.85] * 5, seeds, n, seed_noise=seed_noise, taste=taste)
        samples = sorted(map(stats.Sample.of_items, drawn), key=lambda each: -each.scores.mean())
        against = [stats.crossed(samples[0], other) for other in samples[1:]]
        raw = [each.p for each in against]
        for place, corrected in enumerate(
            (stats.correct(against, 10), stats.holm(raw, 10), stats.holm(raw))
        ):
            found[place] += min(corrected) < stats.ALPHA
    return [f"{n:,}", name, seeds, *(f"{100 * count / simulations:.1f}" for count in found)]


def coverage(simulations: int) -> Any:
    generator = np.random.default_rng(0)
    count = 5 * simulations

    def share(held: Any) -> str:
        return f"{100 * np.mean(list(held)):.1f}"

    for n, p in ((50, 0.9), (1000, 0.9), (1000, 0.99)):
        drawn = generator.binomial(n, p, count)
        intervals = [stats.wilson(int(k), n) for k in drawn]
        yield "Wilson", f"{p:.0%} of {n:,} items", share(i.low <= p <= i.high for i in intervals)
    for k in (2, 3, 5, 10):
        found = [stats.t_interval(v) for v in generator.normal(0.8, 0.01, (count, k))]
        yield "t over seeds", f"{k} seeds", share(i.low <= 0.8 <= i.high for i in found)
    for n, alike in ((50, 0.9), (1000, 0.9), (1000, 0.995)):
        held = []
        for _ in range(count):
            a = generator.random(n) < 0.9
            b = np.where(generator.random(n) < alike, a, generator.random(n) < 0.8)
            found_pair = stats.mcnemar(a, b)
            held.append(found_pair.low <= 0.1 * (1 - alike) <= found_pair.high)
        yield "two networks, paired", f"{n:,} items, {alike:.1%} answered alike", share(held)
    for n in (50, 1000):
        held = []
        for _ in range(count):
            a, b = int(generator.binomial(n, 0.95)), int(generator.binomial(n, 0.9))
            unpaired = stats.proportions(a, n, b, n)
            held.append(unpaired.low <= 0.05 <= unpaired.high)
        yield "two networks, unpaired", f"{n:,} items", share(held)
    for k in SEEDS:
        held = []
        for _ in range(simulations):
            pair = answers(generator, [0.85, 0.82], k, 1000, taste=1.0)
            both = stats.crossed(*map(stats.Sample.of_items, pair))
            held.append(both.low <= 0.03 <= both.high)
        yield "two methods, crossed", f"{k} seeds, 1,000 items", share(held)
    for n in (100, 1000):
        yield (
            "mAP, percentile",
            f"{n:,} items, 3 labels",
            share(mean_average_precision(generator, n)),
        )
    for k in (3, 6, 10):
        times = np.exp(generator.normal(0, 0.5, (count, k)))
        found_times = [stats.reaching([t if t < 1.5 else None for t in each]) for each in times]
        said = f"{k} seeds, a fifth never there; says {found_times[0].level:.1%}"
        yield "median time to a target", said, share(f.low <= 1 <= f.high for f in found_times)
    held = []
    for _ in range(simulations):
        curve = stats.expected_best(list(generator.random(15)), low=0.0, high=1.0)
        held.append(all(e.low <= k / (k + 1) <= e.high for k, e in enumerate(curve, 1)))
    yield "expected best, whole curve", "15 trials", share(held)


def mean_average_precision(generator: Any, n: int) -> Any:
    def drawn(count: int) -> Any:
        labels = (generator.random((count, 3)) < 0.3).astype(np.uint8)
        return labels, labels + generator.normal(0, 1, labels.shape)

    labels, scores = drawn(200_000)
    whole = np.ones((1, len(labels)))
    truth = np.mean(
        [metrics.average_precision(labels[:, c], scores[:, c], whole)[0] for c in range(3)]
    )
    for _ in range(100):
        labels, scores = drawn(n)
        once = np.ones((1, n))
        value = np.mean(
            [metrics.average_precision(labels[:, c], scores[:, c], once)[0] for c in range(3)]
        )
        samples = stats.bootstrap_average_precision(labels, scores, 300)
        found = stats.percentile_interval(float(value), samples)
        yield found.low <= truth <= found.high


if __name__ == "__main__":
    main()
