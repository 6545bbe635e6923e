from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import make_batches
from torch.nn import functional
from torchvision import transforms

from bench import decoding
from bench.decoding import Resize
from bench.engine import pipeline
from bench.engine.pipeline import Batches, epoch_order, resize
from bench.engine.placement import Resident
from bench.stored import channel_statistics


def pixels(count: int = 7, height: int = 9, width: int = 9, channels: int = 3) -> Any:
    generator = np.random.default_rng([count, height, width, channels])
    return generator.integers(0, 256, (count, height, width, channels), np.uint8)


def place(images: Any, size: int, ids: Any = None, normalize: str = "standard") -> Batches:
    labels = np.arange(len(images), dtype=np.int64) % 3
    return make_batches(images, labels, size, ids, normalize)


def resident(batches: Batches) -> torch.Tensor:
    """Return the images that are kept in memory, (N, C, H, W) uint8."""
    assert isinstance(batches.images, Resident)
    return batches.images.images


# Batches


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("normalize", ["standard", "unit"])
def test_a_batch_equals_torchvision_to_the_bit(channels: int, normalize: str) -> None:
    images = pixels(channels=channels)
    batches = place(images, 9, normalize=normalize)
    reference = transforms.Compose(
        [
            transforms.ToTensor(),
            transforms.Normalize(batches.mean.flatten().tolist(), batches.std.flatten().tolist()),
        ]
    )
    pictures = [Image.fromarray(i.squeeze(-1) if channels == 1 else i) for i in images]
    order = torch.tensor([3, 0, 6, 3])
    expected = torch.stack([reference(pictures[index]) for index in order])
    assert torch.equal(batches.gather(order), expected)


def test_every_value_of_a_pixel_is_exact() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    found = place(images, 16, normalize="unit").gather(torch.tensor([0])).flatten()
    assert torch.equal(found, torch.arange(256) / 255)


def test_normalised_training_images_have_mean_0_and_std_1() -> None:
    images = pixels(50)
    batch = place(images, 9).gather(torch.arange(50))
    assert batch.mean((0, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-5)
    assert batch.std((0, 2, 3), correction=0).tolist() == pytest.approx([1] * 3, abs=1e-5)


def test_a_batch_has_the_size_type_and_layout_that_was_asked_for() -> None:
    labels = np.zeros(7, np.int64)
    batches = make_batches(pixels(), labels, 5, memory_format=torch.channels_last)
    batch = batches.gather(torch.arange(4))
    assert batch.shape == (4, 3, 5, 5)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert len(batches) == 7


def test_only_the_chosen_items_are_placed_in_their_order() -> None:
    images = pixels()
    batches = place(images, 9, [5, 1, 4])
    assert batches.ids.tolist() == [5, 1, 4]
    assert batches.labels.tolist() == [2, 1, 1]
    assert np.array_equal(resident(batches).permute(0, 2, 3, 1).numpy(), images[[5, 1, 4]])


def test_gathering_leaves_the_stored_images_alone() -> None:
    batches = place(pixels(), 9)
    before = resident(batches).clone()
    batches.gather(torch.arange(7))
    assert [*batches.stream(torch.arange(7)[None])]
    assert [*batches.epoch(torch.arange(7)[None], 1)]
    assert torch.equal(resident(batches), before)


def test_a_memory_map_is_copied_and_not_written_to(tmp_path: Any) -> None:
    np.save(tmp_path / "images.npy", pixels())
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    batches = place(mapped, 9)
    resident(batches).fill_(0)
    assert np.array_equal(np.load(tmp_path / "images.npy"), pixels())


@pytest.mark.parametrize("size", [9, 5])
def test_batches_come_the_same_by_gather_stream_and_epoch(size: int) -> None:
    batches = place(pixels(), size)
    rows = torch.tensor([[3, 0, 6], [1, 1, 2]])
    expected = [batches.gather(row) for row in rows]
    streamed = [*batches.stream(rows)]
    epoch = [*batches.epoch(rows, 1)]
    assert len(streamed) == len(epoch) == 2
    for row, images, other, (third, targets, labels) in zip(
        rows, expected, streamed, epoch, strict=True
    ):
        assert torch.equal(images, other)
        assert torch.equal(images, third)
        assert torch.equal(targets, batches.labels[row])
        assert torch.equal(labels, batches.labels[row])


def test_labels_as_shares_are_one_hot_or_as_they_are() -> None:
    batches = place(pixels(), 9)
    indices = torch.tensor([5, 0, 1])
    assert batches.shares(indices).tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    sets = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]).repeat(4, 1)[:7]
    tags = dataclasses.replace(batches, labels=sets)
    assert torch.equal(tags.shares(indices), sets[indices])


# Resizing


