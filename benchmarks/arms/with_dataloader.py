"""A DataLoader over PIL images with torchvision's transforms, image by image.

The option is the version of the transforms and the number of worker processes, such as `v2-0`;
workers stay alive between epochs.
"""

from __future__ import annotations

import torch
from PIL import Image
from problem import InOrder, Losses, option, read, tell
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import v2


class Pictures(Dataset):
    """PIL images in memory, transformed one by one."""

    def __init__(self, problem, transform):
        squeezed = problem.images.permute(0, 2, 3, 1).squeeze(3).numpy()
        self.pictures = [Image.fromarray(image) for image in squeezed]
        self.labels = problem.labels.tolist()
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.pictures[index]), self.labels[index]


def main():
    problem = read()
    version, _, workers = option().partition("-")
    mean, std = problem.mean.flatten().tolist(), problem.std.flatten().tolist()
    if version == "v1":
        steps = [transforms.ToTensor(), transforms.Normalize(mean, std)]
        transform = transforms.Compose(steps)
    else:
        steps = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
        transform = v2.Compose(steps)
    loader = DataLoader(
        Pictures(problem, transform),
        batch_size=problem.batch_size,
        sampler=InOrder(problem.orders),
        num_workers=int(workers),
        persistent_workers=workers != "0",
    )
    model, optimizer, criterion = problem.model.train(), problem.sgd(), nn.CrossEntropyLoss()
    losses = Losses(len(loader))
    for _ in range(problem.epochs):
        for images, labels in loader:
            loss = criterion(model(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.add(loss)
    tell(losses.means)


if __name__ == "__main__":
    main()
