"""What every loss does: a finite mean over the images that falls as answers get better."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.conformance.evidence import raised, unless_broken
from bench.conformance.label_samples import IMAGES, Labels, counts_of, labels_of, logits_for
from bench.conformance.rules import Broken, Skipped, rule
from bench.conformance.suggestions import rule_on_suggestions
from bench.engine.updates import micro_batches
from bench.registry import Offer
from bench.specs import Loss, Task
from bench.text import listing

SURE = (50.0, 1e4)
"""What logits are multiplied by: networks get very sure of themselves."""
CLOSE = 1e-3
"""How far apart two values of the same may be, relative to them."""
SMOOTHED = 0.05
"""Likewise of one-hot labels and the classes they are: some losses smooth only the latter."""
ROUNDED = 0.03
"""Likewise of values that were computed with 8 binary digits."""


def tasks_of(offer: Offer) -> Sequence[Task]:
    """Return what a loss is for, what most rules look at first."""
    component = offer.component
    assert isinstance(component, Loss)
    return sorted(component.tasks, key=lambda task: task != Task.MULTI_CLASS)


def built(offer: Offer, counts: Sequence[int], **params: Any) -> Any:
    """Return the function of a loss for classes of so many training images each."""
    component = offer.component
    assert isinstance(component, Loss)
    made = component.build(*component.arguments(counts), **params)
    if not callable(made):
        raise Broken(
            f"`build` returned {type(made).__name__}",
            "return a function of logits (N, C) and labels, or a module",
        )
    return made


def usual(offer: Offer, **params: Any) -> tuple[Any, Labels]:
    """Return a loss and labels of the first task that it is for."""
    task = tasks_of(offer)[0]
    return built(offer, counts_of(task), **params), labels_of(task)


def value_of(loss: Any, logits: Tensor, labels: Labels) -> Tensor:
    """Return a loss, once it is known to be one number."""
    # A network's logits are no leaf of the graph either.
    value = loss(logits.clone(), labels.values.clone())
    if not isinstance(value, Tensor) or value.ndim != 0:
        shape = f"a tensor of {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r}"
        raise Broken(
            f"of {len(logits)} images with {labels.name}, it returned {shape}",
            "return the mean over the images, a tensor without dimensions",
        )
    return value


def near(one: Tensor, other: Tensor, apart: float = CLOSE) -> bool:
    """Return whether two scalars are the same but for rounding."""
    return math.isclose(one.item(), other.item(), rel_tol=apart, abs_tol=apart / 100)


@rule("loss")
def returns_one_number(offer: Offer) -> None:
    """It maps logits (N, C) and labels to a finite scalar tensor."""
    component = offer.component
    assert isinstance(component, Loss)
    if not component.tasks:
        raise Broken("`tasks` is empty", "name the tasks that it is for, or leave `tasks` out")
    loss, labels = usual(offer)
    value = value_of(loss, logits_for(labels), labels)
    if not bool(torch.isfinite(value)):
        raise Broken(
            f"of logits around 0 it returned {value.item()}", "take no logarithm or root of 0"
        )


rule_on_suggestions("loss", lambda offer, **params: usual(offer, **params))


@rule("loss")
def has_a_gradient(offer: Offer) -> None:
    """Its gradient reaches the logits of every image."""
    loss, labels = usual(offer)
    logits = logits_for(labels)
    value = value_of(loss, logits, labels)
    fix = "compute with torch from the logits on: no `item`, `detach`, `argmax`, NumPy or rounding"
    if not value.requires_grad:
        raise Broken("the value that it returned has no gradient", fix)
    value.backward()
    gradient = logits.grad
    if gradient is None:
        raise Broken("its gradient does not reach the logits", fix)
    # Of an image without any label a loss may have nothing to say.
    labelled = gradient[labels.rows.any(1)]
    without = int((labelled == 0).all(1).sum())
    if without:
        raise Broken(f"the logits of {without} of {len(labelled)} images have a gradient of 0", fix)


@rule("loss")
def suits_the_tasks_it_declares(offer: Offer) -> None:
    """It takes the labels of every task that it names."""
    component = offer.component
    assert isinstance(component, Loss)
    strange = [str(task) for task in component.default_tasks if task not in component.tasks]
    if strange:
        raise Broken(
            f"it is the default of {listing(strange)}, which is not among its tasks",
            "let `default_tasks` name some of `tasks`",
        )
    for task in tasks_of(offer)[1:]:
        labels = labels_of(task)
        try:
            value_of(built(offer, counts_of(task)), logits_for(labels), labels)
        except Broken:
            raise
        except Exception as error:
            raise Broken(
                f"in a {task} task, with {labels.name}, {raised(error, offer)}",
                "take these labels too, or say by `tasks=(bench.Task.MULTI_CLASS, ...)` what it "
                "is for",
            ) from error


@rule("loss")
def takes_mixed_labels(offer: Offer) -> None:
    """It takes labels of mixed images, (N, C) float, and one-hot ones for the classes they are.

    Which these nearly may be: a loss may smooth classes, and take rows for smooth already.
    """
    for task in tasks_of(offer):
        try:
            labels = labels_of(task)
            loss, logits = built(offer, counts_of(task)), logits_for(labels)
            plain = value_of(loss, logits, labels)
        except Exception:
            continue  # of which another rule tells
        fix = "where `labels.ndim` is 2 they are the shares of the classes; weigh by them"
        try:
            value_of(loss, logits, labels.mixed())
            as_rows = value_of(loss, logits, labels.one_hot())
        except Broken:
            raise
        except Exception as error:
            raise Broken(f"with {labels.mixed().name}, {raised(error, offer)}", fix) from error
        if not near(plain, as_rows, SMOOTHED):
            unless_broken(is_a_mean_over_the_images, offer)
            raise Broken(
                f"it is {plain.item():.6g} with {labels.name}, and {as_rows.item():.6g} with the "
                "same ones as one-hot rows",
                fix,
            )


@rule("loss")
def stays_finite_if_answers_are_sure(offer: Offer) -> None:
    """It is finite, and its gradient too, when logits are very large."""
    for loss, labels in _that_work(offer):
        for scale in SURE:
            logits = logits_for(labels, scale)
            value = value_of(loss, logits, labels)
            if value.requires_grad:
                value.backward()
            evidence = f"it returned {value.item():.4g}"
            if bool(torch.isfinite(value)):
                if logits.grad is None or bool(torch.isfinite(logits.grad).all()):
                    continue
                evidence += " with a gradient that is not finite"
            most = float(logits.detach().abs().max())
            raise Broken(
                f"of logits up to {most:.3g}, with {labels.name}, {evidence}",
                "use `log_softmax`, `logsigmoid` and the losses of torch that take logits; never "
                "the logarithm of a probability",
            )


def _that_work(offer: Offer) -> Iterator[tuple[Any, Labels]]:
    """Yield the loss with labels of each kind that it takes."""
    for task in tasks_of(offer):
        own = labels_of(task)
        for labels in (own, own.mixed()):
            try:
                loss = built(offer, counts_of(task))
                value_of(loss, logits_for(labels), labels)
            except Exception:
                continue  # of which another rule tells
            yield loss, labels


@rule("loss")
def is_a_mean_over_the_images(offer: Offer) -> None:
    """It is the sum of those of a batch's parts, each times its share of the images."""
    for loss, labels in _that_work(offer):
        logits = logits_for(labels).detach()
        whole = value_of(loss, logits, labels)
        parts = micro_batches(3, logits, labels.values, labels.rows)
        together = torch.stack(
            [
                share * value_of(loss, part, Labels(labels.name, values, rows))
                for share, part, values, rows in parts
            ]
        ).sum()
        if not near(whole, together):
            raise Broken(
                f"of {IMAGES} images with {labels.name}, it is {whole.item():.6g}, of the same in "
                f"three parts {together.item():.6g}: `--micro-batch` would change the training",
                "divide the sum over the images by their number, and by nothing else of the batch "
                "(torch's `weight=` divides by the weights in the batch)",
            )


