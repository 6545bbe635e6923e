"""Lightning: its Trainer as it comes or with `barebones=True`, over a TensorDataset of floats."""

from __future__ import annotations

import logging
import tempfile

import lightning
from problem import InOrder, Losses, option, read, tell
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Module(lightning.LightningModule):
    """Logs nothing, which is the least that a Trainer has to do."""

    def __init__(self, problem, losses):
        super().__init__()
        self.model, self.criterion = problem.model, nn.CrossEntropyLoss()
        self.problem, self.losses = problem, losses

    def training_step(self, batch, index):
        """Return the loss of a batch."""
        images, labels = batch
        loss = self.criterion(self.model(images), labels)
        self.losses.add(loss)
        return loss

    def configure_optimizers(self):
        """Return the optimizer of the other arms."""
        return self.problem.sgd()


def main():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    problem = read()
    data = TensorDataset(problem.floats(), problem.labels)
    loader = DataLoader(data, problem.batch_size, sampler=InOrder(problem.orders))
    losses = Losses(len(loader))
    barebones = {"barebones": True} if option() == "barebones" else {}
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=problem.epochs,
            accelerator="cpu",
            devices=1,
            default_root_dir=folder,
            **barebones,
        )
        trainer.fit(Module(problem, losses), loader)
    tell(losses.means)


if __name__ == "__main__":
    main()
