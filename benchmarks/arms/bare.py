"""Bare loops: over batches made in advance, over resident uint8 images, and the latter compiled."""

from __future__ import annotations

import torch
from problem import Losses, normalised, option, read, tell
from torch import nn


def main():
    problem = read()
    kind = option()
    model, labels = problem.model.train(), problem.labels
    optimizer, criterion = problem.sgd(), nn.CrossEntropyLoss()
    losses = Losses(problem.orders.shape[1])

    def loss_of(images, targets):
        """Return the loss of a batch of uint8 images, or of floats made in advance."""
        if kind != "batches":
            images = normalised(images, problem.mean, problem.std)
        return criterion(model(images), targets)

    if kind == "batches":
        floats = problem.floats()
        epochs = [[(floats[rows], labels[rows]) for rows in order] for order in problem.orders]
    else:
        epochs = problem.orders
    if kind == "compiled":
        loss_of = torch.compile(loss_of)

    for epoch in epochs[: problem.epochs]:
        for step in epoch:
            batch = step if kind == "batches" else (problem.images[step], labels[step])
            loss = loss_of(*batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.add(loss)
    tell(losses.means)


if __name__ == "__main__":
    main()
