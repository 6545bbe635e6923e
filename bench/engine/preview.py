"""What an augmentation makes of some images, to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench.decoding import Resize
from bench.engine.augment import Augmenter
from bench.engine.pipeline import resize
from bench.stored import Indices

Pictures = npt.NDArray[np.uint8]


def augmented(
    transforms: Sequence[Any],
    fetch: Callable[[Indices], Pictures],
    ids: Indices,
    chosen: Indices,
    size: int,
    how: Resize,
    seed: int,
    epoch: int,
) -> tuple[Pictures, Pictures]:
    """Return images as a run would resize them, and as it would train on them.

    Args:
        transforms: what the augmentation's `build` returned.
        fetch: takes positions among the items and returns their images, (B, H, W, C).
        ids: (N,) places of all items in the stored split; what is drawn goes by them.
        chosen: (B,) positions among the items, of those to be shown.
        size: height and width, pixels.
        how: how images of another shape are brought to it.
        seed: of the run.
        epoch: from 1.

    Returns:
        Two arrays (B, size, size, C).
    """
    augmenter = Augmenter(transforms, seed, len(ids))

    def prepared(positions: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.from_numpy(np.ascontiguousarray(fetch(positions))).permute(0, 3, 1, 2)
        sized = resize(images, size, how)
        return sized, augmenter.augment(sized, torch.from_numpy(ids[positions]), epoch)

    before, after = prepared(chosen)
    if augmenter.mixes:
        own = torch.from_numpy(ids[chosen])
        partners = augmenter.partners(own, epoch)
        after, _ = augmenter.mix(after, prepared(partners.numpy())[1], own, epoch)
    return _pictures(before), _pictures(after)


def _pictures(images: torch.Tensor) -> Pictures:
    if images.dtype != torch.uint8:
        images = images.mul(255).round().clamp(0, 255).to(torch.uint8)
    return images.permute(0, 2, 3, 1).contiguous().numpy()
