from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Done, install

import bench
import bench_local.pool
from bench.api import Result
from bench.cli import COMMANDS
from bench.config import ExperimentConfig
from bench.protocol import Protocol
from bench.records import RunStatus
from bench.specs import KINDS
from bench.store import Store

Cli = Callable[..., Done]
TINY = ("--models", "tiny", "--datasets", "tiny")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs and a failed one; for reading only."""
    folder = tmp_path_factory.mktemp("stored")
    result: Result = bench.run(
        models="tiny,exits", datasets="tiny", set={"tiny.gain": [1.0, 2.0]}, results=folder
    )
    assert [str(record.status) for record in result.records] == ["ok", "ok", "crashed"]
    return folder


def record_id(folder: Path, status: RunStatus = RunStatus.OK) -> str:
    return next(record.id for record in Store(folder).records() if record.status is status)


# run


def test_run_ranks_on_stdout_and_reports_progress_on_stderr(cli: Cli, results: Path) -> None:
    done = cli("run", *TINY, "--results", results)
    assert done.code == 0
    assert "tiny reaches" in done.out
    assert "epoch" not in done.out.replace("epochs 2", "")
    for words in ("1 run, about", "trying 1 cell", "epoch 2/2", "[1/1]", "test accuracy"):
        assert words in done.err
    again = cli("run", *TINY, "--results", results)
    assert again.code == 0
    assert again.out == done.out
    assert "1 run, all finished before" in again.err
    assert "starting workers" not in again.err


@pytest.mark.parametrize(
    ("models", "code"), [("tiny", 0), ("tiny,exits", 1), ("raises", 1), ("dies-late", 1)]
)
def test_the_exit_code_tells_whether_all_runs_ended_well(
    cli: Cli, results: Path, models: str, code: int
) -> None:
    words = ("run", "--models", models, "--datasets", "tiny", "--results", results)
    assert cli(*words).code == code
    # What has failed is tried again, and fails again; what is finished is not.
    assert cli(*words).code == code


def test_a_timeout_is_an_exit_code_of_one(cli: Cli, results: Path) -> None:
    words = ("--models", "sleeps", "--datasets", "tiny", "--results", results)
    done = cli("run", *words, "--timeout", "1")
    assert done.code == 1
    assert "timeout: stopped after the timeout of 1.0 s" in done.err


def test_an_interruption_is_130_and_says_how_to_go_on(
    cli: Cli, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bench.console.Console.epoch_finished", interrupt)
        patch.setattr("bench.runner.Runner._notify", lambda self, hook, **named: named)
        patch.setattr(bench_local.pool.Pool, "poll", interrupt)
        done = cli("run", *TINY, "--results", results)
    assert done.code == 130
    assert "the same command goes on from here" in done.err
    assert cli("run", *TINY, "--results", results).code == 0


def test_json_holds_the_leaderboard_alone(cli: Cli, results: Path) -> None:
    done = cli("run", "--models", "tiny,exits", *TINY[2:], "--results", results, "--json")
    assert done.code == 1
    board = json.loads(done.out)
    assert {row["model"]: row["rank"] for row in board["rows"]} == {"tiny": 1, "exits": None}
    assert board == json.loads((results / "leaderboard.json").read_text())


def test_a_plan_starts_nothing(cli: Cli, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_local.pool, "Pool", lambda *args: pytest.fail("a pool started"))
    words = ("run", *TINY, "--seeds", "3", "--results", results, "--plan")
    done = cli(*words)
    assert done.code == 0
    assert "3 runs, about" in done.out
    assert "of disk" in done.out
    plan = json.loads(cli(*words, "--json").out)
    assert [run["seed"] for run in plan["runs"]] == [0, 1, 2]
    assert [run["cached"] for run in plan["runs"]] == [False] * 3
    assert plan["disk_bytes"] > 0
    assert not results.exists()


def test_a_plan_shows_what_is_finished(cli: Cli, results: Path) -> None:
    assert cli("run", *TINY, "--results", results).code == 0
    words = ("run", *TINY, "--seeds", "2", "--results", results, "--plan")
    assert "2 runs, 1 finished before" in cli(*words).out
    assert [r["cached"] for r in json.loads(cli(*words, "--json").out)["runs"]] == [True, False]
    rerun = json.loads(cli(*words, "--rerun", "--json").out)
    assert [r["cached"] for r in rerun["runs"]] == [False, False]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--models", "tinny"), "no model is called `tinny` (did you mean `tiny`?)"),
        (("--models", "tiny", "--datasets", "tinyy"), "(did you mean `tiny`?)"),
        (("--models", "tiny@nobody"), "no model is called `tiny@nobody`"),
        (("--models", "zzz*"), "no model matches `zzz*`"),
        (("--models", ""), "no model is chosen"),
        (("--models", ","), "no model is chosen"),
        ((), "no model is chosen"),
        (("--models", "tiny", "--optimizers", "adamm"), "did you mean `adam"),
        (("--models", "tiny", "--schedule", "one-cycl"), "(did you mean `one-cycle`?)"),
        (("--models", "tiny", "--loss", "cross-entrop"), "(did you mean `cross-entropy`?)"),
        (("--models", "tiny", "--executor", "locale"), "(did you mean `local`?)"),
        (("--models", "tiny", "--set", "tiny.gian=2"), "(did you mean `gain`?)"),
        (("--models", "tiny", "--set", "tny.gain=2"), "(did you mean `tiny`?)"),
        (("--models", "tiny", "--set", "tiny.gain=x"), "`tiny.gain` wants a float, not 'x'"),
        (("--models", "tiny", "--set", "tiny.gain=true"), "wants a float, not True"),
        (("--models", "tiny", "--set", "tiny.gain="), "a value is missing"),
        (("--models", "tiny", "--set", "gain=2"), "--set takes NAME.PARAM=VALUE"),
        (("--models", "tiny", "--set", "tiny.gain=1", "--set", "tiny.gain=2"), "twice"),
        (("--models", "tiny", "--set", "protocol.epoch=2"), "(did you mean `epochs`?)"),
        (("--models", "tiny", "--set", "protocol.epochs=x"), "`epochs` is 'x'"),
        (("--models", "tiny", "--epochs", "0"), "`epochs` is "),
        (("--models", "tiny", "--epochs", "two"), "`epochs` is 'two'"),
        (("--models", "tiny", "--seeds", "-1"), "`seeds` is '-1'"),
        (("--models", "tiny", "--val", "1.5"), "`val` is '1.5'"),
        (("--models", "tiny", "--device", "tpu"), "`device` is 'tpu'"),
        (("--models", "tiny", "--timeout", "soon"), "no duration"),
        (("--models", "tiny", "--timeout", "0"), "`timeout` is"),
        (("--models", "tiny", "--keep", "some"), "`keep` is 'some'"),
        (("--models", "tiny", "--epoch", "3"), "--epochs"),
        (("--models", "tiny", "-c", "missing.toml"), "cannot read `missing.toml`"),
        (("--models", "tiny", "extra"), "extra"),
        (("--models", "tiny", "--set", "local.runs_per_worker=0"), "must be 1 or more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_request_is_one_line_and_exit_2_before_any_work(
    cli: Cli, results: Path, words: tuple[str, ...], message: str
) -> None:
    dataset = () if "--datasets" in words else ("--datasets", "tiny")
    done = cli("run", *words, *dataset, "--results", results)
    assert done.code == 2
    assert done.out == ""
    lines = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert message in lines[0]
    if "runs_per_worker" not in message and "must be 1" not in message:
        assert done.err.splitlines() == lines
        assert not results.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rnu",), "no command `rnu` (did you mean `run`?)"),
        (("list", "modles"), "no kind `modles` (did you mean `models`?)"),
        (("list", "models", "tinny"), "(did you mean `tiny`?)"),
        (("show", "ffff"), "no run in"),
        (("why", "ffff"), "no run in"),
        (("show",), "RUN"),
        (("leaderboard", "--format", "pdf"), "pdf"),
        (("leaderboard", "--sort", "beauty"), "beauty"),
        (("completion", "tcsh"), "tcsh"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_command_line_is_one_line_and_exit_2(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(*words)
    assert done.code == 2
    assert done.out == ""
    [line] = done.err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_debug_shows_the_traceback_wherever_it_stands(cli: Cli, results: Path) -> None:
    from bench.cli import main

    for words in (["--debug", "show", "ff"], ["show", "ff", "--debug"]):
        with pytest.raises(bench.UnknownNameError):
            main([*words, "--results", str(results)])


def test_the_environment_failing_is_exit_3(cli: Cli, results: Path) -> None:
    results.write_text("no folder")
    done = cli("run", *TINY, "--results", results)
    assert done.code == 3
    assert [line[:6] for line in done.err.splitlines()][-1] == "error:"


# Experiment files

VALUES: dict[str, Any] = {
    "models": ["tiny", "noisy"],
    "datasets": ["tiny"],
    "seeds": 2,
    "epochs": 1,
    "batch-size": 32,
    "timeout": "5m",
    "deterministic": True,
    "keep": "none",
    "set": {"tiny.gain": [1.0, 2.0], "adamw.lr": 0.01, "protocol.val": 0.25},
}
TOML = """
models = ["tiny", "noisy"]
datasets = ["tiny"]
seeds = 2
epochs = 1
batch-size = 32
timeout = "5m"
deterministic = true
keep = "none"