@rule("loss")
def is_lower_for_right_answers(offer: Offer) -> None:
    """It is lower for logits that say the truth than for those that say the opposite."""
    for loss, labels in _that_work(offer):
        if labels.name.startswith("mixed"):
            continue
        right = value_of(loss, (labels.rows * 2 - 1) * 3, labels)
        wrong = value_of(loss, (1 - labels.rows * 2) * 3, labels)
        if not right < wrong:
            raise Broken(
                f"with {labels.name}, right answers have a loss of {right.item():.4g}, wrong ones "
                f"of {wrong.item():.4g}",
                "turn its sign round: training makes it small",
            )


@rule("loss")
def leaves_its_arguments_alone(offer: Offer) -> None:
    """Logits and labels stay as they are: the run counts hits with them."""
    for loss, labels in _that_work(offer):
        logits = logits_for(labels).detach().clone()
        given = [logits.clone(), labels.values.clone()]
        loss(*given)
        for now, before, name in zip(given, (logits, labels.values), _ARGUMENTS, strict=True):
            if not torch.equal(now, before):
                raise Broken(
                    f"with {labels.name}, it changed the {name} that it was given",
                    "work on a copy, with operations without a trailing underscore",
                )


_ARGUMENTS = ("logits", "labels")


@rule("loss")
def stands_a_class_without_images(offer: Offer) -> None:
    """If it asks for the counts, a class without training images leaves it finite."""
    if "class_counts" not in inspect.signature(offer.component.factory).parameters:
        return
    task = tasks_of(offer)[0]
    counts = (0, *counts_of(task)[1:])
    labels = labels_of(task)
    value = value_of(built(offer, counts), logits_for(labels), labels)
    if not bool(torch.isfinite(value)):
        raise Broken(
            f"with `class_counts` {counts} it returned {value.item()}",
            "give a class without images a weight of 0: no image has it",
        )


