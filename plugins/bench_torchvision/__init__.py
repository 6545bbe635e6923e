"""Families of networks that torchvision keeps and timm does not.

    building.py    from a name to a network, and to what is published about it
    published.py   published weights, fetched and brought to the shape of a network

Listing them imports neither torchvision nor torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import bench
from bench_torchvision.building import (
    build,
    build_with_dropout,
    preprocessing,
    suggest,
)
from bench_torchvision.published import pretrained

BENCH_API = 1


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is known of a network before it is built.

    Attributes:
        family: its module in torchvision.
        paper: where it was first described.
        parameters: as in `bench.ModelHints`, like the next three.
        macs: for RGB images at 224x224 pixels.
        layers: modules that hold parameters.
        smallest_size: the smallest height and width at which it trains, pixels.
        dropout: torchvision's default; None where the network has none.
        alias: the family's usual name, where this is its usual member.
    """

    family: str
    paper: str
    parameters: int
    macs: int
    layers: int
    smallest_size: int
    dropout: float | None = None
    alias: str = ""


# The sizes are measured: a test builds each network and finds the same.
ARCHITECTURES: dict[str, Architecture] = {
    "alexnet": Architecture(
        family="alexnet",
        paper="arXiv:1404.5997",
        parameters=61_100_840,
        macs=714_188_480,
        layers=8,
        smallest_size=63,
        dropout=0.5,
    ),
    "googlenet": Architecture(
        family="googlenet",
        paper="arXiv:1409.4842",
        parameters=6_624_904,
        macs=1_498_376_192,
        layers=115,
        smallest_size=15,
        dropout=0.2,
    ),
    "shufflenet_v2_x0_5": Architecture(
        family="shufflenetv2",
        paper="arXiv:1807.11164",
        parameters=1_366_792,
        macs=40_476_448,
        layers=113,
        smallest_size=1,
    ),
    "shufflenet_v2_x1_0": Architecture(
        family="shufflenetv2",
        paper="arXiv:1807.11164",
        parameters=2_278_604,
        macs=144_907_992,
        layers=113,
        smallest_size=1,
        alias="shufflenet",
    ),
    "shufflenet_v2_x1_5": Architecture(
        family="shufflenetv2",
        paper="arXiv:1807.11164",
        parameters=3_503_624,
        macs=295_759_392,
        layers=113,
        smallest_size=1,
    ),
    "shufflenet_v2_x2_0": Architecture(
        family="shufflenetv2",
        paper="arXiv:1807.11164",
        parameters=7_393_996,
        macs=583_253_464,
        layers=113,
        smallest_size=1,
    ),
    "squeezenet1_0": Architecture(
        family="squeezenet",
        paper="arXiv:1602.07360",
        parameters=1_248_424,
        macs=818_924_576,
        layers=26,
        smallest_size=21,
        dropout=0.5,
        alias="squeezenet",
    ),
    "squeezenet1_1": Architecture(
        family="squeezenet",
        paper="arXiv:1602.07360",
        parameters=1_235_496,
        macs=349_151_936,
        layers=26,
        smallest_size=17,
        dropout=0.5,
    ),
}


@bench.hookimpl
def register_models() -> Iterator[bench.Model]:
    """Offer what timm lacks."""
    for name, known in ARCHITECTURES.items():
        factory: Callable[..., Any] = functools.partial(build, name)
        if known.dropout is not None:
            factory = functools.partial(build_with_dropout, name, dropout=known.dropout)
        yield bench.Model(
            name=name,
            build=factory,
            suggest=None if known.dropout is None else suggest,
            description=f"from torchvision's {known.family} family ({known.paper})",
            aliases=(known.alias,) if known.alias else (),
            preload=("torchvision",),
            preprocessing=functools.partial(preprocessing, name),
            pretrained=functools.partial(pretrained, name),
            hints=bench.ModelHints(
                family=known.family,
                parameters=known.parameters,
                macs=known.macs,
                layers=known.layers,
                input_size=224,
                smallest_size=known.smallest_size,
            ),
        )
