from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import one_hot
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

import bench
import bench_augment
from bench.engine.augment import Augmenter, Draws, hashed, to_float
from bench_augment.transforms import boxes, colors, mixers, moves, neighbours, operations, warps

OFFERS = {offer.name: offer for offer in bench_augment.register_augmentations()}
PRESETS = ("light", "standard", "strong")
PHOTO, SYMBOL, OVERHEAD = bench.ImageKind.PHOTO, bench.ImageKind.SYMBOL, bench.ImageKind.OVERHEAD
SHAPES = [(3, 32, 32), (1, 8, 8), (3, 9, 13), (1, 224, 224)]


def draws(count: int, stream: int = 0) -> Draws:
    """Return what a transform would get; twice the same for the same arguments."""
    return Draws(hashed(0, 1, stream), torch.arange(count))


def photos(count: int, shape: tuple[int, int, int] = (3, 32, 32)) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)


def smooth(count: int, shape: tuple[int, int, int] = (3, 32, 32)) -> Tensor:
    """Return float images without sharp edges, on which sampling errors stay small."""
    coarse = to_float(photos(count, (shape[0], 4, 4)))
    return functional.resize(coarse, list(shape[1:]), antialias=True).clamp(0, 1)


def build(name: str, shape: tuple[int, int, int] = (3, 32, 32), **params: Any) -> list[Any]:
    return list(OFFERS[name].build(shape, PHOTO, **params))


def same_distribution(ours: Any, theirs: Any) -> bool:
    """Whether two samples of a drawn parameter may come from one distribution."""
    return bool(stats.ks_2samp(np.asarray(ours), np.asarray(theirs)).pvalue > 1e-3)


# What is offered


def test_the_offer_is_complete_and_has_one_default() -> None:
    assert sorted(OFFERS) == [
        "blur",
        "brightness",
        "contrast",
        "cutmix",
        "horizontal-flip",
        "light",
        "mixup",
        "noise",
        "none",
        "rand-augment",
        "random-crop",
        "random-erasing",
        "random-resized-crop",
        "rotation",
        "saturation",
        "standard",
        "strong",
        "translation",
        "trivial-augment",
        "vertical-flip",
        "zoom",
    ]
    assert [name for name, offer in OFFERS.items() if offer.default] == ["none"]


@pytest.mark.parametrize("name", OFFERS)
def test_every_param_is_documented(name: str) -> None:
    factory: Any = OFFERS[name].factory
    factory = factory.func if isinstance(factory, functools.partial) else factory
    documented = inspect.getdoc(factory) or ""
    assert OFFERS[name].summary
    assert all(f"{param}: " in documented for param in OFFERS[name].defaults)


@pytest.mark.parametrize("name", OFFERS)
def test_suggested_params_are_known_and_build(name: str) -> None:
    offer = OFFERS[name]
    if offer.suggest is None:
        assert name in ("none", "trivial-augment")
        return
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(10):
        params = offer.suggest(study.ask())
        assert set(params) <= set(offer.defaults)
        offer.build((3, 32, 32), PHOTO, **params)


WRONG = [
    ("horizontal-flip", "probability", 1.1),
    ("vertical-flip", "probability", -0.1),
    ("rotation", "degrees", 181),
    ("zoom", "zoom", 1.0),
    ("random-crop", "padding", "four"),
    ("random-resized-crop", "smallest", 0),
    ("random-resized-crop", "stretch", 0.5),
    ("translation", "shift", float("nan")),
    ("brightness", "strength", -1),
    ("contrast", "strength", float("inf")),
    ("saturation", "strength", None),
    ("noise", "std", True),
    ("blur", "kernel_size", 4),
    ("blur", "kernel_size", 65),
    ("blur", "largest", 0),
    ("random-erasing", "value", 2),
    ("mixup", "alpha", 0),
    ("cutmix", "probability", 2),
    ("rand-augment", "num_ops", 1.5),
    ("rand-augment", "magnitude", 31),
    *[(name, "mixup", -1) for name in PRESETS],
]


