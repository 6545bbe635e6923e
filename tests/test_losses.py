from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

import bench
import bench_optim
from bench.specs import Task
from bench_optim.class_weights import class_weights

LOSSES = {offer.name: offer for offer in bench_optim.register_losses()}
SINGLE = [name for name, offer in LOSSES.items() if Task.MULTI_CLASS in offer.tasks]
MULTI = [name for name, offer in LOSSES.items() if Task.MULTI_LABEL in offer.tasks]
COUNTS = (40, 3, 1, 6, 50)
"""Training images of each of the five classes."""
SLICES = (slice(0, 3), slice(3, 6), slice(6, 8))
VARIANTS = [
    *((name, {}) for name in LOSSES),
    ("cross-entropy", {"balance": 1.0}),
    ("cross-entropy", {"balance": 0.5, "label_smoothing": 0.1}),
    ("focal", {"balance": 1.0}),
    ("focal", {"gamma": 0.5}),
    ("binary-focal", {"gamma": 0.5}),
    ("binary-cross-entropy", {"label_smoothing": 0.1}),
]


def loss_of(name: str, **params: Any) -> Any:
    """Return a loss for five classes, with the counts where it takes them."""
    offer = LOSSES[name]
    return offer.build(*offer.arguments(COUNTS), **params)


def labels_for(name: str, kind: str) -> Tensor:
    """Return labels of eight images: classes, one-hot rows, rows of mixed images, or any labels."""
    classes = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])
    one_hot = torch.eye(5)[classes]
    if name not in SINGLE:
        one_hot = torch.randint(0, 2, (8, 5), generator=torch.Generator().manual_seed(0)).float()
    if kind == "mixed":
        return 0.3 * one_hot + 0.7 * one_hot.flip(0)
    return classes if kind == "classes" and name in SINGLE else one_hot


@pytest.fixture
def logits() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(8, 5, requires_grad=True)


# What holds of every loss


@pytest.mark.parametrize("kind", ["classes", "rows", "mixed"])
@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_parts_of_a_batch_add_up_to_it(
    name: str, params: dict[str, Any], kind: str, logits: Tensor
) -> None:
    loss, labels = loss_of(name, **params), labels_for(name, kind)
    parts = [loss(logits[rows], labels[rows]) * (len(range(8)[rows]) / 8) for rows in SLICES]
    torch.testing.assert_close(torch.stack(parts).sum(), loss(logits, labels))


# The square of a mean is no mean of squares.
@pytest.mark.parametrize(("name", "params"), [v for v in VARIANTS if v[0] != "mse"])
def test_a_mixed_image_has_a_share_of_both_losses(
    name: str, params: dict[str, Any], logits: Tensor
) -> None:
    loss, labels = loss_of(name, **params), labels_for(name, "rows")
    expected = 0.3 * loss(logits, labels) + 0.7 * loss(logits, labels.flip(0))
    torch.testing.assert_close(loss(logits, labels_for(name, "mixed")), expected)


@pytest.mark.parametrize("kind", ["classes", "mixed"])
@pytest.mark.parametrize("scale", [1.0, 50.0, 1e4, 1e20])
@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_gradients_are_finite_however_sure_the_network_is(
    name: str, params: dict[str, Any], scale: float, kind: str, logits: Tensor
) -> None:
    value = loss_of(name, **params)(logits * scale, labels_for(name, kind))
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("kind", ["classes", "mixed"])
@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_losses_are_computed_in_float32_under_autocast(
    name: str, params: dict[str, Any], kind: str, logits: Tensor
) -> None:
    loss, labels = loss_of(name, **params), labels_for(name, kind)
    rounded = logits.detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(rounded, labels)
    assert found.dtype == torch.float32
    assert torch.equal(found, loss(rounded.float(), labels))


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_a_step_down_a_loss_makes_what_is_true_likelier(
    name: str, params: dict[str, Any], logits: Tensor
) -> None:
    labels = labels_for(name, "rows")
    loss_of(name, **params)(logits, labels).backward()
    assert logits.grad is not None
    assert (logits.grad * (labels - 0.5)).sum() < 0


# Cross-entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_that_of_torch(logits: Tensor, smoothing: float) -> None:
    labels = labels_for("cross-entropy", "classes")
    found = loss_of("cross-entropy", label_smoothing=smoothing)(logits, labels)
    expected = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_balanced_cross_entropy_weighs_whole_images(logits: Tensor, smoothing: float) -> None:
    labels = labels_for("cross-entropy", "classes")
    found = loss_of("cross-entropy", balance=1.0, label_smoothing=smoothing)(logits, labels)
    each = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    weights = torch.tensor([sum(COUNTS) / (5 * count) for count in COUNTS])
    torch.testing.assert_close(found, (weights[labels] * each).sum() / len(labels))


def test_balanced_cross_entropy_is_that_of_torch_times_the_mean_weight(logits: Tensor) -> None:
    labels = labels_for("cross-entropy", "classes")
    weights = torch.tensor(class_weights(COUNTS, 1.0))
    found = loss_of("cross-entropy", balance=1.0)(logits, labels)
    theirs = functional.cross_entropy(logits, labels, weight=weights)
    torch.testing.assert_close(found, theirs * weights[labels].mean())


