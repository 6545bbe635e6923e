"""What every augmentation does: new images, drawn for each on its own and for nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.conformance.evidence import raised, unless_broken
from bench.conformance.rules import Broken, Skipped, rule
from bench.conformance.suggestions import rule_on_suggestions
from bench.engine.augment import Augmenter, to_float
from bench.engine.device import seed_everything
from bench.engine.generators import random_state
from bench.errors import PluginError
from bench.registry import Offer
from bench.specs import ImageKind
from bench.text import listing

Shape = tuple[int, int, int]

USUAL: Shape = (3, 32, 32)
OTHERS: tuple[Shape, ...] = ((1, 28, 28), (1, 9, 9), (3, 15, 15), (3, 224, 224))
"""Gray and in colour, of odd sizes and of that of most networks."""
POOL = 10
"""Images of a training split; partners come from all of them."""
ROWS = (7, 0, 4, 2, 9, 5)
"""Those that make a batch."""
ROUNDING = 1e-5
ON_DEVICES = 0.02
"""How far a value may be from that on another device, and the part of all that may be farther."""


class Changed(NamedTuple):
    """What becomes of a batch: the images, and how much of its label each one keeps."""

    images: Tensor
    share: Tensor


def photos(shape: Shape, dtype: torch.dtype = torch.uint8) -> Tensor:
    """Return the images of a split, always the same ones: noise, and one that is all black."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (POOL, *shape), dtype=torch.uint8, generator=generator)
    images[ROWS[2]] = 0
    return images if dtype == torch.uint8 else to_float(images)


def built(
    offer: Offer, shape: Shape = USUAL, kind: ImageKind = ImageKind.PHOTO, **params: Any
) -> list[Any]:
    """Return the transforms of an augmentation."""
    made = offer.component.factory(shape, kind, **params)
    if isinstance(made, str) or not isinstance(made, Sequence) or not all(map(callable, made)):
        raise Broken(
            f"`build` returned {type(made).__name__}",
            "return a list of transforms: callables that take images and draws",
        )
    return list(made)


def applied(
    transforms: Sequence[Any], pool: Tensor, rows: Sequence[int] = ROWS, seed: int = 0
) -> Changed:
    """Return what a run makes of some images of a split in its first epoch."""
    augmenter = Augmenter(transforms, seed, len(pool))
    ids = torch.tensor(rows, device=pool.device)
    images = augmenter.augment(pool[ids], ids, 1)
    if not augmenter.mixes:
        return Changed(images, torch.ones(len(ids), device=pool.device))
    partners = augmenter.partners(ids, 1)
    others = augmenter.augment(pool[partners], partners, 1)
    return Changed(*augmenter.mix(images, others, ids, 1))


def label(images: Tensor) -> str:
    """Say what a batch is made of."""
    channels, height, width = images.shape[1:]
    colour = "gray" if channels == 1 else "colour"
    return f"{colour} images of {height}x{width} ({str(images.dtype).removeprefix('torch.')})"


def both_dtypes(shape: Shape = USUAL) -> Iterator[Tensor]:
    """Yield a split as bytes and as numbers in 0 to 1: a transform is given either."""
    yield photos(shape)
    yield photos(shape, torch.float32)


@rule("augmentation")
def keeps_shape_and_dtype(offer: Offer) -> None:
    """A batch of images becomes another one of the same shape, of uint8 or float32."""
    transforms = built(offer)
    for pool in both_dtypes():
        try:
            _, share = applied(transforms, pool)
        except PluginError as error:
            raise Broken(
                str(error).partition(";")[0],
                "return a tensor of the shape that came, as uint8 or as float32",
            ) from error
        if share.shape != (len(ROWS),) or not share.is_floating_point():
            raise Broken(
                f"a mixing transform returned shares {tuple(share.shape)} {share.dtype} for "
                f"{len(ROWS)} images",
                "return the mixed images and (B,) float32: how much of its label each one keeps",
            )


rule_on_suggestions("augmentation", lambda offer, **params: built(offer, **params))