@pytest.mark.parametrize(("name", "param", "value"), WRONG)
def test_params_out_of_range_are_refused_in_one_line(name: str, param: str, value: Any) -> None:
    with pytest.raises(bench.ConfigError) as caught:
        build(name, **{param: value})
    message = str(caught.value)
    assert message.startswith(f"augmentation `{name}`: `{param}` is {value!r}; give ")
    assert "\n" not in message


@pytest.mark.parametrize("name", ["random-resized-crop", "random-erasing", "blur"])
def test_ranges_the_wrong_way_round_are_refused(name: str) -> None:
    with pytest.raises(bench.ConfigError, match=r"`smallest` is 0\.9 and above `largest`, 0\.5"):
        build(name, smallest=0.9, largest=0.5)


# All of them: shape, range, purity


@pytest.mark.parametrize("name", OFFERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_batch_gives_the_same_bits_in_range(name: str, shape: tuple[int, int, int]) -> None:
    count, items = 5, 100
    images = photos(count, shape)
    untouched = images.clone()
    ids = torch.randperm(items, generator=torch.Generator().manual_seed(2))[:count]
    for kind in bench.ImageKind if name in PRESETS else (PHOTO,):
        augmenter = Augmenter(OFFERS[name].build(shape, kind), seed=1, items=items)
        for given in (images, to_float(images)):
            result = augmenter.augment(given, ids, 3)
            partners = augmenter.augment(given.flip(0), augmenter.partners(ids, 3), 3)
            mixed, share = augmenter.mix(result, partners, ids, 3)
            assert result.shape == mixed.shape == images.shape
            assert mixed.dtype == torch.float32
            assert 0 <= to_float(result).min() <= to_float(result).max() <= 1
            assert 0 <= mixed.min() <= mixed.max() <= 1
            assert 0 <= share.min() <= share.max() <= 1
            for rows in ([0], [1], [4, 2, 3]):
                assert torch.equal(augmenter.augment(given[rows], ids[rows], 3), result[rows])
                again, own = augmenter.mix(result[rows], partners[rows], ids[rows], 3)
                assert torch.equal(again, mixed[rows])
                assert torch.equal(own, share[rows])
    assert torch.equal(images, untouched)


@pytest.mark.parametrize("name", OFFERS)
def test_the_host_never_waits_for_an_accelerator(name: str) -> None:
    # The meta device has shapes but no values: whatever asks it for one fails.
    images = torch.empty(4, 3, 32, 32, dtype=torch.uint8, device="meta")
    ids = torch.empty(4, dtype=torch.int64, device="meta")
    augmenter = Augmenter(OFFERS[name].build((3, 32, 32), OVERHEAD), seed=0, items=9)
    result = augmenter.augment(images, ids, 1)
    mixed, share = augmenter.mix(result, result, ids, 1)
    assert mixed.device == share.device == augmenter.partners(ids, 1).device == images.device


def test_choosing_operations_on_an_accelerator_equals_grouping_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = smooth(60)
    (policy,) = build("trivial-augment")
    drawn = policy.draw(draws(60))
    grouped = operations.apply(images, *drawn)
    monkeypatch.setattr(operations, "_grouped", lambda images: False)
    assert torch.equal(operations.apply(images, *drawn), grouped)


@pytest.mark.parametrize("name", ["strong", "random-resized-crop", "noise", "blur", "rand-augment"])
def test_neither_threads_nor_the_layout_change_a_bit(name: str) -> None:
    images, ids = photos(6, (3, 96, 96)), torch.arange(6)
    augmenter = Augmenter(OFFERS[name].build((3, 96, 96), OVERHEAD), seed=0, items=6)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            alone = augmenter.augment(images, ids, 1)
            results.append(augmenter.mix(alone, alone.flip(0), ids, 1)[0])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)
    turned = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augmenter.augment(turned, ids, 1), alone)


