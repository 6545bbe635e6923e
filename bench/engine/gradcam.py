"""Which places of an image speak for what a network says of it: Grad-CAM.

Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization": the channels of the last layer that keeps a map, each weighted by the mean of the
gradient of the class's logit over all places, added up; what speaks against the class is cut off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd

from bench.engine import device as devices

FEWEST_TOKENS = 4
"""So many parts of an image, one after the other, are no map any more."""
SMALLEST_MAP = 4
"""Places along a side, below which a map points at no part of an image but at a quarter of it."""


def maps(
    model: nn.Module,
    images: Tensor,
    said: Tensor,
    device: str,
    precision: str,
) -> tuple[Tensor, str]:
    """Return how much each place of some images speaks for what the network says of them.

    The gradient goes back no further than to the layer, and no parameter gets any.

    Args:
        model: in evaluation mode, on its device.
        images: (B, C, H, W), normalised.
        said: (B, K) float32 of 0 and 1: which logits of each image are to be explained.
        device: `cpu` or `cuda`.
        precision: under which the model runs.

    Returns:
        Maps (B, h, w) float32, the highest value of each 1, or 0 where nothing speaks for it; and
        the name of the layer. Empty, and no name, where no layer returns a map of 4 × 4 places or
        more.
    """
    # Asked of the images, since a backbone whose weights are frozen would give no gradient.
    images = images.detach().requires_grad_()
    with torch.enable_grad(), _watched(model, len(images)) as last:
        with devices.autocast(device, precision):
            logits = model(images).float()
        layer = last.layer
        if last.output is None or not last.output.requires_grad:
            return torch.zeros((0, 0, 0)), ""
        explained = (logits * said).sum()
        [gradient] = torch.autograd.grad(explained, last.output, allow_unused=True)
    if gradient is None:
        return torch.zeros((0, 0, 0)), ""
    activation = last.output.detach().float()
    gradient = gradient.float()
    if last.channels_last:
        activation, gradient = (each.permute(0, 3, 1, 2) for each in (activation, gradient))
    weights = gradient.mean((2, 3), keepdim=True)
    found = (weights * activation).sum(1).relu()
    highest = found.amax((1, 2), keepdim=True)
    return torch.where(highest > 0, found / highest, torch.zeros_like(found)), layer


class _Last:
    """The last spatial map that a network has passed through.

    Attributes:
        output: it, or None where there is none, or where it was taken apart into tokens.
        layer: the name of the module that has returned it.
        channels_last: whether it is (B, h, w, C) rather than (B, C, h, w).
    """

    def __init__(self, count: int) -> None:
        self.output: Tensor | None = None
        self.layer = ""
        self.channels_last = False
        self._count = count

    def see(self, name: str, module: nn.Module, output: object) -> None:
        """Take note of what a module has returned."""
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return
        if not output.ndim or len(output) != self._count:
            return  # parts of images, as windows are
        if output.ndim == 3 and output.shape[1] >= FEWEST_TOKENS:
            self.output, self.layer = None, ""
        # A pooling to a fixed size may have made a map of a single place.
        if output.ndim != 4 or isinstance(module, _AdaptiveAvgPoolNd | _AdaptiveMaxPoolNd):
            return
        _, first, second, third = output.shape
        # Images are square, and so are the maps of them.
        if second == third >= SMALLEST_MAP:
            self.channels_last = False
        elif first == second >= SMALLEST_MAP:
            self.channels_last = True
        else:
            return
        self.output, self.layer = output, name


@contextlib.contextmanager
def _watched(model: nn.Module, count: int) -> Iterator[_Last]:
    """Watch what the modules of a network return for so many images."""
    last = _Last(count)

    def hook(name: str) -> Callable[[nn.Module, object, object], None]:
        return lambda module, inputs, output: last.see(name, module, output)

    handles = [
        module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name
    ]
    try:
        yield last
    finally:
        for handle in handles:
            handle.remove()
