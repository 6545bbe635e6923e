from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Watcher, statuses
from processes import workers_of

import bench
import bench_local.pool
from bench.api import Result
from bench.hookspecs import hookimpl
from bench.records import RunRecord, RunSpec, RunStatus
from bench.store import Store

Experiment = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def no_workers(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        def refuse(*arguments: Any) -> None:
            pytest.fail("a worker pool was started")

        monkeypatch.setattr(bench_local.pool, "Pool", refuse)

    return forbid


def test_an_experiment_leaves_records_files_and_leaderboards(
    experiment: Experiment, watcher: Watcher, store: Store
) -> None:
    result = experiment(seeds=2, set={"adamw.lr": 0.05})
    assert [record.status for record in result.records] == [RunStatus.OK] * 2
    assert [record.spec.seed for record in result.records] == [0, 1]
    assert not result.interrupted
    assert [run.id for run in watcher.started] == [record.id for record in result.records]
    assert [record.id for record in watcher.finished] == [run.id for run in watcher.started]
    assert [metrics.epoch for _, metrics in watcher.epochs] == [1, 2, 1, 2]
    for record in result.records:
        folder = store.folder(record.id)
        assert store.read(record.id) == record
        assert len((folder / "epochs.jsonl").read_text().splitlines()) == 2
        assert (folder / "predictions.npz").exists()
        assert record.metrics["test"]["n"] == 48
        assert record.metrics["test"]["accuracy"] > 0.5
    for suffix in ("md", "csv", "json"):
        assert (store.root / f"leaderboard.{suffix}").stat().st_size > 100
    [row] = result.leaderboard.rows
    assert (row.seeds, row.failed, row.rank) == (2, 0, 1)
    assert str(result).startswith("## tiny")
    frame = bench.load_records(store.root)
    assert sorted(frame["id"]) == sorted(record.id for record in result.records)


def test_a_finished_experiment_starts_no_worker(
    experiment: Experiment, watcher: Watcher, no_workers: Callable[[], None]
) -> None:
    first = experiment(seeds=2)
    no_workers()
    watcher.messages.clear()
    second = experiment(seeds=2)
    assert [record.id for record in second.records] == [record.id for record in first.records]
    assert len(watcher.started) == 2
    assert watcher.messages == []
    assert second.leaderboard.to_dict() == first.leaderboard.to_dict()


def test_only_what_is_missing_is_done(experiment: Experiment, watcher: Watcher) -> None:
    experiment(seeds=1)
    result = experiment(seeds=3)
    assert [run.seed for run in watcher.started] == [0, 1, 2]
    assert len(result.records) == 3


def test_cells_that_are_finished_are_not_even_rehearsed(
    experiment: Experiment, watcher: Watcher
) -> None:
    experiment("tiny")
    watcher.sizes.clear()
    experiment("tiny,noisy")
    assert set(watcher.sizes) == {"noisy"}


def test_a_default_that_json_does_not_know_is_refused_and_names_the_plugin(
    experiment: Experiment,
) -> None:
    with pytest.raises(bench.PluginError, match=r"model `endless` of plugin `faults`.*`limit`"):
        experiment("endless")


def test_a_rehearsal_that_fails_spoils_no_run_that_another_process_has_finished(
    experiment: Experiment,
    watcher: Watcher,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cure = tmp_path / "cure"
    cure.touch()
    values: dict[str, Any] = {"set": {"mended.by": str(cure), "mended.after": 0}}
    [done] = experiment("mended", **values).records
    (store.folder(done.id) / "record.json").unlink()
    cure.unlink()

    def message(text: str) -> None:
        if text.startswith("trying"):  # now the other process ends
            store.write(done)

    monkeypatch.setattr(watcher, "message", message)
    assert experiment("mended", **values).records == [done]
    assert store.read(done.id) == done


def test_failures_are_tried_again(experiment: Experiment, watcher: Watcher, tmp_path: Path) -> None:
    cure = tmp_path / "cure"
    values: dict[str, Any] = {"models": ["mended", "tiny"], "set": {"mended.by": str(cure)}}
    first = experiment(**values)
    assert statuses(first) == {"mended": "failed", "tiny": "ok"}
    assert "not mended yet" in first.failed[0].error
    assert statuses(experiment(**values)) == {"mended": "failed", "tiny": "ok"}
    cure.touch()
    assert statuses(experiment(**values)) == {"mended": "ok", "tiny": "ok"}
    assert [run.model.name for run in watcher.started] == ["mended", "tiny", "mended", "mended"]


def test_rerun_does_all_again(experiment: Experiment, watcher: Watcher) -> None:
    first = experiment()
    second = experiment(rerun=True)
    assert len(watcher.started) == 2
    assert second.records[0].id == first.records[0].id
    assert second.records[0].finished_at > first.records[0].finished_at


def test_fail_fast_stops_at_the_first_failure(experiment: Experiment, watcher: Watcher) -> None:
    result = experiment(["dies-late", "tiny"], seeds=2, fail_fast=True)
    assert [str(record.status) for record in result.records] == ["crashed"]
    assert len(watcher.started) == 1
    assert not result.interrupted
    assert statuses(experiment(["dies-late", "tiny"]))["tiny"] == "ok"


def test_fail_fast_stops_at_a_failed_rehearsal(experiment: Experiment, watcher: Watcher) -> None:
    result = experiment(["raises", "tiny"], fail_fast=True)
    assert statuses(result) == {"raises": "failed"}
    assert watcher.started == []


def test_weights_of_the_best_run_of_a_cell_are_kept(experiment: Experiment, store: Store) -> None:
    result = experiment(seeds=3, set={"tiny.gain": [1.0, 0.5]})
    for gain in (1.0, 0.5):
        runs = [r for r in result.records if r.spec.model.params["gain"] == gain]
        kept = [r for r in runs if (store.folder(r.id) / "model.safetensors").exists()]
        best = max(record.metrics["val"]["accuracy"] for record in runs)
        assert [record.metrics["val"]["accuracy"] for record in kept] == [best]


def test_no_weights_are_kept_if_none_are_wanted(experiment: Experiment, store: Store) -> None:
    experiment(keep="none", seeds=2)
    assert list(store.root.rglob("*.safetensors")) == []
    assert len(list(store.root.rglob("predictions.npz"))) == 2


def test_weights_of_other_cells_are_not_pruned(experiment: Experiment, store: Store) -> None:
    experiment(set={"tiny.note": "one"})
    experiment(set={"tiny.note": "two"})
    assert len(list(store.root.rglob("*.safetensors"))) == 2


def test_an_observer_that_fails_is_named_once_and_fails_no_run(
    experiment: Experiment, watcher: Watcher
) -> None:
    class Faulty:
        @hookimpl
        def run_started(self, run: RunSpec) -> None:
            raise RuntimeError("the tracker is down")

        @hookimpl
        def run_finished(self, record: RunRecord) -> None:
            raise RuntimeError("the tracker is down")

    result = experiment(plugins=(Faulty(),), seeds=2)
    assert [record.status for record in result.records] == [RunStatus.OK] * 2
    assert len(watcher.finished) == 2
    [warning] = [text for text in watcher.messages if text.startswith("warning")]
    assert "`run_started` of plugin `observer-0` failed: RuntimeError: the tracker" in warning


def test_what_is_finished_outlasts_an_interruption(
    experiment: Experiment, watcher: Watcher, store: Store
) -> None:
    # Two epochs of the first run, one of the second.
    watcher.stop_after = 3
    stopped = experiment(seeds=3)
    assert stopped.interrupted
    assert [str(record.status) for record in stopped.records] == ["ok", "interrupted"]
    assert workers_of(os.getpid()) == set()
    watcher.started.clear()
    resumed = experiment(seeds=3)
    assert [record.status for record in resumed.records] == [RunStatus.OK] * 3
    assert [run.seed for run in watcher.started] == [1, 2]
    assert resumed.records[0] == stopped.records[0]


def test_an_interrupted_repetition_keeps_the_result(
    experiment: Experiment, watcher: Watcher, store: Store
) -> None:
    [before] = experiment().records
    watcher.stop_after = 1
    stopped = experiment(rerun=True)
    assert stopped.interrupted
    assert store.read(before.id) == before


@pytest.mark.parametrize("workers", [1, 3])
def test_no_worker_outlives_the_experiment(experiment: Experiment, workers: int) -> None:
    experiment(["tiny", "exits"], workers=workers, seeds=2)
    assert workers_of(os.getpid()) == set()


def test_the_number_of_workers_changes_no_result(experiment: Experiment, tmp_path: Path) -> None:
    """Promise 31: in deterministic mode metrics and predictions are the same bits."""
    found = []
    for number, workers in enumerate((1, 3)):
        results = tmp_path / str(number)
        done = experiment(workers=workers, seeds=4, deterministic=True, results=results)
        files = [(results / "runs" / r.id / "predictions.npz").read_bytes() for r in done.records]
        found.append(([(r.id, r.metrics) for r in done.records], files))
    assert found[0] == found[1]


def test_a_run_that_another_process_has_in_hand_is_waited_for_and_not_repeated(
    experiment: Experiment, watcher: Watcher, store: Store
) -> None:
    [done] = experiment().records
    (store.folder(done.id) / "record.json").unlink()
    held = threading.Event()
    seen_at_release: list[int] = []

    def hold() -> None:
        with store.lock(done.id):
            held.set()
            time.sleep(1.5)
            seen_at_release.append(len(watcher.started))
            store.write(done)

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    result = experiment()
    other.join()
    assert result.records == [done]
    assert seen_at_release == [1]
    assert len(watcher.started) == 1


def test_a_results_folder_that_cannot_be_one_is_an_error_before_any_work(
    experiment: Experiment, tmp_path: Path, no_workers: Callable[[], None]
) -> None:
    (tmp_path / "results").write_text("a file")
    no_workers()
    with pytest.raises(bench.StoreError, match="results"):
        experiment()


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity", float("nan")])
def test_a_param_that_is_no_finite_number_is_refused(experiment: Experiment, value: Any) -> None:
    """It would be null in the record, whose id would no longer fit its key."""
    with pytest.raises(bench.ConfigError, match=r"tiny\.gain"):
        experiment(set={"tiny.gain": value})


def test_a_missing_gpu_is_an_error_of_the_environment(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    if Path("/proc/driver/nvidia/gpus").exists():
        pytest.skip("there is a GPU")
    with pytest.raises(bench.EnvironmentFailure, match="no CUDA device"):
        experiment(device="cuda")


def test_records_are_plain_standard_json(experiment: Experiment, store: Store) -> None:
    [record] = experiment().records
    text = (store.folder(record.id) / "record.json").read_text()
    plain = json.loads(text, parse_constant=lambda word: pytest.fail(word))
    assert plain["schema"] == 1
    assert plain["id"] == record.id
    assert (plain["dataset"], plain["model"], plain["optimizer"]) == ("tiny", "tiny", "adamw")


def test_bench_run_prints_progress_on_stderr_only(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    result = bench.run(models="tiny,raises", datasets="tiny", results=tmp_path / "results")
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch 2/2" in err
    assert "failed: model `raises` of plugin" in err
    assert len(result.failed) == 1


def test_an_observer_that_exits_fails_no_run(experiment: Experiment, watcher: Watcher) -> None:
    class Leaves:
        @hookimpl
        def run_finished(self, record: RunRecord) -> None:
            raise SystemExit("enough")

    result = experiment(seeds=2, plugins=(Leaves(),))
    assert [record.status for record in result.records] == [RunStatus.OK] * 2
    assert len([m for m in watcher.messages if "SystemExit: enough" in m]) == 1


def test_a_repeat_that_fails_leaves_the_finished_run(
    experiment: Experiment, tmp_path: Path
) -> None:
    (first,) = experiment("sleeps", set={"sleeps.seconds": 0.5}).records
    assert first.status is RunStatus.OK
    folder = tmp_path / "results" / "runs" / first.id
    kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "log.txt"}
    (again,) = experiment("sleeps", set={"sleeps.seconds": 0.5}, rerun=True, timeout=0.4).records
    assert again.status is RunStatus.TIMEOUT
    left = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "log.txt"}
    assert left == kept
