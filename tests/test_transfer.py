"""Transfer learning end to end: the command line, its plan, its records, its mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Done, Watcher
from PIL import Image
from safetensors.torch import load_file

import bench
from bench.api import Result, prepare
from bench.config import ExperimentConfig
from bench.origins import digest_of
from bench.records import RunRecord
from bench.registry import load_registry
from bench.stored import open_stored

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
        (("--weights", "run:ffff", "--set", "run.path=x"), "what stands after `run:`"),
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


def test_the_name_of_a_file_makes_no_other_run(source: RunRecord, tmp_path: Path) -> None:
    saved = tmp_path / "results" / "runs" / source.id / "model.safetensors"
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    for copy in (one, other):
        copy.write_bytes(saved.read_bytes())
    assert len(planned(tmp_path, weights=f"{one},{other}")) == 1
    assert len(planned(tmp_path, weights=f"run:{source.id},run:{source.id[:5]}")) == 1
    # A run says how its images were seen, which a file does not.
    assert len(planned(tmp_path, weights=f"run:{source.id},{one}")) == 2


def test_a_file_that_changes_or_goes_is_noticed(
    experiment: Callable[..., Result], cli: Callable[..., Done], source: RunRecord, tmp_path: Path
) -> None:
    saved = tmp_path / "results" / "runs" / source.id / "model.safetensors"
    path = tmp_path / "w.safetensors"
    path.write_bytes(saved.read_bytes())
    [record] = experiment(**SMALL, weights=str(path)).records
    why = ("why", record.id, "--results", tmp_path / "results")
    assert "is reused" in cli(*why).out
    content = bytearray(saved.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    assert "weights.digest" in cli(*why).out
    path.unlink()
    assert "there is no file of weights" in cli(*why).out


def test_a_file_that_changes_under_way_fails_the_run(source: RunRecord, tmp_path: Path) -> None:
    from bench.engine.setup import set_up

    path = tmp_path / "w.safetensors"
    path.write_bytes((tmp_path / "results" / "runs" / source.id / "model.safetensors").read_bytes())
    config = ExperimentConfig.create(
        {"results": tmp_path / "results", **SMALL, "weights": str(path)}
    )
    [run] = prepare(config, load_registry())[1]
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(bench.ConfigError, match="changed since the run was planned"):
        set_up(run.spec, 1, rehearsal=True)


def test_weights_that_a_run_started_from_are_kept(
    experiment: Callable[..., Result], source: RunRecord, tmp_path: Path
) -> None:
    experiment(**SMALL, weights=f"run:{source.id}")
    experiment(**SMALL, seeds=3)
    kept = tmp_path / "results" / "runs" / source.id / "model.safetensors"
    assert kept.exists()


def test_a_model_without_preprocessing_sees_images_as_the_dataset_has_them(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(1)}, path)
    [spec] = planned(tmp_path, models="cnn-flowers", weights=str(path))
    assert spec.image_size is None


def test_a_small_stem_has_no_size_of_its_own(tmp_path: Path) -> None:
    asked = {"models": "resnet18", "pretrained": True}
    small, native = (
        planned(tmp_path, **asked, set={"resnet18.stem": stem})[0] for stem in ("small", "native")
    )
    assert (small.image_size, native.image_size) == (None, 224)


# Row 32 of the promises: the model's own preprocessing


def photographs(root: Path) -> str:
    """Write photographs-like images of several shapes, in two classes, and return the source."""
    generator = np.random.default_rng(0)
    for number in range(24):
        # Of shapes that leave nothing to rounding, in which libraries differ by a pixel.
        height, width = ((200, 200), (240, 320), (320, 240))[number % 3]
        rough = generator.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        folder = root / ("light" if number % 2 else "dark")
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.png")
    return f"folder:{root}"


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet_gn"])
def test_a_model_that_starts_from_weights_sees_images_as_its_own_config_says(
    experiment: Callable[..., Result], tmp_path: Path, watcher: Watcher, name: str
) -> None:
    import timm
    from timm.data import create_transform

    config = timm.models.get_pretrained_cfg(name)
    weights = tmp_path / "w.pth"
    torch.save(timm.create_model(name).state_dict(), weights)
    source = photographs(tmp_path / "photographs")
    asked = {"datasets": source, "models": name, "epochs": 1, "batch_size": 4, "limit": 8}
    [record] = experiment(**asked, weights=str(weights)).records
    assert record.error is None
    seen = record.environment
    assert seen["mean"] == pytest.approx(config.mean)
    assert seen["std"] == pytest.approx(config.std)
    assert record.profile["input_size"] == config.input_size[1]
    assert record.spec.interpolation == config.interpolation
    assert str(list(config.mean))[1:-1] in seen["normalized_by"]  # and said

    # The stored images beside those that the library's own transform makes of the files; without
    # the part that it cuts off for its evaluation.
    transform = create_transform(
        config.input_size,
        interpolation=config.interpolation,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        crop_pct=1.0,
    )
    stored = open_stored(record.spec.fingerprint, record.spec.variant)
    ours = np.concatenate([stored.images(split)[:] for split in stored.counts])
    theirs = np.stack(
        [
            (transform(Image.open(path)).numpy() * 255).round().transpose(1, 2, 0)
            for path in (tmp_path / "photographs").rglob("*.png")
        ]
    )
    for image in theirs:
        nearest = np.abs(ours.astype(float) - image).mean((1, 2, 3)).min()
        assert nearest < 1.0, "of 255, the mean over an image"


def test_what_the_user_says_of_images_wins(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(1)}, path)
    asked = {"models": "resnet50", "weights": str(path)}
    own, given = (
        planned(tmp_path, **asked, **more)[0]
        for more in ({}, {"input_size": 64, "interpolation": "bilinear", "normalize": "standard"})
    )
    assert (own.image_size, own.interpolation) == (224, "bicubic")
    assert (given.image_size, given.interpolation) == (64, "bilinear")
    assert planned(tmp_path, models="resnet50")[0].image_size is None