[set]
"tiny.gain" = [1.0, 2.0]
"adamw.lr" = 0.01
"protocol.val" = 0.25
"""
FLAGS = [
    *("--models", "tiny,noisy", "--datasets", "tiny", "--seeds", "2", "--epochs", "1"),
    *("--batch-size", "32", "--timeout", "5m", "--deterministic", "--keep", "none"),
    *("--set", "tiny.gain=1.0,2.0", "--set", "adamw.lr=1e-2", "--set", "protocol.val=.25"),
]


def test_flags_toml_and_yaml_mean_the_same(cli: Cli, tmp_path: Path, results: Path) -> None:
    (tmp_path / "a.toml").write_text(TOML)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(VALUES))
    # pydantic, not YAML, knows that 1e-2 is a number.
    (tmp_path / "a.yml").write_text(yaml.safe_dump(VALUES).replace("0.01", "1e-2"))
    plans = [
        json.loads(cli("run", *words, "--plan", "--json", "--results", results).out)["runs"]
        for words in (
            FLAGS,
            ["-c", tmp_path / "a.toml"],
            ["-c", tmp_path / "a.yaml"],
            ["-c", tmp_path / "a.yml"],
        )
    ]
    for plan in plans:
        assert len(plan) == 6
        for run in plan:
            run.pop("estimated_seconds")
        assert plan == plans[0]


def test_a_saved_config_means_what_the_flags_meant(cli: Cli, tmp_path: Path, results: Path) -> None:
    saved, again = tmp_path / "saved.toml", tmp_path / "again.toml"
    words = ("--plan", "--json", "--results", results)
    first = json.loads(cli("run", *FLAGS, *words, "--save-config", saved).out)
    second = json.loads(cli("run", "-c", saved, *words[:2], "--save-config", again).out)
    assert [run["key"] for run in first["runs"]] == [run["key"] for run in second["runs"]]
    assert [run["protocol"] for run in first["runs"]] == [r["protocol"] for r in second["runs"]]
    assert again.read_text() == saved.read_text()
    assert tomllib.loads(saved.read_text())["set"]["tiny.gain"] == [1.0, 2.0]


def test_a_flag_wins_over_a_file_and_a_later_file_over_an_earlier(
    cli: Cli, tmp_path: Path, results: Path
) -> None:
    (tmp_path / "a.toml").write_text('models = "tiny"\ndatasets = "tiny"\nseeds = 2\nepochs = 7\n')
    (tmp_path / "b.toml").write_text("epochs = 3\n")
    words = ("-c", tmp_path / "a.toml", "-c", tmp_path / "b.toml", "--seeds", "1")
    done = cli("run", *words, "--plan", "--json", "--results", results)
    [run] = json.loads(done.out)["runs"]
    assert run["protocol"]["epochs"] == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", "modles = ['tiny']", "there is no key `modles` (did you mean `models`?)"),
        ("a.yaml", "model: tiny", "(did you mean `models`?)"),
        ("a.toml", "seeds = 'many'", "`seeds` is 'many'"),
        ("a.toml", "epochs = true", "`epochs` cannot be true"),
        ("a.toml", "seeds = ", "is broken"),
        ("a.yaml", "seeds: [1", "is broken"),
        ("a.yaml", "- tiny", "holds no table"),
        ("a.json", "{}", "neither .toml nor .yaml"),
        ("a.toml", "set = 5", "`set` is 5"),
        ("a.toml", "protocol = {epochs = 1}", "there is no key `protocol`"),
    ],
)
def test_a_wrong_experiment_file_is_named(
    cli: Cli, tmp_path: Path, results: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    done = cli("run", *TINY, "-c", tmp_path / name, "--results", results)
    assert done.code == 2
    [line] = done.err.splitlines()
    assert message in line
    assert f"`{tmp_path / name}`" in line
    assert not results.exists()


def test_the_results_folder_keeps_the_file_that_made_it(cli: Cli, results: Path) -> None:
    assert cli("run", *TINY, "--epochs", "1", "--results", results).code == 0
    [path] = (results / "experiments").glob("*.toml")
    words = ("--plan", "--json", "--results", results)
    [run] = json.loads(cli("run", "-c", path, *words).out)["runs"]
    assert run["cached"]


def test_every_field_of_the_config_is_a_flag(cli: Cli) -> None:
    text = cli("run", "--help").out
    fields = [*ExperimentConfig.model_fields, *Protocol.model_fields]
    for name in fields:
        assert name == "protocol" or f"--{name.replace('_', '-')} " in text


# Reading commands


@pytest.mark.parametrize("kind", [spec.plural for spec in KINDS.values()])
def test_list_shows_every_kind(cli: Cli, kind: str) -> None:
    done = cli("list", kind, "--json")
    assert done.code == 0
    rows = json.loads(done.out)[kind]
    assert rows == sorted(rows, key=lambda row: row["name"])
    assert {"name", "aliases", "plugin", "version", "description", "params"} <= set(rows[0])
    text = cli("list", kind).out
    assert len(text.splitlines()) == len(rows)
    assert all(
        line.startswith(row["name"]) for line, row in zip(text.splitlines(), rows, strict=True)
    )
    counts = json.loads(cli("list", "--json").out)["kinds"]
    assert counts[kind] == len(rows)
    singular = next(name for name, spec in KINDS.items() if spec.plural == kind)
    assert cli("list", singular).out == text


def test_list_takes_a_pattern(cli: Cli) -> None:
    names = [
        row["name"] for row in json.loads(cli("list", "models", "*-late", "--json").out)["models"]
    ]
    assert names == ["dies-late"]
    [line] = cli("list", "models", "tiny").out.splitlines()
    assert line.split()[0] == "tiny"


def test_list_runs(cli: Cli, stored: Path) -> None:
    rows = json.loads(cli("list", "runs", "--results", stored, "--json").out)["runs"]
    assert sorted(row["status"] for row in rows) == ["crashed", "ok", "ok"]
    for pattern, number in (("ok", 2), ("exits", 1), (rows[0]["id"][:6] + "*", 1), ("z*", 0)):
        done = cli("list", "runs", pattern, "--results", stored)
        assert done.code == 0
        assert len(done.out.splitlines()) == number


def test_an_empty_results_folder_is_no_error(cli: Cli, results: Path) -> None:
    assert cli("list", "runs", "--results", results).out == ""
    done = cli("leaderboard", "--results", results)
    assert done.code == 0
    assert "no finished runs here yet" in done.out
    assert json.loads(cli("leaderboard", "--results", results, "--json").out)["rows"] == []
    assert not results.exists()


def test_the_leaderboard_in_every_format(cli: Cli, stored: Path) -> None:
    words = ("leaderboard", "--results", stored)
    board = json.loads(cli(*words, "--json").out)
    assert json.loads(cli(*words, "--format", "json").out) == board
    assert sorted(row["model"] for row in board["rows"]) == ["exits", "tiny", "tiny"]
    rows = list(csv.DictReader(io.StringIO(cli(*words, "--format", "csv").out)))
    assert [row["rank"] for row in rows] == [str(row["rank"] or "") for row in board["rows"]]
    assert cli(*words, "--format", "md").out.startswith("## tiny")
    table = cli(*words).out
    assert "crashed" in table
    assert "tiny (gain=2.0)" in table


@pytest.mark.parametrize("sort", ["score", "val_score", "log_loss", "train_seconds", "parameters"])
def test_sorting_reorders_rows_and_keeps_ranks(cli: Cli, stored: Path, sort: str) -> None:
    words = ("leaderboard", "--results", stored, "--json")
    plain = json.loads(cli(*words).out)["rows"]
    ordered = json.loads(cli(*words, "--sort", sort).out)["rows"]
    assert ordered[-1]["model"] == "exits"
    assert {r["runs"][0]: r["rank"] for r in ordered} == {r["runs"][0]: r["rank"] for r in plain}


def test_show(cli: Cli, stored: Path) -> None:
    run = record_id(stored)
    done = cli("show", run[:8], "--results", stored)
    assert done.code == 0
    for words in (run, "status", "lr=0.002", "train loss", "predictions.npz", "accuracy"):
        assert words in done.out
    plain = json.loads(cli("show", run, "--results", stored, "--json").out)
    assert plain["id"] == run
    assert [epoch["epoch"] for epoch in plain["epochs"]] == [1, 2]
    assert any(path.endswith("record.json") for path in plain["files"])


def test_show_of_a_failed_run_ends_with_its_log(cli: Cli, tmp_path: Path, results: Path) -> None:
    assert cli("run", "--models", "dies-late", *TINY[2:], "--results", results).code == 1
    run = record_id(results, RunStatus.CRASHED)
    done = cli("show", run, "--results", results)
    assert done.code == 0
    assert "killed by SIGKILL" in done.out
    assert "the last words" in done.out


def test_a_prefix_of_several_runs_is_refused_with_their_ids(cli: Cli, stored: Path) -> None:
    done = cli("show", "", "--results", stored)
    assert done.code == 2
    assert "3 runs start with ``" in done.err
    assert record_id(stored) in done.err


def test_why_says_that_a_run_is_reused(cli: Cli, stored: Path) -> None:
    run = record_id(stored)
    assert "is reused" in cli("why", run, "--results", stored).out
    plain = json.loads(cli("why", run, "--results", stored, "--json").out)
    same = {"schema": 1, "id": run, "status": "ok", "role": "", "differences": []}
    assert plain == {**same, "reused": True}
    failed = record_id(stored, RunStatus.CRASHED)
    assert "it ended as `crashed`" in cli("why", failed, "--results", stored).out


PLUGIN = """
import bench

