"""Runs on users' own data, from files on disk to the record: tasks, splits, placement, faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Watcher
from PIL import Image
from sklearn.datasets import load_digits

from bench import scoring
from bench.answers import AnswerBook
from bench.api import Result
from bench.errors import BenchError, UsageError
from bench.records import RunRecord
from bench.registry import load_registry
from bench.store import Store
from bench.stored import open_stored

Experiment = Callable[..., Result]


def pictures(count: int, digits: tuple[int, ...]) -> list[tuple[Image.Image, int]]:
    """Return real images of some digits, as many of each, enlarged to 24 by 32 pixels."""
    bunch = load_digits()
    found = []
    for digit in digits:
        for values in bunch.images[bunch.target == digit][:count]:
            image = Image.fromarray(np.rint(values * (255 / 16)).astype(np.uint8))
            found.append((image.resize((24, 32), Image.Resampling.BILINEAR), digit))
    return found


def class_folders(root: Path, digits: tuple[int, ...] = (0, 1, 7), count: int = 40) -> str:
    """Write a folder for each digit and return it as a source."""
    for number, (image, digit) in enumerate(pictures(count, digits)):
        folder = root / f"digit {digit}"
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{number}.png")
    return f"folder:{root}"


def only(result: Result) -> RunRecord:
    [record] = result.records
    assert record.error is None
    return record


def arrays(result: Result, tmp_path: Path) -> list[dict[str, Any]]:
    folder = tmp_path / "results" / "runs"
    return [dict(np.load(folder / record.id / "predictions.npz")) for record in result.records]


# Tasks


def test_two_classes_are_a_binary_task_with_the_metrics_of_one(
    experiment: Experiment, tmp_path: Path
) -> None:
    record = only(experiment(datasets=class_folders(tmp_path / "two", (0, 1)), epochs=3))
    assert record.environment["task"] == "binary"
    assert record.environment["classes"] == ["digit 0", "digit 1"]
    assert {"accuracy", "precision", "recall", "f1", "log_loss", "n"} <= {*record.metrics["test"]}


def test_a_table_with_several_labels_is_a_multi_label_task(
    experiment: Experiment, tmp_path: Path
) -> None:
    """Labels: what the digit is made of; a 1 has neither, its set is empty."""
    of = {0: "round", 1: "", 7: "bar", 8: "round|double"}
    lines = ["image,labels"]
    (tmp_path / "images").mkdir()
    for number, (image, digit) in enumerate(pictures(40, (0, 1, 7, 8))):
        image.save(tmp_path / "images" / f"{number}.png")
        lines.append(f"{number}.png,{of[digit]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    result = experiment(
        datasets=f"csv:{tmp_path / 'labels.csv'}", epochs=12, batch_size=16, threshold="val"
    )
    record = only(result)
    assert record.environment["task"] == "multi-label"
    assert record.spec.loss.name == "binary-cross-entropy"
    assert record.environment["classes"] == ["bar", "double", "round"]
    metrics = record.metrics["test"]
    assert {*metrics["per_class"]} == {"bar", "double", "round"}
    assert metrics["mean_average_precision"] > 0.8
    threshold = record.environment["threshold"]
    assert 0.05 <= threshold <= 0.95
    [stored] = arrays(result, tmp_path)
    assert stored["test_labels"].shape == stored["test_probabilities"].shape == (32, 3)
    said = stored["test_probabilities"] >= np.float16(threshold)
    np.testing.assert_array_equal(stored["test_predicted"].astype(bool), said)
    assert not stored["test_labels"].sum(1).all()
    [row] = result.leaderboard.rows
    assert row.metric == "mean_average_precision"
    assert row.score is not None
    assert row.score.low <= row.score.mean <= row.score.high


def test_nested_folders_are_scored_at_every_level(experiment: Experiment, tmp_path: Path) -> None:
    for group, digits in {"round": (0, 8), "straight": (1, 7)}.items():
        for number, (image, digit) in enumerate(pictures(30, digits)):
            folder = tmp_path / "tree" / group / str(digit)
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{number}.png")
    record = only(experiment(datasets=f"folder:{tmp_path / 'tree'}", epochs=5, batch_size=16))
    assert record.environment["task"] == "hierarchical"
    metrics = record.metrics["test"]
    assert metrics["accuracy_level_2"] == metrics["accuracy"]
    assert metrics["accuracy_level_1"] >= metrics["accuracy"]
    # Reading has the tree from the record.
    store = Store(tmp_path / "results")
    names = ["accuracy_level:level=1", "tree_distance"]
    found = scoring.values(record, names, AnswerBook(store), store, load_registry())
    assert found["accuracy_level:level=1"] == metrics["accuracy_level_1"]
    edges = found["tree_distance"] / (1 - metrics["accuracy"])
    assert 1.999 < edges < 4.001  # a leaf of the group, or of another


def test_a_task_can_be_set_and_brings_its_loss(experiment: Experiment, tmp_path: Path) -> None:
    source = class_folders(tmp_path / "three")
    record = only(experiment(datasets=source, task="multi-label", epochs=2))
    assert record.spec.loss.name == "binary-cross-entropy"
    assert record.environment["task"] == "multi-label"
    with pytest.raises(BenchError, match=r"has 3 classes; the task cannot be binary"):
        raise BenchError(experiment(datasets=source, task="binary").records[0].error)


def test_a_loss_that_does_not_suit_the_task_is_refused(
    experiment: Experiment, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"`binary-focal` is not for a multi-class task"):
        experiment(datasets=class_folders(tmp_path / "three"), loss="binary-focal")


# Splits


def test_classes_and_fractions_are_honoured_and_recorded(
    experiment: Experiment, tmp_path: Path
) -> None:
    source = class_folders(tmp_path / "three")
    record = only(experiment(datasets=source, classes="digit 0,digit 7", fractions="0.5,0.25,0.25"))
    assert record.environment["classes"] == ["digit 0", "digit 7"]
    counts = (record.environment["train_items"], *(record.metrics[s]["n"] for s in ("val", "test")))
    assert counts == (40, 20, 20)
    assert record.environment["test_split"] == "0.25 of all, stratified, seed 0"
    assert record.environment["val_split"] == "0.25 of all, stratified, seed 0"


def test_an_unknown_class_is_named(experiment: Experiment, tmp_path: Path) -> None:
    result = experiment(datasets=class_folders(tmp_path / "three"), classes="digit 0,digit 9")
    assert "has no class `digit 9`" in str(result.records[0].error)


# Placement


def test_where_the_images_are_changes_no_bit(experiment: Experiment, tmp_path: Path) -> None:
    source = class_folders(tmp_path / "three")
    found = []
    for placement in ("memory", "map", "stream"):
        result = experiment(
            datasets=source,
            placement=placement,
            augmentation="strong",
            deterministic=True,
            epochs=2,
            batch_size=16,
            results=tmp_path / "results" / placement,
        )
        record = only(result)
        assert record.environment["placement"] == placement
        path = tmp_path / "results" / placement / "runs" / record.id
        found.append((path / "model.safetensors").read_bytes())
        found.append(np.load(path / "predictions.npz")["test_probabilities"].tobytes())
    assert len({*found[::2]}) == len({*found[1::2]}) == 1


def test_a_set_beyond_the_cache_is_streamed(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, since workers keep the environment they were started with."""
    import subprocess
    import sys

    source = class_folders(tmp_path / "three")
    monkeypatch.setenv("BENCH_CACHE_LIMIT", "1kB")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    words = ["run", "--datasets", source, "--models", "tiny", "--epochs", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words, "--results", str(tmp_path / "results")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "images in their files" in done.stderr
    assert not [*(tmp_path / "cache").rglob("*.images.npy")]


# Augmentation and normalisation


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_mixed_labels_reach_every_loss(experiment: Experiment, tmp_path: Path, loss: str) -> None:
    source = class_folders(tmp_path / "three")
    record = only(experiment(datasets=source, augmentation="mixup", loss=loss, epochs=2))
    assert record.spec.augmentation.params["alpha"] == 0.2
    epochs = tmp_path / "results" / "runs" / record.id / "epochs.jsonl"
    losses = [json.loads(line)["train_loss"] for line in epochs.read_text().splitlines()]
    assert len(losses) == 2
    assert np.isfinite(losses).all()


def test_a_grid_over_augmentations_makes_a_block_for_each(
    experiment: Experiment, tmp_path: Path
) -> None:
    result = experiment(
        datasets=class_folders(tmp_path / "three"),
        set={"protocol.augmentation": ("none", "horizontal-flip")},
        epochs=1,
    )
    titles = [block.title for block in result.leaderboard.blocks]
    assert ["augmentation horizontal-flip" in t for t in titles] == [True, False]


def test_the_models_own_mean_and_std_are_used_and_recorded(
    experiment: Experiment, tmp_path: Path
) -> None:
    timm = pytest.importorskip("timm")
    source = class_folders(tmp_path / "three")
    record = only(
        experiment(
            "test_resnet", datasets=source, normalize="model", color="rgb", epochs=1, limit=40
        )
    )
    own = timm.models.get_pretrained_cfg("test_resnet")
    assert record.environment["normalized_by"].startswith("the model's own mean and std")
    assert record.environment["mean"] == pytest.approx(own.mean)
    assert record.environment["std"] == pytest.approx(own.std)


def test_a_model_without_a_mean_of_its_own_says_so(experiment: Experiment, tmp_path: Path) -> None:
    result = experiment(datasets=class_folders(tmp_path / "three"), normalize="model")
    assert "names no mean and std of its own" in str(result.records[0].error)


# What is wrong with the data


def broken_folder(root: Path) -> str:
    source = class_folders(root)
    whole = (root / "digit 1" / "41.png").read_bytes()
    (root / "digit 1" / "41.png").write_bytes(whole[: len(whole) // 2])
    (root / "digit 7" / "empty.png").write_bytes(b"")
    return source


def test_files_that_cannot_be_read_fail_the_run_in_one_line(
    experiment: Experiment, tmp_path: Path
) -> None:
    [record] = experiment(datasets=broken_folder(tmp_path / "bad")).records
    error = str(record.error)
    # The headers are read first, and tell of this one; the other would be found by decoding.
    assert error.startswith(f"`{tmp_path / 'bad' / 'digit 7' / 'empty.png'}` is empty (there may")
    assert "--on-bad skip" in error
    assert "\n" not in error


def test_they_can_be_left_out_and_are_counted(
    experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    record = only(experiment(datasets=broken_folder(tmp_path / "bad"), on_bad="skip", epochs=1))
    assert record.spec.protocol["on_bad"] == "skip"
    total = record.environment["train_items"] + sum(record.metrics[s]["n"] for s in ("val", "test"))
    assert total == 119
    assert any("2 file(s)" in text and "left out" in text for text in watcher.messages)


def test_a_list_of_files_is_left_out(
    experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    source = broken_folder(tmp_path / "bad")
    listed = tmp_path / "fix.txt"
    listed.write_text("# found by a check\ndigit 1/41.png\ndigit 7/empty.png\n")
    record = only(experiment(datasets=source, exclude=listed, epochs=1))
    total = record.environment["train_items"] + sum(record.metrics[s]["n"] for s in ("val", "test"))
    assert total == 119
    assert any("left out by" in text for text in watcher.messages)


def test_repeated_images_are_announced_before_anything_trains(
    experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    source = class_folders(tmp_path / "three")
    copy = (tmp_path / "three" / "digit 0" / "0.png").read_bytes()
    (tmp_path / "three" / "digit 7" / "copy.png").write_bytes(copy)
    experiment(datasets=source, epochs=1)
    told = [text for text in watcher.messages if "more than once" in text]
    assert len(told) == 1
    assert "1 of them under different labels" in told[0]


def test_a_folder_that_moves_is_the_same_data(
    experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    source = class_folders(tmp_path / "there")
    first = only(experiment(datasets=source, epochs=1))
    moved = tmp_path / "elsewhere" / "there"
    moved.parent.mkdir()
    Path(source.removeprefix("folder:")).rename(moved)
    watcher.started.clear()
    second = only(experiment(datasets=f"folder:{moved}", epochs=1))
    assert second.id == first.id
    assert watcher.started == []


def test_a_missing_folder_is_said_before_any_work(experiment: Experiment, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"there is no `.*nowhere`; check the path") as caught:
        experiment(datasets=f"folder:{tmp_path / 'nowhere'}")
    assert "\n" not in str(caught.value)


def test_copies_of_an_image_stay_on_one_side_of_a_drawn_split(
    experiment: Experiment, tmp_path: Path
) -> None:
    """Each image twice: were copies drawn apart, nearly a third of test would be trained on."""
    source = class_folders(tmp_path / "three")
    for path in [*(tmp_path / "three").rglob("*.png")]:
        (path.parent / f"again {path.name}").write_bytes(path.read_bytes())
    result = experiment(datasets=source, epochs=1)
    record = only(result)
    stored = open_stored(record.spec.fingerprint, record.spec.variant)
    images = stored.images("train")
    [found] = arrays(result, tmp_path)
    held = {image.tobytes() for image in images[np.sort([*found["test_ids"], *found["val_ids"]])]}
    others = np.setdiff1d(np.arange(240), [*found["test_ids"], *found["val_ids"]])
    assert len(others) == record.environment["train_items"]
    assert held.isdisjoint(image.tobytes() for image in images[others])
    test, val = ({i.tobytes() for i in images[found[f"{s}_ids"]]} for s in ("test", "val"))
    assert test.isdisjoint(val)


def test_a_param_of_a_source_can_change_the_task_and_with_it_the_loss(
    experiment: Experiment, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    lines = ["image,labels"]
    for number, (image, digit) in enumerate(pictures(20, (0, 1, 7))):
        image.save(tmp_path / "images" / f"{number}.png")
        lines.append(f"{number}.png,{digit}")
    (tmp_path / "one.csv").write_text("\n".join(lines))
    source = f"csv:{tmp_path / 'one.csv'}"
    record = only(experiment(datasets=source, set={"csv.multi_label": (True,)}, epochs=1))
    assert record.environment["task"] == "multi-label"
    assert record.spec.loss.name == "binary-cross-entropy"
    assert only(experiment(datasets=source, epochs=1)).environment["task"] == "multi-class"


def test_a_wrong_request_of_known_data_is_refused_before_any_worker_starts(
    experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    source = class_folders(tmp_path / "three")
    experiment(datasets=source, epochs=1)
    watcher.messages.clear()
    with pytest.raises(BenchError, match="has no class `digit 9`"):
        experiment(datasets=source, classes="digit 0,digit 9")
    assert watcher.messages == []


def test_a_split_without_images_of_a_class_is_announced(
    experiment: Experiment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from bench import api
    from bench.config import ExperimentConfig
    from bench.console import Console
    from bench.registry import load_registry

    values = {"datasets": class_folders(tmp_path / "three"), "models": "tiny", "limit": 2}
    config = ExperimentConfig.create({**values, "results": tmp_path / "results"})
    registry = load_registry()
    api.execute(config, registry, *api.prepare(config, registry), Console(live=False))
    assert (
        "warning: test of `folder:three` has no image of 1 of the 3 classes"
        in capfd.readouterr().err
    )
