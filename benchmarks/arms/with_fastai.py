"""fastai: a Learner with its own SGD over its own DataLoader, without bar (not imported) and log.

It evaluates one batch after each epoch, for it wants something to evaluate.
"""

from __future__ import annotations

from functools import partial

from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import SGD
from problem import MOMENTUM, InOrder, Losses, read, tell
from torch import nn
from torch.utils.data import TensorDataset


class Ordered(DataLoader):
    """A loader whose order a sampler prescribes."""

    def get_idxs(self):
        """Return the items of the next epoch."""
        return list(self.sampler)


def main():
    problem = read()
    floats, labels = problem.floats(), problem.labels
    size = problem.batch_size
    training = Ordered(TensorDataset(floats, labels), bs=size, num_workers=0)
    training.sampler = InOrder(problem.orders)
    rest = DataLoader(TensorDataset(floats[:size], labels[:size]), bs=size, num_workers=0)
    losses, criterion = Losses(len(training)), nn.CrossEntropyLoss()

    def loss_of(logits, targets):
        loss = criterion(logits, targets)
        if problem.model.training:
            losses.add(loss)
        return loss

    learner = Learner(
        DataLoaders(training, rest, device="cpu"),
        problem.model,
        loss_func=loss_of,
        opt_func=partial(SGD, mom=MOMENTUM),
        lr=problem.lr,
    )
    with learner.no_logging():
        learner.fit(problem.epochs)
    tell(losses.means)


if __name__ == "__main__":
    main()