@rule("augmentation")
def fits_every_kind_and_size(offer: Offer) -> None:
    """It takes gray and colour images of each kind, of even and odd sizes."""
    for shape in (USUAL, *OTHERS):
        for kind in ImageKind:
            pool = photos(shape)
            what = f"{label(pool)} of the kind `{kind}`"
            try:
                applied(built(offer, shape, kind), pool, ROWS[:2])
            except Broken:
                raise
            except Exception as error:
                raise Broken(
                    f"of {what} {raised(error, offer)}",
                    "go by the `image_shape` and `image_kind` that `build` is given; leave out "
                    "what does not suit them",
                ) from error


@rule("augmentation")
def stays_between_black_and_white(offer: Offer) -> None:
    """Float images are in 0 to 1, without NaN, and so are shares of labels."""
    transforms = built(offer)
    for seed in range(4):
        for pool in both_dtypes():
            images, share = applied(transforms, pool, seed=seed)
            for values, what, fix in (
                (to_float(images), "images", "end with `clamp(0, 1)`"),
                (share, "shares of labels", "return the part, 0 to 1, that each image keeps"),
            ):
                low, high = float(values.min()), float(values.max())
                if math.isnan(low):
                    raise Broken(
                        f"NaN among {what}, of {label(pool)} of which one is all black",
                        "divide by nothing that may be 0, as the spread of an even image",
                    )
                if not (low >= 0 and high <= 1):
                    raise Broken(f"{what} from {low:.4g} to {high:.4g}, of {label(pool)}", fix)


@rule("augmentation")
def leaves_its_input_alone(offer: Offer) -> None:
    """Images that it is given stay as they are: every epoch starts from them."""
    transforms = built(offer)
    for pool in both_dtypes():
        augmenter_of = _alone(transforms, pool)
        for place, (transform, run) in enumerate(augmenter_of):
            given = [pool[torch.tensor(ROWS)], pool[torch.tensor(ROWS[::-1])]]
            before = [images.clone() for images in given]
            run(*given)
            if not all(map(torch.equal, given, before)):
                name = getattr(transform, "__name__", type(transform).__name__)
                raise Broken(
                    f"transform {place}, `{name}`, changed the images that it was given "
                    f"({label(pool)})",
                    "work on a copy: `images.clone()`, or operations without a trailing underscore",
                )


def _alone(
    transforms: Sequence[Any], pool: Tensor
) -> Iterator[tuple[Any, Callable[[Tensor, Tensor], Any]]]:
    """Yield each transform with a function that applies it alone to images and partners."""
    ids = torch.tensor(ROWS)
    for transform in transforms:
        augmenter = Augmenter([transform], 0, len(pool))

        def run(images: Tensor, partners: Tensor, augmenter: Augmenter = augmenter) -> Any:
            if augmenter.mixes:
                return augmenter.mix(images, partners, ids, 1)
            return augmenter.augment(images, ids, 1)

        yield transform, run


@rule("augmentation")
def is_a_function_of_its_draws(offer: Offer) -> None:
    """It draws from `draws` alone: the same ones give the same images, to the bit."""
    fix = "take random numbers from `draws` alone: `draws.uniform()`, `normal`, `noise`"
    pool = photos(USUAL)
    found = []
    for seed in (1, 2):
        seed_everything(seed)
        before = random_state("cpu")
        found.append(applied(built(offer), pool))
        touched = _differing(before, random_state("cpu"))
        if touched:
            raise Broken(f"it moved the generator of {listing(touched)} on", fix)
    transforms = built(offer)
    found += [applied(transforms, pool) for _ in range(2)]
    for other in found[1:]:
        if not _same(found[0], other):
            unless_broken(stays_between_black_and_white, offer)
            raise Broken("the same images with the same draws came out otherwise again", fix)


def _differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [name for name in one if not _equal(one[name], other[name])]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, list):
        return all(map(_equal, one, other))
    return bool(one == other)


def _same(one: Changed, other: Changed) -> bool:
    return all(map(torch.equal, one, other))


