"""Event files of TensorBoard, read back by its own readers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples import make_record, make_spec

import bench
import bench_tensorboard
from bench.api import Result
from bench.records import EpochMetrics, RunSpec, RunStatus

pytest.importorskip("tensorboard")

Experiment = Callable[..., Result]


def epoch(number: int, loss: float = 0.5) -> EpochMetrics:
    return EpochMetrics(number, 3, loss, 0.5, loss, 0.5, 0.1 / number, 2.0, 100.0, val_score=0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


def session(folder: Path, **params: Any) -> bench.TrackerSession:
    [tracker] = bench_tensorboard.register_trackers()
    return tracker.build(folder, **params)


def read(folder: Path) -> dict[str, Any]:
    """Return what TensorBoard's reader finds, by the id at the end of a run's name."""
    runs = reader(folder)
    return {name.rpartition("-")[2]: runs.GetAccumulator(name) for name in runs.Runs()}


def reader(folder: Path) -> Any:
    """Return what TensorBoard reads a folder of runs by."""
    from tensorboard.backend.event_processing import plugin_event_multiplexer

    runs = plugin_event_multiplexer.EventMultiplexer()
    runs.AddRunsFromDirectory(str(folder))
    runs.Reload()
    return runs


def points(accumulator: Any, tag: str) -> list[tuple[int, float]]:
    """Return the points of a curve: their steps and values."""
    from tensorboard.util.tensor_util import make_ndarray

    found = [(e.step, float(make_ndarray(e.tensor_proto))) for e in accumulator.Tensors(tag)]
    return [(step, round(value, 6)) for step, value in found]


def hparams(accumulator: Any, tag: str = "session_start_info") -> Any:
    from tensorboard.plugins.hparams import metadata

    content = accumulator.SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return getattr(metadata, f"parse_{tag}_plugin_data")(content)


def whole(told: bench.TrackerSession, run: RunSpec, status: RunStatus = RunStatus.OK) -> None:
    told.run_started(run)
    for number in (1, 2, 3):
        told.epoch_finished(run, epoch(number, loss=1 / number))
    told.run_finished(make_record(run, status=status, timing={"epochs": 3, "train_seconds": 6.0}))


def test_curves_params_and_results_are_read_back(folder: Path) -> None:
    told = session(folder)
    run = make_spec(params={"optimizer": {"lr": 0.1, "nesterov": True, "name": "x"}}, seed=4)
    whole(told, run)
    told.close()
    [made] = (folder / "tensorboard").iterdir()
    assert made.name == f"shapes-net-adamw-seed4-{run.id}"
    found = read(folder / "tensorboard")[run.id]
    assert points(found, "train/loss") == [(1, 1.0), (2, 0.5), (3, 0.333333)]
    assert points(found, "lr") == [(1, 0.1), (2, 0.05), (3, 0.033333)]
    for tag in ("train/accuracy", "val/loss", "val/accuracy", "images_per_second"):
        assert [step for step, _ in points(found, tag)] == [1, 2, 3]
    assert points(found, "final/test_accuracy") == [(3, 0.8)]
    assert points(found, "cost/train_seconds") == [(3, 6.0)]
    start = hparams(found)
    assert start.hparams["optimizer"].string_value == "adamw"
    assert start.hparams["optimizer.lr"].number_value == 0.1
    assert start.hparams["optimizer.nesterov"].bool_value is True
    assert start.hparams["protocol.epochs"].number_value == run.protocol["epochs"]
    assert start.group_name == run.cell
    assert "seed" not in start.hparams
    assert hparams(found, "session_end_info").status == 1  # success


def test_tensorboards_table_of_params_holds_the_results(folder: Path) -> None:
    """What its HParams tab asks for: one group a method, over which seeds are averaged."""
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import (
        api_pb2,
        backend_context,
        get_experiment,
        list_session_groups,
    )

    told = session(folder)
    for seed in (0, 1):
        whole(told, make_spec(params={"optimizer": {"lr": 0.1}}, seed=seed))
    whole(told, make_spec(params={"optimizer": {"lr": 0.2}}))
    told.close()
    provider = data_provider.MultiplexerDataProvider(reader(folder / "tensorboard"), str(folder))
    board = base_plugin.TBContext(data_provider=provider)
    hparams_context = backend_context.Context(board)
    asked = context.RequestContext()
    experiment = get_experiment.Handler(
        asked, hparams_context, "", api_pb2.GetExperimentRequest()
    ).run()
    assert "optimizer.lr" in {info.name for info in experiment.hparam_infos}
    metrics = [info.name for info in experiment.metric_infos]
    [accuracy] = [name for name in metrics if name.tag == "final/test_accuracy"]
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=10,
        allowed_statuses=[0, 1, 2, 3],
        aggregation_type=api_pb2.AGGREGATION_AVG,
        col_params=[api_pb2.ColParams(metric=accuracy, order=api_pb2.ORDER_ASC)],
    )
    groups = list_session_groups.Handler(asked, hparams_context, "", request).run().session_groups
    assert sorted(
        (len(group.sessions), group.hparams["optimizer.lr"].number_value) for group in groups
    ) == [(1, 0.2), (2, 0.1)]


def test_several_runs_at_once_each_have_their_folder(folder: Path) -> None:
    told = session(folder)
    runs = [make_spec(seed=seed) for seed in range(3)]
    for run in runs:
        told.run_started(run)
    for number in (1, 2):
        for seed, run in enumerate(runs):
            told.epoch_finished(run, epoch(number, loss=float(seed)))
    told.run_finished(make_record(runs[1]))
    told.close()
    found = read(folder / "tensorboard")
    for seed, run in enumerate(runs):
        assert points(found[run.id], "train/loss") == [(1, seed), (2, seed)]
    assert "final/test_accuracy" in found[runs[1].id].Tags()["tensors"]
    assert "final/test_accuracy" not in found[runs[0].id].Tags()["tensors"]


def test_a_run_that_goes_on_is_one_curve(folder: Path) -> None:
    run = make_spec()
    told = session(folder)
    told.run_started(run)
    for number in (1, 2):
        told.epoch_finished(run, epoch(number, loss=9.0))
    told.run_finished(make_record(run, status=RunStatus.INTERRUPTED))
    told.close()
    time.sleep(1.1)  # TensorBoard reads files in the order of the seconds in their names
    told = session(folder)
    told.run_started(run)
    for number in (2, 3):  # from a state before the end of the second
        told.epoch_finished(run, epoch(number, loss=1.0))
    told.run_finished(make_record(run))
    told.close()
    found = read(folder / "tensorboard")[run.id]
    assert points(found, "train/loss") == [(1, 9.0), (2, 1.0), (3, 1.0)]
    assert hparams(found, "session_end_info").status == 1


def test_a_run_that_begins_anew_leaves_nothing_of_the_attempt_before(folder: Path) -> None:
    run = make_spec()
    for loss, epochs in ((9.0, (1, 2, 3)), (1.0, (1, 2))):
        told = session(folder)
        told.run_started(run)
        for number in epochs:
            told.epoch_finished(run, epoch(number, loss=loss))
        told.close()
        time.sleep(1.1)  # TensorBoard reads files in the order of the seconds in their names
    found = read(folder / "tensorboard")[run.id]
    assert points(found, "train/loss") == [(1, 1.0), (2, 1.0)]


def test_what_failed_before_it_began_leaves_no_folder(folder: Path) -> None:
    told = session(folder)
    told.run_finished(make_record(status=RunStatus.FAILED))
    told.close()
    assert not (folder / "tensorboard").exists()


def test_a_run_that_diverged_is_a_failure_and_its_nan_is_kept(folder: Path) -> None:
    run = make_spec()
    told = session(folder)
    told.run_started(run)
    told.epoch_finished(run, epoch(1, loss=float("nan")))
    told.run_finished(make_record(run, status=RunStatus.DIVERGED))
    told.close()
    found = read(folder / "tensorboard")[run.id]
    [(step, loss)] = points(found, "train/loss")
    assert step == 1
    assert loss != loss
    assert hparams(found, "session_end_info").status == 2  # failure


def test_odd_names_make_ordinary_folders(folder: Path) -> None:
    run = make_spec(model="../../etc/pass wd:\\x" * 20, dataset="folder:a|b")
    told = session(folder)
    told.run_started(run)
    told.close()
    [made] = (folder / "tensorboard").iterdir()
    assert made.name.startswith("folder_a_b-.._.._etc_pass_wd_x..")
    assert made.name.endswith(run.id)
    assert len(made.name) < 140


def test_another_folder_is_a_param(folder: Path, tmp_path: Path) -> None:
    told = session(folder, logdir=str(tmp_path / "elsewhere"))
    told.run_started(make_spec())
    told.close()
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1
    for wrong in ("", " ", 7):
        with pytest.raises(bench.UsageError, match=r"`tensorboard\.logdir` is .*; name a folder"):
            session(folder, logdir=wrong)


def test_neither_torch_nor_tensorboard_is_imported_to_list_it() -> None:
    script = (
        "import sys, bench_tensorboard as b; from pathlib import Path\n"
        "[t] = b.register_trackers(); print('tensorboard' in sys.modules)\n"
        "t.build(Path('nowhere')); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\nFalse\n", done.stderr


def test_a_whole_experiment(experiment: Experiment, folder: Path) -> None:
    result = experiment("tiny", trackers="tensorboard", workers=2, seeds=2)
    found = read(folder / "tensorboard")
    assert {*found} == {record.id for record in result.records}
    for record in result.records:
        [(step, accuracy)] = points(found[record.id], "final/test_accuracy")
        assert step == record.timing["epochs"]
        assert accuracy == pytest.approx(record.metrics["test"]["accuracy"])
        assert [step for step, _ in points(found[record.id], "val/loss")] == [1, 2]
