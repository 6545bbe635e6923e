"""What is promised when plugins and data go wrong. Each test's name says the promise."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Done, Watcher, install, statuses
from faults.datasets import HOSTILE_DATASET
from faults.losses import LOSSES, VALUES
from faults.models import HOSTILE_NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

import bench
from bench import files, leaderboard, tables
from bench.api import Result
from bench.records import ComponentRef, RunRecord, RunSpec, RunStatus
from bench.rows import SORTS
from bench.store import Store

Experiment = Callable[..., Result]
Cli = Callable[..., Done]


def only(result: Result) -> Any:
    [record] = result.records
    return record


def curve(store: Store, record: RunRecord) -> Path:
    return store.folder(record.id) / "epochs.jsonl"


# Broken packages, installed side by side, seen by one process each

SOUND = """
import bench

@bench.hookimpl
def register_losses():
    yield bench.Loss(name="{name}", build=lambda num_classes: None)
"""
BROKEN = {
    "raises-at-import": "raise RuntimeError('no luck')",
    "exits-at-import": "import sys\nsys.exit(7)",
    "misspelt-hook": "import bench\n@bench.hookimpl\ndef register_model(): return []",
    "fails-half-way": SOUND.format(name="half-way") + "    raise KeyError('second')\n",
    "wrong-type": "import bench\n@bench.hookimpl\ndef register_models(): return ['resnet50']",
    "wrong-kind": "import bench\n@bench.hookimpl\ndef register_models():\n"
    "    return [bench.Loss(name='x', build=print)]",
    "no-list": "import bench\n@bench.hookimpl\ndef register_models(): return 5",
    "bad-name": SOUND.format(name="a,b"),
    "missing-module": None,
}
GOOD = {
    "first": SOUND.format(name="shared"),
    "second": SOUND.format(name="shared"),
    "talks": "import os\nprint('chatter')\nos.write(1, b'more chatter\\n')\n"
    + SOUND.format(name="talker"),
}


@pytest.fixture
def broken_site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    for name, source in {**BROKEN, **GOOD}.items():
        module = name.replace("-", "_") + "_pkg"
        install(site, f"dist-{name}", {name: module})
        if source is not None:
            (site / f"{module}.py").write_text(source)
    return site


def bench_with(site: Path, *arguments: str, **environment: str) -> Done:
    path = os.pathsep.join([str(site), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_1_a_broken_plugin_is_one_warning_line_and_the_others_load(broken_site: Path) -> None:
    assert bench_with(broken_site, "--help").code == 0
    done = bench_with(broken_site, "list", "losses", "--json")
    assert done.code == 0
    # Promise 6 as well: what plugins print at import is not on stdout.
    names = [loss["name"] for loss in json.loads(done.out)["losses"]]
    assert {"cross-entropy", "talker", "shared"} <= set(names)
    assert "chatter" in done.err
    warnings = [line for line in done.err.splitlines() if line.startswith("warning:")]
    assert len(warnings) == len(BROKEN)
    for name in BROKEN:
        [line] = [text for text in warnings if f"`{name}`" in text]
        assert f"dist-{name} 1.0" in line
    assert "RuntimeError: no luck" in done.err
    assert "SystemExit: 7" in done.err
    assert "no hook `register_model` (did you mean `register_models`?)" in done.err
    # Promise 2: a hook that fails half-way lists nothing.
    assert "half-way" not in names


def test_1_a_broken_plugin_is_fatal_if_asked(broken_site: Path) -> None:
    for variable in ("BENCH_PLUGINS_FATAL", "BENCH_STRICT_PLUGINS"):
        done = bench_with(broken_site, "list", "losses", **{variable: "1"})
        assert done.code == 3
        assert done.out == ""
        [line] = [text for text in done.err.splitlines() if text.startswith("error:")]
        assert "could not be loaded" in line


def test_1_and_3_plugins_and_run_name_the_culprits(broken_site: Path, tmp_path: Path) -> None:
    done = bench_with(broken_site, "plugins", "--json")
    assert done.code == 0
    plugins = {plugin["name"]: plugin for plugin in json.loads(done.out)["plugins"]}
    assert all(plugins[name]["error"] for name in BROKEN)
    assert all(not any(plugins[name]["components"].values()) for name in BROKEN)
    assert not any(plugins[name]["error"] for name in (*GOOD, "bench_optim", "faults"))

    run = ("run", "--models", "tiny", "--datasets", "tiny", "--plan", "--json")
    run = (*run, "--results", str(tmp_path / "results"))
    done = bench_with(broken_site, *run, "--loss", "shared")
    assert done.code == 2
    [line] = [text for text in done.err.splitlines() if text.startswith("error:")]
    assert "`first` (dist-first 1.0)" in line
    assert "`second` (dist-second 1.0)" in line
    assert "`shared@first`" in line

    done = bench_with(broken_site, *run, "--loss", "shared@second")
    assert done.code == 0, done.err
    [spec] = json.loads(done.out)["runs"]
    assert spec["loss"]["plugin"] == "second"
    assert spec["protocol"]["loss"] == "shared"


def test_1_two_distributions_with_one_entry_point_name_keep_the_first(tmp_path: Path) -> None:
    site = tmp_path / "site"
    marker = tmp_path / "observed"
    source = f"""
