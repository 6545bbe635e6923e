"""Metrics each of which breaks one rule."""

from __future__ import annotations

import numpy as np

import bench


def per_class(answers):
    """A number for each class."""
    count = len(answers.names)
    labels = answers.labels
    return np.array([(answers.predicted[labels == k] == k).sum() for k in range(count)])


def percent(answers):
    """Share of right items, in percent."""
    return 100 * answers.right.mean()


def error_rate(answers):
    """Share of wrong items, said to be the better the higher."""
    return 1 - answers.right.mean()


def noisy(answers):
    """Share of right items, more or less."""
    return answers.right.mean() * np.random.default_rng().uniform(0.9, 1)


def later_counts_more(answers):
    """Share of right items, of which later ones count more."""
    return np.average(answers.right, weights=np.arange(1, len(answers.ids) + 1))


def clipped_in_place(answers):
    """Mean probability of the right class, never 0."""
    if answers.probabilities is None:
        raise bench.DataError("its probabilities are not stored")
    given = np.clip(answers.probabilities, 2**-10, 1, out=answers.probabilities)
    return given[np.arange(len(given)), answers.labels].astype(float).mean()


def in_half_precision(answers):
    """Mean probability of the right class, as precise as it is stored."""
    if answers.probabilities is None:
        return float("nan")
    return answers.probabilities[np.arange(len(answers.ids)), answers.labels].mean()


def wants_two_classes(answers):
    """Share of right items of splits with two classes."""
    found = set(answers.labels.tolist())
    if len(found) < 2:
        raise ValueError("only one class is present")
    return answers.right.mean()


def wants_probabilities(answers):
    """Mean probability of the right class, which has to be stored."""
    return answers.probabilities[np.arange(len(answers.ids)), answers.labels].astype(float).mean()


def in_steps(answers, *, steps=10):
    """Share of right items, rounded."""
    return round(answers.right.mean() * steps) / abs(steps)


def micro(answers):
    """Share of right items, which the mean recall is not."""
    return answers.right.mean()


def macro(answers):
    present = np.unique(answers.labels)
    return np.mean([(answers.predicted[answers.labels == k] == k).mean() for k in present])


SINGLE = bench.SINGLE_LABEL


@bench.hookimpl
def register_metrics():
    return [
        bench.Metric(name="per-class", compute=per_class, tasks=SINGLE),
        bench.Metric(name="percent", compute=percent),
        bench.Metric(name="error-rate", compute=error_rate),
        bench.Metric(name="noisy", compute=noisy),
        bench.Metric(name="later-counts-more", compute=later_counts_more),
        bench.Metric(name="clipped-in-place", compute=clipped_in_place, tasks=SINGLE),
        bench.Metric(name="in-half-precision", compute=in_half_precision, tasks=SINGLE),
        bench.Metric(name="wants-two-classes", compute=wants_two_classes, tasks=SINGLE),
        bench.Metric(name="wants-probabilities", compute=wants_probabilities, tasks=SINGLE),
        bench.Metric(name="in-steps", compute=in_steps),
        bench.Metric(name="not-its-reference", compute=micro, reference=macro, tasks=SINGLE),
    ]