@rule("loss")
def stands_mixed_precision(offer: Offer) -> None:
    """It takes logits of bfloat16, as networks give them under autocast."""
    for loss, labels in _that_work(offer):
        logits = logits_for(labels).detach().bfloat16()
        exact = value_of(loss, logits.float(), labels)
        with torch.autocast("cpu", torch.bfloat16):
            try:
                value = value_of(loss, logits, labels)
            except Exception as error:
                raise Broken(f"of bfloat16 logits {raised(error, offer)}", _IN_FLOAT) from error
        if not near(value, exact, ROUNDED):
            raise Broken(
                f"with {labels.name}, it is {value.item():.4g} of bfloat16 logits and "
                f"{exact.item():.4g} of the same ones as float32",
                _IN_FLOAT,
            )


_IN_FLOAT = "begin with `logits.float()`"


@rule("loss")
def works_on_a_gpu(offer: Offer) -> None:
    """On a GPU it computes where the logits are, with the weights of classes there."""
    if not torch.cuda.is_available():
        raise Skipped("there is no CUDA device")
    loss, labels = usual(offer)
    logits = logits_for(labels).detach()
    expected = value_of(loss, logits, labels)
    if isinstance(loss, nn.Module):
        loss = loss.cuda()
    try:
        value = value_of(loss, logits.cuda(), labels._replace(values=labels.values.cuda()))
    except RuntimeError as error:
        raise Broken(
            f"on a GPU {raised(error, offer)}",
            "move what it keeps to `logits.device`, or return a module that holds it as a buffer",
        ) from error
    if not near(value, expected):
        raise Broken(
            f"it is {value.item():.6g} on a GPU and {expected.item():.6g} on the CPU",
            "compute in float32, and initialise what it keeps",
        )
