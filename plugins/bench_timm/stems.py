"""A stem for small images: the first layers of a network, which shrink them, hardly shrink them."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

from bench.errors import ConfigError

KERNEL = 3
"""The height and width of a small stem's convolution, where it was larger, pixels."""

NARROWER = 4
"""How many times as narrow patches become: 16 pixels of 224 are about as much as 4 of 56."""

_STEM_SHARE = 0.1
"""A module that holds less than this share of all parameters may be a stem, else it is more."""


def small_patches(architecture: str, size: tuple[int, ...]) -> dict[str, Any]:
    """Return what an architecture of a fixed input size is to be built with; nothing for others.

    Args:
        architecture: its name in timm.
        size: height and width of the images, pixels.

    Raises:
        ConfigError: it does not cut images into patches, or they are larger than the images.
    """
    config = timm.models.get_pretrained_cfg(architecture, allow_unregistered=True)
    if config is None or not config.fixed_input_size:
        return {}
    with torch.device("meta"):
        network = timm.create_model(architecture, pretrained=False)
    patch = _first(network, architecture)[1]
    if patch.kernel_size != patch.stride:
        raise unchangeable(architecture)
    width = _narrower(patch.kernel_size[0])
    if any(pixels % width or pixels < width for pixels in size):
        raise ConfigError(
            f"model `{architecture}` with a small stem cuts images into {width}x{width} patches, "
            f"of which {size[0]}x{size[1]} pixels are no multiple; choose another `--input-size`"
        )
    return {"img_size": size, "patch_size": width}


def make_small(network: nn.Module, architecture: str, *, trained: bool) -> None:
    """Have the stem of a network keep the size of images, or nearly so.

    The first convolution takes a stride of 1. Of a kernel above 3x3 the middle remains, of patches
    the middle quarter; random weights then have the spread that initialisation by the number of
    inputs would have given them, which is what convolutional architectures use, and patches keep
    theirs. Max pooling that follows before the stem ends is left out.

    Args:
        network: as timm built it; changed in place.
        architecture: its name in timm, for errors.
        trained: whether its weights are trained, which are not to be scaled.

    Raises:
        ConfigError: the stem does not shrink images, or is none that could be changed.
    """
    name, convolution = _first(network, architecture)
    if network.pretrained_cfg.get("fixed_input_size"):  # type: ignore[union-attr,operator]
        return  # built so
    if max(convolution.stride) == 1:
        raise ConfigError(
            f"the stem of `{architecture}` does not shrink images; leave `stem` at native"
        )
    patches = convolution.kernel_size == convolution.stride
    before = convolution.kernel_size[0]
    after = _narrower(before) if patches else min(before, KERNEL)
    stride = after if patches else 1
    _crop(convolution, after, gain=1.0 if patches or trained else before / after)
    convolution.stride = (stride, stride)
    pool = _pool_behind(network, name)
    if pool is not None:
        parent, _, last = pool.rpartition(".")
        setattr(network.get_submodule(parent), last, nn.Identity())


def unchangeable(architecture: str) -> ConfigError:
    """Return the error for a stem that is neither a convolution nor patches."""
    return ConfigError(
        f"the stem of `{architecture}` cannot be made small; leave `stem` at native, "
        "or choose another model"
    )


def _first(network: nn.Module, architecture: str) -> tuple[str, nn.Conv2d]:
    """Return the name and the module of the convolution that sees the image."""
    name = getattr(network, "pretrained_cfg", {}).get("first_conv")
    if not isinstance(name, str):  # none, or one for each of several scales
        raise unchangeable(architecture)
    try:
        found = network.get_submodule(name)
    except AttributeError as error:
        raise unchangeable(architecture) from error
    if not isinstance(found, nn.Conv2d):
        raise unchangeable(architecture)
    return name, found


def _narrower(patch: int) -> int:
    return max(1, patch // NARROWER)


def _crop(convolution: nn.Conv2d, size: int, gain: float) -> None:
    """Keep the middle of a kernel, its weights times `gain`."""
    before = convolution.kernel_size[0]
    if size == before:
        return
    start = (before - size) // 2
    middle = convolution.weight.detach()[:, :, start : start + size, start : start + size]
    convolution.weight = nn.Parameter(middle * gain)
    convolution.kernel_size = (size, size)
    if not isinstance(convolution.padding, str) and max(convolution.padding):
        convolution.padding = (size // 2, size // 2)
    # Convolutions that standardise their weights scale them by the number of inputs instead.
    scale = getattr(convolution, "scale", None)
    if isinstance(scale, float):
        convolution.scale = scale * before / size  # type: ignore[assignment]


def _pool_behind(network: nn.Module, first: str) -> str | None:
    """Return the name of the max pooling that ends the stem, if any.

    The stem is the largest module around the first convolution that is a small part of the
    network: nothing but the convolution, or a few of them.
    """
    total = sum(parameter.numel() for parameter in network.parameters())
    steps = first.split(".")
    paths = [".".join(steps[: count + 1]) for count in range(len(steps))]
    stem = next((path for path in paths if _numbers(network, path) < _STEM_SHARE * total), first)
    inside = f"{stem}."
    behind = False
    for name, part in network.named_modules():
        if name == first:
            behind = True
        elif behind and isinstance(part, nn.MaxPool2d):
            return str(name)
        elif behind and isinstance(part, nn.Conv2d | nn.Linear) and not name.startswith(inside):
            return None
    return None


def _numbers(network: nn.Module, path: str) -> int:
    return sum(parameter.numel() for parameter in network.get_submodule(path).parameters())
