"""Keras 3 on torch: `model.fit` on tensors that hold the epochs one after the other, in order.

Networks that are a chain of layers are rebuilt of Keras' own, with the same weights; others are
wrapped by `TorchModuleWrapper`. Nothing is shown while it trains (`verbose=0`).
"""

from __future__ import annotations

import keras
import torch
from problem import MOMENTUM, epoch_ends, read, tell
from torch import nn


def translated(module):
    """Return a Keras layer for a module and its weights; None for what does nothing."""
    channels_first = {"data_format": "channels_first"}
    match module:
        case nn.Linear():
            return keras.layers.Dense(module.out_features), [module.weight.T, module.bias]
        case nn.Conv2d():
            layer = keras.layers.Conv2D(
                module.out_channels, module.kernel_size, padding="same", **channels_first
            )
            return layer, [module.weight.permute(2, 3, 1, 0), module.bias]
        case nn.BatchNorm2d():
            layer = keras.layers.BatchNormalization(
                axis=1, momentum=1 - module.momentum, epsilon=module.eps
            )
            return layer, [module.weight, module.bias, module.running_mean, module.running_var]
        case nn.ReLU():
            return keras.layers.ReLU(), []
        case nn.MaxPool2d():
            return keras.layers.MaxPooling2D(module.kernel_size, **channels_first), []
        case nn.Flatten():
            return keras.layers.Reshape((-1,)), []  # Keras' own Flatten moves the channels
        case nn.Dropout(p=0.0):
            return None
    raise NotImplementedError(type(module).__name__)


def rebuilt(model, shape):
    """Return a network of Keras layers that computes the same."""
    if not isinstance(model, nn.Sequential):
        wrapper = keras.layers.TorchModuleWrapper(model)
        return keras.Sequential([keras.Input(shape), wrapper])
    leaves = [module for module in model.modules() if not list(module.children())]
    pairs = [pair for pair in map(translated, leaves) if pair is not None]
    network = keras.Sequential([keras.Input(shape), *(layer for layer, _ in pairs)])
    for layer, weights in pairs:
        layer.set_weights([weight.detach().numpy() for weight in weights])
    return network


def main():
    problem = read()
    steps = problem.orders.shape[1]
    network = rebuilt(problem.model, problem.images.shape[1:])
    network.compile(
        optimizer=keras.optimizers.SGD(problem.lr, momentum=MOMENTUM),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    everything = problem.orders.flatten()
    images, labels = problem.floats()[everything], problem.labels[everything]
    history = network.fit(
        images,
        labels,
        batch_size=problem.batch_size,
        epochs=problem.epochs,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda *given: epoch_ends())],
    )
    assert torch.get_num_threads() == 1
    tell([float(loss) for loss in history.history["loss"]])


if __name__ == "__main__":
    main()
