"""From the name of an architecture to a network, and to what its own training saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench
from bench import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import nn

# What torchvision's transforms say; a test compares, since asking takes the import of torchvision.
_USUAL_SCALE = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# GoogLeNet's own training rescaled pixels to [-1, 1]. torchvision's transforms name the mean and
# std of its other networks, and its network turns what comes of them into the former. Here it
# gets the former at once, which also suits images that have no three channels.
_OWN_SCALE = {"googlenet": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))}

# GoogLeNet: the classifiers at its side only help to train it from scratch at full size, and their
# logits would come with the others. torchvision's initialisation is said, as it warns otherwise:
# truncated normal, which is the paper's customary start.
_FIXED_PARAMS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True, "transform_input": False}
}


def build(architecture: str, num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
    """Build a torchvision network with random weights.

    Args:
        architecture: its name in torchvision.
        num_classes: how many logits the network gives.
        input_shape: (C, H, W) of the images.

    Returns:
        A network from float images (N, C, H, W) to logits (N, num_classes).
    """
    return _network(architecture, num_classes, input_shape[0])


def build_with_dropout(
    architecture: str,
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    dropout: float = 0.5,
) -> nn.Module:
    """Build a torchvision network with random weights and dropout in its classifier.

    Args:
        architecture: its name in torchvision.
        num_classes: how many logits the network gives.
        input_shape: (C, H, W) of the images.
        dropout: probability that an input of a classifier's layer is dropped, 0 to below 1; the
            default is torchvision's own.

    Returns:
        A network from float images (N, C, H, W) to logits (N, num_classes).

    Raises:
        ConfigError: `dropout` is out of range.
    """
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ConfigError(f"model `{architecture}`: `dropout` is {dropout}; give 0 to below 1")
    return _network(architecture, num_classes, input_shape[0], dropout=dropout)


def preprocessing(architecture: str, *, dropout: float = 0.0) -> bench.Preprocessing:
    """Return how torchvision's own weights of a network saw their images.

    Args:
        architecture: its name in torchvision.
        dropout: not used, as it changes nothing about images.
    """
    mean, std = _OWN_SCALE.get(architecture, _USUAL_SCALE)
    return bench.Preprocessing(mean=mean, std=std, size=224, interpolation="bilinear")


def default_weights(architecture: str) -> Any:
    """Return the entry of torchvision's best weights of an architecture."""
    from torchvision.models import get_model_weights

    return get_model_weights(architecture).DEFAULT


def suggest(trial: Any) -> dict[str, Any]:
    """Propose how much dropout to use."""
    return {"dropout": trial.suggest_float("dropout", 0.0, 0.6)}


def for_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Return the weights (F, 3, H, W) of a first convolution for images of other channels.

    One channel answers as three equal ones would: its weights are their sum. More take turns with
    the three, and their weights are scaled so that the sum over all stays.
    """
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, [channel % 3 for channel in range(channels)]] * (3 / channels)


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return the name and the module of the convolution that sees the image."""
    from torch import nn

    return next(
        (name, part) for name, part in network.named_modules() if isinstance(part, nn.Conv2d)
    )


def _network(architecture: str, num_classes: int, channels: int, **params: Any) -> nn.Module:
    from torch import nn
    from torchvision.models import get_model

    params |= _FIXED_PARAMS.get(architecture, {})
    network: nn.Module = get_model(architecture, weights=None, num_classes=num_classes, **params)
    if channels != 3:
        # torchvision's networks take three channels; the first convolution is made to fit.
        _, first = first_convolution(network)
        first.weight = nn.Parameter(for_channels(first.weight.detach(), channels))
        first.in_channels = channels
    return network
