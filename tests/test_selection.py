"""Which items are train, val and test, and under which labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import selection
from bench.errors import ConfigError, DataError
from bench.protocol import Protocol
from bench.selection import Selection, hold_out, select, take
from bench.specs import Task
from bench.stored import StoredDataset

WHERE = "dataset `shapes` of plugin `acme` (acme-dist 1.0)"
labels_lists = st.lists(st.integers(0, 4), min_size=2, max_size=120)
sets_of_labels = st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=2)


def stored(
    folder: Path,
    classes: tuple[str, ...] = ("ant", "bee", "cat"),
    task: Task = Task.MULTI_CLASS,
    taxonomy: tuple[tuple[str, ...], ...] = (),
    copies: tuple[tuple[int, int], ...] = (),
    **splits: Any,
) -> StoredDataset:
    """Return a dataset of labels alone, which is all that is looked at, beside the copies."""
    for split, labels in splits.items():
        values = np.asarray(labels)
        kind = np.uint8 if values.ndim == 2 else np.int64
        np.save(folder / f"{split}.labels.npy", values.astype(kind))
    np.save(folder / "copies.npy", np.array(copies, np.int64).reshape(-1, 2))
    return StoredDataset(
        folder=folder,
        fingerprint="f00d",
        variant="8x8x1",
        classes=classes,
        taxonomy=taxonomy,
        task=task,
        image_shape=(8, 8, 1),
        resize=None,
        counts={split: len(labels) for split, labels in splits.items()},
    )


def chosen(dataset: StoredDataset, **fields: Any) -> Selection:
    return select(dataset, Protocol(**fields).model_dump(mode="json"), WHERE)


def splits_of(found: Selection) -> Mapping[str, selection.Subset]:
    return {"train": found.train, "val": found.val, "test": found.test}


def cycle(count: int, classes: int = 3) -> Any:
    return np.arange(count) % classes


# Choosing items


def shares(labels: Any, count: int) -> Any:
    """Return how far each class is from its exact share, in items."""
    return {c: (labels == c).mean() * count for c in np.unique(labels)}


@given(labels_lists, st.integers(1, 130), st.integers(0, 5))
@settings(deadline=None)
def test_a_choice_is_stratified_and_exact(values: list[int], count: int, seed: int) -> None:
    labels = np.array(values)
    chosen = take(labels, count, seed)
    assert len(chosen) == min(count, len(labels))
    assert (np.diff(chosen) > 0).all()
    assert chosen.dtype == np.int64
    for label, share in shares(labels, len(chosen)).items():
        assert abs((labels[chosen] == label).sum() - share) < 1
    assert np.array_equal(take(labels, count, seed), chosen)


@given(labels_lists, st.floats(0.01, 0.99), st.integers(0, 5))
@settings(deadline=None)
def test_a_split_is_stratified_disjoint_and_whole(
    values: list[int], fraction: float, seed: int
) -> None:
    labels = np.array(values)
    train, val = hold_out(labels, fraction, seed)
    assert len(val) == min(max(1, round(len(labels) * fraction)), len(labels) - 1)
    assert np.array_equal(np.sort(np.concatenate([train, val])), np.arange(len(labels)))
    for label, share in shares(labels, len(val)).items():
        assert abs((labels[val] == label).sum() - share) < 1
    again = hold_out(labels, fraction, seed)
    assert all(np.array_equal(*pair) for pair in zip(again, (train, val), strict=True))


def test_another_seed_chooses_others() -> None:
    labels = np.arange(1000) % 10
    assert not np.array_equal(take(labels, 100, 0), take(labels, 100, 1))
    _, first = hold_out(labels, 0.2, 0)
    _, second = hold_out(labels, 0.2, 1)
    assert not np.array_equal(first, second)
    assert np.bincount(labels[first]).tolist() == [20] * 10


def test_a_choice_is_the_same_on_every_machine() -> None:
    # Pinned: were it to change, val splits of earlier runs would no longer be those of new ones.
    assert take(np.arange(20) % 3, 6, 0).tolist() == [3, 11, 12, 16, 17, 19]


def test_a_limit_beyond_the_data_takes_them_all() -> None:
    assert take(np.zeros(4, int), 9, 0).tolist() == [0, 1, 2, 3]


def test_nothing_is_held_out_of_a_single_item() -> None:
    left, held = hold_out(np.zeros(1, int), 0.5, 0)
    assert (left.tolist(), held.tolist()) == ([0], [])


@given(sets_of_labels, st.floats(0.01, 0.99), st.integers(0, 5))
@settings(deadline=None)
def test_sets_of_labels_are_strata_of_their_own(
    values: list[list[int]], fraction: float, seed: int
) -> None:
    labels = np.array(values, np.uint8)
    left, held = hold_out(labels, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([left, held])), np.arange(len(labels)))
    codes = labels @ [1, 2, 4]
    for code, share in shares(codes, len(held)).items():
        assert abs((codes[held] == code).sum() - share) < 1


# Splits


def test_official_splits_are_left_as_they_are(tmp_path: Path) -> None:
    dataset = stored(tmp_path, train=cycle(12), val=cycle(6), test=cycle(9))
    found = chosen(dataset)
    assert found.task is Task.MULTI_CLASS
    assert found.classes == ("ant", "bee", "cat")
    for split, subset in splits_of(found).items():
        assert (subset.split, subset.origin) == (split, "official")
        assert subset.ids.tolist() == list(range(dataset.counts[split]))
        assert np.array_equal(subset.labels, dataset.labels(split))


def test_a_missing_val_split_is_a_part_of_train(tmp_path: Path) -> None:
    found = chosen(stored(tmp_path, train=cycle(30), test=cycle(9)), val=0.2, split_seed=4)
    assert (len(found.train), len(found.val), len(found.test)) == (24, 6, 9)
    assert found.val.split == "train"
    assert found.val.origin == "0.2 of train, stratified, seed 4"
    assert np.bincount(found.val.labels).tolist() == [2, 2, 2]
    together = np.concatenate([found.train.ids, found.val.ids])
    assert sorted(together.tolist()) == list(range(30))


def test_a_missing_test_split_is_a_fifth_of_all_and_val_a_part_of_the_rest(tmp_path: Path) -> None:
    found = chosen(stored(tmp_path, train=cycle(60)), val=0.25)
    assert (len(found.train), len(found.val), len(found.test)) == (36, 12, 12)
    together = np.concatenate([subset.ids for subset in splits_of(found).values()])
    assert sorted(together.tolist()) == list(range(60))
    for subset in splits_of(found).values():
        assert subset.split == "train"
        assert len({*np.bincount(subset.labels).tolist()}) == 1


def test_a_missing_test_split_does_not_depend_on_how_val_is_chosen(tmp_path: Path) -> None:
    dataset = stored(tmp_path, train=cycle(60))
    first, second = chosen(dataset, val=0.25), chosen(dataset, val=0.5)
    assert np.array_equal(first.test.ids, second.test.ids)
    assert not np.array_equal(chosen(dataset, split_seed=1).test.ids, first.test.ids)


def test_an_official_val_split_stays_where_test_is_missing(tmp_path: Path) -> None:
    found = chosen(stored(tmp_path, train=cycle(30), val=cycle(9)))
    assert (len(found.train), len(found.val), len(found.test)) == (24, 9, 6)
    assert (found.val.split, found.test.split) == ("val", "train")


def test_fractions_pool_all_splits(tmp_path: Path) -> None:
    dataset = stored(tmp_path, train=cycle(60), val=cycle(10), test=cycle(30))
    found = chosen(dataset, fractions=(0.6, 0.1, 0.3))
    assert (len(found.train), len(found.val), len(found.test)) == (60, 10, 30)
    together = np.concatenate([subset.ids for subset in splits_of(found).values()])
    assert sorted(together.tolist()) == list(range(100))
    everything = dataset.labels("all")
    for subset in splits_of(found).values():
        assert subset.split == "all"
        assert np.array_equal(subset.labels, everything[subset.ids])
        assert np.ptp(np.bincount(subset.labels, minlength=3)) <= 2
    # Items of every official split are in every part: it is pooled, not renamed.
    assert {*np.digitize(found.test.ids, [60, 70]).tolist()} == {0, 1, 2}


@given(
    st.integers(20, 300),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=40)
def test_fractions_part_everything_once(
    tmp_path_factory: pytest.TempPathFactory, count: int, weights: tuple[int, ...], seed: int
) -> None:
    fractions = tuple(weight / sum(weights) for weight in weights)
    dataset = stored(tmp_path_factory.mktemp("labels"), train=cycle(count))
    found = chosen(dataset, fractions=fractions, split_seed=seed)
    subsets = [found.train, found.val, found.test]
    together = np.concatenate([subset.ids for subset in subsets])
    assert sorted(together.tolist()) == list(range(count))
    for subset, fraction in zip(subsets, fractions, strict=True):
        assert abs(len(subset) - count * fraction) <= 1.5
        assert (np.diff(subset.ids) > 0).all()


def test_a_limit_holds_for_each_split(tmp_path: Path) -> None:
    found = chosen(stored(tmp_path, train=cycle(60), val=cycle(30), test=cycle(45)), limit=12)
    for subset in splits_of(found).values():
        assert np.bincount(subset.labels).tolist() == [4, 4, 4]


def test_a_val_split_that_is_a_part_of_train_shares_its_limit(tmp_path: Path) -> None:
    found = chosen(stored(tmp_path, train=cycle(60), test=cycle(45)), limit=30, val=0.2)
    assert (len(found.train), len(found.val), len(found.test)) == (24, 6, 30)
    assert not {*found.train.ids.tolist()} & {*found.val.ids.tolist()}


def test_a_limit_cuts_every_part_of_pooled_splits(tmp_path: Path) -> None:
    found = chosen(stored(tmp_path, train=cycle(90)), limit=6, fractions=(0.4, 0.3, 0.3))
    assert [len(subset) for subset in splits_of(found).values()] == [6, 6, 6]


@pytest.mark.parametrize("fields", [{}, {"fractions": (0.5, 0.2, 0.3)}, {"limit": 20}])
def test_a_selection_repeats_and_another_seed_gives_another(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    dataset = stored(tmp_path, train=cycle(90))
    first, again = (chosen(dataset, **fields) for _ in range(2))
    other = chosen(dataset, split_seed=1, **fields)
    for split in ("train", "val", "test"):
        mine, same, different = (splits_of(found)[split].ids for found in (first, again, other))
        assert np.array_equal(mine, same)
        assert not np.array_equal(mine, different)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images_are_an_error_that_counts_them(tmp_path: Path, count: int) -> None:
    with pytest.raises(DataError, match="too few images for a") as caught:
        chosen(stored(tmp_path, train=cycle(count)))
    text = str(caught.value)
    assert text.startswith(f"{WHERE}: ")
    assert "train" in text
    assert "\n" not in text


# Classes


def test_chosen_classes_are_relabelled_in_the_datasets_own_order(tmp_path: Path) -> None:
    dataset = stored(tmp_path, train=cycle(12), val=cycle(6), test=cycle(9))
    for words in (("cat", "ant"), ("ant", "cat")):
        found = chosen(dataset, classes=words)
        assert found.classes == ("ant", "cat")
        assert found.task is Task.BINARY
        assert found.train.ids.tolist() == [0, 2, 3, 5, 6, 8, 9, 11]
        assert found.train.labels.tolist() == [0, 1] * 4
        assert found.test.labels.tolist() == [0, 1] * 3


def test_all_classes_chosen_are_the_whole_dataset(tmp_path: Path) -> None:
    dataset = stored(tmp_path, train=cycle(12), val=cycle(6), test=cycle(9))
    found, whole = chosen(dataset, classes=("ant", "bee", "cat")), chosen(dataset)
    assert found.task is Task.MULTI_CLASS
    for subset, other in zip(splits_of(found).values(), splits_of(whole).values(), strict=True):
        assert np.array_equal(subset.ids, other.ids)
        assert np.array_equal(subset.labels, other.labels)


def test_val_is_held_out_of_the_chosen_classes_only(tmp_path: Path) -> None:
    dataset = stored(tmp_path, train=cycle(60), test=cycle(9))
    found = chosen(dataset, classes=("ant", "cat"), val=0.25)
    assert (len(found.train), len(found.val)) == (30, 10)
    whole = dataset.labels("train")
    for subset in (found.train, found.val):
        assert np.array_equal(whole[subset.ids], subset.labels * 2)


def test_chosen_classes_of_sets_are_columns(tmp_path: Path) -> None:
    labels = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0]] * 3)
    dataset = stored(tmp_path, task=Task.MULTI_LABEL, train=labels, val=labels, test=labels)
    found = chosen(dataset, classes=("ant", "cat"))
    assert found.task is Task.MULTI_LABEL
    assert found.classes == ("ant", "cat")
    assert found.train.ids.tolist() == [0, 1, 4, 5, 8, 9]  # the others have none of the two
    assert np.array_equal(found.train.labels, labels[found.train.ids][:, [0, 2]])
    assert found.train.labels.dtype == np.uint8


def test_the_tree_follows_the_chosen_classes(tmp_path: Path) -> None:
    tree = (("insect", "ant"), ("insect", "bee"), ("mammal", "cat"))
    dataset = stored(
        tmp_path, task=Task.HIERARCHICAL, taxonomy=tree, train=cycle(30), test=cycle(9)
    )
    found = chosen(dataset, classes=("bee", "cat"))
    assert found.task is Task.HIERARCHICAL
    assert found.taxonomy == tree[1:]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ant", "bees"), f"{WHERE} has no class `bees` (did you mean `bee`?); it has `ant`, "),
        (("ant",), "`--classes ant`: two or more classes are needed"),
        (("ant", "ant"), "`--classes ant,ant`: two or more classes are needed"),
    ],
)
def test_classes_that_cannot_be_chosen_are_an_error(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(stored(tmp_path, train=cycle(30)), classes=words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# Tasks


def test_one_label_an_image_can_be_read_as_a_set(tmp_path: Path) -> None:
    found = chosen(stored(tmp_path, train=cycle(30), test=cycle(9)), task="multi-label")
    assert found.task is Task.MULTI_LABEL
    assert found.test.labels.dtype == np.uint8
    assert np.array_equal(found.test.labels, np.eye(3)[cycle(9)])


def test_sets_of_one_label_each_can_be_read_as_classes(tmp_path: Path) -> None:
    labels = np.eye(3, dtype=int)[cycle(30)]
    dataset = stored(tmp_path, task=Task.MULTI_LABEL, train=labels, test=labels)
    found = chosen(dataset, task="multi-class")
    assert found.task is Task.MULTI_CLASS
    assert found.test.labels.dtype == np.int64
    assert np.array_equal(found.test.labels, cycle(30))


def test_leaves_of_a_tree_can_be_read_as_plain_classes(tmp_path: Path) -> None:
    tree = (("insect", "ant"), ("insect", "bee"), ("mammal", "cat"))
    dataset = stored(
        tmp_path, task=Task.HIERARCHICAL, taxonomy=tree, train=cycle(30), test=cycle(9)
    )
    assert chosen(dataset).task is Task.HIERARCHICAL
    assert chosen(dataset, task="multi-class").task is Task.MULTI_CLASS


def test_two_named_classes_are_a_binary_task(tmp_path: Path) -> None:
    dataset = stored(tmp_path, train=cycle(30), test=cycle(9))
    assert chosen(dataset, task="binary", classes=("ant", "bee")).task is Task.BINARY
    assert chosen(dataset, task="multi-class", classes=("ant", "bee")).task is Task.MULTI_CLASS


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        (cycle(30), "binary", "has 3 classes; the task cannot be binary unless `--classes A,B`"),
        (cycle(30), "hierarchical", "has no tree of classes; the task cannot be hierarchical"),
        (
            np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]] * 10),
            "multi-class",
            "20 of 30 images have no label or several; the task cannot be multi-class",
        ),
    ],
)
def test_a_task_that_the_labels_do_not_suit_is_an_error(
    tmp_path: Path, labels: Any, task: str, message: str
) -> None:
    own = Task.MULTI_LABEL if labels.ndim == 2 else Task.MULTI_CLASS
    with pytest.raises(ConfigError) as caught:
        chosen(stored(tmp_path, task=own, train=labels, test=labels), task=task)
    text = str(caught.value)
    assert text.startswith(WHERE)
    assert message in text
    assert "\n" not in text


def test_the_first_items_of_a_subset_keep_their_labels(tmp_path: Path) -> None:
    found = chosen(stored(tmp_path, train=cycle(30), test=cycle(9)))
    few = found.train.first(5)
    assert np.array_equal(few.ids, found.train.ids[:5])
    assert np.array_equal(few.labels, found.train.labels[:5])
    assert len(found.train.first(1000)) == len(found.train)


@pytest.mark.parametrize("seed", range(5))
def test_copies_stay_together_wherever_a_split_is_drawn(tmp_path: Path, seed: int) -> None:
    """Pairs within train, and one that reaches from train into test, where all are pooled."""
    pairs = (*((2 * n + 1, 2 * n) for n in range(50)), (103, 6))
    labels = [n // 2 % 3 for n in range(100)]
    dataset = stored(tmp_path, copies=pairs, train=labels, test=labels[:20])
    both = chosen(dataset, split_seed=seed, val=0.3)
    for subset in (both.train, both.val):
        assert {*subset.ids.tolist()} == {each ^ 1 for each in subset.ids.tolist()}
    pooled = chosen(dataset, split_seed=seed, fractions=(0.5, 0.2, 0.3))
    for subset in (pooled.train, pooled.val, pooled.test):
        ids = {*subset.ids.tolist()}
        assert {each for each in ids if each < 100} == {each ^ 1 for each in ids if each < 100}
        assert (103 in ids) == (6 in ids)


def test_equal_remainders_favour_no_class() -> None:
    """A thousand classes of three: the hundred drawn are not those of the first hundred."""
    labels = np.arange(1000).repeat(3)
    drawn = labels[take(labels, 100, 0)]
    assert len({*drawn.tolist()}) == 100
    assert 350 < drawn.mean() < 650


def test_rare_sets_of_labels_are_drawn_as_often_as_others() -> None:
    labels = (np.random.default_rng(0).random((5000, 40)) < 0.12).astype(np.uint8)
    left, held = hold_out(labels, 0.2, 0)
    shares = labels[held].mean(0), labels[left].mean(0)
    assert np.abs(shares[0] - shares[1]).max() < 0.05