@pytest.mark.parametrize(
    "name", ["horizontal-flip", "vertical-flip", "random-crop", "translation", "random-erasing"]
)
def test_what_only_moves_pixels_stays_in_bytes(name: str) -> None:
    (transform,) = build(name)
    images = photos(40)
    result = transform(images, draws(40))
    assert result.dtype == torch.uint8
    if name != "random-erasing":
        assert torch.equal(to_float(result), transform(to_float(images), draws(40)))


@pytest.mark.parametrize("name", [name for name in OFFERS if name != "none"])
def test_images_of_a_batch_draw_on_their_own(name: str) -> None:
    images = photos(1).expand(64, -1, -1, -1).contiguous()
    augmenter = Augmenter(build(name), seed=0, items=64)
    ids = torch.arange(64)
    result, _ = augmenter.mix(augmenter.augment(images, ids, 1), 255 - images, ids, 1)
    assert len({image.numpy().tobytes() for image in result}) > (1 if "flip" in name else 8)


# Equal to torchvision, given equal parameters


@pytest.mark.parametrize(("dim", "kernel"), [(-1, functional.hflip), (-2, functional.vflip)])
def test_flips(dim: int, kernel: Callable[..., Tensor]) -> None:
    images = photos(400, (3, 5, 7))
    flipped = draws(400).uniform()[:, 0] < 0.3
    expected = [kernel(i) if f else i for i, f in zip(images, flipped, strict=True)]
    assert torch.equal(moves.Flip(dim, 0.3)(images, draws(400)), torch.stack(expected))
    assert abs(flipped.double().mean() - 0.3) < 0.08


def test_quarter_turns() -> None:
    images = photos(400, (1, 6, 6))
    result = moves.QuarterTurn()(images, draws(400))
    turns = [
        [torch.equal(r, torch.rot90(i, k, (1, 2))) for k in range(4)]
        for r, i in zip(result, images, strict=True)
    ]
    counts = np.array(turns).sum(0)
    assert counts.sum() == 400
    assert stats.chisquare(counts).pvalue > 1e-3
    wide = moves.QuarterTurn()(photos(40, (1, 6, 7)), draws(40))
    assert wide.shape == (40, 1, 6, 7)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 16, 24)])
def test_random_crops(shape: tuple[int, int, int]) -> None:
    count = 500
    images = photos(count, shape)
    height, width = shape[1:]
    vertical, horizontal = height // 8, width // 8
    uniform = draws(count).uniform(2)
    tops = (uniform[:, 0] * (2 * vertical + 1)).long()
    lefts = (uniform[:, 1] * (2 * horizontal + 1)).long()
    result = moves.Crop(0.125)(images, draws(count))
    for image, top, left, got in zip(images, tops, lefts, result, strict=True):
        padded = functional.pad(image, [horizontal, vertical])
        assert torch.equal(got, functional.crop(padded, int(top), int(left), height, width))
    for values, limit in ((tops, vertical), (lefts, horizontal)):
        counts = np.bincount(values.numpy(), minlength=2 * limit + 1)
        assert len(counts) == 2 * limit + 1
        assert stats.chisquare(counts).pvalue > 1e-3


def test_translations() -> None:
    count, shape = 300, (3, 20, 30)
    images = to_float(photos(count, shape))
    result = moves.Translation(0.1)(images, draws(count))
    signed = draws(count).uniform(2) * 2 - 1
    downs, rights = (signed[:, 0] * 2).round(), (signed[:, 1] * 3).round()
    for image, down, right, got in zip(images, downs, rights, result, strict=True):
        expected = functional.affine(image, 0, [int(right), int(down)], 1, [0, 0])
        assert torch.equal(got, expected)
    torch.manual_seed(0)
    theirs = v2.RandomAffine(0, translate=(0.1, 0.1))
    drawn = [theirs.make_params([images[0]])["translate"] for _ in range(2000)]
    ours = (draws(2000).uniform(2) * 2 - 1)[:, 1].mul(3).round().numpy()
    table = [
        [np.sum(values == step) for step in range(-3, 4)]
        for values in (ours, np.array(drawn)[:, 0])
    ]
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_rotations() -> None:
    count = 60
    images = smooth(count, (3, 20, 31))
    transform = warps.Warp(45.0, 0.0)
    angles, _ = transform.draw(draws(count))
    for image, angle, got in zip(images, angles, transform(images, draws(count)), strict=True):
        expected = functional.rotate(image, float(angle), InterpolationMode.BILINEAR)
        torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)
    torch.manual_seed(0)
    theirs = v2.RandomRotation(45)
    drawn = [theirs.make_params([])["angle"] for _ in range(2000)]
    assert same_distribution(transform.draw(draws(2000))[0], drawn)