@pytest.mark.parametrize("name", ["cross-entropy", "focal"])
def test_balance_without_any_imbalance_changes_nothing(name: str, logits: Tensor) -> None:
    labels, build = labels_for(name, "classes"), LOSSES[name].build
    found = build(5, (7,) * 5, balance=1.0)(logits, labels)
    torch.testing.assert_close(found, build(5, (7,) * 5)(logits, labels))


# Weights of classes


def test_full_balance_is_that_of_scikit_learn() -> None:
    images = np.repeat(np.arange(5), COUNTS)
    theirs = compute_class_weight("balanced", classes=np.arange(5), y=images)
    assert class_weights(COUNTS, 1.0) == pytest.approx(theirs.tolist())


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=20), st.floats(0, 1))
def test_the_mean_weight_of_the_training_images_is_one(counts: list[int], balance: float) -> None:
    weights = class_weights(counts, balance)
    mean = np.average(weights, weights=counts)
    assert mean == pytest.approx(1)
    # The rarer, the heavier.
    assert [weights[i] for i in np.argsort(counts)] == sorted(weights, reverse=True)


def test_a_class_without_images_leaves_the_other_weights_alone() -> None:
    assert class_weights([4, 0, 1], 1.0) == [0.625, 0.0, 2.5]
    assert class_weights([4, 0, 1], 0.0) == [1.0, 0.0, 1.0]


# Focal losses


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_focal_loss_follows_its_formula(logits: Tensor, gamma: float, balance: float) -> None:
    labels = labels_for("focal", "classes")
    exact = logits.detach().double().softmax(1)[torch.arange(8), labels]
    weights = torch.tensor(class_weights(COUNTS, balance), dtype=torch.float64)[labels]
    expected = (weights * (1 - exact) ** gamma * -exact.log()).mean()
    found = loss_of("focal", gamma=gamma, balance=balance)(logits, labels)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)


def test_focal_loss_without_its_gamma_is_cross_entropy(logits: Tensor) -> None:
    labels = labels_for("focal", "classes")
    found = loss_of("focal", gamma=0.0)(logits, labels)
    torch.testing.assert_close(found, functional.cross_entropy(logits, labels))


def test_focal_loss_heeds_a_sure_image_less() -> None:
    logits, labels = torch.tensor([[4.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0]]), torch.tensor([0, 1])
    focal, plain = loss_of("focal"), loss_of("cross-entropy")
    shares = [
        float(focal(logits[i : i + 1], labels[i : i + 1]))
        / float(plain(logits[i : i + 1], labels[i : i + 1]))
        for i in range(2)
    ]
    assert shares[0] < 0.01 < shares[1]


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_binary_focal_loss_is_that_of_torchvision(
    logits: Tensor, gamma: float, alpha: float
) -> None:
    labels = labels_for("binary-focal", "rows")
    found = loss_of("binary-focal", gamma=gamma, alpha=alpha)(logits, labels)
    theirs = sigmoid_focal_loss(logits, labels, alpha=alpha, gamma=gamma, reduction="mean")
    torch.testing.assert_close(found, theirs)


def test_binary_focal_loss_has_torchvisions_defaults(logits: Tensor) -> None:
    labels = labels_for("binary-focal", "rows")
    theirs = sigmoid_focal_loss(logits, labels, reduction="mean")
    torch.testing.assert_close(loss_of("binary-focal")(logits, labels), theirs)


# Mean squared error and binary cross-entropy


@pytest.mark.parametrize("kind", ["classes", "mixed"])
def test_mse_compares_probabilities_with_shares_of_classes(logits: Tensor, kind: str) -> None:
    labels = labels_for("mse", kind)
    rows = torch.eye(5)[labels] if labels.ndim == 1 else labels
    expected = functional.mse_loss(logits.softmax(1), rows)
    torch.testing.assert_close(loss_of("mse")(logits, labels), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_that_of_torch(logits: Tensor, smoothing: float) -> None:
    labels = torch.randint(0, 2, (8, 5)).float()
    targets = torch.where(labels == 1, 1 - smoothing / 2, smoothing / 2)
    expected = functional.binary_cross_entropy(logits.sigmoid(), targets)
    loss = loss_of("binary-cross-entropy", label_smoothing=smoothing)
    torch.testing.assert_close(loss(logits, labels), expected)


def test_binary_cross_entropy_takes_a_class_for_one_label_of_all(logits: Tensor) -> None:
    loss, classes = loss_of("binary-cross-entropy"), labels_for("binary-cross-entropy", "classes")
    assert torch.equal(loss(logits, classes), loss(logits, torch.eye(5)[classes]))


def test_losses_suit_the_tasks_whose_labels_they_can_read() -> None:
    assert sorted(SINGLE) == ["binary-cross-entropy", "cross-entropy", "focal", "mse"]
    assert sorted(MULTI) == ["binary-cross-entropy", "binary-focal"]


@pytest.mark.parametrize(
    ("name", "param", "value"),
    [
        ("cross-entropy", "label_smoothing", 2),
        ("cross-entropy", "balance", -0.5),
        ("focal", "gamma", -1),
        ("focal", "balance", 1.5),
        ("binary-focal", "gamma", -1),
        ("binary-focal", "alpha", 2),
        ("binary-cross-entropy", "label_smoothing", -1),
    ],
)
def test_losses_refuse_params_outside_their_range(name: str, param: str, value: float) -> None:
    with pytest.raises(bench.ConfigError, match=f"loss `{name}`: `{param}` is {value}; give "):
        loss_of(name, **{param: value})
