from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import bench
from bench.engine.augment import GOLDEN, Augmenter, Draws, hashed, mean_of, to_float

MASK = 2**64 - 1


def draws(count: int, seed: int = 0, epoch: int = 1, stream: int = 0) -> Draws:
    return Draws(hashed(seed, epoch, stream), torch.arange(count))


def photos(count: int, shape: tuple[int, int, int] = (3, 8, 8)) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)


# The generator


def splitmix(state: int) -> int:
    """Return SplitMix64's output for a state, in Python's own integers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def test_the_output_function_gives_the_published_sequence() -> None:
    # The first outputs of the reference implementation for the seed 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [splitmix((1234567 + step * GOLDEN) & MASK) for step in (1, 2, 3)] == expected


def test_words_equal_the_definition_in_unbounded_integers() -> None:
    ids = torch.tensor([0, 1, 59_999, 2**40])
    key = hashed(7, 3, 2)
    words = Draws(key, ids).words(5)
    for row, item in enumerate(ids.tolist()):
        start = splitmix((item * GOLDEN + key) & MASK)
        expected = [splitmix((start + step * GOLDEN) & MASK) for step in range(1, 6)]
        assert [word & MASK for word in words[row].tolist()] == expected


def test_draws_are_fixed_for_all_time() -> None:
    # Results of old runs could not be repeated if these moved.
    assert hashed(0, 1, 0) == 4964578127960768432
    expected = [
        [4268286216844354576, -1947712119269886223],
        [-455868294865416418, -3463021345807797282],
    ]
    assert draws(2).words(2).tolist() == expected
    uniform = torch.tensor([[0.2313842, 0.8944143], [0.9752873, 0.8122692]])
    torch.testing.assert_close(draws(2).uniform(2), uniform, rtol=0, atol=1e-7)


def test_calls_continue_each_others_sequence() -> None:
    whole, parts = draws(5), draws(5)
    assert torch.equal(whole.words(6), torch.cat([parts.words(2), parts.words(4)], 1))


@pytest.mark.parametrize("across", ["ids", "draws", "epochs", "streams", "seeds"])
def test_uniform_numbers_are_uniform_and_uncorrelated(across: str) -> None:
    count = 20_000
    if across == "ids":
        values = draws(count).uniform()[:, 0]
    elif across == "draws":
        values = draws(1).uniform(count)[0]
    else:
        # Consecutive numbers of everything that a key is made of.
        values = torch.cat(
            [draws(1, **{across.removesuffix("s"): n}).uniform()[0] for n in range(count // 4)]
        )
    numbers = values.double().numpy()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 4 / math.sqrt(len(numbers))
    # Pairs of neighbours fill the square evenly.
    grid, _, _ = np.histogram2d(numbers[:-1], numbers[1:], 16, range=[[0, 1], [0, 1]])
    assert stats.chisquare(grid.ravel()).pvalue > 1e-3


@pytest.mark.parametrize(
    "other", [{"epoch": 2}, {"stream": 1}, {"stream": -1}, {"seed": 1}, {"seed": -1}]
)
def test_streams_epochs_and_seeds_are_independent(other: dict[str, int]) -> None:
    count = 20_000
    one, two = draws(count).uniform()[:, 0], draws(count, **other).uniform()[:, 0]
    assert not torch.equal(one, two)
    assert abs(np.corrcoef(one.numpy(), two.numpy())[0, 1]) < 4 / math.sqrt(count)


def test_every_bit_is_set_half_of_the_time() -> None:
    count = 40_000
    words = draws(count).words()
    ones = ((words >> torch.arange(64)) & 1).double().mean(0)
    assert (ones - 0.5).abs().max() < 5 * 0.5 / math.sqrt(count)


def test_normal_numbers_are_normal() -> None:
    values = draws(500).noise((3, 7, 10)).double().flatten().numpy()
    assert stats.kstest(values, "norm").pvalue > 1e-3
    assert abs(values.std() - 1) < 0.01
    # Four of them come from one word: neighbours must not know of each other.
    for lag in range(1, 5):
        assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 4 / math.sqrt(len(values))
    assert draws(4).normal(3).shape == (4, 3)


def test_the_largest_normal_number_and_the_variance_are_as_documented() -> None:
    middles = (torch.arange(2**16, dtype=torch.float64) + 0.5) / 2**16
    table = torch.special.ndtri(middles)
    assert round(float(table.max()), 1) == 4.3
    assert round(float(table.square().mean()), 5) == 0.99998


# Helpers


def test_to_float_divides_bytes_and_leaves_floats() -> None:
    images = photos(2)
    assert torch.equal(to_float(images), images.float().div(255))
    converted = to_float(images)
    assert to_float(converted) is converted


def test_means_do_not_depend_on_the_batch() -> None:
    images = to_float(photos(16, (3, 225, 224)))
    means = mean_of(images)
    torch.testing.assert_close(means, images.mean((-2, -1), keepdim=True), rtol=0, atol=1e-6)
    for row in range(16):
        assert torch.equal(mean_of(images[row : row + 1]), means[row : row + 1])


# The augmenter


def shift(images: Tensor, drawn: Draws) -> Tensor:
    """Add noise, a transform that shows every bit it draws."""
    return (to_float(images) * drawn.uniform()[:, :, None, None]).clamp(0, 1)


def mark(images: Tensor, drawn: Draws) -> Tensor:
    return torch.where(drawn.uniform()[:, :, None, None] < 0.5, images, 255 - images)


class Half:
    mixes = True

    def __call__(self, images: Tensor, partners: Tensor, drawn: Draws) -> tuple[Tensor, Tensor]:
        share = drawn.uniform()[:, 0]
        weights = share.view(-1, 1, 1, 1)
        return images * weights + partners * (1 - weights), share


def greedy(images: Tensor, drawn: Draws) -> Tensor:
    drawn.uniform(100)
    return images


def whole_run(augmenter: Augmenter, images: Tensor, batches: Sequence[Sequence[int]]) -> Tensor:
    """Augment and mix `images` batch by batch; return them in the order of their ids."""
    result = torch.zeros(images.shape)
    for batch in batches:
        ids = torch.tensor(batch)
        partners = augmenter.partners(ids, 4)
        own = augmenter.augment(images[ids], ids, 4)
        theirs = augmenter.augment(images[partners], partners, 4)
        result[ids] = augmenter.mix(own, theirs, ids, 4)[0]
    return result


@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_batches_of_any_size_and_order_give_the_same_bits(size: int) -> None:
    images = photos(20)
    augmenter = Augmenter([mark, shift, Half()], seed=5, items=20)
    expected = whole_run(augmenter, images, [range(20)])
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1)).tolist()
    batches = [order[start : start + size] for start in range(0, 20, size)]
    again = Augmenter([mark, shift, Half()], seed=5, items=20)
    assert torch.equal(whole_run(again, images, batches), expected)


def test_epochs_and_seeds_differ() -> None:
    images, ids = photos(8), torch.arange(8)
    augmenter = Augmenter([shift], seed=0, items=8)
    first = augmenter.augment(images, ids, 1)
    assert torch.equal(first, augmenter.augment(images, ids, 1))
    assert not torch.equal(first, augmenter.augment(images, ids, 2))
    assert not torch.equal(first, Augmenter([shift], seed=1, items=8).augment(images, ids, 1))


def test_what_a_neighbour_draws_moves_nothing() -> None:
    images, ids = photos(8), torch.arange(8)
    one = Augmenter([lambda images, drawn: images, shift], seed=0, items=8)
    two = Augmenter([greedy, shift], seed=0, items=8)
    assert torch.equal(one.augment(images, ids, 1), two.augment(images, ids, 1))


def test_equal_transforms_draw_differently() -> None:
    seen = []

    def record(images: Tensor, drawn: Draws) -> Tensor:
        seen.append(drawn.uniform())
        return images

    Augmenter([record, record], seed=0, items=8).augment(photos(8), torch.arange(8), 1)
    assert not torch.equal(seen[0], seen[1])


def test_nothing_to_do_returns_the_images() -> None:
    augmenter = Augmenter([], seed=0, items=3)
    images = photos(3)
    assert not augmenter.mixes
    assert augmenter.augment(images, torch.arange(3), 1) is images


def test_partners_are_uniform_over_the_training_images() -> None:
    augmenter = Augmenter([Half()], seed=0, items=50)
    partners = augmenter.partners(torch.arange(20_000), 1)
    assert augmenter.mixes
    assert partners.dtype == torch.int64
    assert stats.chisquare(np.bincount(partners.numpy(), minlength=50)).pvalue > 1e-3
    assert torch.equal(partners[3:5], augmenter.partners(torch.tensor([3, 4]), 1))
    assert not torch.equal(partners, augmenter.partners(torch.arange(20_000), 2))


def test_shares_of_several_mixings_multiply() -> None:
    images, ids = photos(6), torch.arange(6)
    augmenter = Augmenter([Half(), Half()], seed=0, items=6)
    black = torch.zeros_like(images)
    mixed, share = augmenter.mix(images, black, ids, 1)
    torch.testing.assert_close(mixed, to_float(images) * share.view(-1, 1, 1, 1))
    assert (share < 1).all()


def test_wrong_results_are_refused_in_one_line() -> None:
    def smaller(images: Tensor, drawn: Draws) -> Tensor:
        return images[..., 1:]

    def doubled(images: Tensor, drawn: Draws) -> Tensor:
        return images.double()

    for transform in (smaller, doubled):
        with pytest.raises(bench.PluginError, match=re.escape("keep the shape")) as caught:
            Augmenter([transform], 0, 2).augment(photos(2), torch.arange(2), 1)
        assert transform.__name__ in str(caught.value)
        assert "\n" not in str(caught.value)
