"""`bench export`: files that say what the network says, with what is needed to use them."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Done
from pictures import pixels_of_test
from safetensors import safe_open

import bench
from bench import files
from bench.answers import AnswerBook
from bench.api import Result
from bench.records import RunRecord
from bench.store import Store

Cli = Callable[..., Done]
ONNX = "pip install 'bench-harness[onnx]'"


def train(results: Path, **values: Any) -> RunRecord:
    given = {"datasets": "tiny", "models": "tiny", "results": results, "epochs": 1, **values}
    done: Result = bench.run(**given)
    [record] = done.records
    assert str(record.status) == "ok", record.error
    return record


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export") / "results"


@pytest.fixture(scope="module")
def record(results: Path) -> RunRecord:
    return train(results, datasets="digits", models="cnn3", limit=60)


def test_safetensors_hold_weights_and_what_is_needed_to_use_them(
    cli: Cli, results: Path, record: RunRecord, tmp_path: Path
) -> None:
    output = tmp_path / "model.safetensors"
    done = cli("export", record.id, "-o", output, "--results", results)
    assert done.code == 0, done.err
    kept = results / "runs" / record.id / "model.safetensors"
    with safe_open(output, "np") as ours, safe_open(kept, "np") as theirs:
        assert {*ours.keys()} == {*theirs.keys()}
        for name in ours.keys():  # noqa: SIM118 (it is no dict)
            assert (ours.get_tensor(name) == theirs.get_tensor(name)).all()
        about = ours.metadata()
    assert json.loads(about["classes"]) == [str(digit) for digit in range(10)]
    assert about["run"] == record.id
    assert about["task"] == "multi-class"
    assert about["interpolation"] == "bilinear"
    assert json.loads(about["input_size"]) == 8
    assert json.loads(about["mean"]) == record.environment["mean"]
    assert json.loads(about["std"]) == record.environment["std"]
    assert about["made_by"].startswith("bench ")


def test_exported_weights_start_a_run(
    cli: Cli, results: Path, record: RunRecord, tmp_path: Path
) -> None:
    output = tmp_path / "model.safetensors"
    cli("export", record.id, "-o", output, "--results", results)
    same = {"datasets": "digits", "models": "cnn3", "limit": 60}
    started = train(tmp_path / "results", weights=str(output), **same)
    assert started.environment["weights"]["loaded"] > 0


def test_a_file_is_never_replaced_unasked(
    cli: Cli, results: Path, record: RunRecord, tmp_path: Path
) -> None:
    output = tmp_path / "model.safetensors"
    output.write_text("precious")
    words = ("export", record.id, "-o", output, "--results", results)
    done = cli(*words)
    assert done.code == 2
    assert f"`{output}` is there already; `--force` replaces it" in done.err
    assert output.read_text() == "precious"
    assert cli(*words, "--force", "--json").code == 0
    assert output.stat().st_size > 10_000


@pytest.mark.parametrize("name", ["model.pt", "model", "onnx"])
def test_another_ending_is_refused(
    cli: Cli, results: Path, record: RunRecord, tmp_path: Path, name: str
) -> None:
    done = cli("export", record.id, "-o", tmp_path / name, "--results", results)
    assert done.code == 2
    assert "the file's ending is one of `.safetensors`, `.onnx`" in done.err


def test_without_the_extra_the_command_that_installs_it_is_told(
    cli: Cli, results: Path, record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    lacking = lambda name, *more: None if name == "onnxscript" else find(name, *more)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", lacking)
    done = cli("export", record.id, "-o", tmp_path / "model.onnx", "--results", results)
    assert done.code == 3
    assert done.err.count("\n") == 1
    assert ONNX in done.err


def ask(path: Path, images: Any) -> Any:
    """Ask a graph, as a program without bench would: NCHW floats from 0 to 1."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"images": images})[0]


def test_a_graph_says_what_the_run_has_stored(
    cli: Cli, results: Path, record: RunRecord, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx", reason=ONNX)
    pytest.importorskip("onnxruntime", reason=ONNX)
    output = tmp_path / "model.onnx"
    done = cli("export", record.id, "-o", output, "--results", results, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["checked"]["difference"] < 1e-5
    assert told["checked"]["equal"] == told["checked"]["images"] == 60
    images = (pixels_of_test(record) / 255).astype(np.float32).transpose(0, 3, 1, 2)
    answers = AnswerBook(Store(results)).of(record)
    assert answers is not None
    for batch in (1, 7, 60):
        said = ask(output, images[:batch])
        assert np.abs(said - answers.probabilities[:batch]).max() < 3e-4  # type: ignore[index]
    model = onnx.load(output)
    about = {each.key: each.value for each in model.metadata_props}
    assert about == told["metadata"]
    assert json.loads(about["classes"])[3] == "3"
    assert [each.version for each in model.opset_import if not each.domain] == [18]
    onnx.checker.check_model(model)
    plain = cli("export", record.id, "-o", output, "--results", results, "--force")
    assert "opset 18; on 60 test images probabilities differ from torch's by at most" in plain.out


def test_a_graph_that_says_something_else_is_not_kept(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason=ONNX)
    results, output = tmp_path / "results", tmp_path / "out" / "model.onnx"
    record = train(results, models="restless")
    done = cli("export", record.id, "-o", output, "--results", results)
    assert done.code == 3
    assert "the graph does not say what model `restless` of plugin" in done.err
    assert done.err.count("\n") == 1
    assert [*output.parent.iterdir()] == []


def test_a_dataset_that_was_removed_is_stored_again_for_the_check(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason=ONNX)
    record = train(tmp_path / "results", set={"tiny.gain": 2.0})
    shutil.rmtree(files.cache_folder() / "datasets" / record.spec.fingerprint)
    words = ("-o", tmp_path / "model.onnx", "--results", tmp_path / "results")
    done = cli("export", record.id, *words)
    assert done.code == 0, done.err
    assert "on 48 test images" in done.out


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet18", "mobilenetv3_small_050"])
def test_graphs_of_published_architectures(cli: Cli, tmp_path: Path, model: str) -> None:
    pytest.importorskip("onnxruntime", reason=ONNX)
    results = tmp_path / "results"
    given = {"datasets": "digits", "models": model, "limit": 40, "input_size": 32}
    record = train(results, **given)
    words = ("export", record.id, "--results", results, "--json", "-o")
    done = cli(*words, tmp_path / "model.onnx")
    assert done.code == 0, done.err
    checked = json.loads(done.out)["checked"]
    assert checked["equal"] == checked["images"] == 40
    assert cli(*words, tmp_path / "model.safetensors").code == 0