def test_zooms() -> None:
    count = 60
    images = smooth(count)
    transform = warps.Warp(0.0, 0.3)
    _, factors = transform.draw(draws(count))
    for image, factor, got in zip(images, factors, transform(images, draws(count)), strict=True):
        expected = functional.affine(
            image, 0, [0, 0], float(factor), [0, 0], InterpolationMode.BILINEAR
        )
        torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)
    torch.manual_seed(0)
    theirs = v2.RandomAffine(0, scale=(0.7, 1.3))
    drawn = [theirs.make_params([images[0]])["scale"] for _ in range(2000)]
    assert same_distribution(transform.draw(draws(2000))[1], drawn)


@pytest.mark.parametrize("antialias", [False, True])
def test_resized_crops(antialias: bool) -> None:
    count, size = 80, (32, 48)
    images = to_float(photos(count, (3, *size)))
    transform = boxes.ResizedCrop((0.08, 1.0), (3 / 4, 4 / 3))
    box = transform.draw(draws(count), size)
    result = transform(images, draws(count))
    for row in range(count):
        expected = functional.resized_crop(
            images[row],
            int(box.top[row]),
            int(box.left[row]),
            int(box.height[row]),
            int(box.width[row]),
            list(size),
            antialias=antialias,
        )
        torch.testing.assert_close(result[row], expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize("size", [(32, 32), (30, 60)])
def test_resized_crops_are_drawn_as_in_torchvision(size: tuple[int, int]) -> None:
    count = 2000
    torch.manual_seed(0)
    theirs = v2.RandomResizedCrop(size)
    drawn = [theirs.make_params([torch.zeros(3, *size)]) for _ in range(count)]
    box = boxes.ResizedCrop((0.08, 1.0), (3 / 4, 4 / 3)).draw(draws(count), size)
    for name in ("top", "left", "height", "width"):
        assert same_distribution(getattr(box, name), [params[name] for params in drawn]), name


def test_crops_that_never_fit_take_the_middle() -> None:
    box = boxes.ResizedCrop((1.0, 1.0), (3 / 4, 4 / 3)).draw(draws(3), (10, 40))
    assert box.height.tolist() == [10] * 3
    assert box.width.tolist() == [13] * 3
    assert box.left.tolist() == [13] * 3


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_erasing(value: float) -> None:
    count, size = 200, (20, 30)
    images = to_float(photos(count, (3, *size)))
    transform = boxes.Erasing(0.7, (0.02, 0.33), (1 / 3.3, 1 / 0.3), value)
    box = transform.draw(draws(count), size)
    for row, got in enumerate(transform(images, draws(count))):
        top, left, height, width = (
            int(getattr(box, name)[row]) for name in ("top", "left", "height", "width")
        )
        colour = torch.full((3, 1, 1), value)
        assert torch.equal(got, functional.erase(images[row], top, left, height, width, colour))
    assert abs((box.height > 0).double().mean() - 0.7) < 0.1


def test_erasing_is_drawn_as_in_torchvision() -> None:
    count, size = 2000, (32, 32)
    torch.manual_seed(0)
    theirs = v2.RandomErasing(p=1.0)
    drawn = [theirs.make_params([torch.zeros(3, *size)]) for _ in range(count)]
    box = boxes.Erasing(1.0, (0.02, 0.33), (1 / 3.3, 1 / 0.3), 0.0).draw(draws(count), size)
    for name, short in (("top", "i"), ("left", "j"), ("height", "h"), ("width", "w")):
        assert same_distribution(getattr(box, name), [params[short] for params in drawn]), name


def test_nothing_is_erased_where_no_attempt_fits() -> None:
    # Neither torchvision's nor ours erases an image from edge to edge.
    erasing = boxes.Erasing(1.0, (1.0, 1.0), (1.0, 1.0), 0.0)
    assert erasing.draw(draws(5), (8, 8)).height.tolist() == [0] * 5
    assert torch.equal(erasing(photos(5), draws(5)), photos(5))


def test_erasing_paints_the_mean_where_no_value_is_given() -> None:
    images = photos(50)
    transform = boxes.Erasing(1.0, (0.1, 0.3), (0.5, 2.0), None)
    box = transform.draw(draws(50), (32, 32))
    for given in (images, to_float(images)):
        for row, got in enumerate(transform(given, draws(50))):
            painted = got[:, box.top[row], box.left[row]].double()
            mean = given[row].double().mean((1, 2))
            torch.testing.assert_close(
                painted, mean, rtol=0, atol=0.51 * float(given.max() > 1) + 1e-6
            )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("transform", "kernel", "param"),
    [
        (colors.Brightness, functional.adjust_brightness, "brightness"),
        (colors.Contrast, functional.adjust_contrast, "contrast"),
        (colors.Saturation, functional.adjust_saturation, "saturation"),
    ],
)
def test_colours(transform: Any, kernel: Callable[..., Tensor], param: str, channels: int) -> None:
    images = to_float(photos(50, (channels, 16, 16)))
    ours = transform(0.8)
    factors = ours.draw(draws(50))
    for image, factor, got in zip(images, factors, ours(images, draws(50)), strict=True):
        torch.testing.assert_close(got, kernel(image, float(factor)), rtol=0, atol=1e-6)
    torch.manual_seed(0)
    for strength in (0.4, 1.5):
        theirs = v2.ColorJitter(**{param: strength})
        drawn = [theirs.make_params([])[f"{param}_factor"] for _ in range(2000)]
        assert same_distribution(transform(strength).draw(draws(2000)), drawn)


