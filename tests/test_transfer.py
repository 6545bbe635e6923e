"""Transfer learning end to end: the command line, its plan, its records, its mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Done, Watcher
from safetensors.torch import load_file

import bench
from bench.api import Result, prepare
from bench.config import ExperimentConfig
from bench.origins import digest_of
from bench.records import RunRecord
from bench.registry import load_registry

SMALL = {"datasets": "digits", "models": "cnn", "limit": 120, "epochs": 2}


@pytest.fixture
def source(experiment: Callable[..., Result]) -> RunRecord:
    [record] = experiment(**SMALL).records
    assert record.error is None
    return record


def planned(tmp_path: Path, **values: Any) -> list[bench.RunSpec]:
    config = ExperimentConfig.create({"results": tmp_path / "results", **SMALL, **values})
    return [run.spec for run in prepare(config, load_registry())[1]]


def test_a_run_goes_on_from_another_on_other_data(
    experiment: Callable[..., Result], source: RunRecord, watcher: Watcher, tmp_path: Path
) -> None:
    weights = f"none,run:{source.id[:8]}"
    asked = {**SMALL, "datasets": "fashion-mnist-mini", "weights": weights, "freeze": "backbone"}
    random, moved = experiment(**asked, unfreeze="2").records
    assert (random.error, moved.error) == (None, None)
    # As the source saw its images, in every respect.
    assert moved.environment["mean"] == pytest.approx(source.environment["mean"], rel=1e-6)
    assert moved.environment["std"] == pytest.approx(source.environment["std"], rel=1e-6)
    assert moved.profile["input_size"] == 8
    assert random.profile["input_size"] == 28
    assert random.environment["normalized_by"] == "mean and std of the training images"
    assert "the weights' own mean and std" in moved.environment["normalized_by"]
    # The classes are others: of the same number, and yet the head is new.
    assert moved.environment["weights"]["new"] == ["head.4.weight", "head.4.bias"]
    assert random.environment["weights"] is None
    # Only what starts from weights is frozen.
    counts = {run: [] for run in (random.id, moved.id)}
    for run, metrics in watcher.epochs:
        if run in counts:
            counts[run].append(metrics.trained_parameters)
    assert counts[random.id] == [random.profile["parameters"]] * 2
    assert counts[moved.id][0] == 1290 < counts[moved.id][1] == moved.profile["parameters"]
    rows = experiment(**asked, unfreeze="2").leaderboard.to_dict()["rows"]
    assert {row["weights"] for row in rows} == {None, moved.spec.weights.name}


def test_frozen_weights_end_as_they_began(
    experiment: Callable[..., Result], source: RunRecord, tmp_path: Path
) -> None:
    [record] = experiment(**SMALL, weights=f"run:{source.id}", freeze="backbone", seeds=1).records
    runs = tmp_path / "results" / "runs"
    before, after = (load_file(runs / r.id / "model.safetensors") for r in (source, record))
    same = {name for name in before if before[name].equal(after[name])}
    assert {name for name in before if not name.startswith("head.4")} == same


def test_the_same_content_is_the_same_run_wherever_the_file_lies(
    source: RunRecord, tmp_path: Path
) -> None:
    saved = tmp_path / "results" / "runs" / source.id / "model.safetensors"
    copies = [tmp_path / "a" / "w.safetensors", tmp_path / "b" / "w.safetensors"]
    for copy in copies:
        copy.parent.mkdir()
        copy.write_bytes(saved.read_bytes())
    first, second = (planned(tmp_path, weights=str(copy))[0] for copy in copies)
    assert first.id == second.id
    assert first.method == second.method
    copies[1].write_bytes(saved.read_bytes()[:-4] + b"\0\0\0\1")
    assert planned(tmp_path, weights=str(copies[1]))[0].id != first.id
    assert planned(tmp_path)[0].id != first.id


def test_a_file_needs_no_word_before_its_path(tmp_path: Path) -> None:
    path = tmp_path / "w.pth.tar"
    torch.save({"a": torch.zeros(1)}, path)
    for text in (str(path), f"file:{path}"):
        [spec] = planned(tmp_path, weights=text)
        assert spec.weights is not None
        assert spec.weights.name == "file:w.pth.tar"
        assert spec.origin["files"] == [str(path)]
        assert spec.origin["digest"] == digest_of([path])


def test_weights_are_a_grid_beside_models_and_optimizers(source: RunRecord, tmp_path: Path) -> None:
    specs = planned(tmp_path, weights=f"none,run:{source.id}", optimizers="sgd,adam", seeds=2)
    labels = [(spec.model_label, spec.optimizer.name, spec.seed) for spec in specs]
    assert len(set(labels)) == len(specs) == 8
    assert len({json.dumps(dict(spec.protocol), default=str) for spec in specs}) == 1


def test_a_record_with_weights_is_read_back(source: RunRecord, tmp_path: Path) -> None:
    [spec] = planned(tmp_path, weights=f"run:{source.id}")
    record = RunRecord(spec, bench.RunStatus.OK)
    again = RunRecord.from_dict(json.loads(json.dumps(record.to_dict())))
    assert again.spec.weights == spec.weights
    assert again.spec.origin == spec.origin
    assert again.to_dict()["weights"] == spec.weights.name


def test_a_record_of_before_there_were_weights_is_read(source: RunRecord) -> None:
    data = source.to_dict()
    for name in ("weights", "origin", "interpolation"):
        del data[name]
    assert RunRecord.from_dict(data).spec.weights is None


def test_weights_of_another_architecture_fail_their_own_run(
    experiment: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "w.pth"
    torch.save({"conv.weight": torch.zeros(8, 3, 3, 3)}, path)
    good, bad = experiment(**SMALL, weights=["none", str(path)]).records
    assert good.status is bench.RunStatus.OK
    assert bad.status is bench.RunStatus.FAILED
    assert "is of another architecture than model `cnn`" in (bad.error or "")
    assert "file:w.pth" in (bad.error or "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pretrained",), "model `cnn` has no published weights"),
        (("--pretrained", "--weights", "none"), "`--pretrained` is short for"),
        (("--weights", "nix.pth"), "there is no file of weights"),
        (("--weights", "run:ffff"), "ffff"),
        (("--weights", "pretraind"), "did you mean `pretrained`"),
        (("--weights", "file:"), "lacks a path"),
        (("--weights", "file"), "lacks a path"),
        (("--freeze", "backbone"), "`freeze` does nothing here; it goes with"),
        (("--batch-norm", "frozen"), "`batch-norm` does nothing here"),
        (("--freeze", "head"), "freeze"),
        (("--unfreeze", "1"), "unfreeze"),
        (("--unfreeze", "4,3"), "each epoch must come after"),
        (("--freeze", "backbone", "--unfreeze", "99"), "`unfreeze` names epoch 99 and a run has"),
        (("--layer-decay", "0"), "layer-decay"),
        (("--backbone-rate", "-1"), "backbone-rate"),
        (("--interpolation", "cubic"), "interpolation"),
    ],
)
def test_a_mistake_is_one_line(
    cli: Callable[..., Done], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    common = ("--models", "cnn", "--datasets", "digits", "--results", tmp_path)
    done = cli("run", *common, *arguments, "--plan")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