@pytest.mark.parametrize(
    ("height", "width", "size"), [(9, 9, 5), (9, 9, 16), (9, 14, 9), (14, 9, 6), (6, 11, 13)]
)
def test_resizing_all_at_once_equals_resizing_each_batch(
    height: int, width: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pixels(40, height, width)
    kept = place(images, size)
    monkeypatch.setattr(pipeline, "RESIDENT_LIMIT", 0)
    streamed = place(images, size)
    assert kept.images.shape[-2:] == (size, size)
    assert streamed.images.shape[-2:] == (height, width)
    for indices in torch.randperm(40).split(11):
        assert torch.equal(kept.gather(indices), streamed.gather(indices))


def test_resizing_in_parts_equals_resizing_the_whole() -> None:
    images = torch.from_numpy(pixels(2500, 8, 8, 1)).permute(0, 3, 1, 2).contiguous()
    assert torch.equal(resident(place(pixels(2500, 8, 8, 1), 6)), resize(images, 6, "crop"))


@pytest.mark.parametrize("size", [5, 9, 14])
def test_square_images_are_resized_as_pillow_does(size: int) -> None:
    image = pixels(1)[0]
    found = resize(torch.from_numpy(image).permute(2, 0, 1)[None], size, "crop")[0].permute(1, 2, 0)
    picture = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
    assert np.abs(found.numpy().astype(int) - np.asarray(picture).astype(int)).max() <= 1


@pytest.mark.parametrize("size", [5, 14])
def test_resized_values_are_rounded_and_not_cut(size: int) -> None:
    images = torch.from_numpy(pixels()).permute(0, 3, 1, 2)
    exact = functional.interpolate(images.float(), (size, size), mode="bilinear", antialias=True)
    assert (resize(images, size, "crop").float() - exact).abs().max() <= 0.5


@pytest.mark.parametrize("shape", [(4, 12), (12, 4)])
def test_the_centre_is_cropped(shape: tuple[int, int]) -> None:
    image = torch.zeros(1, 1, *shape, dtype=torch.uint8)
    image[..., :4, 4:8] = 255
    image[..., 4:8, :4] = 255
    assert (resize(image, 4, "crop") == 255).all()


def test_images_of_the_right_size_are_left_alone() -> None:
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    for how in ("crop", "squash", "pad"):
        assert resize(images, 8, how) is images


@pytest.mark.parametrize("how", ["crop", "squash", "pad"])
@pytest.mark.parametrize("shape", [(9, 14), (14, 9), (6, 11), (5, 5)])
@pytest.mark.parametrize("size", [7, 16])
def test_a_batch_is_resized_as_a_stored_image_is(
    how: Resize, shape: tuple[int, int], size: int
) -> None:
    (image,) = pixels(1, *shape)
    found = resize(torch.from_numpy(image).permute(2, 0, 1)[None], size, how)
    expected = decoding.fit(image, size, how)
    difference = found[0].permute(1, 2, 0).numpy().astype(int) - expected.astype(int)
    assert np.abs(difference).max() <= 1


# Statistics


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_equal_those_of_numpy(channels: int) -> None:
    images = pixels(5000, 4, 4, channels)
    ids = np.flatnonzero(np.arange(5000) % 7)
    mean, std = pipeline.shaped(*channel_statistics(images, ids))
    values = images[ids].astype(np.float64) / 255
    assert mean.shape == std.shape == (1, channels, 1, 1)
    assert mean.dtype == std.dtype == torch.float32
    expected = values.mean((0, 1, 2)), values.std((0, 1, 2))
    assert np.array_equal(mean.flatten().numpy(), expected[0].astype(np.float32))
    assert std.flatten().numpy() == pytest.approx(expected[1], rel=1e-7)


def test_statistics_see_the_training_items_only() -> None:
    images = pixels(20)
    before = channel_statistics(images, np.arange(10))
    images[10:] = 255
    assert channel_statistics(images, np.arange(10)) == before
    assert channel_statistics(images, np.arange(20)) != before


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_channel_without_variation_gets_std_1(value: int) -> None:
    images = pixels()
    images[..., 1] = value
    mean, std = channel_statistics(images, np.arange(7))
    assert std[1] == 1
    assert mean[1] == pytest.approx(value / 255)
    assert max(std[0], std[2]) < 1


# The order of an epoch


@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 2**40), st.integers(1, 100))
@settings(deadline=None)
def test_an_epoch_covers_every_index(count: int, batch: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, batch, seed, epoch)
    steps = math.ceil(count / min(batch, count))
    assert order.shape == (steps, min(batch, count))
    seen = order.flatten()
    assert sorted(seen[:count].tolist()) == list(range(count))
    # The last batch is filled up from the start of the same permutation.
    assert torch.equal(seen[count:], seen[: len(seen) - count])
    # Within a batch no image comes twice unless the wrap makes it so.
    assert all(len(row.unique()) == len(row) for row in order[:-1])


def test_an_order_is_a_pure_function_of_seed_and_epoch() -> None:
    first = epoch_order(100, 10, 3, 5)
    state = torch.random.get_rng_state()
    torch.manual_seed(9)
    torch.rand(3)
    assert torch.equal(epoch_order(100, 10, 3, 5), first)
    torch.random.set_rng_state(state)
    epoch_order(100, 10, 3, 5)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(epoch_order(100, 25, 3, 5).flatten(), first.flatten())


def test_epochs_and_seeds_differ_in_their_orders() -> None:
    orders = {
        tuple(epoch_order(50, 50, seed, epoch).flatten().tolist())
        for seed in range(5)
        for epoch in range(1, 6)
    }
    assert len(orders) == 25