def test_noise() -> None:
    images = torch.full((200, 3, 16, 16), 0.5)
    noise = (colors.Noise(0.05)(images, draws(200)) - 0.5).flatten()
    torch.manual_seed(0)
    theirs = functional.gaussian_noise(images, sigma=0.05).sub(0.5).flatten()
    assert same_distribution(noise, theirs)
    expected = (to_float(photos(4)) + draws(4).noise((3, 32, 32)) * 0.2).clamp(0, 1)
    torch.testing.assert_close(colors.Noise(0.2)(photos(4), draws(4)), expected)


@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_blur(size: int) -> None:
    images = to_float(photos(20, (3, 12, 17)))
    transform = neighbours.Blur(size, (0.1, 2.0))
    sigmas = transform.draw(draws(20))
    for image, sigma, got in zip(images, sigmas, transform(images, draws(20)), strict=True):
        expected = functional.gaussian_blur(image, [size, size], [float(sigma)] * 2)
        torch.testing.assert_close(got, expected, rtol=0, atol=2e-6)
    torch.manual_seed(0)
    theirs = v2.GaussianBlur(size, (0.1, 2.0))
    drawn = [theirs.make_params([])["sigma"][0] for _ in range(2000)]
    assert same_distribution(transform.draw(draws(2000)), drawn)


# Automatic policies


TRIVIAL, RAND = v2.TrivialAugmentWide(), v2.RandAugment()