import bench

@bench.hookimpl
def register_losses():
    return []

@bench.hookimpl
def run_finished(record):
    open({str(marker)!r}, "w").close()
"""
    install(site, "a-dist", {"same": "one_pkg"})
    install(site, "b-dist", {"same": "two_pkg"})
    (site / "one_pkg.py").write_text(source)
    (site / "two_pkg.py").write_text(SOUND.format(name="unreachable"))
    code = (
        "from bench.registry import load_registry\n"
        "registry = load_registry()\n"
        "registry.manager.hook.run_finished(record=None)\n"
        "print([p.error for p in registry.plugins if p.name == 'same'])\n"
    )
    path = os.pathsep.join([str(site), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert "another plugin is already called `same`" in done.stdout
    assert marker.exists(), "the first plugin has lost its hooks"


# What components return is checked before anything trains


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("label-too-high", "train holds label 3, but 3 classes"),
        ("label-negative", "train holds label -1"),
        ("label-float", "train labels are float64"),
        ("misshapen", r"shape \(96, 8, 8, 2\)"),
        ("real-valued", "uint8 is needed"),
        ("uneven", "96 images, but labels of shape"),
        ("empty", "train is empty"),
        ("one-class", "has 1 class"),
        ("wrong-type", "returned list, not bench.Splits"),
        ("load-raises", "could not be loaded: OSError"),
        ("single-image", r"too few images for a val split \(train 1, val 0, test 48\)"),
    ],
)
def test_4_a_dataset_is_checked_before_any_run(
    experiment: Experiment, watcher: Watcher, dataset: str, words: str
) -> None:
    record = only(experiment(datasets=dataset))
    assert record.status is RunStatus.FAILED
    assert re.search(words, record.error)
    assert f"dataset `{dataset}` of plugin `faults` (bench-faults 1.0)" in record.error
    assert watcher.started == []


def test_a_dataset_without_a_test_split_is_tested_on_a_fifth_of_it(experiment: Experiment) -> None:
    record = only(experiment(datasets="no-test"))
    assert record.status is RunStatus.OK
    assert record.metrics["test"]["n"] == 19  # of 96
    assert record.metrics["val"]["n"] == 15  # a fifth of the other 77


def test_4_a_bad_dataset_does_not_keep_the_others(experiment: Experiment) -> None:
    result = experiment(datasets="empty,tiny")
    assert [str(record.status) for record in result.records] == ["failed", "ok"]


def test_4_locate_that_fails_names_the_plugin(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--models", "tiny", "--datasets", "lost", "--results", tmp_path / "r")
    assert done.code == 3
    [line] = done.err.strip().splitlines()
    assert line.startswith("error: dataset `lost` of plugin `faults` (bench-faults 1.0)")
    assert "cannot say where it is" in line


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nan-logits", "returned NaN or infinite logits"),
        ("wrong-shape", r"logits of shape \(2, 4\) for 2 images and 3 classes"),
        ("wrong-output", "returned tuple"),
        ("not-a-module", "built function, not torch.nn.Module"),
        ("frozen", "has no trainable parameters"),
        ("raises", "RuntimeError: =boom"),
    ],
)
def test_4_a_model_is_tried_on_one_batch_before_any_run(
    experiment: Experiment, watcher: Watcher, model: str, words: str
) -> None:
    result = experiment(["tiny", model])
    assert statuses(result) == {"tiny": "ok", model: "failed"}
    [record] = result.failed
    assert re.search(words, record.error)
    assert f"model `{model}` of plugin `faults` (bench-faults 1.0)" in record.error
    assert [spec.model.name for spec in watcher.started] == ["tiny"]


@pytest.mark.parametrize(
    ("loss", "words"),
    [("never-finite", "returned nan on the first batch"), ("vector", "a scalar tensor is needed")],
)
def test_4_a_loss_is_tried_on_one_batch_before_any_run(
    experiment: Experiment, watcher: Watcher, loss: str, words: str
) -> None:
    record = only(experiment(loss=loss))
    assert record.status is RunStatus.FAILED
    assert words in record.error
    assert f"loss `{loss}` of plugin `faults`" in record.error
    assert watcher.started == []


def test_4_one_image_for_train_and_val_is_an_error_with_advice(experiment: Experiment) -> None:
    record = only(experiment(limit=1))
    assert record.status is RunStatus.FAILED
    assert "ZeroDivision" not in record.error
    assert "`--limit`" in record.error


def test_a_model_of_a_fixed_size_gets_it(experiment: Experiment, watcher: Watcher) -> None:
    assert statuses(experiment("fixed-17px")) == {"fixed-17px": "ok"}
    assert watcher.sizes == {"fixed-17px": 17}


# Workers that die, hang or run out of memory


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("segfaults", "SIGSEGV"),
        ("exits", "exited with code 3"),
    ],
)
def test_5_a_worker_that_dies_is_a_crashed_run_and_the_others_go_on(
    experiment: Experiment, model: str, words: str
) -> None:
    result = experiment([model, "tiny"])
    assert statuses(result) == {model: "crashed", "tiny": "ok"}
    [record] = result.failed
    assert words in record.error
    assert "log.txt" in record.error


def test_5_a_plugin_that_calls_exit_fails_its_run_by_name(experiment: Experiment) -> None:
    result = experiment(["quits", "tiny"])
    assert statuses(result) == {"quits": "failed", "tiny": "ok"}
    [record] = result.failed
    assert "model `quits` of plugin" in record.error
    assert "SystemExit: a plugin has no business here" in record.error


def test_5_a_worker_that_dies_in_training_leaves_its_log(
    experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    result = experiment(["dies-late", "tiny"])
    assert statuses(result) == {"dies-late": "crashed", "tiny": "ok"}
    [record] = result.failed
    assert "SIGKILL" in record.error
    assert {spec.model.name for spec in watcher.started} == {"dies-late", "tiny"}
    log = Store(tmp_path / "results").folder(record.id) / "log.txt"
    assert "the last words" in log.read_text()


def test_5_the_stack_of_a_segfault_is_in_the_log(experiment: Experiment, tmp_path: Path) -> None:
    record = only(experiment("segfaults"))
    log = (Store(tmp_path / "results").folder(record.id) / "log.txt").read_text()
    assert "Segmentation fault" in log
    assert "in segfaults" in log


def test_6_what_a_plugin_prints_is_in_the_log_and_not_in_json(cli: Cli, tmp_path: Path) -> None:
    results = tmp_path / "results"
    done = cli("run", "--models", "noisy", "--datasets", "tiny", "--results", results, "--json")
    assert done.code == 0, done.err
    [row] = json.loads(done.out)["rows"]
    assert "noise from" not in done.out
    assert "noise from" not in done.err
    log = (results / "runs" / row["runs"][0] / "log.txt").read_text()
    assert "noise from Python" in log
    assert "noise from a descriptor" in log


@pytest.mark.parametrize("value", VALUES)
def test_14_a_loss_that_is_not_finite_in_the_last_batch_alone_diverges(
    experiment: Experiment, watcher: Watcher, value: str
) -> None:
    # 77 training images in batches of 16: five steps in each of two epochs.
    assert LOSSES[0].defaults["at"] == 10
    result = experiment(loss="late", set={"late.value": value})
    record = only(result)
    assert record.status is RunStatus.DIVERGED
    assert "epoch 2" in record.error
    assert len(watcher.epochs) == 1
    [row] = result.leaderboard.rows
    assert row.rank is None
    assert row.score is None


def test_14_a_rate_that_is_too_high_diverges_and_is_not_ranked(experiment: Experiment) -> None:
    result = experiment("cnn", optimizers="sgd", set={"sgd.lr": [0.01, 1e6]})
    assert [str(record.status) for record in result.records] == ["ok", "diverged"]
    assert [row.rank for row in result.leaderboard.rows] == [1, None]


@pytest.mark.parametrize(("after", "split"), [(0, "val"), (2, "test")])
def test_14_predictions_that_are_not_finite_diverge(
    experiment: Experiment, after: int, split: str
) -> None:
    result = experiment("nan-in-evaluation", set={"nan-in-evaluation.after": after})
    record = only(result)
    assert record.status is RunStatus.DIVERGED
    assert f"predictions on {split}" in record.error
    assert [row.rank for row in result.leaderboard.rows] == [None]


def test_15_out_of_memory_is_a_status_of_its_own_and_the_next_run_is_unharmed(
    experiment: Experiment,
) -> None:
    result = experiment(["out-of-memory", "tiny"])
    assert statuses(result) == {"out-of-memory": "oom", "tiny": "ok"}
    [record] = result.failed
    assert "Tried to allocate 2.00 GiB" in record.error
    assert "--micro-batch" in record.error
    assert "--batch-size" in record.error
    assert "peak_memory_bytes" in record.profile
    assert record.spec.protocol["batch_size"] == 16
    [row] = [row for row in result.leaderboard.rows if row.model == "tiny"]
    assert row.protocol["batch_size"] == 16


def test_16_a_run_that_hangs_is_stopped_and_its_log_is_kept(
    experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    result = experiment(["sleeps", "tiny"], timeout="4s")
    assert statuses(result) == {"sleeps": "timeout", "tiny": "ok"}
    [record] = result.failed
    assert "`--timeout`" in record.error
    assert "sleeps" in {spec.model.name for spec in watcher.started}
    assert (Store(tmp_path / "results").folder(record.id) / "log.txt").exists()


def test_16_a_repeat_with_a_longer_timeout_goes_on_where_the_run_was_stopped(
    experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    # Twenty steps, of which all but the first six take 0.3 s.
    values = {"epochs": 4, "checkpoint_minutes": 1e-9, "set": {"sleeps.seconds": 0.3}}
    record = only(experiment("sleeps", timeout="3s", **values))
    assert record.status is RunStatus.TIMEOUT
    store = Store(tmp_path / "results")
    log = store.folder(record.id) / "log.txt"
    assert "going to sleep" in log.read_text()
    assert store.checkpoint(record.id).exists()
    done = len(watcher.epochs)
    assert 0 < done < 4
    watcher.epochs.clear()
    record = only(experiment("sleeps", timeout="5m", **values))
    assert record.status is RunStatus.OK
    assert record.timing["resumed"] == 1
    # The last step of an epoch may be done again: a state was saved a moment before it.
    redone = [metrics.epoch for _, metrics in watcher.epochs]
    assert redone in ([*range(done + 1, 5)], [*range(done, 5)])
    # What was spent before the stop counts.
    assert record.timing["train_seconds"] == pytest.approx(
        sum(json.loads(line)["seconds"] for line in curve(store, record).read_text().splitlines())
    )


def test_16_a_computation_that_holds_the_interpreter_is_stopped_too(
    experiment: Experiment,
) -> None:
    assert statuses(experiment("spins", timeout="1s")) == {"spins": "timeout"}


def test_16_a_rehearsal_that_hangs_is_stopped_too(experiment: Experiment) -> None:
    assert statuses(experiment("stuck", timeout="1s")) == {"stuck": "timeout"}


# A saved state that somebody else has put there


class Payload:
    """What a pickle may do to whoever loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_21_a_hostile_saved_state_is_not_run_and_the_run_starts_anew(
    cli: Cli, tmp_path: Path, form: str
) -> None:
    run = ("run", "--models", "tiny", "--datasets", "tiny", "--results", tmp_path / "results")
    assert cli(*run).code == 0
    store = Store(tmp_path / "results")
    [whole] = store.records()
    (store.folder(whole.id) / "record.json").unlink()
    hostile = {"schema": 1, "run": whole.id, "model": Payload(tmp_path / "ran")}
    if form == "pickle":
        store.checkpoint(whole.id).write_bytes(pickle.dumps(hostile))
    else:
        torch.save(hostile, store.checkpoint(whole.id))
    # It does what it threatens where it is trusted.
    if form == "pickle":
        pickle.loads(store.checkpoint(whole.id).read_bytes())
        (tmp_path / "ran").rmdir()
    done = cli(*run)
    assert done.code == 0, done.err
    assert not (tmp_path / "ran").exists()
    [again] = store.records()
    assert again.metrics == whole.metrics
    assert again.timing["resumed"] == 0
    assert "warning: its saved state is damaged or not its own; it starts anew" in done.err
    assert "is not used, the run starts anew" in (store.folder(whole.id) / "log.txt").read_text()
    assert not store.checkpoint(whole.id).exists()


