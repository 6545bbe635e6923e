from __future__ import annotations

import dataclasses
import gc
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import make_record, make_spec, write_predictions
from simulated import answers
from sklearn.metrics import f1_score

from bench import comparison, evidence, stats
from bench.answers import AnswerBook, Answers
from bench.records import RunRecord
from bench.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def runs(store: Store, name: str, networks: Any) -> list[RunRecord]:
    """Return a run with predictions for each row of right and wrong answers."""
    records = []
    for seed, right in enumerate(networks):
        record = make_record(make_spec(name, seed=seed), float(right.mean()), len(right))
        write_predictions(store, record, right)
        records.append(record)
    return records


def measured(name: str, values: list[float], **profile: float) -> list[RunRecord]:
    """Return runs without predictions that took so long."""
    return [
        make_record(
            make_spec(name, seed=seed), 0.8, timing={"train_seconds": value}, profile=profile
        )
        for seed, value in enumerate(values)
    ]


def sides(store: Store, seeds: int, n: int = 400, **noise: float) -> list[list[RunRecord]]:
    drawn = answers(np.random.default_rng(0), [0.85, 0.7], seeds, n, **noise)
    return [runs(store, name, each) for name, each in zip("ab", drawn, strict=True)]


def test_several_seeds_with_predictions_are_compared_by_both_noises(store: Store) -> None:
    a, b = sides(store, 3)
    tables = [np.stack([AnswerBook(store).of(r).right for r in side]) for side in (a, b)]  # type: ignore[union-attr]
    expected = stats.crossed(*map(stats.Sample.of_items, tables))
    assert comparison.compare(a, b, AnswerBook(store)) == expected
    assert comparison.compare(a, b, AnswerBook(store), "accuracy") == expected


def test_where_a_run_lacks_predictions_seeds_alone_are_compared(store: Store) -> None:
    a, b = sides(store, 3)
    (store.folder(b[1].id) / "predictions.npz").unlink()
    found = comparison.compare(a, b, AnswerBook(store))
    scores = [[r.metrics["test"]["accuracy"] for r in side] for side in (a, b)]
    assert found == stats.welch(*scores)


def test_other_items_cannot_be_paired(store: Store) -> None:
    (a, _), (_, b) = sides(store, 2), sides(store, 2)
    other = answers(np.random.default_rng(1), [0.7], 2, 300)[0]
    b = runs(store, "c", other)
    assert comparison.compare(a, b, AnswerBook(store)).test == "Welch's t on seed means"
    found = comparison.compare(a[:1], b[:1], AnswerBook(store))
    assert found.test == "two proportions"


def test_seeds_of_equal_scores_are_methods_as_long_as_their_networks_differ(store: Store) -> None:
    first, second = np.arange(100) < 80, np.arange(100) >= 20
    a = runs(store, "a", [first, second])
    b = runs(store, "b", [first & (np.arange(100) > 9), second & (np.arange(100) > 29)])
    found = comparison.compare(a, b, AnswerBook(store))
    assert found.test == "seeds and items crossed"
    assert found.seed_variance > 0


def test_seeds_that_are_all_alike_are_networks(store: Store) -> None:
    right = np.arange(100) < 80
    a, b = runs(store, "a", [right, right]), runs(store, "b", [right[::-1], right[::-1]])
    assert comparison.compare(a, b, AnswerBook(store)) == stats.mcnemar(right, right[::-1])


# Other numbers


def test_times_are_compared_by_their_seeds(store: Store) -> None:
    a, b = measured("a", [1.0, 1.2, 1.1]), measured("b", [2.0, 2.2, 2.4])
    found = comparison.compare(a, b, AnswerBook(store), "train_seconds")
    assert found == stats.welch([1.0, 1.2, 1.1], [2.0, 2.2, 2.4])


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_number_that_does_not_vary_has_no_test(store: Store, seeds: int) -> None:
    a = measured("a", [1.0] * seeds, parameters=100)
    b = measured("b", [1.0] * seeds, parameters=70)
    found = comparison.compare(a, b, AnswerBook(store), "parameters")
    assert (found.estimate, found.test) == (30.0, "none")
    assert all(map(math.isnan, (found.low, found.high, found.p)))


def test_a_number_that_is_not_there_has_no_difference(store: Store) -> None:
    a, b = measured("a", [1.0, 2.0]), measured("b", [1.0, 2.0])
    found = comparison.compare(a, b, AnswerBook(store), "energy")
    assert math.isnan(found.estimate)
    assert found.test == "none"


def macro_f1(answers: Answers) -> float:
    return float(f1_score(answers.labels, answers.predicted, average="macro", zero_division=0))


