"""Random changes to batches of training images, drawn for every image on its own.

What an image becomes is a pure function of (seed, epoch, the image's id): neither the size of the
batch nor its other images, their order, the number of workers or a resumed run change a bit of it.
Two things bring that about. Random numbers come from a counter-based generator (`Draws`): a hash
of what they are for, without a state that calls would share. And transforms compute with
operations whose result for one image does not depend on how many there are: elementwise
arithmetic, selection, sampling; sums over pixels are taken in integers (`mean_of`).

The generator is SplitMix64 (Steele, Lea and Flood, 2014, https://doi.org/10.1145/2660193.2660195):
its output function, a bijection of 64 bits known as Stafford's variant 13, is applied to a
sequence that advances by the golden ratio. Each (seed, epoch, transform) hashes to a key, each id
and key to the start of a sequence.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from bench.errors import PluginError

GOLDEN = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio, made odd."""

_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_LEVELS = 2**16
_PARTNERS = -1  # the stream of partners; transforms have theirs from 0 on


def hashed(*values: int) -> int:
    """Return 64 bits, as an unsigned integer, that depend on all the values and their order."""
    result = 0
    for value in values:
        result = ((result ^ (value % 2**64)) + GOLDEN) % 2**64
        result = ((result ^ (result >> 30)) * _FIRST) % 2**64
        result = ((result ^ (result >> 27)) * _SECOND) % 2**64
        result ^= result >> 31
    return result


def _signed(value: int) -> int:
    """Return the int64 that has the lowest 64 bits of `value`."""
    return (value + 2**63) % 2**64 - 2**63


def _finalise_(words: Tensor) -> Tensor:
    """Apply SplitMix64's output function to int64 `words` in place, and return them."""
    # int64 stands for uint64, which torch hardly computes with: products wrap around alike, and
    # the mask takes away the sign bits that an arithmetic shift drags in.
    words ^= (words >> 30) & (2**34 - 1)
    words *= _signed(_FIRST)
    words ^= (words >> 27) & (2**37 - 1)
    words *= _signed(_SECOND)
    words ^= (words >> 31) & (2**33 - 1)
    return words


