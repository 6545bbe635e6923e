"""The rules of optimizers, schedules, losses and augmentations: what breaks one is told so."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import bench
from bench.conformance import judging, rules_of
from bench.conformance.rules import RULES, Broken, Skipped
from bench.conformance.suggestions import proposals
from bench.registry import Offer, Plugin, Registry, load_registry
from bench.specs import KINDS
from bench.tuning.proposals import Part

TRAINING = ("optimizer", "schedule", "loss", "augmentation")
ON_A_GPU = "works_on_a_gpu"
WRONG = {
    "optimizer": {
        "parameters": ("builds_an_optimizer", "`build` returned list"),
        "by-closure": ("builds_an_optimizer", "missing 1 required positional argument: 'closure'"),
        "matrices": ("trains_every_parameter", "`head.bias` of 6 parameters: in no group"),
        "copied": ("trains_every_parameter", "`head.bias` of 6 parameters: in no group"),
        "climbing": ("lowers_a_convex_loss", "the loss of a quadratic rose from 22."),
        "fast": ("lowers_a_convex_loss", "the loss of a quadratic went from 22.16"),
        "rash": ("lowers_the_loss_of_a_tiny_net", "rose from 1.69"),
        "its-own-rate": ("follows_the_learning_rate", "with `lr` at 0 four steps moved the"),
        "its-first-rate": ("follows_the_learning_rate", "after four steps at a rate of 0"),
        "rate-of-all": ("trains_layers_at_rates_of_their_own", "at 0.001 of the rate these went 1"),
        "forgetful": ("goes_on_from_its_saved_state", "after 4 steps from a state"),
        "with-objects": ("goes_on_from_its_saved_state", "`wrong.optimizers.History`"),
        "rolling": ("takes_the_same_steps_again", "in two runs with one seed"),
        "flat": ("stands_any_layout_in_memory", "view size is not compatible"),
        "greedy": ("passes_over_what_has_no_gradient", "not NoneType (optimizers.py:"),
        "decaying": ("passes_over_what_has_no_gradient", "`stem.0.weight`"),
        "suggests-a-stranger": ("suggests_usable_params", "returned `momentum`, which is no param"),
        "suggests-too-much": ("suggests_usable_params", "of beta=1.0, which `suggest` proposed"),
    },
    "schedule": {
        "too-few": ("gives_each_step_a_factor", "`build` returned 6 factors for 42 steps"),
        "endless": ("gives_each_step_a_factor", "returned a NaN or infinite factor"),
        "last-epoch": ("gives_each_step_a_factor", "after epoch 0: IndexError"),
        "below-zero": ("never_turns_the_rate_round", "step 41 of 42 has the factor -0.07381"),
        "nothing": ("never_turns_the_rate_round", "all 42 factors are 0"),
        "jittered": ("is_the_same_each_time", "step 0 has the factor 0."),
        "long-runs-only": ("fits_runs_of_any_length", "ZeroDivisionError: division by zero (sch"),
        "counting": ("looks_only_at_finished_epochs", "0.9, and 0.28243 when asked again"),
        "emptying": ("looks_only_at_finished_epochs", "it changed the list of 1 finished epochs"),
        "suggests-all-of-it": ("suggests_usable_params", "of warmup=1.0, which `suggest` proposed"),
        "suggests-text": ("suggests_usable_params", "wants a float, not 'short'"),
    },
    "loss": {
        "per-image": ("returns_one_number", "it returned a tensor of (8,)"),
        "summed": ("is_a_mean_over_the_images", "it is 16.66"),
        "weighted": ("is_a_mean_over_the_images", "of the same in three parts 1.8"),
        "inverse": ("stands_a_class_without_images", "(0, 3, 1, 6, 50) it returned nan"),
        "hits": ("has_a_gradient", "the value that it returned has no gradient"),
        "by-hand": ("stays_finite_if_answers_are_sure", "it returned nan"),
        "upside-down": ("is_lower_for_right_answers", "right answers have a loss of -0.0"),
        "classes-only": ("takes_mixed_labels", "0D or 1D target tensor expected"),
        "for-all-tasks": ("suits_the_tasks_it_declares", "in a multi-label task"),
        "rows-by-the-greatest": ("takes_mixed_labels", "with the same ones as one-hot rows"),
        "spoiling": ("leaves_its_arguments_alone", "it changed the logits that it was given"),
        "in-numbers": ("stands_mixed_precision", "of bfloat16 logits it raised RuntimeError"),
        "suggests-too-much": ("suggests_usable_params", "of smoothing=2.0, which `suggest`"),
    },
    "augmentation": {
        "cut": ("keeps_shape_and_dtype", "made (6, 3, 28, 28) torch.uint8 of (6, 3, 32, 32)"),
        "double": ("keeps_shape_and_dtype", "(6, 3, 32, 32) torch.float64 of"),
        "as-pair": ("keeps_shape_and_dtype", "transform `as_pair` made tuple of"),
        "bare": ("keeps_shape_and_dtype", "`build` returned function"),
        "in-place": ("leaves_its_input_alone", "transform 0, `in_place`, changed the images"),
        "brighter": ("stays_between_black_and_white", "images from 0 to 1."),
        "stretched": ("stays_between_black_and_white", "NaN among images"),
        "share-above-one": ("stays_between_black_and_white", "shares of labels from 1.0"),
        "by-torch": ("is_a_function_of_its_draws", "it moved the generator of `torch` on"),
        "by-numpy": ("is_a_function_of_its_draws", "came out otherwise again"),
        "by-python": ("is_a_function_of_its_draws", "it moved the generator of `python` on"),
        "all-alike": ("changes_each_image_on_its_own", "in a batch of 1 from what it is in one of"),
        "to-the-mean": ("changes_each_image_on_its_own", "in a batch of 1 from what it is"),
        "with-neighbours": ("changes_each_image_on_its_own", "in a batch of 1 from what it is"),
        "share-of-all": ("changes_each_image_on_its_own", "in a batch of 1 from what it is"),
        "in-colour": ("fits_every_kind_and_size", "of gray images of 28x28 (uint8) of the kind"),
        "for-photos": ("fits_every_kind_and_size", "of the kind `symbol` it raised KeyError"),
        "by-columns": ("stands_any_layout_in_memory", "view size is not compatible"),
        "share-of-the-partner": ("gives_labels_the_share_of_the_image", "turned round by 0.00"),
        "suggests-too-often": ("suggests_usable_params", "of probability=1.5, which `suggest`"),
    },
}


def wrong(kind: str) -> dict[str, Offer]:
    """Return the wrong components of a kind, by name."""
    module = importlib.import_module(f"wrong.{KINDS[kind].plural}")
    plugin = Plugin("wrong", "wrong", "1.0", module.__name__)
    Registry().add(plugin, lambda: module)
    assert plugin.error is None
    return {component.name: Offer(component, plugin) for component in plugin.components}


def broken(offer: Offer) -> list[tuple[str, str, str]]:
    """Return the rules that a component breaks, with the evidence and the fix."""
    found = []
    first, *others = rules_of(offer.component.kind)
    for rule in (first, *others):
        told = judging.judge(rule, offer)
        if told is not None and told[0] == "failed":
            found.append(told[1:])
            if rule is first:
                break
    return found


@pytest.mark.parametrize(("kind", "name"), [(k, name) for k in TRAINING for name in WRONG[k]])
def test_what_is_wrong_breaks_one_rule_and_is_told_so(kind: str, name: str) -> None:
    rule, evidence = WRONG[kind][name]
    [(found, told, fix)] = broken(wrong(kind)[name])
    assert found == rule
    assert evidence in told
    assert fix
    assert "\n" not in told + fix


SOUND = [*((kind, "sound") for kind in TRAINING), ("optimizer", "sound-with-noise")]


@pytest.mark.parametrize(("kind", "name"), SOUND)
def test_what_is_sound_breaks_none(kind: str, name: str) -> None:
    assert broken(wrong(kind)[name]) == []


@pytest.mark.parametrize("kind", TRAINING)
def test_each_rule_is_broken_by_something(kind: str) -> None:
    rules_of(kind)
    told = {rule for rule, _ in WRONG[kind].values()}
    assert told == {rule.name for rule in RULES[kind]} - {ON_A_GPU}
    assert set(WRONG[kind]) == {name for name in wrong(kind) if "sound" not in name} - {
        "on-the-cpu"
    }


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["optimizer", "loss", "augmentation"])
def test_what_stays_on_the_cpu_is_told_where_there_is_a_gpu(kind: str) -> None:
    [(found, told, _)] = broken(wrong(kind)["on-the-cpu"])
    assert found == ON_A_GPU
    assert "device" in told


UNUSUAL = ("sgd-vanilla", "asgd", "lars", "adamw", "adopt", "madgrad", "lion", "muon")
"""Optimizers that between them go all the ways that there are; the others take a while."""
BUILT_IN = [
    offer
    for kind in TRAINING
    for offer in load_registry().offers(kind)
    if offer.plugin.name in ("bench_augment", "bench_optim")
]
LATER = {each.name for each in BUILT_IN if each.component.kind == "optimizer"} - {*UNUSUAL}


@pytest.mark.parametrize(
    "offer",
    [
        pytest.param(
            offer,
            id=f"{offer.component.kind}-{offer.name}",
            marks=[pytest.mark.slow] if offer.name in LATER else [],
        )
        for offer in BUILT_IN
    ],
)
def test_the_built_in_ones_keep_all_rules(offer: Offer) -> None:
    assert broken(offer) == []


# What components propose


def test_proposals_hold_the_ends_of_ranges_and_all_choices() -> None:
    [offer] = [each for each in BUILT_IN if each.name == "adamw"]
    part = Part("optimizer", "adamw", offer, offer.component.defaults, offer.component.defaults)
    found = [params["lr"] for params in proposals(part)]
    assert (min(found), max(found)) == (1e-4, 2e-2)
    assert len(set(found)) > 10


def test_a_rule_that_rests_on_a_broken_one_is_skipped() -> None:
    offer = wrong("optimizer")["climbing"]
    [rule] = [each for each in rules_of("optimizer") if each.name.endswith("tiny_net")]
    with pytest.raises(Skipped, match="it rests on `lowers_a_convex_loss`, which is broken"):
        rule.check(offer)
    told = judging.judge(rule, offer)
    assert told is not None
    assert told[0] == "skipped"


def test_a_loss_that_passes_over_images_is_told() -> None:
    def build(num_classes: int) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda logits, labels: functional.cross_entropy(logits[::2], labels[::2])

    plugin = wrong("loss")["sound"].plugin
    [rule] = [each for each in rules_of("loss") if each.name == "has_a_gradient"]
    with pytest.raises(Broken, match="the logits of 4 of 8 images have a gradient of 0"):
        rule.check(Offer(bench.Loss(name="half", build=build), plugin))
