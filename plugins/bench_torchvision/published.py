"""Published weights, fetched once and brought to the shape of a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import EnvironmentFailure
from bench.downloads import refuse_offline
from bench.text import one_line
from bench_torchvision.building import (
    build,
    default_weights,
    first_convolution,
    for_channels,
)

_WAY_OUT = "`--weights file:PATH` takes a file that was fetched elsewhere"


def pretrained(
    architecture: str, input_shape: tuple[int, int, int], *, dropout: float = 0.0
) -> Mapping[str, Any]:
    """Return the weights that torchvision publishes, those of its 1,000 classes included.

    They lie in torch's own cache (`TORCH_HOME`), whither they are fetched if need be; their
    content is checked by the hash that their name holds.

    Args:
        architecture: its name in torchvision.
        input_shape: (C, H, W) of the images.
        dropout: not used, as it has no weights.

    Returns:
        Tensors by the names of what `build` returns.

    Raises:
        DataError: they are not at hand, and downloads are forbidden.
        EnvironmentFailure: they cannot be fetched, or are not what their name says.
    """
    import torch

    weights = default_weights(architecture)
    file = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
    if not file.is_file():
        refuse_offline(f"`{file.name}`, the weights of `{architecture}`,", _WAY_OUT)
    try:
        found = weights.get_state_dict(progress=False, check_hash=True, map_location="cpu")
    # Errors of the network and of the disk, a wrong hash, and a file that is no weights.
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise EnvironmentFailure(
            f"`{file.name}`, the weights of `{architecture}`, cannot be had from {weights.url} "
            f"({one_line(str(error), 160)}); {_WAY_OUT}"
        ) from error
    with torch.device("meta"):
        network = build(architecture, len(weights.meta["categories"]), input_shape)
    # What is published may hold classifiers at the side of the network, which `build` leaves out.
    tensors = {name: found[name] for name in network.state_dict() if name in found}
    if input_shape[0] != 3:
        name = f"{first_convolution(network)[0]}.weight"
        tensors[name] = for_channels(tensors[name], input_shape[0])
    return tensors