class Draws:
    """Random numbers for the images of one batch and the transform that asks for them.

    Every call goes on where the last one ended, for every image in its own sequence.

    Args:
        key: what `hashed` made of the seed, the epoch and the transform.
        ids: (B,) int64, what tells the images apart; draws come on its device.
    """

    def __init__(self, key: int, ids: Tensor) -> None:
        self._starts = _finalise_(ids * _signed(GOLDEN) + _signed(key))
        self._taken = 0

    def words(self, count: int = 1) -> Tensor:
        """Return (B, count) int64: 64 random bits each."""
        steps = torch.arange(
            self._taken + 1, self._taken + count + 1, device=self._starts.device, dtype=torch.int64
        )
        self._taken += count
        return _finalise_(self._starts[:, None] + steps * _signed(GOLDEN))

    def uniform(self, count: int = 1) -> Tensor:
        """Return (B, count) float32 in [0, 1): whole multiples of 2**-24."""
        # The highest 24 bits: as many as a float32 holds, so that none is rounded up to 1.
        highest: Tensor = (self.words(count) >> 40) & (2**24 - 1)
        return highest.to(torch.float32).mul_(2.0**-24)

    def normal(self, count: int = 1) -> Tensor:
        """Return (B, count) float32 from the standard normal distribution; see `noise`."""
        return self.noise((count,))

    def noise(self, shape: Sequence[int]) -> Tensor:
        """Return (B, *shape) float32 from the standard normal distribution.

        The inverse of its distribution function, tabulated at the middles of 65,536 equally
        likely intervals: the largest value is 4.3, the variance 0.99998. Looked up and not
        computed, since logarithms and cosines round differently in the last lanes of a vector.
        """
        count = math.prod(shape)
        # Four numbers of 16 bits from each word.
        halves: Tensor = self.words(-(-count // 4)).view(torch.int16)[:, :count]
        places = halves.reshape(-1).to(torch.int32).add_(_LEVELS // 2)
        values: Tensor = _normal_quantiles(str(places.device)).index_select(0, places)
        return values.view([-1, *shape])


@functools.lru_cache(maxsize=8)
def _normal_quantiles(device: str) -> Tensor:
    """Return the table behind `Draws.noise`, (65536,) float32."""
    middles = (torch.arange(_LEVELS, dtype=torch.float64) + 0.5) / _LEVELS
    quantiles: Tensor = torch.special.ndtri(middles)
    return quantiles.to(torch.float32).to(device)


Transform = Callable[[Tensor, Draws], Tensor]
"""A change of single images: (B, C, H, W) uint8, or float32 in [0, 1], to the same shape and
either of these dtypes. It leaves its argument as it is."""


class Mixing(Protocol):
    """A transform that mixes every image with another one of the training split.

    Attributes:
        mixes: True; tells it from a `Transform`.
    """

    mixes: bool

    def __call__(self, images: Tensor, partners: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Mix `images` with `partners`, each (B, C, H, W) float32 in [0, 1].

        Returns:
            The mixed images, float32 of the same shape, and (B,) float32 in 0 to 1: how much of
            the label is the image's own; the rest is its partner's.
        """


def to_float(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1], float images as they are."""
    if images.dtype == torch.uint8:
        return images.to(torch.float32).div_(255)
    return images


def mean_of(images: Tensor) -> Tensor:
    """Return the mean of each channel, (B, C, 1, 1) float32, of float32 images in [0, 1].

    Values are rounded to multiples of 2**-24, whose sums in float64 are exact: in which order
    they are added, and so how many images there are, then changes nothing.
    """
    pixels = images.shape[-2] * images.shape[-1]
    total = images.mul(2.0**24).round_().sum((-2, -1), keepdim=True, dtype=torch.float64)
    return total.div_(pixels * 2.0**24).to(torch.float32)


class Augmenter:
    """The transforms of a run, applied to whatever batch comes along.

    Each transform draws from its own stream, named by its place, so that what one of them draws
    never moves what its neighbours do.

    Args:
        transforms: what an augmentation's `build` returned.
        seed: the run's seed.
        items: number of training images, from which partners are drawn.

    Attributes:
        mixes: whether `mix` does anything; without it neither partners nor shares are needed.
    """

    def __init__(self, transforms: Sequence[Transform | Mixing], seed: int, items: int) -> None:
        self._alone: list[tuple[int, Transform]] = []
        self._mixing: list[tuple[int, Mixing]] = []
        for place, transform in enumerate(transforms):
            if getattr(transform, "mixes", False):
                self._mixing.append((place, transform))  # type: ignore[arg-type]
            else:
                self._alone.append((place, transform))  # type: ignore[arg-type]
        self._seed = seed
        self._items = items
        self.mixes = bool(self._mixing)

    def augment(self, images: Tensor, ids: Tensor, epoch: int) -> Tensor:
        """Return the images after every transform that does not mix, in order.

        Args:
            images: (B, C, H, W) uint8; not changed.
            ids: (B,) int64 on the same device, what tells the images apart.
            epoch: number of the pass over the training split.

        Returns:
            The same shape, uint8 or float32 in [0, 1].

        Raises:
            bench.PluginError: a transform returned another shape or dtype.
        """
        for place, transform in self._alone:
            result = transform(images, self._draws(place, ids, epoch))
            _check(transform, result, images)
            images = result
        return images

    def partners(self, ids: Tensor, epoch: int) -> Tensor:
        """Return whom each image is mixed with: (B,) int64, positions in 0 .. items - 1.

        Drawn with replacement, and an image may meet itself.
        """
        words = self._draws(_PARTNERS, ids, epoch).words()[:, 0]
        return (words & (2**63 - 1)) % self._items

    def mix(
        self, images: Tensor, partners: Tensor, ids: Tensor, epoch: int
    ) -> tuple[Tensor, Tensor]:
        """Mix images with their partners, both of them augmented by `augment` with their own ids.

        Args:
            images: (B, C, H, W) uint8, or float32 in [0, 1].
            partners: the same; one for each of `images`.
            ids: (B,) int64, of `images`.
            epoch: number of the pass over the training split.

        Returns:
            float32 images of the same shape, and (B,) float32: the share of an image's label that
            is its own. A mixed label is share * label + (1 - share) * label of the partner.

        Raises:
            bench.PluginError: a transform returned another shape or dtype.
        """
        images, partners = to_float(images), to_float(partners)
        share = torch.ones(len(images), device=images.device)
        for place, transform in self._mixing:
            result, own = transform(images, partners, self._draws(place, ids, epoch))
            _check(transform, result, images)
            # Mixing again dilutes what is left of the image itself, by the same partner.
            images, share = result, share * own
        return images, share

    def _draws(self, stream: int, ids: Tensor, epoch: int) -> Draws:
        return Draws(hashed(self._seed, epoch, stream), ids)


def _check(transform: object, result: object, images: Tensor) -> None:
    """Refuse a result that is not a batch of images like the one that was given."""
    if not isinstance(result, Tensor):
        made = type(result).__name__
    elif result.shape != images.shape or result.dtype not in (torch.uint8, torch.float32):
        made = f"{tuple(result.shape)} {result.dtype}"
    else:
        return
    name = getattr(transform, "__name__", type(transform).__name__)
    raise PluginError(
        f"transform `{name}` made {made} of {tuple(images.shape)} {images.dtype}; "
        "keep the shape, as uint8 or float32"
    )