def build(num_classes, input_shape):
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(64, num_classes))

def neighbour(num_classes, input_shape):
    return 1

@bench.hookimpl
def register_models():
    return [bench.Model(name="edited", build=build), bench.Model(name="other", build=neighbour)]
"""


def test_why_names_the_field_that_an_edit_has_changed(tmp_path: Path, results: Path) -> None:
    site = tmp_path / "site"
    install(site, "edited-dist", {"edited": "edited_pkg"})
    source = site / "edited_pkg.py"
    source.write_text(PLUGIN)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), os.environ["PYTHONPATH"]]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "bench", *words, "--results", str(results)],
            capture_output=True,
            text=True,
            timeout=280,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    words = ("run", "--models", "edited", "--datasets", "tiny", "--json")
    [row] = json.loads(run(*words))["rows"]
    [run_id] = row["runs"]
    assert json.loads(run("why", run_id, "--json"))["reused"]
    # Neither a comment nor a neighbour in the same file counts.
    source.write_text(PLUGIN.replace("return 1", "return 2  # two") + "\n# a remark\n")
    assert json.loads(run("why", run_id, "--json"))["reused"]
    source.write_text(PLUGIN.replace("nn.ReLU()", "nn.Tanh()"))
    [difference] = json.loads(run("why", run_id, "--json"))["differences"]
    assert difference["field"] == "model.source"
    assert "model.source: " in run("why", run_id)
    [planned] = json.loads(run(*words, "--plan"))["runs"]
    assert not planned["cached"]
    shutil.rmtree(next(site.glob("*.dist-info")))
    install(site, "edited-dist", {"edited": "edited_pkg"}, version="2.0")
    source.write_text(PLUGIN)
    [difference] = json.loads(run("why", run_id, "--json"))["differences"]
    assert (difference["field"], difference["then"], difference["now"]) == (
        "model.version",
        "1.0",
        "2.0",
    )
    shutil.rmtree(next(site.glob("*.dist-info")))
    [difference] = json.loads(run("why", run_id, "--json"))["differences"]
    assert difference["field"] == "request"
    assert "no model is called `edited@edited`" in difference["now"]


def test_plugins(cli: Cli) -> None:
    plugins = {row["name"]: row for row in json.loads(cli("plugins", "--json").out)["plugins"]}
    assert {"faults", "bench_local", "bench_optim", "bench_datasets", "bench_cnn"} <= set(plugins)
    assert "tiny" in plugins["faults"]["components"]["models"]
    assert plugins["faults"]["distribution"] == "bench-faults"
    assert not any(row["error"] for row in plugins.values())
    assert "bench-faults 1.0" in cli("plugins").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(cli: Cli, shell: str) -> None:
    done = cli("completion", shell)
    assert done.code == 0
    assert "_BENCH_COMPLETE" in done.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bench ", set(COMMANDS)),
        ("bench run --models tin", {"tiny"}),
        ("bench run --models noisy,tin", {"noisy,tiny"}),
        ("bench list mod", {"models"}),
        ("bench run --dev", {"--device"}),
    ],
)
def test_completion_answers(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    expected: set[str],
) -> None:
    from click.shell_completion import BashComplete

    from bench.cli import cli as group

    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    answers = BashComplete(group, {}, "bench", "_BENCH_COMPLETE").complete().splitlines()
    assert expected <= {answer.partition(",")[2] for answer in answers}


def test_version(cli: Cli) -> None:
    done = cli("--version")
    assert done.code == 0
    assert done.out.startswith("bench ")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m bench list models | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("words", "where", "why"),
    [
        ("list models", ">/dev/full", "cannot write to stdout: No space left on device"),
        ("leaderboard --results /", ">/dev/full", "cannot write to stdout: No space left"),
        ("--help", ">/dev/full", "cannot write to stdout: No space left on device"),
        ("list models", ">&-", "stdout is closed"),
        ("--version", ">&-", "stdout is closed"),
    ],
)
def test_a_stdout_that_takes_nothing_is_one_line(
    words: str, where: str, why: str, unbuffered: str
) -> None:
    command = f"{sys.executable} -m bench {words} {where}"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 3
    assert done.stderr.startswith(f"error: {why}")
    assert len(done.stderr.splitlines()) == 1


def test_an_error_that_stdout_has_no_part_in_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    def fail(**values: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.cli.cli.main", fail)
    with pytest.raises(OSError, match="No space left"):
        cli("list", "models")
