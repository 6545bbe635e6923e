"""Losses each of which breaks one rule."""

from __future__ import annotations

import torch
from torch.nn import functional

import bench

BENCH_API = 1


def sound(num_classes, *, smoothing=0.0):
    """Cross-entropy, sound."""
    if not 0 <= smoothing <= 1:
        raise bench.ConfigError(f"loss `sound`: `smoothing` is {smoothing}; give 0 to 1")
    return lambda logits, labels: functional.cross_entropy(
        logits, labels, label_smoothing=smoothing
    )


def per_image(num_classes):
    """Return a loss for each image."""
    return lambda logits, labels: functional.cross_entropy(logits, labels, reduction="none")


def summed(num_classes):
    """Add up images."""
    return lambda logits, labels: functional.cross_entropy(logits, labels, reduction="sum")


def weighted(num_classes, class_counts):
    """Weigh classes as torch does, by what is in the batch."""
    weights = torch.tensor([1.0 / max(count, 1) for count in class_counts])

    return lambda logits, labels: functional.cross_entropy(
        logits, labels, weight=weights.to(logits.device)
    )


def inverse(num_classes, class_counts):
    """Weigh images by the inverse of their class's count, which may be 0."""
    inverse = torch.tensor([float(count) for count in class_counts]).reciprocal()
    weights = inverse / inverse.mean()

    def loss(logits, labels):
        rows = labels if labels.ndim == 2 else functional.one_hot(labels, num_classes)
        each = functional.cross_entropy(logits, rows.float(), reduction="none")
        return (each * (rows * weights.to(rows.device)).sum(1)).mean()

    return loss


def hits(num_classes):
    """Count hits, of which there is no gradient."""

    def loss(logits, labels):
        truth = labels.argmax(1) if labels.ndim == 2 else labels
        return (logits.argmax(1) != truth).float().mean()

    return loss


def by_hand(num_classes):
    """Take the logarithm of probabilities."""

    def loss(logits, labels):
        rows = labels if labels.ndim == 2 else functional.one_hot(labels, num_classes)
        return -(rows * logits.softmax(1).log()).sum(1).mean()

    return loss


def upside_down(num_classes):
    """Reward wrong answers."""
    return lambda logits, labels: -functional.cross_entropy(logits, labels)


def classes_only(num_classes):
    """Take classes, no mixtures of them."""

    def loss(logits, labels):
        return functional.nll_loss(logits.log_softmax(1), labels)

    return loss


def one_label_each(num_classes):
    """Take labels that add up to 1 in each image."""

    def loss(logits, labels):
        if labels.ndim == 2 and not torch.allclose(labels.sum(1), torch.ones_like(labels[:, 0])):
            raise ValueError("labels must add up to 1")
        return functional.cross_entropy(logits, labels)

    return loss


def rows_by_the_greatest(num_classes):
    """Take a mixture for the class that has the most of it, twice as heavy."""

    def loss(logits, labels):
        if labels.ndim == 2:
            return 2 * functional.cross_entropy(logits, labels.argmax(1))
        return functional.cross_entropy(logits, labels)

    return loss


def spoiling(num_classes):
    """Shift logits in place."""

    def loss(logits, labels):
        logits -= logits.detach().amax(1, keepdim=True)
        return functional.cross_entropy(logits, labels)

    return loss


def in_numbers(num_classes):
    """Compute with a matrix of float32, which autocast's bfloat16 does not go with."""
    mixing = torch.eye(num_classes)

    def loss(logits, labels):
        with torch.autocast(logits.device.type, enabled=False):
            return functional.cross_entropy(logits @ mixing.to(logits.device), labels)

    return loss


def on_the_cpu(num_classes):
    """Keep a weight for each class where the logits may not be."""
    weights = torch.ones(num_classes)
    return lambda logits, labels: functional.cross_entropy(logits * weights, labels)


def too_much(trial):
    return {"smoothing": trial.suggest_float("smoothing", 0.0, 2.0)}


@bench.hookimpl
def register_losses():
    every = tuple(bench.Task)
    return [
        bench.Loss(name="sound", build=sound),
        bench.Loss(name="per-image", build=per_image),
        bench.Loss(name="summed", build=summed),
        bench.Loss(name="weighted", build=weighted),
        bench.Loss(name="inverse", build=inverse),
        bench.Loss(name="hits", build=hits),
        bench.Loss(name="by-hand", build=by_hand),
        bench.Loss(name="upside-down", build=upside_down),
        bench.Loss(name="classes-only", build=classes_only),
        bench.Loss(name="for-all-tasks", build=one_label_each, tasks=every),
        bench.Loss(name="rows-by-the-greatest", build=rows_by_the_greatest),
        bench.Loss(name="spoiling", build=spoiling),
        bench.Loss(name="in-numbers", build=in_numbers),
        bench.Loss(name="on-the-cpu", build=on_the_cpu),
        bench.Loss(name="suggests-too-much", build=sound, suggest=too_much),
    ]
