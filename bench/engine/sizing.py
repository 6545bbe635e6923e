"""The input size that a model can take, found without computing anything.

A library does not say which sizes its models accept: some need a minimum, some exactly one. So
the model is built on torch's meta device, where tensors have shapes but no data, and tried at
growing sizes until one works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from bench.errors import BenchError, PluginError
from bench.text import one_line

LADDER = (32, 48, 64, 75, 96, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512, 600)
"""Sizes tried above the wanted one: the usual native sizes and steps towards them."""


def choose_input_size(
    build: Callable[..., nn.Module],
    num_classes: int,
    channels: int,
    wanted: int,
    native: int | None,
    where: str,
) -> int:
    """Return the smallest size, `wanted` or above, at which the model trains on meta.

    Args:
        build: the model's factory with its params bound.
        num_classes: logits that the model must give.
        channels: of the images.
        wanted: height and width, pixels.
        native: the size the model was designed for, if known.
        where: the model and its plugin, for messages.

    Raises:
        PluginError: no size works, or the logits have the wrong shape.
    """
    failure = ""
    tries = [("meta", size) for size in _candidates(wanted, native)]
    # A model that looks at values, as by `.item()`, cannot be tried on meta at any size.
    tries += [("cpu", size) for size in dict.fromkeys((wanted, native or wanted))]
    for device, size in tries:
        try:
            with torch.device(device):
                model = build(num_classes, (channels, size, size))
                logits = model.train()(torch.zeros(2, channels, size, size))
        except BenchError as error:
            if failure == str(error):
                raise  # the same at two sizes: it is not the size that is wrong
            failure = failure or str(error)
        except (Exception, SystemExit) as error:  # whatever a model raises for a wrong size
            failure = failure or f"{type(error).__name__}: {error}"
        else:
            check_logits(logits, 2, num_classes, where)
            return size
    raise PluginError(
        f"{where} takes no input of {wanted} to {max(_candidates(wanted, native))} pixels "
        f"with {channels} channel(s): {one_line(failure, 200)}"
    )


def check_logits(logits: Any, batch: int, num_classes: int, where: str) -> None:
    """Raise PluginError unless a model returned logits of shape (batch, num_classes)."""
    if not isinstance(logits, torch.Tensor):
        raise PluginError(
            f"{where} returned {type(logits).__name__}; logits as a tensor are needed"
        )
    if tuple(logits.shape) != (batch, num_classes):
        raise PluginError(
            f"{where} returned logits of shape {tuple(logits.shape)} "
            f"for {batch} images and {num_classes} classes; ({batch}, {num_classes}) is needed"
        )


def _candidates(wanted: int, native: int | None) -> Iterator[int]:
    larger = {size for size in (*LADDER, native or 0) if size > wanted}
    yield wanted
    yield from sorted(larger)
