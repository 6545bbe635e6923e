"""From the name of an architecture to a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench
from bench.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

# The first step of these is a discrete cosine transform of the three colours, with no weights
# that could adapt to another number of channels.
_COLOR_ONLY = frozenset({"csatv2", "csatv2_21m"})


def build(
    architecture: str,
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """Build a timm architecture with random weights.

    A network of a fixed input size is built at that size, whatever `input_shape` says of height
    and width, and fails in its forward pass on images of another.

    Args:
        architecture: its name in timm.
        num_classes: how many logits the network gives.
        input_shape: (C, H, W) of the images.
        drop_rate: dropout before the classifier; 0 leaves the architecture's own default.
        drop_path_rate: stochastic depth (arXiv:1603.09382), the rate that the deepest block
            approaches; 0 leaves the architecture's own default.

    Raises:
        ConfigError: the architecture is no classifier, does not take a rate that is not 0, or
            cannot see images of so many channels.
    """
    import timm

    from bench_timm.networks import GrayAsColor

    channels = input_shape[0]
    color_only = architecture in _COLOR_ONLY
    if color_only and channels not in (1, 3):
        raise ConfigError(
            f"`{architecture}` takes images of 1 or 3 channels, not {channels}; "
            "choose another model for this dataset"
        )
    wanted = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
    for name, rate in wanted.items():
        if not 0 <= rate < 1:
            raise ConfigError(f"`{name}` is {rate}; give a number from 0 up to, not including, 1")
    # Some architectures take only one of the rates, or none: what is not wanted is not passed.
    rates: dict[str, Any] = {name: rate for name, rate in wanted.items() if rate}
    try:
        network: nn.Module = timm.create_model(
            architecture,
            pretrained=False,
            num_classes=num_classes,
            in_chans=3 if color_only else channels,
            **rates,
        )
    except TypeError as error:
        refused = [name for name in rates if f"'{name}'" in str(error)]
        if not refused:
            raise
        raise ConfigError(
            f"`{architecture}` does not take `{refused[0]}`; leave it at 0"
        ) from error
    if getattr(network, "num_classes", num_classes) != num_classes:
        raise ConfigError(_headless(architecture))
    return GrayAsColor(network) if color_only and channels == 1 else network


def preprocessing(
    architecture: str, *, drop_rate: float = 0.0, drop_path_rate: float = 0.0
) -> bench.Preprocessing:
    """Return the mean and std that the architecture's own weights were trained with.

    They are those of timm's default weights for it, also where the weights are random.

    Args:
        architecture: its name in timm.
        drop_rate: not used, as it changes nothing about images.
        drop_path_rate: not used either.

    Raises:
        ConfigError: timm has no weights of it, and so no mean and std.
    """
    import timm

    config = timm.models.get_pretrained_cfg(architecture, allow_unregistered=True)
    if config is None:
        raise ConfigError(f"timm knows no mean and std of `{architecture}`; use standard or unit")
    return bench.Preprocessing(mean=config.mean, std=config.std)


def suggest(trial: Any) -> dict[str, Any]:
    """Propose how much dropout to use."""
    return {"drop_rate": trial.suggest_float("drop_rate", 0.0, 0.5)}


def _headless(architecture: str) -> str:
    """Say that an architecture is a bare encoder, and which one to take instead."""
    import timm

    # timm names the encoder of a vision-language model after its classifier.
    classifier = architecture.removesuffix("_enc")
    known = classifier != architecture and timm.is_model(classifier)
    advice = f"choose `{classifier}`" if known else "choose another model"
    return f"`{architecture}` is an encoder without a classifier, it gives no logits; {advice}"
