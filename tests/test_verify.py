"""Published baselines: files that say what to run, and what came of it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import install
from hypothesis import given
from hypothesis import strategies as st

from bench import api, baselines, stats
from bench.baselines import Level
from bench.cli import main
from bench.config import ExperimentConfig
from bench.errors import PluginError, UnknownNameError, UsageError
from bench.leaderboard import Leaderboard
from bench.plan import plan
from bench.registry import load_registry
from bench.verification import Outcome, judge, verify

FILE = """
name = "{name}"
summary = "the smallest set there is"
metric = "accuracy"
differs = "in nothing"

[source]
title = "this test"
url = "https://example.org"
says = "so"

[data]
images = {images}
test = {test}
get = "it is part of the tests"

[experiment]
datasets = "tiny"
models = "tiny"
optimizers = "adamw"
epochs = 8

[levels.quick]
expected = {expected}
tolerance = {tolerance}
why = "it was measured"
experiment = {{ seeds = {seeds} }}
"""
USUAL = {"name": "tiny", "images": 144, "test": 48, "expected": 0.8, "tolerance": 0.2, "seeds": 1}


def write(folder: Path, **values: Any) -> Path:
    values = {**USUAL, **values}
    path = folder / f"{values['name']}.toml"
    path.write_text(FILE.format(**values))
    return path


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main([str(word) for word in words])
    code = done.value.code
    assert isinstance(code, int)
    return code, *capsys.readouterr()


@pytest.fixture
def offers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a plugin that offers all TOML files of a folder, and return the folder."""
    site, folder = tmp_path / "site", tmp_path / "baselines"
    folder.mkdir()
    install(site, "bench-published", {"published": "published"})
    (site / "published.py").write_text(
        "import pathlib, bench\n"
        "@bench.hookimpl\n"
        f"def register_baselines(): return sorted(pathlib.Path({str(folder)!r}).glob('*'))\n"
    )
    monkeypatch.delitem(sys.modules, "published", raising=False)
    monkeypatch.syspath_prepend(str(site))
    return folder


# What the package offers


def test_every_baseline_of_the_package_is_whole_and_can_be_planned() -> None:
    registry = load_registry()
    known = baselines.offered(registry)
    assert {"mnist-one-conv", "cifar10-simple-cnn", "flowers-tutorial"} <= {b.name for b in known}
    for baseline in known:
        assert baseline.source.url.startswith("https://")
        for name, level in baseline.levels.items():
            values = baseline.values(name)
            # Seeds and epochs are fixed, so that nothing is chosen after it was seen.
            assert {"epochs", "seeds"} <= set(level.experiment)
            made = plan(ExperimentConfig.create(values), registry)
            assert len(made.runs) == values["seeds"]
            assert all(r.protocol["schedule"] == "constant" for r in made.runs)


def test_the_network_of_deepobs_has_the_published_number_of_parameters() -> None:
    import torch

    known = baselines.choose(baselines.offered(load_registry()), "deepobs-fmnist-2c2d-adam")
    params = {
        name.partition(".")[2]: value
        for name, value in known.experiment["set"].items()
        if name.startswith("cnn-flowers.")
    }
    build = load_registry().get("model", "cnn-flowers").component.factory
    network = build(10, (1, 28, 28), **params)
    # 5x5x32 + 32, 5x5x32x64 + 64, 3136x1024 + 1024, 1024x10 + 10.
    assert sum(p.numel() for p in network.parameters()) == 832 + 51_264 + 3_212_288 + 10_250
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_listing_names_what_is_expected_and_who_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = run(capsys, "verify", "--list")
    assert code == 0
    assert re.search(r"mnist-one-conv +full +98\.0% ± 1\.0", out)
    plain = json.loads(run(capsys, "verify", "--list", "--json")[1])
    assert plain["schema"] == 1
    assert all(each["source"]["url"] for each in plain["baselines"])


# What a value means


def level(expected: float = 0.9, tolerance: float = 0.02) -> Level:
    return Level(expected=expected, tolerance=tolerance, why="so", experiment={})


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((0.9, 0.895, 0.905), Outcome.PASSED),
        ((0.88, 0.875, 0.885), Outcome.PASSED),
        ((0.92, 0.915, 0.925), Outcome.PASSED),
        ((0.87, 0.865, 0.875), Outcome.FAILED),
        ((0.95, 0.945, 0.955), Outcome.FAILED),
        ((0.87, 0.855, 0.885), Outcome.UNMEASURED),
        ((0.9, 0.87, 0.93), Outcome.UNMEASURED),
    ],
)
def test_outcomes(interval: tuple[float, float, float], outcome: Outcome) -> None:
    assert judge(stats.Interval(*interval), level())[0] is outcome


