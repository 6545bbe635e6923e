from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import make_spec
from test_resume import assert_same, bits, seeded, stop_at
from torch.nn import functional
from trainers import adamw, batches, job, run

from bench import item_weights
from bench.engine import interruption
from bench.engine.drawing import bootstrap, weights_of
from bench.engine.interruption import Interrupted
from bench.engine.pipeline import drawn, epoch_order
from bench.engine.training import Training
from bench.errors import ConfigError, DataError
from bench.selection import Selection, Subset
from bench.specs import Task

BOOTSTRAP = {"resample": "bootstrap"}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts(indices: torch.Tensor, count: int) -> np.ndarray[Any, Any]:
    return torch.bincount(indices.flatten(), minlength=count).numpy()


# What is drawn


def test_equal_weights_give_the_order_of_no_weights() -> None:
    for seed in range(20):
        plain = epoch_order(97, 10, seed, 3)
        assert torch.equal(epoch_order(97, 10, seed, 3, torch.ones(97, dtype=torch.float64)), plain)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(0, 1000))
@settings(deadline=None)
def test_whole_numbers_come_exactly(times: list[int], seed: int) -> None:
    wanted = np.array(times)
    if not wanted.any():
        return
    whole = np.repeat(np.arange(len(wanted)), wanted)
    # Scaled to as many draws as there are items, as the counts of a bootstrap sample are.
    wanted = np.bincount(np.resize(whole, len(wanted)), minlength=len(wanted))
    found = drawn(torch.from_numpy(wanted.astype(np.float64)), generator(seed))
    assert counts(found, len(wanted)).tolist() == wanted.tolist()


@given(st.lists(st.floats(0, 100), min_size=2, max_size=40), st.integers(0, 1000))
@settings(deadline=None)
def test_an_item_comes_its_share_rounded_up_or_down(weights: list[float], seed: int) -> None:
    exact = np.array(weights)
    if exact.sum() < 1e-3:
        return
    found = counts(drawn(torch.tensor(weights, dtype=torch.float64), generator(seed)), len(exact))
    share = exact / exact.sum() * len(exact)
    assert found.sum() == len(exact)
    assert (found >= np.floor(share - 1e-6)).all()
    assert (found <= np.ceil(share + 1e-6)).all()


def test_over_epochs_an_item_comes_as_often_as_its_weight_says() -> None:
    weights = torch.tensor([0.3, 1.7, 0.5, 2.5, 0.0], dtype=torch.float64)
    epochs = 4000
    total = sum(counts(epoch_order(5, 5, 1, e, weights), 5) for e in range(1, epochs + 1))
    assert total[4] == 0
    error = 4 * 0.5 / math.sqrt(epochs)  # four standard errors of a share between two counts
    assert total / epochs == pytest.approx(weights.numpy(), abs=error)


# Bootstrap samples


def test_a_bootstrap_sample_is_a_pure_function_of_its_seed() -> None:
    before = torch.random.get_rng_state()
    assert torch.equal(bootstrap(500, 3), bootstrap(500, 3))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(bootstrap(500, 3), bootstrap(500, 4))
    assert bootstrap(500, 3).sum() == 500
    # Known bits: a change of the generator would be another resample under the same id.
    assert bootstrap(12, 0).int().tolist() == KNOWN


KNOWN = [2, 0, 1, 0, 0, 0, 1, 0, 2, 3, 2, 1]


def test_a_bootstrap_sample_leaves_out_what_it_should() -> None:
    left = [float((bootstrap(2000, seed) == 0).double().mean()) for seed in range(30)]
    assert np.mean(left) == pytest.approx(math.exp(-1), abs=0.005)
    twice = torch.stack([bootstrap(50, seed) for seed in range(3000)]).mean(0)
    assert twice.numpy() == pytest.approx(np.ones(50), abs=4 / math.sqrt(3000))


def chosen(labels: Any, classes: int = 2) -> Selection:
    labels = np.asarray(labels)
    subset = Subset("train", np.arange(len(labels)), labels, "official")
    names = tuple("abcdef"[:classes])
    return Selection(Task.MULTI_CLASS, names, (), subset, subset, subset)


def test_plain_runs_have_no_weights() -> None:
    assert weights_of(make_spec(), chosen([0, 1]), "here") is None


def test_a_class_that_a_sample_loses_is_named() -> None:
    labels = [0] * 30 + [1]
    seed = next(seed for seed in range(100) if bootstrap(31, seed)[30] == 0)
    with pytest.raises(DataError, match=rf"here: no training image of `b` .* seed {seed}"):
        weights_of(make_spec(seed=seed, draw=BOOTSTRAP), chosen(labels), "here")
    # One that train has not either is none of its business.
    kept = next(seed for seed in range(100) if bootstrap(31, seed)[30])
    assert weights_of(make_spec(seed=kept, draw=BOOTSTRAP), chosen(labels, 3), "here") is not None


