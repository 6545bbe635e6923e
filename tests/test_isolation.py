"""What is promised of broken plugins, with real wheels of them in a clean environment.

Each test's name begins with the number of the promise. `tests/test_faults.py` has the promises that
concern more than plugins, and the same ones in finer detail.
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from broken_packages import (
    COMMANDS,
    DEADLY_DATASETS,
    DEADLY_MODELS,
    FATAL,
    NO_TEXT,
    NOISY,
    SLOW,
    SLOW_SECONDS,
    SOUND,
    TRACKERS,
    TWINS,
    UNLOADABLE,
    WITH_COMMANDS,
    WRONG_DATASETS,
    WRONG_MODELS,
)
from environments import Environment, Package, Told, Workshop

Rows = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def broken(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment with sound packages and all broken ones but the slow one installed."""
    folder = tmp_path_factory.mktemp("broken")
    packages = [*SOUND, *UNLOADABLE, *TWINS, NOISY, NO_TEXT, TRACKERS, *WITH_COMMANDS]
    packages += [*WRONG_DATASETS, *WRONG_MODELS, *DEADLY_DATASETS, *DEADLY_MODELS]
    return workshop.environment(folder / "environment", workshop.wheels(folder / "made", packages))


@pytest.fixture(scope="module")
def model_runs(broken: Environment) -> Told:
    """Return what one command says that trains sound, wrong, deadly and noisy models."""
    names = [_name(package) for package in (*WRONG_MODELS, *DEADLY_MODELS)]
    models = ",".join(["linear", *names, "noisy"])
    return broken.bench("run", "--models", models, "--datasets", "bars", "--json")


@pytest.fixture(scope="module")
def dataset_runs(broken: Environment) -> Told:
    """Return what one command says that trains on sound, wrong, deadly and noisy datasets."""
    names = [_name(package) for package in (*WRONG_DATASETS, *DEADLY_DATASETS)]
    datasets = ",".join(["bars", *names, "noisy-source:here"])
    return broken.bench(
        *("run", "--models", "linear", "--datasets", datasets, "--results", "of-datasets", "--json")
    )


def _named(each: Any) -> str:
    return each.name if isinstance(each, Package) else ""


def _name(package: Package) -> str:
    """Return the name of the one component of a package."""
    return package.name.removeprefix("bench-")


def _label(package: Package) -> str:
    return f"plugin `{package.module}` ({package.name} {package.version})"


def _rows(told: Told, kind: str) -> Rows:
    return {row[kind]: row for row in json.loads(told.out)["rows"]}


# Plugins that fail while they load


def test_1_help_is_there_whatever_is_installed(broken: Environment) -> None:
    told = broken.bench("--help")
    assert (told.code, told.err) == (0, "")
    assert "leaderboard" in told.out


def test_1_a_plugin_that_fails_to_load_is_one_warning_and_the_others_load(
    broken: Environment,
) -> None:
    told = broken.bench("list", "models")
    assert told.code == 0
    for name in ("linear", "resnet50", "cnn"):
        assert any(line.split()[0] == name for line in told.out.splitlines())
    warnings = told.lines("warning:")
    assert len(warnings) == len(UNLOADABLE)
    for package, reason in UNLOADABLE.items():
        [line] = [text for text in warnings if f"`{package.module}`" in text]
        assert f"{package.name} {package.version}" in line
        assert reason in line


@pytest.mark.parametrize("variable", ["BENCH_PLUGINS_FATAL", "BENCH_STRICT_PLUGINS"])
def test_1_a_plugin_that_fails_to_load_is_fatal_where_that_is_wished(
    broken: Environment, variable: str
) -> None:
    told = broken.bench("list", "losses", **{variable: "1"})
    assert (told.code, told.out) == (3, "")
    [line] = told.lines("error:")
    assert "could not be loaded" in line


def test_1_a_broken_plugin_can_be_left_out(broken: Environment) -> None:
    told = broken.bench("list", "models", BENCH_PLUGINS="bench_linear,bench_cnn")
    assert (told.code, told.err) == (0, "")
    assert [line.split()[0] for line in told.out.splitlines()][-1] == "linear"


def test_1_and_2_nothing_of_a_broken_plugin_is_listed(broken: Environment) -> None:
    told = broken.bench("plugins", "list", "--json")
    assert told.code == 0
    plugins = {plugin["name"]: plugin for plugin in json.loads(told.out)["plugins"]}
    for package, reason in UNLOADABLE.items():
        plugin = plugins[package.module]
        assert reason in plugin["error"]
        assert not any(plugin["components"].values())
    broken_ones = {package.module for package in UNLOADABLE}
    assert {name for name, plugin in plugins.items() if plugin["error"]} == broken_ones

    told = broken.bench("list", "losses", "--json")
    names = {loss["name"] for loss in json.loads(told.out)["losses"]}
    assert "cross-entropy" in names
    assert not names & {"half-way", "unseen", "x", "old"}


def test_1_asking_for_what_did_not_load_says_who_did_not(broken: Environment) -> None:
    told = broken.bench("run", "--models", "linear", "--datasets", "bars", "--loss", "unheard-of")
    assert told.code == 2
    [line] = told.lines("error:")
    assert "not loaded: `bench_exits` (bench-exits 1.0)" in line