# Names that some format takes for markup, a formula or an escape sequence


@pytest.fixture(scope="module")
def hostile_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("hostile")
    config = {"models": [*HOSTILE_NAMES, "raises"], "datasets": HOSTILE_DATASET}
    done = bench.run(**config, results=results)
    assert {str(record.status) for record in done.records} == {"ok", "failed"}
    return results


def unescaped(text: str, characters: str) -> list[str]:
    return re.findall(rf"(?<!\\)[{re.escape(characters)}]", text)


def test_26_the_terminal_shows_markup_as_it_is(cli: Cli, hostile_results: Path) -> None:
    done = cli("leaderboard", "--results", hostile_results)
    assert done.code == 0
    flat = re.sub(r"[\s│]+", "", done.out)
    for name in HOSTILE_NAMES:
        assert re.sub(r"\s+", "", name) in flat
    assert "[red]y[/red]" in flat
    assert "\x1b" not in done.out
    for arguments in (("list", "models"), ("list", "runs", "--results", hostile_results)):
        done = cli(*arguments)
        assert all(name in done.out for name in HOSTILE_NAMES)
        assert "\x1b" not in done.out


def test_26_markdown_is_escaped(cli: Cli, hostile_results: Path) -> None:
    done = cli("leaderboard", "--results", hostile_results, "--format", "md")
    assert done.code == 0
    assert not re.search(r"<[a-z/!]", done.out)
    table = [line for line in done.out.splitlines() if line.startswith("|")]
    assert len(table) == len(HOSTILE_NAMES) + 3
    columns = {len(unescaped(line, "|")) for line in table}
    assert columns == {len(tables.HEADINGS)}  # that of tuning is left out where nothing was tuned
    words = done.out.replace("## ", "", 1)
    assert not unescaped(words, "$[]#`*")
    assert (hostile_results / "leaderboard.md").read_text() == done.out