@rule("augmentation")
def changes_each_image_on_its_own(offer: Offer) -> None:
    """An image becomes the same whatever else is in the batch, in whichever order."""
    transforms = built(offer)
    for pool in both_dtypes():
        whole = applied(transforms, pool)
        for chosen in ([0], [3], [5, 1, 2], [*range(len(ROWS))][::-1]):
            part = applied(transforms, pool, [ROWS[place] for place in chosen])
            for place, image, share in zip(chosen, *part, strict=True):
                most = float((to_float(image) - to_float(whole.images[place])).abs().max())
                most = max(most, float((share - whole.share[place]).abs()))
                if most:
                    unless_broken(is_a_function_of_its_draws, offer)
                    unless_broken(stays_between_black_and_white, offer)
                    raise Broken(
                        f"an image differs by up to {most:.2g} in a batch of {len(chosen)} from "
                        f"what it is in one of {len(ROWS)}",
                        _FOR_ROUNDING if most < ROUNDING else _FOR_MIXING_UP,
                    )


_FOR_ROUNDING = (
    "it is rounding: use `bench.engine.augment.mean_of` for means, and operations that treat each "
    "value alone"
)
_FOR_MIXING_UP = (
    "draw a number for each image, `draws.uniform()` of shape (B, 1), and take no mean, order or "
    "neighbour of the batch; other images come as `partners` to a transform that `mixes`"
)


@rule("augmentation")
def stands_any_layout_in_memory(offer: Offer) -> None:
    """So it does if images lie pixel by pixel, as those that are streamed do."""
    transforms = built(offer)
    pool = photos(USUAL)
    plain = applied(transforms, pool)
    turned = pool.contiguous(memory_format=torch.channels_last)
    fix = "use `reshape` in place of `view`, and name dimensions from the end"
    try:
        other = applied(transforms, turned)
    except RuntimeError as error:
        raise Broken(f"of images that lie `channels_last` {raised(error, offer)}", fix) from error
    if not _same(plain, other):
        unless_broken(changes_each_image_on_its_own, offer)
        most = float((to_float(plain.images) - to_float(other.images)).abs().max())
        raise Broken(
            f"images that lie `channels_last` come out otherwise, by up to {most:.2g}",
            _FOR_ROUNDING if most < ROUNDING else fix,
        )


@rule("augmentation")
def gives_labels_the_share_of_the_image(offer: Offer) -> None:
    """Where it mixes images, it says how much of each is its own, not its partner's."""
    transforms = [each for each in built(offer) if getattr(each, "mixes", False)]
    if not transforms:
        return
    count = 64
    augmenter = Augmenter(transforms, 0, count)
    own, partner = torch.ones(count, *USUAL), torch.zeros(count, *USUAL)
    images, share = augmenter.mix(own, partner, torch.arange(count), 1)
    white = images.mean((1, 2, 3))
    # Shares need not be areas: those that weigh what is seen are near enough.
    right, wrong = (float((white - s).abs().mean()) for s in (share, 1 - share))
    if right > wrong + ROUNDING:
        raise Broken(
            f"of {count} white images mixed with black ones the shares are off by {right:.2f} on "
            f"average from how white these are, turned round by {wrong:.2f}",
            "return the share of the image itself, 1 where nothing is mixed",
        )


@rule("augmentation")
def works_on_a_gpu(offer: Offer) -> None:
    """On a GPU it computes where the images are."""
    if not torch.cuda.is_available():
        raise Skipped("there is no CUDA device")
    transforms = built(offer)
    pool = photos(USUAL)
    expected = applied(transforms, pool)
    fix = "make tensors on `images.device`; `draws` gives its numbers there"
    try:
        images, share = applied(transforms, pool.cuda())
    except RuntimeError as error:
        raise Broken(f"on a GPU {raised(error, offer)}", fix) from error
    if not (images.is_cuda and share.is_cuda):
        raise Broken("images of a GPU came back on the CPU", fix)
    apart = (to_float(images).cpu() - to_float(expected.images)).abs()
    # A pixel whose place is rounded otherwise may come from its neighbour.
    if float((apart > ON_DEVICES).float().mean()) > ON_DEVICES:
        unless_broken(is_a_function_of_its_draws, offer)
        raise Broken(f"on a GPU images differ by up to {float(apart.max()):.2g}", fix)
