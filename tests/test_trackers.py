"""Trackers are chosen by name, checked before any work, and no part of what a run is."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Done, Watcher
from samples import make_record, make_spec

import bench
from bench import api, flat
from bench.api import Result
from bench.config import ExperimentConfig
from bench.plan import plan
from bench.records import EpochMetrics
from bench.registry import Plugin, load_registry

Cli = Callable[..., Done]
Experiment = Callable[..., Result]
TINY = ("run", "--models", "tiny", "--datasets", "tiny")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


# Choosing


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--trackers", "jurnal"), "no tracker is called `jurnal` (did you mean `journal`?)"),
        (("--trackers", "j*k"), "no tracker matches `j*k`"),
        (
            ("--trackers", "journal", "--set", "journal.mrk=x"),
            "`journal` has no param `mrk` (did you mean `mark`?)",
        ),
        (
            ("--trackers", "journal", "--set", "journal.strict=7"),
            "`journal.strict` wants a bool, not 7",
        ),
        (
            ("--trackers", "journal", "--set", "journal.mark=a,b"),
            "`journal` is a tracker; its params take one value each",
        ),
        (("--set", "journal.mark=x"), "`journal` is not among the chosen components"),
        (
            ("--trackers", "journal,needy"),
            "tracker `needy` needs `not_there`, which is not installed; "
            "`pip install acme[tracking]` brings it",
        ),
    ],
)
@pytest.mark.parametrize("only_plan", [(), ("--plan",)])
def test_what_is_wrong_is_one_line_before_any_work(
    cli: Cli, results: Path, words: tuple[str, ...], said: str, only_plan: tuple[str, ...]
) -> None:
    done = cli(*TINY, "--results", results, *words, *only_plan)
    assert done.code == 2
    assert done.out == ""
    [line] = done.err.splitlines()
    assert said in line
    assert not results.exists()


def test_a_file_names_trackers_and_its_errors_are_its_own(
    cli: Cli, results: Path, tmp_path: Path
) -> None:
    file = tmp_path / "experiment.toml"
    file.write_text('trackers = ["journal"]\n[set]\n"journal.mrk" = "x"\n')
    done = cli(*TINY, "--results", results, "-c", file)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "has no param `mrk`" in done.err
    file.write_text("trackers = 7\n")
    done = cli(*TINY, "--results", results, "-c", file)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert f"`{file}`" in done.err
    # A flag wins over the file; an empty one chooses none.
    file.write_text('trackers = "journal,needy"\n')
    assert cli(*TINY, "--results", results, "-c", file, "--trackers", "", "--plan").code == 0


def planned(**values: Any) -> Any:
    config = ExperimentConfig.create({"models": "tiny", "datasets": "tiny", **values})
    return plan(config, load_registry())


def test_params_are_resolved_and_runs_are_the_same_with_and_without() -> None:
    without, tracked = planned(), planned(trackers="journal", set={"journal.mark": "*"})
    assert without.trackers == ()
    [ref] = tracked.trackers
    assert (ref.name, ref.params) == ("journal", {"mark": "*", "strict": False})
    assert tracked.runs == without.runs
    assert [run.cell for run in tracked.runs] == [run.cell for run in without.runs]
    assert [ref.name for ref in planned(trackers=["journal", "journ*"]).trackers] == ["journal"]


def test_passwords_in_params_do_not_stay_beside_the_results(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.cli.run import keep_command

    address = "http://me:secret@host:5000"
    monkeypatch.setattr("sys.argv", ["bench", "run", "--set", f"journal.mark={address}"])
    config = ExperimentConfig.create(
        {
            "models": "tiny",
            "results": results,
            "set": {"journal.mark": address, "tiny.width": [1, 2]},
        }
    )
    keep_command(config)
    [file] = (results / "experiments").iterdir()
    text = file.read_text()
    assert "secret" not in text
    assert text.count("http://me:***@host:5000") == 2
    assert '"tiny.width" = [1, 2]' in text


# Being told


def test_runs_are_told_of_as_they_happen_and_not_again(
    experiment: Experiment, watcher: Watcher, results: Path
) -> None:
    chosen: dict[str, Any] = {"trackers": "journal", "set": {"journal.mark": "*"}}
    done = experiment(["tiny", "raises"], **chosen)
    ids = {record.spec.model.name: record.id for record in done.records}
    lines = (results / "journal.txt").read_text().splitlines()
    assert [line for line in lines if ids["tiny"] in line] == [
        f"* started {ids['tiny']}",
        f"* epoch {ids['tiny']} 1",
        f"* epoch {ids['tiny']} 2",
        f"* finished {ids['tiny']} ok",
    ]
    assert f"* finished {ids['raises']} failed" in lines  # it failed before it could start
    assert lines[-1] == "* closed"
    assert not [text for text in watcher.messages if "warning" in text]
    # What is finished is not told again, whatever its trackers.
    again = experiment("tiny", trackers="journal", set={"journal.mark": "again"})
    assert [record.id for record in again.records] == [ids["tiny"]]
    assert (results / "journal.txt").read_text().splitlines() == lines


def test_a_wrong_value_ends_it_before_a_worker_starts(
    experiment: Experiment, watcher: Watcher, results: Path
) -> None:
    with pytest.raises(bench.UsageError, match=r"`journal\.mark` is empty"):
        experiment(trackers="journal", set={"journal.mark": '""'})
    assert watcher.messages == []
    assert not (results / "runs").exists()


def test_the_python_door_takes_them(cli: Cli, results: Path) -> None:
    with pytest.raises(bench.UnknownNameError, match="did you mean `journal`"):
        bench.run(models="tiny", datasets="tiny", results=results, trackers=["jurnal"])


def test_they_are_listed(cli: Cli) -> None:
    rows = json.loads(cli("list", "trackers", "--json").out)["trackers"]
    params = {row["name"]: row["params"] for row in rows}
    assert params["journal"] == {"mark": "-", "strict": False}
    assert {"tensorboard", "mlflow"} <= set(params)


def test_the_pages_csv_logger_is_ten_lines_and_keeps_every_epoch(
    tmp_path: Path, watcher: Watcher
) -> None:
    page = (Path(__file__).parent.parent / "docs/plugins/trackers.md").read_text("utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith("import")]
    assert len(lines) == 10
    module = types.ModuleType("csv_logger")
    exec(code, vars(module))
    registry = load_registry()
    registry.add(Plugin("csv_logger", "acme", "1.0", "csv_logger"), lambda: module)
    [command] = re.findall(r"^bench (run .*)$", page, re.MULTILINE)
    [setting] = re.findall(r"--set csv\.file=(\S+)", command)
    config = ExperimentConfig.create(
        {
            **{"models": "tiny", "datasets": "tiny", "seeds": 2, "results": tmp_path},
            **{"trackers": "csv", "set": {"csv.file": setting}},
        }
    )
    result = api.execute(config, registry, *api.prepare(config, registry), watcher)
    rows = [line.split(",") for line in (tmp_path / setting).read_text().splitlines()]
    assert [(run, int(epoch)) for run, epoch, *_ in rows] == [
        (record.id, epoch) for record in result.records for epoch in (1, 2)
    ]
    measured = {(run, m.epoch): [m.val_accuracy] for run, m in watcher.epochs}
    for run, epoch, *values in rows:
        assert [float(value) for value in values] == measured[run, int(epoch)]


def test_the_page_tells_of_all_that_a_session_does() -> None:
    page = (Path(__file__).parent.parent / "docs/plugins/trackers.md").read_text("utf-8")
    members = [name for name in vars(bench.TrackerSession) if not name.startswith("_")]
    assert [name for name in members if f"| `{name}(" not in page] == []


# Flat names


def test_params_are_flat_plain_and_without_gaps() -> None:
    spec = make_spec(params={"optimizer": {"lr": 0.1, "betas": [0.9, 0.99], "eps": None}}, seed=3)
    found = flat.params(spec)
    assert found["optimizer"] == "adamw"
    assert found["optimizer.lr"] == 0.1
    assert found["optimizer.betas"] == "[0.9, 0.99]"
    assert "optimizer.eps" not in found
    assert found["protocol.epochs"] == spec.protocol["epochs"]
    assert found["seed"] == 3
    assert "protocol.schedule" not in found
    assert all(isinstance(value, str | int | float | bool) for value in found.values())


def test_measures_are_numbers() -> None:
    assert flat.curves(EpochMetrics(1, 2, 0.5, 0.25, 0.75, 0.5, 0.1, 2.0, 10.0)) == {
        **{"train/loss": 0.5, "train/accuracy": 0.25, "val/loss": 0.75, "val/accuracy": 0.5},
        **{"lr": 0.1, "images_per_second": 10.0, "epoch_seconds": 2.0},
    }
    assert flat.results(make_record(accuracy=0.75, log_loss=None)) == {
        **{"final/val_accuracy": 0.75, "final/test_accuracy": 0.75},
        **{"cost/train_seconds": 2.0, "cost/images_per_second": 500.0},
        **{"cost/parameters": 1234.0, "cost/flops": 5678.0, "cost/latency_ms": 1.5},
    }