def test_26_csv_cells_are_no_formulas(cli: Cli, hostile_results: Path) -> None:
    done = cli("leaderboard", "--results", hostile_results, "--format", "csv")
    assert done.code == 0
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert len(rows) == len(HOSTILE_NAMES) + 1
    for row in rows:
        for value in row.values():
            assert value[:1] not in ("=", "@", "+", "\t", "\r")
    assert "'=cmd|' /C calc'!A0" in {row["model"] for row in rows}
    assert (hostile_results / "leaderboard.csv").read_text() == done.out


def test_26_json_holds_names_as_they_are(cli: Cli, hostile_results: Path) -> None:
    done = cli("leaderboard", "--results", hostile_results, "--json")
    board = json.loads(done.out)
    assert {row["model"] for row in board["rows"]} == {*HOSTILE_NAMES, "raises"}
    assert {row["dataset"] for row in board["rows"]} == {HOSTILE_DATASET}
    assert json.loads((hostile_results / "leaderboard.json").read_text()) == board


def test_26_show_prints_one_line_a_field(cli: Cli, hostile_results: Path) -> None:
    for record in Store(hostile_results).records():
        done = cli("show", record.id, "--results", hostile_results)
        assert done.code == 0
        assert "\x1b" not in done.out
        [line] = [text for text in done.out.splitlines() if text.startswith("model ")]
        assert record.spec.model.name in line