def test_any_metric_is_compared_by_how_it_is_computed(store: Store) -> None:
    a, b = sides(store, 3)
    book = AnswerBook(store)
    found = comparison.compare(a, b, book, "macro_f1", macro_f1)
    means = [np.mean([macro_f1(book.of(record)) for record in side]) for side in (a, b)]  # type: ignore[arg-type]
    assert found.estimate == pytest.approx(means[0] - means[1])
    assert found.test == "seeds and items crossed"
    assert 0 < found.item_variance < 0.01
    single = comparison.compare(a[:1], b[:1], book, "macro_f1", macro_f1)
    assert single.test == "paired bootstrap over items"
    assert single.p < 0.05


def test_a_metric_of_each_item_needs_no_resamples(store: Store) -> None:
    a, b = sides(store, 3)

    def right(answers: Answers) -> Any:
        return 2.0 * answers.right

    doubled = comparison.compare(a, b, AnswerBook(store), "doubled", right)
    plain = comparison.compare(a, b, AnswerBook(store))
    assert doubled.p == pytest.approx(plain.p)
    assert doubled.estimate == pytest.approx(2 * plain.estimate)
    single = comparison.compare(a[:1], b[:1], AnswerBook(store), "doubled", right)
    assert single.test == "paired z over items"


def test_log_loss_is_known_item_by_item(store: Store) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200)
    records = []
    for model, lean in (("a", 3.0), ("b", 1.0)):
        for seed in range(2):
            raw = generator.random((200, 3)) + lean * np.eye(3)[labels]
            shares = (raw / raw.sum(1, keepdims=True)).astype(np.float16)
            loss = float(-np.log(shares[np.arange(200), labels].astype(float)).mean())
            record = make_record(make_spec(model, seed=seed), n=200, log_loss=loss)
            folder = store.folder(record.id)
            folder.mkdir(parents=True)
            np.savez(
                folder / "predictions.npz",
                test_ids=np.arange(200),
                test_labels=labels,
                test_predicted=shares.argmax(1),
                test_probabilities=shares,
            )
            records.append(record)
    book = AnswerBook(store)
    found = comparison.compare(records[:2], records[2:], book, "log_loss")
    losses = [record.metrics["test"]["log_loss"] for record in records]
    assert found.estimate == pytest.approx(np.mean(losses[:2]) - np.mean(losses[2:]))
    assert found.test == "seeds and items crossed"
    assert found.high < 0
    single = comparison.compare(records[:1], records[2:3], book, "log_loss")
    assert single.test == "paired z over items"


# Tie groups


def test_far_rows_are_told_apart_without_their_predictions(store: Store) -> None:
    right = np.arange(1000) < 900
    near = runs(store, "near", [right, right[::-1]])
    far = [make_record(make_spec("far", seed=seed), 0.1 + seed / 1000, 1000) for seed in range(2)]
    leader = runs(store, "leader", [np.arange(1000) < 905, np.arange(1000) >= 94])

    class Watched(AnswerBook):
        asked: list[str] = []  # noqa: RUF012 - one book is all there is

        def of(self, record: RunRecord, split: str = "test") -> Answers | None:
            self.asked.append(record.spec.model.name)
            return super().of(record, split)

    book = Watched(store)
    first, second = comparison.against(leader, [near, far], book)
    assert {*book.asked} == {"leader", "near"}
    assert first == comparison.compare(leader, near, AnswerBook(store))
    assert second.p < stats.ALPHA / 3


def test_what_was_gathered_lives_as_long_as_its_book(store: Store) -> None:
    a, _ = sides(store, 2)
    book = AnswerBook(store)
    first = evidence.gather(a, "accuracy", book)
    assert evidence.gather(a, "accuracy", book) is first
    copies = [dataclasses.replace(record) for record in a]
    assert evidence.gather(copies, "accuracy", book) is not first
    before = len(evidence._known)
    del book
    gc.collect()
    assert len(evidence._known) < before


@pytest.mark.parametrize("stored", [True, False])
def test_a_single_test_item_tells_no_two_methods_apart(store: Store, stored: bool) -> None:
    right = {"a": [[True], [True]], "b": [[False], [True]]}
    methods = []
    for name, networks in right.items():
        records = [
            make_record(make_spec(name, seed=seed), float(network[0]), 1)
            for seed, network in enumerate(networks)
        ]
        for record, network in zip(records, networks, strict=True):
            if stored:
                write_predictions(store, record, network)
        methods.append(records)
    book = AnswerBook(store)
    (found,) = comparison.against(methods[0], methods[1:], book)
    assert found.estimate == pytest.approx(0.5)
    assert found.p > stats.ALPHA