@given(st.floats(0, 1), st.floats(0, 0.1), st.floats(0.01, 0.99), st.floats(0.001, 0.1))
def test_nothing_passes_whose_mean_is_off_or_whose_noise_is_wide(
    mean: float, half: float, expected: float, tolerance: float
) -> None:
    measured = stats.Interval(mean, mean - half, mean + half)
    outcome, why = judge(measured, level(expected, tolerance))
    if outcome is Outcome.PASSED:
        assert abs(mean - expected) <= tolerance + 1e-6
        assert half <= tolerance + 1e-6
    if outcome is Outcome.FAILED:
        assert abs(mean - expected) > tolerance - 1e-6
    assert "\n" not in why


# Runs


def test_exit_codes_end_to_end(
    offers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = ("--results", tmp_path / "r")
    write(offers)
    code, out, err = run(capsys, "verify", "tiny", *results, "--json")
    [found] = json.loads(out)["baselines"]
    assert (code, found["outcome"]) == (0, "passed"), err
    assert found["n"] == 48
    measured = found["measured"]
    assert measured["low"] < measured["mean"] <= measured["high"] + 1e-9
    assert found["environment"]["libraries"]["torch"]
    # It is an ordinary results folder, with the same run when it is asked for again.
    assert (tmp_path / "r" / "leaderboard.md").exists()
    assert run(capsys, "show", found["runs"][0], *results)[0] == 0
    write(offers, expected=0.3, tolerance=0.2)
    code, out, _ = run(capsys, "verify", "tiny", *results)
    assert code == 1
    assert out.startswith("failed: tiny, quick: measured")
    assert "https://example.org" in out
    write(offers, tolerance=0.01)
    assert run(capsys, "verify", "tiny", *results)[0] == 3
    write(offers, images=145)
    code, out, _ = run(capsys, "verify", "tiny", *results)
    assert code == 3
    assert "these are other data: 144 images, 48 of them for the test" in out
    assert "it is part of the tests" in out
    assert len([*(tmp_path / "r" / "runs").iterdir()]) == 1


def test_a_run_that_fails_is_no_measurement(offers: Path, tmp_path: Path) -> None:
    path = write(offers)
    path.write_text(path.read_text().replace('models = "tiny"', 'models = "exits"'))
    done = verify(baselines.read(path), "quick", {"results": tmp_path / "r"})
    assert done.outcome is Outcome.UNMEASURED
    assert done.why.startswith("0 of 1 runs succeeded (crashed")


def test_one_interruption_ends_all_of_it(
    offers: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("first", "second"):
        write(offers, name=name)
    asked = []

    def stopped(**values: Any) -> api.Result:
        asked.append(values)
        return api.Result(Leaderboard([]), interrupted=True)

    monkeypatch.setattr(api, "run", stopped)
    code, out, _ = run(capsys, "verify", "--results", tmp_path / "results")
    assert (code, len(asked)) == (130, 1)
    assert "goes on from here" in out


def test_without_its_data_a_baseline_says_how_to_get_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    words = ("verify", "cifar10-simple-cnn", "--offline", "--data-dir", empty)
    code, out, _ = run(capsys, *words, "--results", tmp_path / "r")
    assert code == 3
    assert out.startswith("could not measure: cifar10-simple-cnn, quick: ")
    assert "to get the data: `--data-dir` names a folder with cifar-10-batches-py" in out


# Bad input


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"tolerance": -1}, "levels.quick.tolerance"),
        ({"expected": 90}, "levels.quick.expected"),
        ({"images": 0}, "data.images"),
        ({"seeds": '"'}, "cannot read baseline"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    path = write(tmp_path, **change)
    with pytest.raises(PluginError, match=why) as caught:
        baselines.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_baselines_of_one_name_and_a_hook_that_fails(offers: Path, tmp_path: Path) -> None:
    write(offers, name="mnist-one-conv")
    with pytest.raises(PluginError, match="`bench_baselines` and by `published`"):
        baselines.offered(load_registry())
    (tmp_path / "site" / "published.py").write_text(
        "import bench\n@bench.hookimpl\ndef register_baselines(): return 1 / 0\n"
    )
    sys.modules.pop("published", None)
    with pytest.raises(PluginError, match="`register_baselines` of plugin `published` failed"):
        baselines.offered(load_registry())


def test_wrong_words(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words, why in (
        (("verify", "mnist-one-con"), "did you mean `mnist-one-conv`"),
        (("verify", "flowers-tutorial", "--level", "quick"), "no level `quick`, but `full`"),
        (("verify", "--dataset", "digits"), "name the baseline too"),
        (("verify", "mnist-one-conv", "--threads", "x"), "`threads`"),
    ):
        code, _, err = run(capsys, *words)
        assert (code, why in err) == (2, True), err
    with pytest.raises(UnknownNameError):
        baselines.choose([], "x")
    with pytest.raises(UsageError):
        baselines.read(write(tmp_path)).level("full")