def test_26_escape_sequences_in_a_foreign_record_stay_off_the_terminal(
    cli: Cli, experiment: Experiment, tmp_path: Path
) -> None:
    """A plugin cannot offer such names, but a results folder may come from anywhere."""
    record = only(experiment())
    plain = json.loads(json.dumps(record.to_dict()))
    for kind in ("dataset", "model", "optimizer"):
        plain[kind] += "\x1b[31m\x1b]0;title\x07"
    for word in ("--format=table", "--format=md", "--format=csv"):
        (tmp_path / "results" / "runs" / record.id / "record.json").write_text(json.dumps(plain))
        done = cli("leaderboard", "--results", tmp_path / "results", word)
        assert done.code == 0
        assert record.spec.model.name in done.out
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.out)
    done = cli("show", record.id, "--results", tmp_path / "results")
    assert "\x1b" not in done.out


# Numbers that are none

NUMBERS = st.one_of(st.floats(0, 1), st.sampled_from([math.nan, math.inf, -math.inf]))
METRICS = st.fixed_dictionaries(
    {"accuracy": NUMBERS, "log_loss": NUMBERS, "seconds": NUMBERS, "latency": NUMBERS}
)


def synthetic(model: str, seed: int, numbers: dict[str, float]) -> RunRecord:
    refs = {kind: ComponentRef(kind, "faults") for kind in ("dataset", "optimizer")}
    refs |= {kind: ComponentRef(kind, "faults") for kind in ("schedule", "loss", "augmentation")}
    spec = RunSpec(
        **refs,
        model=ComponentRef(model, "faults"),
        protocol={"epochs": 1, "batch_size": 1},
        seed=seed,
        key={"dataset": {"fingerprint": "f"}, "device": "cpu", "model": model, "seed": seed},
    )
    split = {"accuracy": numbers["accuracy"], "log_loss": numbers["log_loss"], "n": 10}
    return RunRecord(
        spec=spec,
        status=RunStatus.OK,
        metrics={"val": split, "test": split},
        timing={
            "train_seconds": numbers["seconds"],
            "images_per_second": numbers["seconds"],
            "wall_seconds": numbers["seconds"],
        },
        profile={"latency_ms": numbers["latency"], "parameters": None},
        finished_at="2026-01-01T00:00:00",
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(METRICS, min_size=1, max_size=3), min_size=1, max_size=4))
def test_27_a_metric_that_is_no_number_is_null_in_json_and_last_in_both_orders(
    cells: list[list[dict[str, float]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for model, runs in enumerate(cells):
            for seed, numbers in enumerate(runs):
                store.write(synthetic(f"m{model}", seed, numbers))
        for path in store.runs.glob("*/record.json"):
            json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(word))
        records = store.records()
        assert store.warnings == []
        assert len(records) == sum(map(len, cells))
        for by, (value, descending) in SORTS.items():
            board = leaderboard.build(records, store, by)
            numbers = [value(row) for row in board.rows]
            known = [number for number in numbers if number is not None]
            assert all(math.isfinite(number) for number in known)
            assert numbers[len(known) :] == [None] * numbers.count(None)
            # By score the rows of a tie stay together, so the order holds within each group.
            groups = [row.tie_group if by == "score" else 1 for row in board.rows][: len(known)]
            assert groups == sorted(groups)
            for group in {*groups}:
                within = [n for n, g in zip(known, groups, strict=True) if g == group]
                assert within == sorted(within, reverse=descending)
            assert all(row.rank is None for row in board.rows if row.score is None)
            text = files.dump_json(board.to_dict())
            json.loads(text, parse_constant=lambda word: pytest.fail(word))
            assert "nan" not in tables.to_csv(board) + tables.to_markdown(board)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_27_reading_commands_show_a_record_with_such_numbers(
    cli: Cli, tmp_path: Path, number: float
) -> None:
    names = ("accuracy", "log_loss", "seconds", "latency")
    record = synthetic("m", 0, dict.fromkeys(names, number))
    Store(tmp_path).write(record)
    for arguments in (("leaderboard",), ("list", "runs"), ("show", record.id)):
        for extra in ((), ("--json",)):
            done = cli(*arguments, "--results", tmp_path, *extra)
            assert done.code == 0
            if extra:
                json.loads(done.out, parse_constant=lambda word: pytest.fail(word))


# Torn and foreign files


def test_12_a_record_cut_at_every_byte_is_skipped_and_named(
    experiment: Experiment, tmp_path: Path
) -> None:
    result = experiment(["tiny", "noisy"])
    store = Store(tmp_path / "results")
    victim, other = result.records
    path = store.folder(victim.id) / "record.json"
    whole = path.read_bytes()
    # The last byte is a line break, without which the record is still whole.
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        assert store.read(victim.id) is None
        if length % 50 == 0 or length > len(whole) - 10:  # the same check, and the index as well
            assert [record.id for record in store.records()] == [other.id]
            [warning] = store.warnings
            assert str(path) in warning
    path.write_bytes(whole)
    assert {record.id for record in store.records()} == {victim.id, other.id}
    assert store.warnings == []


def test_12_foreign_files_are_skipped_and_named(
    experiment: Experiment, cli: Cli, tmp_path: Path
) -> None:
    record = only(experiment())
    results = tmp_path / "results"
    store = Store(results)
    whole = json.loads((store.folder(record.id) / "record.json").read_text())
    foreign: dict[str, Any] = {
        "list": [],
        "text": "hello",
        "newer": {**whole, "schema": 99},
        "no-metrics": {k: v for k, v in whole.items() if k != "metrics"},
        "strange-status": {**whole, "status": "splendid"},
        "bad-params": {**whole, "params": 5},
        "other-run": whole,
    }
    for name, content in foreign.items():
        (store.runs / name).mkdir()
        (store.runs / name / "record.json").write_text(json.dumps(content))
    (store.runs / "binary").mkdir()
    (store.runs / "binary" / "record.json").write_bytes(b"\xff\x00\xfe")
    (store.runs / "a-folder").mkdir()
    (store.runs / "a-folder" / "record.json").mkdir()
    (store.runs / "stray.txt").write_text("not a run")
    expected = {*foreign, "binary", "a-folder", "stray.txt"}
    assert [found.id for found in store.records()] == [record.id]
    assert len(store.warnings) == len(expected)
    for name in expected:
        assert any(f"{name}`" in line or f"{name}/" in line for line in store.warnings), name
    # A record in the wrong folder is not taken for that folder's run.
    assert all(store.read(name) is None for name in expected)
    for arguments in (("leaderboard",), ("list", "runs")):
        done = cli(*arguments, "--results", results, "--json")
        assert done.code == 0
        json.loads(done.out)
        assert len(done.err.splitlines()) == len(expected)
        assert all(line.startswith("warning: skipped `") for line in done.err.splitlines())


@pytest.mark.parametrize("content", ['{"epoch": 1', "5\n", '{"epoch": null}\n', "\x00\xff"])
def test_12_show_stands_a_torn_or_foreign_epochs_file(
    experiment: Experiment, cli: Cli, tmp_path: Path, content: str
) -> None:
    record = only(experiment())
    results = tmp_path / "results"
    path = Store(results).folder(record.id) / "epochs.jsonl"
    first = path.read_text().splitlines()[0]
    path.write_text(f"{first}\n{content}", encoding="latin-1")
    done = cli("show", record.id, "--results", results)
    assert done.code == 0
    assert done.out.count("images/s") >= 1


def test_12_a_damaged_index_is_made_again(experiment: Experiment, tmp_path: Path) -> None:
    record = only(experiment())
    store = Store(tmp_path / "results")
    index = store.root / "index.sqlite"
    for content in (b"", b"no database", index.read_bytes()[:-100]):
        index.write_bytes(content)
        assert [found.id for found in store.records()] == [record.id]
        assert store.warnings == []
