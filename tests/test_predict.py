"""`bench predict`: the same answers as in the run, and what becomes of files that are none."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Done
from pictures import pixels_of_test, write, write_photographs, write_test_images
from PIL import Image

import bench
from bench.answers import AnswerBook
from bench.api import Result
from bench.records import RunRecord
from bench.store import Store

Cli = Callable[..., Done]
HALF = 3e-4
"""Stored probabilities are rounded to float16, which is off by half of 2**-11 at most."""


def train(results: Path, **values: Any) -> RunRecord:
    given = {"datasets": "tiny", "models": "tiny", "results": results, **values}
    done: Result = bench.run(**given)
    [record] = done.records
    assert str(record.status) == "ok", record.error
    return record


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predict") / "results"


@pytest.fixture(scope="module")
def record(results: Path) -> RunRecord:
    return train(results)


@pytest.fixture(scope="module")
def images(record: RunRecord, results: Path) -> Path:
    return write_test_images(record, results.parent / "images")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def stored(results: Path, record: RunRecord) -> Any:
    answers = AnswerBook(Store(results)).of(record)
    assert answers is not None
    assert answers.probabilities is not None
    return answers


def told(cli: Cli, results: Path, record: RunRecord, *words: Any) -> list[dict[str, Any]]:
    done = cli("predict", record.id, *words, "--json", "--results", results)
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)["images"]
    return found


def probabilities(images: Sequence[dict[str, Any]], classes: Sequence[str]) -> Any:
    """Return all that was told, (N, C) in the order of the classes."""
    by_class = [
        each.get("probabilities") or {top["class"]: top["probability"] for top in each["top"]}
        for each in images
    ]
    return np.array([[row[name] for name in classes] for row in by_class])


@pytest.mark.parametrize(
    "given",
    [
        {"datasets": "digits", "models": "cnn3", "limit": 60},
        {"datasets": "digits", "models": "cnn3", "limit": 60, "normalize": "unit"},
        {"input_size": 12, "resize": "squash", "deterministic": True},
        {"batch_size": 7, "averaging": "ema"},
        {"color": "rgb", "classes": "0,2", "datasets": "digits", "limit": 60},
    ],
    ids=["digits", "unit", "enlarged", "averaged", "two classes in colour"],
)
def test_the_runs_own_test_images_get_the_stored_probabilities(
    cli: Cli, tmp_path: Path, given: dict[str, Any]
) -> None:
    record = train(tmp_path / "results", epochs=1, **given)
    folder = write_test_images(record, tmp_path / "images")
    answers = stored(tmp_path / "results", record)
    said = told(cli, tmp_path / "results", record, folder, "--top", 99)
    assert [Path(each["path"]).name for each in said] == [f"{i}.png" for i in range(len(said))]
    assert [answers.classes.index(each["predicted"]) for each in said] == [*answers.predicted]
    found = probabilities(said, answers.classes)
    assert np.abs(found - answers.probabilities).max() < HALF


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_photographs_of_several_sizes_pass_through_what_the_runs_own_did(
    cli: Cli, tmp_path: Path, resize: str
) -> None:
    folder = write_photographs(tmp_path / "set", "a", "b", "c")
    given = {"datasets": f"folder:{folder}", "input_size": 20, "resize": resize, "epochs": 2}
    record = train(tmp_path / "results", **given)
    answers = stored(tmp_path / "results", record)
    said = told(cli, tmp_path / "results", record, folder / "test", "--top", 3)
    found = probabilities(said, answers.classes)
    # The run has its items in an order of their own.
    order = np.lexsort(found.round(3).T)
    theirs = np.lexsort(answers.probabilities.astype(float).round(3).T)
    assert np.abs(found[order] - answers.probabilities[theirs]).max() < 2e-3
    assert np.sort(found.max(1)) == pytest.approx(np.sort(answers.probabilities.max(1)), abs=HALF)


def test_a_table_has_a_row_for_each_image_in_the_order_given(
    cli: Cli, results: Path, record: RunRecord, images: Path, tmp_path: Path
) -> None:
    output = tmp_path / "predictions.csv"
    words = (images / "7.png", images, "--top", 2, "-o", output)
    done = cli("predict", record.id, *words, "--batch-size", 5, "--results", results)
    assert done.code == 0, done.err
    assert done.out == ""
    assert f"{output}: 49 images" in done.err
    rows = rows_of(output.read_text())
    assert list(rows[0]) == ["path", "predicted", "probability", "predicted_2", "probability_2"]
    order = [7, *range(48)]
    assert [row["path"] for row in rows] == [str(images / f"{i}.png") for i in order]
    answers = stored(results, record)
    assert [row["predicted"] for row in rows] == [str(answers.predicted[i]) for i in order]
    assert all(float(row["probability"]) >= float(row["probability_2"]) for row in rows)
    piped = cli("predict", record.id, *words[:4], "--batch-size", 5, "--results", results)
    assert rows_of(piped.out) == rows


def test_a_contact_sheet_is_drawn(
    cli: Cli, results: Path, record: RunRecord, images: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    done = cli("predict", record.id, images, "--sheet", sheet, "--results", results)
    assert done.code == 0, done.err
    with Image.open(sheet) as picture:
        assert min(picture.size) > 400
    wrong = cli("predict", record.id, images, "--sheet", tmp_path / "a.gif", "--results", results)
    assert wrong.code == 2
    assert "the picture's ending is one of" in wrong.err


def test_several_labels_are_told_by_their_thresholds(cli: Cli, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    lines = ["image,labels"]
    for number in range(40):
        sky, tree = number % 2, number // 2 % 2
        image = generator.integers(0, 100, (12, 12), dtype=np.uint8)
        image[:6] += 150 * sky
        image[6:] += 150 * tree
        write(image, tmp_path / "set" / f"{number}.png")
        lines.append(f"{number}.png,{'|'.join(['=sky'] * sky + ['tree'] * tree)}")
    (tmp_path / "set" / "train.csv").write_text("\n".join(lines))
    results = tmp_path / "results"
    source = f"csv:{tmp_path / 'set' / 'train.csv'}"
    record = train(results, datasets=source, epochs=8, batch_size=8)
    folder = write_test_images(record, tmp_path / "images")
    answers = stored(results, record)
    said = told(cli, results, record, folder)
    found = probabilities(said, answers.classes)
    assert np.abs(found - answers.probabilities).max() < 1e-5  # kept in four bytes
    flags = np.array([[name in each["labels"] for name in answers.classes] for each in said])
    assert (flags == answers.predicted.astype(bool)).all()
    done = cli(
        *("predict", record.id, folder, "--results", results),
        *("--threshold", "0", "--threshold", "tree=1"),
    )
    rows = rows_of(done.out)
    assert list(rows[0]) == ["path", "predicted", "'=sky", "tree"]
    assert {row["predicted"] for row in rows} == {"'=sky"}
    every = told(cli, results, record, folder, "--threshold", "=sky=0,tree=0")
    assert {tuple(each["labels"]) for each in every} == {("=sky", "tree")}


def test_of_a_tree_the_leaf_is_said_with_its_path(cli: Cli, tmp_path: Path) -> None:
    names = ("animals/cat", "animals/dog", "plants/oak")
    folder = write_photographs(tmp_path / "set", *names)
    source = f"folder:{folder}"
    record = train(tmp_path / "results", datasets=source, input_size=16, epochs=1)
    [each, *_] = told(cli, tmp_path / "results", record, folder / "test" / "plants")
    assert each["lineage"][-1] == each["predicted"]
    assert each["lineage"][0] in ("animals", "plants")
    done = cli("predict", record.id, folder / "test", "--results", tmp_path / "results")
    assert {row["lineage"] for row in rows_of(done.out)} <= {
        f"{name.partition('/')[0]} > {name}" for name in names
    }


def test_images_of_no_square_are_seen_alike_and_others_are_brought_to_size(
    cli: Cli, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    for number in range(60):
        image = generator.integers(0, 100, (10, 16, 3), dtype=np.uint8)
        image[:, :8] += 100 * (number % 2)
        write(image, tmp_path / "set" / "ab"[number % 2] / f"{number}.png")
    results = tmp_path / "results"
    record = train(results, datasets=f"folder:{tmp_path / 'set'}", epochs=1)
    folder = write_test_images(record, tmp_path / "images")
    answers = stored(results, record)
    found = probabilities(told(cli, results, record, folder), answers.classes)
    assert np.abs(found - answers.probabilities).max() < HALF
    write(np.zeros((50, 31), np.uint8), tmp_path / "tall.png")
    [gray] = told(cli, results, record, tmp_path / "tall.png")
    assert gray["predicted"] in "ab"


@pytest.mark.parametrize("kind", ["truncated", "text", "empty", "bomb", "gone"])
def test_a_file_that_is_no_image_is_named(
    cli: Cli, results: Path, record: RunRecord, images: Path, tmp_path: Path, kind: str
) -> None:
    bad = tmp_path / "bad.png"
    if kind == "truncated":
        whole = (images / "0.png").read_bytes()
        bad.write_bytes(whole[: len(whole) * 2 // 3])
    elif kind == "bomb":
        Image.new("1", (15_000, 15_000)).save(bad)
    elif kind == "gone":
        bad.symlink_to(tmp_path / "nowhere.png")
    else:
        bad.write_text("no picture" if kind == "text" else "")
    output = tmp_path / "predictions.csv"
    words = ("predict", record.id, images / "0.png", bad, images / "1.png", "--results", results)
    stopped = cli(*words, "-o", output)
    assert stopped.code == 3
    assert f"`{bad}`" in stopped.err
    assert "`--on-bad skip`" in stopped.err
    assert stopped.err.count("\n") == 1
    assert not output.exists()
    done = cli(*words, "-o", output, "--on-bad", "skip", "--sheet", tmp_path / "sheet.png")
    assert done.code == 1
    assert f"warning: `{bad}` " in done.err
    rows = rows_of(output.read_text())
    assert [Path(row["path"]).name for row in rows] == ["0.png", "1.png"]
    skipped = json.loads(cli(*words, "--on-bad", "skip", "--json").out)["skipped"]
    assert [each["path"] for each in skipped] == [str(bad)]


def test_of_many_bad_files_some_are_named(
    cli: Cli, results: Path, record: RunRecord, tmp_path: Path
) -> None:
    for number in range(9):
        (tmp_path / f"{number}.png").write_text("no picture")
    words = ("predict", record.id, tmp_path, "--on-bad", "skip", "--results", results)
    done = cli(*words)
    assert done.code == 1
    assert "6 more files cannot be read" in done.err
    assert rows_of(done.out) == []
    sheet = cli(*words, "--sheet", tmp_path / "sheet.png")
    assert sheet.code == 3
    assert "no image could be read" in sheet.err


def test_no_more_than_some_batches_are_read_ahead(results: Path, record: RunRecord) -> None:
    from bench.engine.placement import AHEAD
    from bench.engine.using import network, predicting
    from bench.trained import Trained

    weights = results / "runs" / record.id / "model.safetensors"
    loaded = network.load(Trained(record, weights), "cpu")
    paths = [Path(f"nowhere/{number}.png") for number in range(500)]
    stream = predicting.answers([loaded], [1.0], paths, 4, strict=False)
    said, bad = next(stream)
    assert said.shape == (4, 3)
    assert 4 <= len(bad) <= (AHEAD + 3) * 4
    places = {*bad}
    for _, more in stream:
        assert places.isdisjoint(more)
        places |= more.keys()
    assert places == {*range(500)}


def test_names_of_files_cannot_harm_a_spreadsheet(
    cli: Cli, results: Path, record: RunRecord, images: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("=1+1.png", "@a.png", "a,b\n.png", os.fsdecode(b"caf\xe9.png"))
    for name in names:
        (tmp_path / name).write_bytes((images / "0.png").read_bytes())
    (tmp_path / "list.csv").write_text("file\n=1+1.png\n@a.png\n")
    words = ("--results", results, "-o", tmp_path / "out.csv")
    done = cli("predict", record.id, "list.csv", tmp_path / names[2], tmp_path / names[3], *words)
    assert done.code == 0, done.err
    rows = rows_of((tmp_path / "out.csv").read_text())
    assert [row["path"] for row in rows] == [
        "'=1+1.png",
        "'@a.png",
        f"{tmp_path}/a,b .png",
        f"{tmp_path}/caf\\udce9.png",
    ]


def test_a_run_without_weights_says_how_to_come_by_some(
    cli: Cli, images: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    bare = train(results, keep="none", seeds=1, set={"tiny.gain": 2.0})
    done = cli("predict", bare.id, images, "--results", results)
    assert done.code == 2
    command = done.err.split("`")[1]
    assert command.startswith("bench run --datasets tiny --models tiny")
    assert command.endswith(f"--results {results} --rerun --keep all")
    again = cli(*shlex.split(command)[1:])
    assert again.code == 0, again.err
    assert cli("predict", bare.id, images, "--results", results).code == 0


def test_of_several_seeds_the_one_that_has_weights_is_named(
    cli: Cli, images: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    given = {"datasets": "tiny", "models": "tiny", "results": results}
    records = bench.run(**given, seeds=2).records  # type: ignore[arg-type]
    bare, kept = sorted(
        records, key=lambda r: Store(results).folder(r.id).joinpath("model.safetensors").exists()
    )
    done = cli("predict", bare.id, images, "--results", results)
    assert done.code == 2
    assert f"only run {kept.id} has kept them; use that one" in done.err


def test_a_failed_run_and_a_plugin_that_is_gone(
    cli: Cli, record: RunRecord, images: Path, results: Path, tmp_path: Path
) -> None:
    bench.run(datasets="tiny", models="raises", results=tmp_path / "failed")
    [failed] = Store(tmp_path / "failed").records()
    done = cli("predict", failed.id, images, "--results", tmp_path / "failed")
    assert done.code == 2
    assert "ended as `failed` and has left no network" in done.err
    plain = record.to_dict() | {"plugins": {**record.to_dict()["plugins"], "model": "gone"}}
    folder = tmp_path / "results" / "runs" / record.id
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(plain))
    done = cli("predict", record.id, images, "--results", tmp_path / "results")
    assert done.code == 2
    assert "trained `tiny` of plugin `gone`, which is not there" in done.err


@pytest.mark.parametrize(
    ("wish", "code", "message"),
    [
        ("die", 3, "its worker was killed by SIGKILL"),
        ("raise", 3, "a plugin that has changed its mind"),
        ("nan", 3, "gives no finite numbers"),
        ("grow", 3, "does not fit model `fragile` of plugin"),
        ("cut", 3, "is no whole safetensors file"),
    ],
)
def test_a_network_that_fails_is_one_line(
    cli: Cli, tmp_path: Path, images: Path, wish: str, code: int, message: str
) -> None:
    flag = tmp_path / "flag"
    results = tmp_path / "results"
    record = train(results, models="fragile", set={"fragile.flag": str(flag)}, epochs=1)
    flag.write_text(wish)
    if wish == "cut":
        weights = results / "runs" / record.id / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-9])
    output = tmp_path / "out.csv"
    done = cli("predict", record.id, images, "-o", output, "--results", results)
    assert done.code == code
    assert message in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.png",), "there is no `nowhere.png`"),
        (("image",), "(did you mean `images`?)"),
        (("empty",), "`empty` holds no files"),
        (("others",), "`others` holds 2 files, none of them an image"),
        (("wide.csv",), "has no column that is known to name images, only `a`, `b`"),
        (("blank.csv",), "rows name no image, first row 3"),
        (("images", "--threshold", "0.5"), "is for multi-label and binary tasks"),
        (("list.csv", "-o", "list.csv"), "`-o list.csv` would replace what is to be read"),
        (("images", "-o", "images/1.png"), "`-o images/1.png` would replace what is to be read"),
        (("list.csv", "--sheet", "images/1.png"), "`--sheet images/1.png` would replace"),
        (("images", "-o", "x.png", "--sheet", "./x.png"), "`--sheet x.png` would replace"),
        (("images", "--results", "elsewhere"), "no run in `elsewhere`"),
    ],
)
def test_a_wrong_request_is_one_line_before_any_worker(
    cli: Cli,
    results: Path,
    record: RunRecord,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    from bench import errand

    monkeypatch.setattr(errand, "carry_out", lambda *_: pytest.fail("a worker was started"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").symlink_to(images)
    (tmp_path / "empty").mkdir()
    (tmp_path / "others").mkdir()
    for name in ("others/a.txt", "others/b.pdf"):
        (tmp_path / name).write_text("")
    (tmp_path / "wide.csv").write_text("a,b\n1,2\n")
    (tmp_path / "blank.csv").write_text("path,b\nx.png,2\n,3\n")
    (tmp_path / "list.csv").write_text("path\nimages/1.png\n")
    done = cli("predict", record.id, "--results", results, *words)
    assert done.code in (2, 3)
    assert message in done.err
    assert done.err.count("\n") == 1


def ensemble_of(results: Path, members: Sequence[RunRecord], how: str) -> RunRecord:
    """Store an ensemble as it is described by its record."""
    first = members[0]
    ids = tuple(record.id for record in members)
    key = {**first.spec.key, "members": ids, "ensemble": {"how": how}}
    weights = dict(zip(ids, (0.25, 0.75), strict=True))
    made = dataclasses.replace(
        first,
        spec=dataclasses.replace(first.spec, members=ids, key=key),
        environment={**first.environment, "ensemble": {"how": how, "weights": weights}},
    )
    Store(results).write(made)
    return made


def test_an_ensemble_says_the_mean_of_its_members(cli: Cli, tmp_path: Path) -> None:
    results = tmp_path / "results"
    members = [train(results, set={"tiny.gain": gain}) for gain in (1.0, 3.0)]
    folder = write_test_images(members[0], tmp_path / "images")
    both = [stored(results, record) for record in members]
    made = ensemble_of(results, members, "soft")
    said = told(cli, results, made, folder, "--top", 3)
    mean = 0.25 * both[0].probabilities + 0.75 * both[1].probabilities
    assert np.abs(probabilities(said, both[0].classes) - mean).max() < 2 * HALF
    stacked = ensemble_of(results, members, "stacking")
    done = cli("predict", stacked.id, folder, "--results", results)
    assert done.code == 2
    assert "by `stacking`, which is no mean of probabilities" in done.err
    (results / "runs" / members[1].id / "model.safetensors").unlink()
    done = cli("predict", made.id, folder, "--results", results)
    assert done.code == 2
    assert f"run {members[1].id} has left no weights" in done.err


def test_members_that_see_images_differently_are_averaged_too(cli: Cli, tmp_path: Path) -> None:
    folder = write_photographs(tmp_path / "set", "a", "b")
    results = tmp_path / "results"
    source = f"folder:{folder}"
    members = [train(results, datasets=source, input_size=s, epochs=1) for s in (12, 20)]
    made = ensemble_of(results, members, "soft")
    own = [told(cli, results, each, folder / "test") for each in members]
    said = probabilities(told(cli, results, made, folder / "test"), ("a", "b"))
    mean = sum(
        weight * probabilities(each, ("a", "b"))
        for weight, each in zip((0.25, 0.75), own, strict=True)
    )
    assert np.abs(said - mean).max() < 1e-6


def test_ctrl_c_leaves_no_half_table(
    results: Path, record: RunRecord, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text("path\n" + f"{images / '0.png'}\n" * 400_000)
    output = tmp_path / "out" / "predictions.csv"
    words = [sys.executable, "-m", "bench", "predict", record.id, str(tmp_path / "list.csv")]
    words += ["-o", str(output), "--results", str(results), "--batch-size", "64"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 240
        while not any(path.stat().st_size > 10_000 for path in output.parent.glob(".*.tmp")):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert [*output.parent.iterdir()] == []


def test_a_model_whose_code_has_changed_is_warned_of(
    cli: Cli, record: RunRecord, results: Path, images: Path, tmp_path: Path
) -> None:
    key = {**record.spec.key, "model": {**record.spec.key["model"], "source": "0" * 16}}
    other = dataclasses.replace(record, spec=dataclasses.replace(record.spec, key=key))
    store = Store(tmp_path / "results")
    store.write(other)
    weights = results / "runs" / record.id / "model.safetensors"
    (store.folder(other.id) / "model.safetensors").write_bytes(weights.read_bytes())
    done = cli("predict", other.id, images / "0.png", "--results", store.root)
    assert done.code == 0
    assert "warning: the code of model `tiny` has changed" in done.err


def test_an_older_record_without_the_networks_size_is_enough(
    cli: Cli, record: RunRecord, results: Path, images: Path, tmp_path: Path
) -> None:
    environment = {k: v for k, v in record.environment.items() if k != "input_size"}
    older = dataclasses.replace(record, environment=environment, profile={"error": "none"})
    store = Store(tmp_path / "results")
    store.write(older)
    weights = results / "runs" / record.id / "model.safetensors"
    (store.folder(older.id) / "model.safetensors").write_bytes(weights.read_bytes())
    assert told(cli, store.root, older, images) == told(cli, results, record, images)


def test_what_is_stored_is_what_was_written(record: RunRecord, images: Path) -> None:
    """Guard the tests above: the files hold the pixels of the run's own test images."""
    own = pixels_of_test(record)
    with Image.open(images / "5.png") as picture:
        assert (np.asarray(picture) == own[5, ..., 0]).all()
