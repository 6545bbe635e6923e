"""Datasets: decoding into the store, opening it, and an epoch from where the images are.

Photographs are crops of the two that come with scikit-learn, saved as JPEG. Arms alternate
(A B B A ...) on one core, so that rates are per core; decoding covers reading, hashing, resizing
and writing the store on the side of bench, and reading and resizing on that of the PIL loop.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

import bench
from bench import datastore, hardware
from bench.engine import pipeline, placement
from bench.records import ComponentRef
from bench.registry import Offer, Plugin
from bench.stored import StoredDataset, open_stored

SIZE = 224


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--photos", type=int, default=300)
    arguments.add_argument("--images", type=int, default=60_000, help="of 28x28, for the epochs")
    arguments.add_argument("--rounds", type=int, default=6)
    given = arguments.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    print(
        f"{hardware.cpu_name()}, one core; Python {platform.python_version()}, "
        f"torch {torch.__version__}, n = {given.rounds}, load {os.getloadavg()[0]:.1f}\n"
    )
    print("| what | beside | ratio | |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        decoding(root, given.photos, given.rounds)
        stored = small_images(root, given.images)
        opening(stored, given.rounds)
        epochs(stored, given.rounds)


def alternate(
    first: Callable[[], float], second: Callable[[], float], rounds: int
) -> tuple[list[float], list[float]]:
    """Return the seconds of both arms, taken A B B A ..."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for arm in (0, 1) if number % 2 == 0 else (1, 0):
            seconds[arm].append((first, second)[arm]())
    return seconds


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def row(what: str, beside: str, a: list[float], b: list[float], count: int) -> None:
    """Print the rates of both arms, and the median and range of the ratio of rates."""
    ratios = [y / x for x, y in zip(a, b, strict=True)]
    rates = [count / statistics.median(each) for each in (a, b)]
    print(
        f"| {what}: {rates[0]:,.0f} images/s | {beside}: {rates[1]:,.0f} images/s "
        f"| {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |"
    )


def decoding(root: Path, count: int, rounds: int) -> None:
    photos = [Image.fromarray(image) for image in load_sample_images().images]
    generator = np.random.default_rng(0)
    paths = []
    (root / "photos").mkdir()
    for number in range(count):
        photo = photos[number % 2]
        width, height = generator.integers(256, 420, 2)
        left = generator.integers(0, photo.width - width)
        top = generator.integers(0, photo.height - height)
        path = root / "photos" / f"{number}.jpg"
        photo.crop((left, top, left + width, top + height)).save(path, quality=90)
        paths.append(path)
    labels = np.arange(count) % 2

    def by_bench() -> float:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["BENCH_CACHE"] = cache
            splits = bench.Splits(train=bench.Files(paths, labels), image_size=SIZE)
            return timed(lambda: store(splits))

    def by_pil() -> float:
        def loop() -> np.ndarray:  # type: ignore[type-arg]
            images = []
            for path in paths:
                with Image.open(path) as image:
                    turned = ImageOps.exif_transpose(image).convert("RGB")
                images.append(np.asarray(ImageOps.fit(turned, (SIZE, SIZE))))
            return np.stack(images)

        return timed(loop)

    by_pil()
    a, b = alternate(by_bench, by_pil, rounds)
    row(f"decode JPEG to {SIZE} px into the store", "a PIL loop into memory", a, b, count)


def store(splits: bench.Splits) -> StoredDataset:
    component = bench.Dataset(name="data", load=lambda data_dir: splits)
    offer = Offer(component, Plugin("benchmark", "benchmark", "1", "benchmark"))
    return datastore.prepare(offer, ComponentRef("data", "benchmark"))


def small_images(root: Path, count: int) -> StoredDataset:
    """Store images of 28x28 pixels, made of the photographs."""
    os.environ["BENCH_CACHE"] = str(root / "cache")
    photo = np.asarray(Image.fromarray(load_sample_images().images[0]).convert("L"))
    generator = np.random.default_rng(1)
    tops = generator.integers(0, photo.shape[0] - 28, count)
    lefts = generator.integers(0, photo.shape[1] - 28, count)
    images = np.stack([photo[t : t + 28, x : x + 28] for t, x in zip(tops, lefts, strict=True)])
    return store(bench.Splits(train=(images, np.arange(count) % 10)))


def opening(stored: StoredDataset, rounds: int) -> None:
    def work() -> None:
        again = open_stored(stored.fingerprint, stored.variant)
        images, labels = again.images("train"), again.labels("train")
        assert images.shape[0] == len(labels)

    seconds = [timed(work) for _ in range(10 * rounds)]
    found = statistics.median(seconds) * 1000
    count = stored.counts["train"]
    print(
        f"| open a stored set of {count:,} images: {found:.1f} ms | aim: 50 ms | "
        f"{found / 50:.2f} | up to {max(seconds) * 1000:.1f} ms |"
    )


def epochs(stored: StoredDataset, rounds: int) -> None:
    ids = np.arange(stored.counts["train"])
    labels = torch.from_numpy(stored.labels("train"))

    def arm(wanted: str) -> Callable[[], float]:
        images = placement.place(stored.images("train"), ids, "cpu", wanted)
        mean, std = pipeline.shaped([0.5], [0.25])
        batches = pipeline.Batches(
            images, labels, ids, 28, "crop", mean, std, torch.contiguous_format, 10
        )

        def epoch() -> float:
            order = pipeline.epoch_order(len(ids), 128, 0, 1)

            def work() -> None:
                for _ in batches.epoch(order, 1):
                    pass

            return timed(work)

        epoch()
        return epoch

    a, b = alternate(arm("map"), arm("memory"), rounds)
    row("gather and normalise from a memory map", "from resident tensors", a, b, len(ids))


if __name__ == "__main__":
    main()