def reference(image: Tensor, name: str, magnitude: float) -> Tensor:
    """Return what torchvision's policies make of an image by a given operation."""
    return TRIVIAL._apply_image_or_video_transform(
        image, name, magnitude, InterpolationMode.NEAREST, {torch.Tensor: None}
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", operations.OPERATIONS)
def test_every_operation_equals_torchvisions(name: str, channels: int) -> None:
    images = smooth(31, (channels, 40, 33))
    place = operations.OPERATIONS.index(name)
    (policy,) = build("trivial-augment")
    magnitudes = policy.magnitudes[place].clone()
    if policy.signed[place]:
        magnitudes[::2] *= -1
    result = operations.apply(images, torch.full((31,), place), magnitudes)
    for image, magnitude, got in zip(images, magnitudes, result, strict=True):
        wrong = (got - reference(image, name, float(magnitude))).abs() > 2e-6
        # Where a source lies between two pixels, rounding may take the other one.
        assert wrong.double().mean() <= (0.005 if name in ("ShearX", "ShearY", "Rotate") else 0)


@pytest.mark.parametrize(("name", "theirs"), [("trivial-augment", TRIVIAL), ("rand-augment", RAND)])
def test_magnitudes_are_torchvisions(name: str, theirs: Any) -> None:
    (policy,) = build(name, (3, 30, 50))
    space = theirs._AUGMENTATION_SPACE
    assert list(space) == list(operations.OPERATIONS)
    for place, (magnitudes, signed) in enumerate(space.values()):
        expected = magnitudes(31, 30, 50)
        expected = torch.zeros(31) if expected is None else expected.float()
        torch.testing.assert_close(policy.magnitudes[place], expected, rtol=0, atol=1e-5)
        assert bool(policy.signed[place]) == signed


def test_operations_magnitudes_and_signs_are_evenly_drawn() -> None:
    (policy,) = build("trivial-augment")
    drawn, magnitudes = policy.draw(draws(14_000))
    assert stats.chisquare(np.bincount(drawn, minlength=14)).pvalue > 1e-3
    rotations = magnitudes[drawn == operations.OPERATIONS.index("Rotate")]
    places = (rotations.abs() / 4.5).round().long()
    assert stats.chisquare(np.bincount(places, minlength=31)).pvalue > 1e-3
    assert abs((rotations < 0).double().mean() - 0.5) < 0.1
    assert (magnitudes[drawn >= operations.OPERATIONS.index("Posterize")] >= 0).all()


def test_rand_augment_applies_several_operations_of_one_magnitude() -> None:
    images = smooth(40)
    (policy,) = build("rand-augment", num_ops=3, magnitude=20)
    drawn = draws(40)
    expected = images
    for _ in range(3):
        chosen, magnitudes = policy.draw(drawn)
        brightness = magnitudes[chosen == operations.OPERATIONS.index("Brightness")]
        torch.testing.assert_close(brightness.abs(), torch.full_like(brightness, 0.6))
        expected = operations.apply(expected, chosen, magnitudes)
    assert torch.equal(policy(images, draws(40)), expected)


# Mixing


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    share = mixers.draw_share(draws(20_000), alpha, 1.0).double().numpy()
    # The lower half alone: near 1 float32 has too few values for a steep density.
    lower = share[share < 0.5]
    cumulative = stats.beta(alpha, alpha).cdf
    assert stats.kstest(lower, lambda values: 2 * cumulative(values)).pvalue > 1e-3
    assert abs(len(lower) / len(share) - 0.5) < 0.015


def test_mixup_averages_images_and_labels() -> None:
    images, partners = to_float(photos(30)), to_float(photos(60)[30:])
    mixed, share = mixers.Mixup(0.5)(images, partners, draws(30))
    for row in range(30):
        expected = share[row] * images[row] + (1 - share[row]) * partners[row]
        torch.testing.assert_close(mixed[row], expected, rtol=0, atol=1e-6)
    own, theirs = one_hot(torch.arange(30) % 3).float(), one_hot(torch.arange(30) % 2, 3).float()
    labels = share[:, None] * own + (1 - share[:, None]) * theirs
    torch.testing.assert_close(labels.sum(1), torch.ones(30))


def test_cutmix_shares_are_the_area_that_is_left() -> None:
    images, partners = torch.zeros(200, 1, 20, 30), torch.ones(200, 1, 20, 30)
    mixed, share = mixers.CutMix(1.0)(images, partners, draws(200))
    torch.testing.assert_close(1 - mixed.mean((1, 2, 3)), share)


def test_cutmix_is_drawn_as_in_torchvision() -> None:
    count, size = 2000, (20, 30)
    torch.manual_seed(0)
    theirs = v2.CutMix(alpha=1.0, num_classes=2)
    drawn = np.array([theirs.make_params([torch.zeros(1, 3, *size)])["box"] for _ in range(count)])
    box = mixers.CutMix(1.0).draw(draws(count), size)
    empty = (box.height * box.width == 0).numpy()
    assert same_distribution(box.left, drawn[:, 0])
    assert same_distribution(box.top, drawn[:, 1])
    assert same_distribution(box.left + box.width, drawn[:, 2])
    assert same_distribution(box.top + box.height, drawn[:, 3])
    assert empty.mean() < 0.1


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_the_probability_of_mixing(name: str) -> None:
    (mixing,) = build(name, probability=0.25)
    images = torch.zeros(2000, 1, 32, 32)
    mixed, share = mixing(images, torch.ones_like(images), draws(2000))
    untouched = mixed.amax((1, 2, 3)) == 0
    assert (share[untouched] == 1).all()
    assert 0.7 < untouched.double().mean() < 0.82


def test_either_takes_both_ways_of_mixing() -> None:
    images = torch.zeros(2000, 1, 32, 32)
    mixing = mixers.Either(mixers.Mixup(1.0), mixers.CutMix(1.0))
    mixed, share = mixing(images, torch.ones_like(images), draws(2000))
    torch.testing.assert_close(1 - mixed.mean((1, 2, 3)), share)
    averaged = ((mixed > 0.001) & (mixed < 0.999)).flatten(1).any(1)
    assert abs(averaged.double().mean() - 0.5) < 0.05


# Presets


def kinds(name: str, kind: bench.ImageKind, channels: int = 3, **params: Any) -> list[str]:
    made = OFFERS[name].build((channels, 32, 32), kind, **params)
    return [type(transform).__name__ for transform in made]


def test_presets_go_by_the_kind_of_image() -> None:
    assert kinds("light", PHOTO) == ["Flip", "Crop"]
    assert kinds("light", SYMBOL) == ["Crop"]
    assert kinds("light", OVERHEAD) == ["Flip", "Flip", "QuarterTurn", "Crop"]
    for name, kind in itertools.product(PRESETS, bench.ImageKind):
        made = OFFERS[name].build((3, 32, 32), kind)
        flips = [transform.dim for transform in made if isinstance(transform, moves.Flip)]
        assert flips == {PHOTO: [-1], SYMBOL: [], OVERHEAD: [-1, -2]}[kind]
    turns = {
        kind: OFFERS["light"].build((3, 32, 32), kind, rotation=20.0)[-1].degrees
        for kind in bench.ImageKind
    }
    assert turns == {PHOTO: 20.0, SYMBOL: 10.0, OVERHEAD: 20.0}


def test_params_of_presets_add_and_leave_out() -> None:
    assert kinds("light", PHOTO, mixup=0.2) == ["Flip", "Crop", "Mixup"]
    assert kinds("light", PHOTO, flip=0, crop=0, cutmix=1) == ["CutMix"]
    assert kinds("standard", PHOTO, 1) == [
        "Flip",
        "Crop",
        "Warp",
        "Brightness",
        "Contrast",
        "Erasing",
    ]
    assert kinds("strong", PHOTO)[-3:] == ["Saturation", "Erasing", "Either"]
    assert kinds("none", PHOTO) == []
    off = dict.fromkeys(OFFERS["strong"].defaults, 0)
    assert kinds("strong", OVERHEAD, **off) == []


def test_a_preset_equals_its_parts() -> None:
    images, ids = photos(20), torch.arange(20)
    parts = [*build("horizontal-flip"), *build("random-crop")]
    expected = Augmenter(parts, 0, 20).augment(images, ids, 1)
    assert torch.equal(Augmenter(build("light"), 0, 20).augment(images, ids, 1), expected)
