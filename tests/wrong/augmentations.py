"""Augmentations each of which breaks one rule."""

from __future__ import annotations

import random

import numpy as np
import torch

import bench
from bench.engine.augment import to_float

BENCH_API = 1


def factors(draws, low, high):
    """Return (B, 1, 1, 1) numbers from `low` to `high`."""
    return low + (high - low) * draws.uniform().view(-1, 1, 1, 1)


def darker(images, draws):
    return to_float(images) * factors(draws, 0.5, 1.0)


def brighter(images, draws):
    return to_float(images) * factors(draws, 1.0, 1.5)


def in_place(images, draws):
    images[:, :, :4] = 0
    return images


def cut(images, draws):
    return images[..., 2:-2, 2:-2]


def double(images, draws):
    return to_float(images).double() * factors(draws, 0.5, 1.0)


def as_pair(images, draws):
    return images, None


def by_torch(images, draws):
    return images.flip(-1) if torch.rand(1) < 0.5 else images


def by_numpy(images, draws):
    return images.roll(int(np.random.default_rng().integers(1, 9)), -1)


def by_python(images, draws):
    random.random()
    return images


def all_alike(images, draws):
    return to_float(images) * float(draws.uniform()[0])


def to_the_mean(images, draws):
    images = to_float(images)
    return images.lerp(images.mean(), 0.5)


def with_neighbours(images, draws):
    images = to_float(images)
    return (images + images.roll(1, 0)) / 2


def in_colour(images, draws):
    red, green, blue = images.unbind(1)
    return torch.stack([blue, green, red], 1)


def by_columns(images, draws):
    return images.view(len(images), -1).flip(1).view(images.shape)


def stretched(images, draws):
    images = to_float(images)
    low, high = images.amin((1, 2, 3), True), images.amax((1, 2, 3), True)
    return (images - low) / (high - high)


def on_the_cpu(images, draws):
    return to_float(images) * torch.linspace(0.5, 1, images.shape[-1])


class Half:
    """A mean with the partner, sound but for what `share` says."""

    mixes = True

    def __init__(self, share):
        self.share = share

    def __call__(self, images, partners, draws):
        own = factors(draws, 0.5, 1.0)
        mixed = images * own + partners * (1 - own)
        return mixed, self.share(own.flatten())


def of(*transforms):
    def build(image_shape, image_kind, *, probability=1.0):
        if not 0 <= probability <= 1:
            raise bench.ConfigError(f"`probability` is {probability}; give 0 to 1")
        return list(transforms)

    return build


def too_often(trial):
    return {"probability": trial.suggest_float("probability", 0.5, 1.5)}


def one(name, *transforms, **more):
    description = f"{name.capitalize()}, always the same."
    return bench.Augmentation(name=name, build=of(*transforms), description=description, **more)


def for_photos(image_shape, image_kind):
    """Know of photos alone."""
    strength = {bench.ImageKind.PHOTO: 0.5}[image_kind]
    return [lambda images, draws: to_float(images) * strength]


def bare(image_shape, image_kind):
    """Return a transform that is in no list."""
    return darker


@bench.hookimpl
def register_augmentations():
    return [
        one("sound", darker, Half(lambda own: own)),
        one("in-place", in_place),
        one("cut", cut),
        one("double", double),
        one("as-pair", as_pair),
        bench.Augmentation(name="bare", build=bare),
        one("brighter", brighter),
        one("stretched", stretched),
        one("by-torch", by_torch),
        one("by-numpy", by_numpy),
        one("by-python", by_python),
        one("all-alike", all_alike),
        one("to-the-mean", to_the_mean),
        one("with-neighbours", with_neighbours),
        one("in-colour", in_colour),
        bench.Augmentation(name="for-photos", build=for_photos),
        one("by-columns", by_columns),
        one("on-the-cpu", on_the_cpu),
        one("share-of-the-partner", Half(lambda own: 1 - own)),
        one("share-above-one", Half(lambda own: own + 0.5)),
        one("share-of-all", Half(lambda own: own.mean())),
        one("suggests-too-often", darker, suggest=too_often),
    ]
