"""A model's published weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bench


def load(
    model: bench.Model, input_shape: tuple[int, int, int], files: Sequence[Path]
) -> Mapping[str, Any]:
    """Fetch the model's published weights, by its own library.

    Args:
        model: whose plugin knows where they are.
        input_shape: (C, H, W) of the images.
        files: not used; the library has its own cache.
    """
    assert model.pretrained is not None, "`origin` refuses a model without"
    return model.pretrained(input_shape)


def origin(model: bench.Model, results: Path) -> bench.Origin:
    """Return where they come from.

    Raises:
        bench.ConfigError: the model has none.
    """
    if model.pretrained is None:
        raise bench.ConfigError(
            f"model `{model.name}` has no published weights; leave it out, or give `--weights FILE`"
        )
    return bench.Origin()


WEIGHTS = bench.Weights(name="pretrained", load=load, origin=origin, preload=("torch",))
