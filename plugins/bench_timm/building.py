"""From the name of an architecture to a network, and to its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

# The first step of these is a discrete cosine transform of the three colours, with no weights
# that could adapt to another number of channels.
_COLOR_ONLY = frozenset({"csatv2", "csatv2_21m"})


STEMS = ("native", "small")
"""The values of `stem`."""


def build(
    architecture: str,
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    stem: str = "native",
) -> nn.Module:
    """Build a timm architecture with random weights.

    A network of a fixed input size is built at that size, whatever `input_shape` says of height
    and width, and fails in its forward pass on images of another; with a small stem it is built
    for `input_shape`.

    Args:
        architecture: its name in timm.
        num_classes: how many logits the network gives.
        input_shape: (C, H, W) of the images.
        drop_rate: dropout before the classifier; 0 leaves the architecture's own default.
        drop_path_rate: stochastic depth (arXiv:1603.09382), the rate that the deepest block
            approaches; 0 leaves the architecture's own default.
        stem: `native`, or `small` for images of about 32 pixels: the first convolution looks at
            every pixel, at 3x3 of them at most, and no max pooling follows it; patches become a
            quarter as wide. It is what the ResNet paper (arXiv:1512.03385, 4.2) does for CIFAR-10.

    Raises:
        ConfigError: the architecture is no classifier, does not take a rate that is not 0, cannot
            see images of so many channels, or has no stem that could be made small.
    """
    return create(
        architecture,
        num_classes,
        input_shape,
        rates={"drop_rate": drop_rate, "drop_path_rate": drop_path_rate},
        stem=stem,
    )


def create(
    architecture: str,
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    rates: Mapping[str, float],
    stem: str,
    source: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a timm architecture, with the weights that `source` has timm load, or random ones.

    Args:
        architecture: its name in timm.
        num_classes: how many logits the network gives.
        input_shape: (C, H, W) of the images.
        rates: `drop_rate` and `drop_path_rate`.
        stem: `native` or `small`.
        source: what `timm.create_model` is told of weights.

    Raises:
        ConfigError: as `build` says.
    """
    import timm

    from bench_timm import stems
    from bench_timm.networks import GrayAsColor

    channels = input_shape[0]
    color_only = architecture in _COLOR_ONLY
    if color_only and channels not in (1, 3):
        raise ConfigError(
            f"`{architecture}` takes images of 1 or 3 channels, not {channels}; "
            "choose another model for this dataset"
        )
    for name, rate in rates.items():
        if not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise ConfigError(
                f"model `{architecture}`: `{name}` is {rate}; "
                "give a number from 0 up to, not including, 1"
            )
    if stem not in STEMS:
        raise ConfigError(f"model `{architecture}`: `stem` is `{stem}`; give native or small")
    # Some architectures take only one of the rates, or none: what is not wanted is not passed.
    options: dict[str, Any] = {name: rate for name, rate in rates.items() if rate}
    patches = stems.small_patches(architecture, input_shape[1:]) if stem == "small" else {}
    try:
        network: nn.Module = timm.create_model(
            architecture,
            **{"pretrained": False, **(source or {})},
            num_classes=num_classes,
            in_chans=3 if color_only else channels,
            **options,
            **patches,
        )
    except TypeError as error:
        refused = [name for name in (*options, *patches) if f"'{name}'" in str(error)]
        if not refused:
            raise
        if refused[0] in patches:
            raise stems.unchangeable(architecture) from error
        raise ConfigError(
            f"`{architecture}` does not take `{refused[0]}`; leave it at 0"
        ) from error
    if getattr(network, "num_classes", num_classes) != num_classes:
        raise ConfigError(_headless(architecture))
    if stem == "small":
        stems.make_small(network, architecture, trained=source is not None)
    return GrayAsColor(network) if color_only and channels == 1 else network


def layers(network: nn.Module) -> Sequence[Sequence[str]]:
    """Return the names of all parameters, grouped as the architecture says, from input to logits.

    They are the groups of timm's decay of learning rates by layer. Where an architecture names
    none, each part that stands in the network itself is one.
    """
    from timm.models import group_parameters

    from bench_timm.networks import GrayAsColor

    inner: Any = network.network if isinstance(network, GrayAsColor) else network
    prefix = "network." if inner is not network else ""
    groups: dict[Any, list[str]]
    if hasattr(inner, "group_matcher"):
        groups = group_parameters(inner, inner.group_matcher(coarse=False))
    else:
        groups = {}
        for name, _ in inner.named_parameters():
            groups.setdefault(name.partition(".")[0], []).append(name)
    return [[f"{prefix}{name}" for name in group] for group in groups.values()]


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
