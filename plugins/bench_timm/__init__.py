"""Every architecture of timm as a model, listed without importing timm or torch.

    names.py       which architectures the installed timm offers, read from its source text
    models.json    their sizes, measured once by make_table.py; hints for listings and estimates
    seen.py        how the training of their weights saw images, as seen.json holds it
    building.py    from a name to a network, and to its layers
    stems.py       a stem for small images
    networks.py    what some architectures need around them
    published.py   published weights in the shape of a network
    make_table.py  writes models.json and seen.json

The weights are random unless training is told to start from others: a benchmark compares nothing
if some start trained.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bench
from bench_timm.building import build, layers, suggest
from bench_timm.names import architectures
from bench_timm.published import pretrained
from bench_timm.seen import preprocessing

BENCH_API = 1

TABLE = Path(__file__).with_name("models.json")

ALIASES = {
    "resnet": "resnet50",
    "vgg": "vgg16",
    "mobilenet": "mobilenetv3_large_100",
    "inception": "inception_v3",
    # The network of Chollet's paper (arXiv:1610.02357). timm calls it legacy since its own
    # `xception41`, `65` and `71` are the later variants made for segmentation.
    "xception": "legacy_xception",
    "densenet": "densenet121",
    "efficientnet": "efficientnet_b0",
    "convnext": "convnext_tiny",
    "vit": "vit_small_patch16_224",
}
"""The usual name of a family, and the architecture it stands for."""


@bench.hookimpl
def register_models() -> Iterator[bench.Model]:
    """Offer every architecture that the installed timm registers."""
    families = architectures()
    table = read_table()
    # A timm that has an architecture of that very name means it, not ours.
    aliases = {target: alias for alias, target in ALIASES.items() if alias not in families}
    for name, family in sorted(families.items()):
        row = table.get(name, {})
        yield bench.Model(
            name=name,
            build=functools.partial(build, name),
            suggest=suggest,
            description=f"from timm's {family} family",
            aliases=(aliases[name],) if name in aliases else (),
            preload=("timm",),
            preprocessing=functools.partial(preprocessing, name),
            pretrained=functools.partial(pretrained, name),
            layers=layers,
            hints=bench.ModelHints(
                family=family,
                parameters=row.get("parameters"),
                macs=row.get("macs"),
                layers=row.get("layers"),
                input_size=row.get("input_size"),
                smallest_size=row.get("smallest_size"),
            ),
        )


def read_table() -> dict[str, dict[str, Any]]:
    """Return the rows of `models.json` by architecture, each by column."""
    content = json.loads(TABLE.read_bytes())
    columns = content["columns"]
    return {row[0]: dict(zip(columns, row, strict=True)) for row in content["rows"]}