@pytest.fixture(scope="module")
def burdened(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment with a plugin that is slow to import, and one that crashes there."""
    folder = tmp_path_factory.mktemp("burdened")
    wheels = workshop.wheels(folder / "made", [SLOW, FATAL])
    return workshop.environment(folder / "environment", wheels)


def test_5_a_plugin_that_crashes_the_import_is_named_and_can_be_left_out(
    burdened: Environment,
) -> None:
    told = burdened.bench("list", "models")
    assert (told.code, told.out) == (-signal.SIGSEGV, "")
    assert "Segmentation fault" in told.err
    assert f"{FATAL.module}.py" in told.err
    told = burdened.bench("list", "models", BENCH_PLUGINS="bench_cnn")
    assert (told.code, told.err) == (0, "")


def test_a_slow_plugin_slows_no_help_and_its_load_time_is_shown(burdened: Environment) -> None:
    for words in (["--help"], ["run", "--help"], ["plugins", "--help"], ["--version"]):
        told = burdened.bench(*words)
        assert (told.code, told.err) == (0, ""), words  # it prints where it is imported
    assert "slowly" in burdened.bench("--help").out
    told = burdened.bench("plugins", "list", "--json", BENCH_PLUGINS=f"{SLOW.module},bench_cnn")
    seconds = {plugin["name"]: plugin["seconds"] for plugin in json.loads(told.out)["plugins"]}
    assert seconds["bench_slow"] >= SLOW_SECONDS
    assert seconds["bench_cnn"] < SLOW_SECONDS
    assert "the slow one is imported" in told.err


# Two of a name


def test_3_a_name_that_two_plugins_claim_is_an_error_that_names_both(broken: Environment) -> None:
    run = ("run", "--datasets", "bars", "--plan", "--json", "--models")
    told = broken.bench(*run, "twin")
    assert told.code == 2
    [line] = told.lines("error:")
    assert "`bench_first` (bench-first 1.0) and `bench_second` (bench-second 1.0)" in line
    assert "`twin@bench_first`" in line
    for selector in ("twin@bench_second", "twin@bench-second"):
        told = broken.bench(*run, selector)
        assert told.code == 0, told.err
        [spec] = json.loads(told.out)["runs"]
        assert spec["model"]["plugin"] == "bench_second"


# Components that return the wrong thing, or take their process with them


@pytest.mark.parametrize(("package", "words"), WRONG_MODELS.items(), ids=_named)
def test_4_a_model_that_returns_the_wrong_thing_fails_before_it_trains(
    model_runs: Told, package: Package, words: str
) -> None:
    name = _name(package)
    row = _rows(model_runs, "model")[name]
    [error] = row["errors"]
    assert error.startswith("failed: ")
    assert words in error
    assert f"model `{name}` of {_label(package)}" in error
    assert row["rank"] is None
    assert f"{name} · adamw · seed 0: started" not in model_runs.err


@pytest.mark.parametrize(("package", "words"), WRONG_DATASETS.items(), ids=_named)
def test_4_a_dataset_that_returns_the_wrong_thing_fails_before_anything_trains(
    dataset_runs: Told, package: Package, words: str
) -> None:
    name = _name(package)
    row = _rows(dataset_runs, "dataset")[name]
    [error] = row["errors"]
    assert error.startswith("failed: ")
    assert words in error
    assert f"dataset `{name}` of {_label(package)}" in error
    assert f"{name} · linear · adamw · seed 0: started" not in dataset_runs.err


@pytest.mark.parametrize(("package", "cause"), DEADLY_MODELS.items(), ids=_named)
def test_5_a_model_that_kills_its_worker_is_a_crashed_run(
    model_runs: Told, package: Package, cause: str
) -> None:
    [error] = _rows(model_runs, "model")[_name(package)]["errors"]
    assert error.startswith("crashed: ")
    assert cause in error
    assert "log.txt" in error


@pytest.mark.parametrize(("package", "cause"), DEADLY_DATASETS.items(), ids=_named)
def test_5_a_dataset_that_kills_its_worker_is_a_crashed_run_and_named(
    dataset_runs: Told, package: Package, cause: str
) -> None:
    name = _name(package)
    [error] = _rows(dataset_runs, "dataset")[name]["errors"]
    assert error.startswith(f"crashed: dataset `{name}` of {_label(package)} could not be loaded:")
    assert cause in error


def test_4_and_5_the_other_runs_go_on(model_runs: Told, dataset_runs: Told) -> None:
    for told, kind, sound in (
        (model_runs, "model", {"linear", "noisy"}),
        (dataset_runs, "dataset", {"bars", "noisy-source:here"}),
    ):
        rows = _rows(told, kind)
        assert {name for name, row in rows.items() if row["rank"] is not None} == sound
        assert all(rows[name]["errors"] == [] for name in sound)
        assert told.code == 1  # some run failed


# Plugins that print


def test_6_what_a_plugin_prints_in_a_run_is_in_its_log_and_not_in_json(
    broken: Environment, model_runs: Told
) -> None:
    assert "clamour" not in model_runs.out
    row = _rows(model_runs, "model")["noisy"]
    log = (broken.results / "runs" / row["runs"][0] / "log.txt").read_text()
    assert "clamour of build" in log
    assert "clamour of forward" in log
    assert "clamour beside Python" in log
    assert "clamour of build" not in model_runs.err


NOISE = {
    "list models": "import",
    "plugins list": "hook",
    "plugins info bench_noisy": "import",
    "run --models noisy --datasets noisy-source:x --plan": "locate",
    "run --models noisy --datasets noisy-source:x --tune 2 --plan": "suggest",
    "leaderboard --metrics noisy-share": "metric",
    "why RUN": "import",
}


@pytest.mark.parametrize(("words", "place"), NOISE.items())
def test_6_json_stays_parseable_whatever_plugins_print(
    broken: Environment, model_runs: Told, words: str, place: str
) -> None:
    run = _rows(model_runs, "model")["noisy"]["runs"][0]
    told = broken.bench(*words.replace("RUN", run).split(), "--json")
    assert told.code == 0, told.err
    json.loads(told.out)
    assert "clamour" not in told.out
    assert f"clamour of {place}" in told.err


def test_6_a_report_is_what_its_format_returns(broken: Environment, model_runs: Told) -> None:
    told = broken.bench("report", "--format", "noisy-text", "-o", "-")
    assert (told.code, told.out) == (0, "the text\n")
    assert "clamour of report" in told.err


# Trackers whose server is down


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    """Return a port where nobody listens, and one where everybody waits for an answer for ever."""
    with socket.socket() as free, socket.socket() as deaf:
        free.bind(("127.0.0.1", 0))
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        yield {"refused": free.getsockname()[1], "hanging": deaf.getsockname()[1]}


def test_28_a_tracker_whose_server_is_down_fails_no_run_and_is_one_warning(
    broken: Environment, ports: dict[str, int]
) -> None:
    sets = [f"--set={name}.url=http://127.0.0.1:{port}/" for name, port in ports.items()]
    trackers = ("refused", "hanging", "failing", "leaving")
    run = ("run", "--models", "linear", "--datasets", "bars", "--epochs", "3", "--seeds", "2")
    told = broken.bench(
        *(*run, "--trackers", ",".join(trackers), *sets, "--results", "tracked", "--json")
    )
    assert told.code == 0, told.err
    [row] = json.loads(told.out)["rows"]
    assert (len(row["runs"]), row["failed"]) == (2, 0)
    assert "clamour" not in told.out
    for name, reason in zip(
        trackers, ("Connection refused", "was not waited for", "OSError", "SystemExit"), strict=True
    ):
        assert sum(f"tracker `{name}`" in line for line in told.lines("warning:")) == 1
        assert reason in told.err
        assert f"tracker `{name}` missed 10 of 10 events" in told.err
    assert " ".join(told.err.split()).count("leave it out of `--trackers`") == len(trackers)
    assert len(list((broken.folder / "work" / "tracked" / "runs").glob("*/record.json"))) == 2


# What is called when results are read


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("no-text", "returned int, not str; choose another by `--format`"),
        ("raising", "failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_report_that_returns_no_text_is_one_line(
    broken: Environment, model_runs: Told, form: str, words: str
) -> None:
    told = broken.bench("report", "--format", form, "-o", "-")
    assert (told.code, told.out) == (3, "")
    [line] = told.lines("error:")
    assert f"report `{form}` of {_label(NO_TEXT)} {words}" in line


@pytest.mark.parametrize(
    ("metric", "words"), [("of-text", "ValueError: could not convert"), ("exiting", "SystemExit")]
)
def test_a_metric_that_fails_leaves_the_leaderboard_and_one_warning(
    broken: Environment, model_runs: Told, metric: str, words: str
) -> None:
    told = broken.bench("leaderboard", "--metrics", metric, "--json")
    assert told.code == 0
    assert {"linear", "noisy"} <= {row["model"] for row in json.loads(told.out)["rows"]}
    [line] = [line for line in told.lines("warning:") if metric in line]
    assert f"metric of plugin `{NO_TEXT.module}` failed: {words}" in line


# Commands that other distributions add


@pytest.mark.parametrize(("name", "words"), COMMANDS.items())
def test_a_command_that_cannot_be_called_is_one_line_that_names_its_distribution(
    broken: Environment, name: str, words: str
) -> None:
    assert f"\n  {name} " in broken.bench("--help").out
    told = broken.bench(name)
    assert (told.code, told.out) == (3, "")
    [line] = told.err.splitlines()
    assert line.startswith(f"error: command `{name}` (bench-{name} 1.0) cannot be ")
    assert words in line


def test_a_command_of_bench_cannot_be_taken(broken: Environment) -> None:
    told = broken.bench("plugins")
    assert told.code == 0
    assert "stolen" not in told.out
    [line] = [line for line in told.lines("error:") if "bench-thief" in line]
    assert "`bench plugins` is a command of bench itself" in line
