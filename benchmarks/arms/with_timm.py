"""timm's way of training: a loop in the manner of its train.py, with its loader and its tools.

As there: PIL images, uint8 batches normalised behind the loader, an average of the loss with
`.item()` in each step, a scheduler that is told of each step. `create_loader` draws an order of its
own; the dataset ignores it and hands out the prescribed items, for which the loader has no workers.
"""

from __future__ import annotations

import time

import torch
from PIL import Image
from problem import MOMENTUM, epoch_ends, read, tell
from timm.data import create_loader
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import AverageMeter
from torch import nn
from torch.utils.data import Dataset


class Pictures(Dataset):
    """PIL images in memory, handed out in the prescribed order whatever index is asked for."""

    def __init__(self, problem):
        squeezed = problem.images.permute(0, 2, 3, 1).squeeze(3).numpy()
        self.pictures = [Image.fromarray(image) for image in squeezed]
        self.labels = problem.labels.tolist()
        self.items = iter(problem.orders.flatten().tolist())
        self.transform = None  # the loader sets it

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        item = next(self.items)
        return self.transform(self.pictures[item]), self.labels[item]


def main():
    problem = read()
    model, criterion = problem.model.train(), nn.CrossEntropyLoss()
    loader = create_loader(
        Pictures(problem),
        input_size=tuple(problem.images.shape[1:]),
        batch_size=problem.batch_size,
        is_training=True,
        no_aug=True,
        mean=problem.mean.flatten().tolist(),
        std=problem.std.flatten().tolist(),
        num_workers=0,
        persistent_workers=False,
        device=torch.device("cpu"),
    )
    # timm's `sgd` is Nesterov's; `momentum` is torch's SGD as in the other arms.
    optimizer = create_optimizer_v2(
        model,
        opt="momentum",
        lr=problem.lr,
        momentum=MOMENTUM,
        weight_decay=0.0,
        fused=problem.fused or None,
    )
    # A cosine that ends where it starts: a scheduler at work, a constant rate.
    scheduler = CosineLRScheduler(
        optimizer, t_initial=problem.epochs, lr_min=problem.lr, t_in_epochs=False
    )
    means = []
    updates = 0
    for epoch in range(problem.epochs):
        losses, batch_time, data_time = AverageMeter(), AverageMeter(), AverageMeter()
        end = time.time()
        for images, labels in loader:
            data_time.update(time.time() - end)
            loss = criterion(model(images), labels)
            losses.update(loss.item(), images.size(0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
            batch_time.update(time.time() - end)
            scheduler.step_update(num_updates=updates, metric=losses.avg)
            end = time.time()
        scheduler.step(epoch + 1, None)
        means.append(losses.avg)
        epoch_ends()
    tell(means)


if __name__ == "__main__":
    main()