def test_a_label_that_a_sample_loses_is_named() -> None:
    labels = np.array([[1, 0]] * 30 + [[1, 1]], np.uint8)
    seed = next(seed for seed in range(100) if bootstrap(31, seed)[30] == 0)
    with pytest.raises(DataError, match="`b`"):
        weights_of(make_spec(seed=seed, draw=BOOTSTRAP), chosen(labels), "here")


# Item weights


def weighted(path: Path, ids: Any, weights: Any) -> dict[str, Any]:
    digest, file = item_weights.save(path, np.asarray(ids), np.asarray(weights, np.float64))
    return {"resample": "weights", "round": 2, "weights": digest, "file": str(file)}


def test_weights_are_found_by_their_content(tmp_path: Path) -> None:
    draw = weighted(tmp_path, [0, 1, 2], [0.5, 1.5, 1.0])
    found = weights_of(make_spec(draw=draw), chosen([0, 1, 1]), "here")
    assert found is not None
    assert found.tolist() == [0.5, 1.5, 1.0]
    assert weighted(tmp_path, [0, 1, 2], [0.5, 1.5, 1.0]) == draw
    assert weighted(tmp_path, [0, 1, 3], [0.5, 1.5, 1.0])["weights"] != draw["weights"]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), "cannot read"),
        (lambda path: path.write_bytes(b""), "cannot read"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "cannot read"),
        (lambda path: np.savez(path, ids=np.arange(3)), "cannot read"),
        (lambda path: np.savez(path, ids=np.arange(3), weights=np.ones(3)), "damaged"),
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, harm: Any, said: str) -> None:
    draw = weighted(tmp_path, [0, 1, 2], [0.5, 1.5, 1.0])
    harm(Path(draw["file"]))
    with pytest.raises(ConfigError, match=said):
        weights_of(make_spec(draw=draw), chosen([0, 1, 1]), "here")


@pytest.mark.parametrize(
    ("weights", "said"),
    [([1, -1, 1], "negative"), ([1, math.nan, 1], "finite"), ([0, 0, 0], "not")],
)
def test_impossible_weights_are_refused(tmp_path: Path, weights: list[float], said: str) -> None:
    draw = weighted(tmp_path, [0, 1, 2], weights)
    with pytest.raises(ConfigError, match=said):
        weights_of(make_spec(draw=draw), chosen([0, 1, 1]), "here")


def test_weights_of_other_items_are_refused(tmp_path: Path) -> None:
    draw = weighted(tmp_path, [0, 1, 5], [1, 1, 1])
    with pytest.raises(ConfigError, match="other items"):
        weights_of(make_spec(draw=draw), chosen([0, 1, 1]), "here")


# Training


def test_draws_are_part_of_what_a_run_is() -> None:
    plain, sample = make_spec(), make_spec(draw=BOOTSTRAP)
    assert len({plain.id, sample.id}) == len({plain.method, sample.method}) == 2
    first, other = (
        make_spec(draw={"resample": "weights", "round": 2, "weights": digest, "file": digest})
        for digest in "ab"
    )
    assert first.method == other.method
    assert make_spec(draw={"resample": "weights", "round": 3}).method != first.method


@pytest.mark.parametrize("step", [1, 5, 8])
def test_a_resumed_run_draws_as_one_that_never_stopped(step: int, tmp_path: Path) -> None:
    data, val = batches(40), batches(12, 1)
    weights = torch.rand(40, generator=generator(4), dtype=torch.float64)

    def made(**fields: Any) -> Training:
        model = seeded()
        return job(model, adamw(model), item_weights=weights, **fields)

    whole = run(made(), data, val)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Interrupted):
        run(made(loss=stop_at(step)), data, val, path=path)
    interruption.clear()
    resumed = run(made(), data, val, path=path)
    assert resumed.job.progress.resumed == 1
    assert_same(bits(resumed.job), bits(whole.job))
    model = seeded()
    plain = run(job(model, adamw(model)), data, val)
    assert plain.epochs[0].train_loss != whole.epochs[0].train_loss


def test_training_sees_the_items_that_are_drawn() -> None:
    data, val = batches(40), batches(12, 1)
    seen: list[torch.Tensor] = []

    def watched(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(labels)
        return functional.cross_entropy(logits, labels)

    weights = torch.zeros(40, dtype=torch.float64)
    weights[::3] = 1.0  # class 0 only
    model = seeded()
    run(job(model, adamw(model), loss=watched, item_weights=weights), data, val)
    assert torch.cat(seen).unique().tolist() == [0]


def test_every_stored_digest_is_of_its_content(tmp_path: Path) -> None:
    _, file = item_weights.save(tmp_path, np.arange(3), np.ones(3))
    assert file.parent == tmp_path / "item-weights"
    with pytest.raises(ConfigError, match="damaged"):
        item_weights.load(file, "0" * 16, np.arange(3))
