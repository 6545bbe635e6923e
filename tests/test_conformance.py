"""The built-in plugins keep the rules that everybody's do."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

import bench.testing
from bench.conformance.recipes import Recipe
from bench.conformance.weight_origins import MODEL
from bench.registry import Offer, load_registry
from bench.specs import KINDS

DISTRIBUTION = "bench-harness"
PATIENCE = 120.0
"""Seconds for a rule on a machine that is busy with other tests."""
NETWORKS = ("resnet18", "mobilenetv3_small_100", "vit_tiny_patch16_224", "squeezenet1_1")
"""Those of the libraries that are tried; their plugins build all others in the same way."""
QUICK = {
    "model": ("cnn", "cnn3", "cnn-flowers"),
    "optimizer": ("sgd-vanilla", "adamw", "muon"),
    "augmentation": ("standard", "mixup"),
    "metric": ("accuracy", "roc_auc"),
}
"""Of kinds with many components, those that are tried each time; the others' test is a slow one."""
NETWORKED = ("hf", "url")
"""Sources of what is not here."""


def _offers() -> list[Any]:
    params = []
    for kind in KINDS:
        for offer in load_registry().offers(kind):
            name = offer.name
            if offer.plugin.distribution != DISTRIBUTION or offer.component.is_source:
                continue
            own = offer.plugin.name not in ("bench_timm", "bench_torchvision")
            if own or name in NETWORKS:
                is_quick = name in QUICK.get(kind, (name,))
                marks = () if is_quick else (pytest.mark.slow,)
                params.append(pytest.param(offer, id=f"{kind}-{name}", marks=marks))
    return params


@pytest.mark.parametrize("offer", _offers())
def test_a_built_in_component_keeps_the_rules(offer: Offer) -> None:
    check(offer)


def check(offer: Offer, **params: Any) -> dict[str, str]:
    """Check a component in the processes that all tests share; return what was skipped."""
    verdict = bench.testing._checker().check(Recipe.of(offer, params), PATIENCE)
    assert verdict.failures == ()
    return dict(verdict.skipped)


def tree(folder: Path) -> Path:
    """Write two classes of colour images as folders."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 6)):
        for name in ("rose", "tulip"):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 255, (16, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


def table(folder: Path) -> Path:
    """Write a table of pictures with their classes."""
    root = tree(folder)
    lines = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(root.rglob("*.png"))]
    (root / "labels.csv").write_text("path,label\n" + "\n".join(lines) + "\n")
    return root / "labels.csv"


def archive(folder: Path) -> Path:
    """Pack such folders."""
    root = tree(folder / "flowers")
    with tarfile.open(folder / "flowers.tar.gz", "w:gz") as packed:
        packed.add(root, "flowers")
    return folder / "flowers.tar.gz"


def arrays(folder: Path) -> Path:
    """Write arrays."""
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    np.savez(folder / "a.npz", images=images, labels=np.arange(40) % 4)
    return folder / "a.npz"


def idx(folder: Path) -> Path:
    """Write files as MNIST's are."""
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    head = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in images.shape)
    labels = bytes([0, 0, 8, 1]) + (40).to_bytes(4, "big") + bytes(n % 4 for n in range(40))
    for split in ("train", "t10k"):
        with gzip.open(folder / f"{split}-images-idx3-ubyte.gz", "wb") as file:
            file.write(head + (images if split == "train" else 255 - images).tobytes())
        with gzip.open(folder / f"{split}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(labels)
    return folder


SOURCES = {"folder": tree, "csv": table, "archive": archive, "npz": arrays, "idx": idx}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_keeps_the_rules(name: str, tmp_path: Path) -> None:
    make: Callable[[Path], Path] = SOURCES[name]
    if name == "archive":
        (tmp_path / "data").mkdir()

    skipped = check(load_registry().get("dataset", name), path=str(make(tmp_path / "data")))

    assert not skipped


def test_weights_from_a_file_keep_the_rules(tmp_path: Path) -> None:
    save_file(MODEL.build(5, (3, 32, 32)).state_dict(), tmp_path / "w.safetensors")

    skipped = check(load_registry().get("weights", "file"), path=str(tmp_path / "w.safetensors"))

    assert not skipped


def test_all_sources_are_tried_but_those_of_the_network() -> None:
    known = {
        offer.name
        for offer in load_registry().offers("dataset")
        if offer.component.is_source and offer.plugin.distribution == DISTRIBUTION
    }

    # `imagenet` wants a thousand folders, and has tests of its own.
    assert known == {*SOURCES, *NETWORKED, "imagenet"}
