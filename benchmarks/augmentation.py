"""Images per second of bench's augmentations, and over torchvision's, image by image.

Two arms do the same to the same images, on one thread: crops after padding by 4 pixels, flips and
normalisation at 32x32. `bench` takes resident uint8 batches, `torchvision` PIL images one by one
through RandomCrop, RandomHorizontalFlip, ToTensor and Normalize, stacked into batches as by a
DataLoader's worker. Rounds alternate (A B B A ...); before a time counts, the arms must agree to
the bit where nothing is drawn. The presets, and each augmentation alone, follow.

    python benchmarks/augmentation.py [--images N] [--batch-size N] [--rounds N] [--size N]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import torch
import torchvision
from PIL import Image
from torchvision import transforms

import bench_augment
from bench import ImageKind, hardware
from bench.engine.augment import Augmenter, to_float

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def bench_epoch(augmenter, images, batch_size, epoch):
    """Augment and normalise every image once; return the last batch."""
    mean, std = (torch.tensor(value).view(1, -1, 1, 1) for value in (MEAN, STD))
    for ids in torch.arange(len(images)).split(batch_size):
        batch = augmenter.augment(images[ids], ids, epoch)
        if augmenter.mixes:
            partners = augmenter.partners(ids, epoch)
            others = augmenter.augment(images[partners], partners, epoch)
            batch, _ = augmenter.mix(batch, others, ids, epoch)
        # A conversion makes a copy; the caller's images must survive what follows.
        batch = to_float(batch) if batch.dtype == torch.uint8 else batch.clone()
        batch = batch.sub_(mean).div_(std)
    return batch


def torchvision_epoch(transform, pictures, batch_size):
    """Do the same to PIL images one by one; return the last batch."""
    for start in range(0, len(pictures), batch_size):
        batch = torch.stack([transform(picture) for picture in pictures[start:][:batch_size]])
    return batch


def timed(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def rates(seconds, images):
    values = [images / value for value in seconds]
    return f"{statistics.median(values):>9,.0f} images/s ({min(values):,.0f} to {max(values):,.0f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=32)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    count, batch_size, size = arguments.images, arguments.batch_size, arguments.size
    shape = (3, size, size)
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    offers = {offer.name: offer for offer in bench_augment.register_augmentations()}

    def augmenter(name, **params):
        return Augmenter(offers[name].build(shape, ImageKind.PHOTO, **params), 0, count)

    after = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    before = [transforms.RandomCrop(size, padding=size // 8), transforms.RandomHorizontalFlip()]
    theirs = transforms.Compose([*before, *after])
    ours = augmenter("light", crop=0.125)
    plain = torchvision_epoch(transforms.Compose(after), pictures, batch_size)
    assert torch.equal(bench_epoch(augmenter("none"), images, batch_size, 0), plain)

    times = {"bench": [], "torchvision": []}
    for number in range(arguments.rounds + 1):
        for arm in ("bench", "torchvision") if number % 2 else ("torchvision", "bench"):
            if arm == "bench":
                seconds = timed(bench_epoch, ours, images, batch_size, number)
            else:
                seconds = timed(torchvision_epoch, theirs, pictures, batch_size)
            if number:  # the first round warms up
                times[arm].append(seconds)
    ratios = [b / a for a, b in zip(times["bench"], times["torchvision"], strict=True)]

    print(
        f"{count} images {size}x{size}x3, batch {batch_size}, 1 thread, "
        f"n = {arguments.rounds} rounds; median (range)"
    )
    print(
        f"{hardware.cpu_name()}, python {platform.python_version()}, torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}"
    )
    print(f"crop (padding {size // 8}), flip, normalise")
    for arm, seconds in times.items():
        print(f"  {arm:20} {rates(seconds, count)}")
    print(
        f"  {'bench / torchvision':20} {statistics.median(ratios):>9.1f} times "
        f"({min(ratios):.1f} to {max(ratios):.1f})"
    )
    print("with normalisation, photos")
    made = {name: augmenter(name) for name in offers}
    seconds = {name: [] for name in offers}
    for number in range(arguments.rounds + 1):
        for name in offers if number % 2 else reversed(offers):
            value = timed(bench_epoch, made[name], images, batch_size, number)
            if number:
                seconds[name].append(value)
    for name, values in seconds.items():
        print(f"  {name:20} {rates(values, count)}")


if __name__ == "__main__":
    main()
