"""Which training items come how often: bootstrap samples and weighted items.

Both become one vector of weights, by which `pipeline.drawn` draws the items of an epoch. So what
the loss sees on average is the weighted mean over items, whatever the loss is, and the training
loop is the same with and without.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench import item_weights
from bench.engine.augment import Draws, hashed
from bench.errors import DataError
from bench.item_weights import Weights
from bench.records import RunSpec
from bench.selection import Selection
from bench.text import listing

_BOOTSTRAP = -2  # a stream of its own: transforms have theirs from 0 on, partners -1


def weights_of(spec: RunSpec, chosen: Selection, where: str) -> Tensor | None:
    """Return the weights of a run's training items, (N,) float64; None where each comes once.

    Args:
        spec: the run.
        chosen: the items of its splits.
        where: the dataset and its plugin, for messages.

    Raises:
        DataError: a class would be left without any item.
        ConfigError: weights that are named cannot be read.
    """
    if not spec.draw:
        return None
    train = chosen.train
    weights = torch.ones(len(train), dtype=torch.float64)
    if spec.draw["resample"] == "bootstrap":
        weights = bootstrap(len(train), spec.seed)
    if "weights" in spec.draw:
        file, digest = Path(spec.draw["file"]), str(spec.draw["weights"])
        weights = torch.from_numpy(item_weights.load(file, digest, train.ids))
    lost = (_by_class(chosen, np.ones(len(train))) > 0) & (_by_class(chosen, weights.numpy()) == 0)
    if lost.any():
        names = listing(np.array(chosen.classes)[lost].tolist())
        raise DataError(
            f"{where}: no training image of {names} is drawn with seed {spec.seed} "
            f"(`resample` is `{spec.draw['resample']}`); more images, or other seeds, are needed"
        )
    return weights


def _by_class(chosen: Selection, weights: Weights) -> Weights:
    """Return the weight of the training items of each class, or with each label, (C,)."""
    labels = chosen.train.labels
    if labels.ndim == 2:
        return np.asarray(weights @ labels, np.float64)
    by_class = np.bincount(labels, weights, minlength=len(chosen.classes))
    return np.asarray(by_class, np.float64)


def bootstrap(count: int, seed: int) -> Tensor:
    """Return how often each of `count` items is in a bootstrap sample of them, (count,) float64.

    `count` draws with replacement by a counter-based generator: a pure function of the two.
    """
    words = Draws(hashed(seed, _BOOTSTRAP), torch.arange(count)).words().flatten()
    uniform = ((words >> 11) & (2**53 - 1)).to(torch.float64) * 2.0**-53
    places = (uniform * count).long()
    return torch.bincount(places, minlength=count).to(torch.float64)
