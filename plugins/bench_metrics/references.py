"""The same metrics by other means: what checks hold the built-in ones against.

Those that scikit-learn computes are written out from their definitions here, or from SciPy's
statistics; those that are written out are scikit-learn's here.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

import bench
from bench_metrics.needs import one_against_rest, paths, shares

_LEAST = float(np.finfo(np.float16).tiny)


def accuracy(answers: bench.Answers) -> float:
    """Return scikit-learn's share of items, or of sets of labels, that are right."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(answers.labels, answers.predicted))


def hamming_loss(answers: bench.Answers) -> float:
    """Return scikit-learn's share of wrong labels."""
    from sklearn.metrics import hamming_loss

    return float(hamming_loss(answers.labels, answers.predicted))


def balanced_accuracy(answers: bench.Answers) -> float:
    """Return the mean recall, from the items of each class."""
    recalls = [
        (answers.predicted[answers.labels == label] == label).mean()
        for label in np.unique(answers.labels)
    ]
    return float(np.mean(recalls))


def matthews(answers: bench.Answers) -> float:
    """Return the correlation of truth and prediction as indicators (Gorodkin 2004)."""
    count = len(answers.names)
    truth, said = (np.eye(count)[each] for each in (answers.labels, answers.predicted))
    truth, said = truth - truth.mean(0), said - said.mean(0)
    scale = np.sqrt((truth * truth).sum() * (said * said).sum())
    return float((truth * said).sum() / scale) if scale > 0 else 0.0


def top_k(answers: bench.Answers, *, k: int = 5) -> float:
    """Return scikit-learn's share of items whose class is among the likeliest."""
    from sklearn.metrics import top_k_accuracy_score

    exact = shares(answers)
    classes = exact.shape[1]
    if k >= classes:
        return 1.0
    if classes == 2:
        # Of two classes scikit-learn would have one score, with a threshold at a half.
        later_wins = (exact[:, 1] >= exact[:, 0]).astype(int)
        return float((later_wins == answers.labels).mean())
    found = top_k_accuracy_score(answers.labels, exact, k=k, labels=np.arange(classes))
    return float(found)


def roc_auc(answers: bench.Answers) -> float:
    """Return how often an item of a class is ranked above another, from SciPy's ranks of all."""
    from scipy.stats import rankdata

    areas = []
    for truth, scores in one_against_rest(answers):
        have, lack = int(truth.sum()), int((~truth).sum())
        if have and lack:
            above = rankdata(scores)[truth].sum() - have * (have + 1) / 2
            areas.append(above / (have * lack))
    return float(np.mean(areas)) if areas else float("nan")


def average_precision(answers: bench.Answers) -> float:
    """Return the mean precision at the rank of each item that a class has, ties taken together."""
    found = []
    for truth, scores in one_against_rest(answers):
        if truth.any():
            reached = scores[None, :] >= scores[truth][:, None]
            found.append(((reached & truth).sum(1) / reached.sum(1)).mean())
    return float(np.mean(found)) if found else float("nan")


def log_loss(answers: bench.Answers) -> float:
    """Return the cross entropy of truth and probabilities, by SciPy's `xlogy`."""
    from scipy.special import xlogy

    exact = shares(answers)
    if answers.task is bench.Task.MULTI_LABEL:
        truth = answers.labels.astype(np.float64)
        lost = xlogy(truth, np.maximum(exact, _LEAST))
        lost += xlogy(1 - truth, np.maximum(1 - exact, _LEAST))
        return float(-lost.mean())
    truth = np.eye(exact.shape[1])[answers.labels]
    return float(-xlogy(truth, np.maximum(exact, _LEAST)).sum() / len(exact))


def brier(answers: bench.Answers) -> float:
    """Return scikit-learn's mean squared error of the probabilities, summed over classes."""
    from sklearn.metrics import mean_squared_error

    exact = shares(answers)
    if answers.task is bench.Task.MULTI_LABEL:
        return float(mean_squared_error(answers.labels, exact))
    if answers.task is bench.Task.BINARY:
        return float(mean_squared_error(answers.labels, exact[:, 1]))
    truth = np.eye(exact.shape[1])[answers.labels]
    return float(mean_squared_error(truth, exact) * exact.shape[1])


def ece(answers: bench.Answers, *, bins: int = 15) -> float:
    """Return the calibration error bin by bin, as it is published."""
    confidence = shares(answers).max(1)
    edges = np.arange(bins + 1) / bins
    error = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = answers.right[inside].mean() - confidence[inside].mean()
            error += inside.mean() * abs(float(gap))
    return error


def counted(answers: bench.Answers, *, which: str, average: str) -> float:
    """Return precision, recall or F1 under an average, from a table of truth and prediction."""
    labels, said = answers.labels, answers.predicted
    if labels.ndim == 1:
        classes = np.union1d(labels, said)
        labels, said = labels[:, None] == classes, said[:, None] == classes
        if average == "binary":
            labels, said = labels[:, classes == 1], said[:, classes == 1]
    if average in ("micro", "binary"):
        labels, said = labels.reshape(-1, 1), said.reshape(-1, 1)
    truth, claimed = labels.astype(bool), said.astype(bool)
    both, true, given = (truth & claimed).sum(0), truth.sum(0), claimed.sum(0)
    above, below = {
        "precision": (both, given),
        "recall": (both, true),
        "f1": (2 * both, true + given),
    }[which]
    each = np.divide(above, below, out=np.zeros(len(below)), where=below > 0)
    if average != "weighted":
        return float(each.mean())
    return float((each * true).sum() / true.sum()) if true.any() else 0.0


def accuracy_level(answers: bench.Answers, *, level: int = 1) -> float:
    """Return scikit-learn's share of items whose node at a level has the largest sum of leaves."""
    from sklearn.metrics import accuracy_score

    tree = paths(answers)
    if not 1 <= level <= max(map(len, tree)):
        raise bench.DataError("its tree has no such level")
    nodes = sorted({path[:level] for path in tree})
    below = np.array([[path[:level] == node for node in nodes] for path in tree])
    if len(nodes) == len(tree):
        return accuracy(answers)
    summed = shares(answers) @ below
    return float(accuracy_score(below[answers.labels].argmax(1), summed.argmax(1)))


def hierarchical(answers: bench.Answers, *, which: str) -> float:
    """Return scikit-learn's micro score of the nodes above each leaf, the root left out."""
    from sklearn.metrics import precision_recall_fscore_support

    above = _above(answers)
    found = precision_recall_fscore_support(
        above[answers.labels], above[answers.predicted], average="micro"
    )
    return float(dict(zip(("precision", "recall", "f1"), found, strict=False))[which])


def tree_distance(answers: bench.Answers) -> float:
    """Return how many nodes lie above one of the two leaves only; each stands for an edge."""
    above = _above(answers)
    return float((above[answers.labels] ^ above[answers.predicted]).sum(1).mean())


def _above(answers: bench.Answers) -> npt.NDArray[np.bool_]:
    """Return which nodes lie above each leaf, or are it, (C, nodes)."""
    tree = paths(answers)
    nodes = sorted({path[:depth] for path in tree for depth in range(1, len(path) + 1)})
    return np.array([[path[: len(node)] == node for node in nodes] for path in tree])
