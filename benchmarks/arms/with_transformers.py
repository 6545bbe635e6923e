"""Hugging Face's Trainer over a dataset of floats, without evaluation, saving, logs or bars.

Its clipping of gradients is off, for the other arms have none.
"""

from __future__ import annotations

import tempfile

import torch
from problem import InOrder, Losses, read, tell
from torch import nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments


class Items(Dataset):
    """Floats in memory, by the names that the model takes them under."""

    def __init__(self, problem):
        self.images, self.labels = problem.floats(), problem.labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"pixel_values": self.images[index], "labels": self.labels[index]}


class Wrapped(nn.Module):
    """The network with the signature and the loss that the Trainer expects of a model."""

    def __init__(self, model, losses):
        super().__init__()
        self.model, self.criterion, self.losses = model, nn.CrossEntropyLoss(), losses

    def forward(self, pixel_values, labels):
        """Return the loss and the logits."""
        logits = self.model(pixel_values)
        loss = self.criterion(logits, labels)
        self.losses.add(loss)
        return {"loss": loss, "logits": logits}


class Ordered(Trainer):
    """A Trainer whose order a sampler prescribes."""

    orders = None

    def _get_train_sampler(self, *arguments):
        return InOrder(self.orders)


def main():
    problem = read()
    losses = Losses(problem.orders.shape[1])
    optimizer = problem.sgd()
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    Ordered.orders = problem.orders
    with tempfile.TemporaryDirectory() as folder:
        trainer = Ordered(
            model=Wrapped(problem.model, losses),
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=problem.batch_size,
                num_train_epochs=problem.epochs,
                learning_rate=problem.lr,
                max_grad_norm=0.0,
                use_cpu=True,
                dataloader_pin_memory=False,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=Items(problem),
            optimizers=(optimizer, constant),
        )
        torch.set_num_threads(1)
        trainer.train()
    tell(losses.means)


if __name__ == "__main__":
    main()
