"""Trials that pause after some epochs and go on: the same bits as of one that never paused."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Done, Watcher
from test_resume import ONE_CYCLE, PLATEAU, STEPS, assert_same, bits, seeded
from trainers import adamw, batches, job, run
from trials import carry_out, told, trial

from bench.engine import checkpoint, data, worker
from bench.engine.checkpoint import Checkpoints
from bench.engine.training import Training
from bench.errors import DataError
from bench.jobs import JobKind
from bench.records import Purpose, RunRecord, RunStatus
from bench.store import Store

EPOCHS = 10
PARTS = (1, 3, None)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere"


# The loop

PROTOCOLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ema": {"averaging": "ema", "ema_decay": 0.8},
    "swa": {"averaging": "swa", "swa_start": 0.2},
    "micro": {"micro_batch": 5, "warmup": 1.5},
    "points": {"log_steps": 2},
    "last": {"select": "last"},
    "patient": {"patience": 2, "monitor": "log_loss", "min_delta": 0.01},
}


@pytest.mark.parametrize("schedule", ["one-cycle", pytest.param("plateau", marks=pytest.mark.slow)])
@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=[*PROTOCOLS])
def test_training_in_parts_comes_to_the_same_bits(
    protocol: dict[str, Any], schedule: str, tmp_path: Path
) -> None:
    images, val = batches(40), batches(12, 1)
    full = {"epochs": EPOCHS, "select": "best", **protocol}
    path = tmp_path / "checkpoint.pt"

    def made(until: int | None) -> Training:
        model = seeded()
        factors = ONE_CYCLE.build(EPOCHS * STEPS, STEPS)
        if schedule == "plateau":
            params = {**PLATEAU.defaults, "patience": 1}
            factors = PLATEAU.build(EPOCHS * STEPS, STEPS, **params)
        return job(model, adamw(model), factors, protocol=full, until=until)

    for until in PARTS:
        # What another run leaves behind in this process is not to matter.
        torch.rand(3), np.random.rand()
        part = run(made(until), images, val, path=path)
        whole = run(made(until), images, val)
        assert_same(bits(part.job), bits(whole.job))
        assert len(part.epochs) == (until or EPOCHS) or part.job.selection.exhausted
        assert {epoch.epochs for epoch in part.epochs} == {EPOCHS}
        Checkpoints(path, "a run").save(part.job.state(part.clock))


# Runs in workers


SETTINGS: dict[str, dict[str, Any]] = {
    "one-cycle": {"schedule": "one-cycle", "averaging": "ema", "log_steps": 2},
    "plateau": {"schedule": "reduce-on-plateau", "augmentation": "mixup", "averaging": "swa"},
    "patient": {"patience": 2, "min_delta": 0.5, "select": "best"},
}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(values, marks=pytest.mark.slow if name == "one-cycle" else (), id=name)
        for name, values in SETTINGS.items()
    ],
)
def test_a_trial_in_parts_tells_what_an_uninterrupted_one_tells(
    values: dict[str, Any], results: Path, elsewhere: Path, watcher: Watcher
) -> None:
    values = {**values, "epochs": EPOCHS}
    parts = carry_out(results, values, PARTS, watcher).records
    (whole,) = carry_out(elsewhere, values, [None]).records
    assert [record.spec.until for record in parts] == [*PARTS]
    assert parts[-1].id == whole.id
    assert told(results, parts[-1]) == told(elsewhere, whole)
    # Each part is what it would be on its own, too.
    (alone,) = carry_out(elsewhere, values, [3]).records
    assert told(results, parts[1]) == told(elsewhere, alone)
    trained = [metrics.epoch for _, metrics in watcher.epochs]
    assert trained == [*range(1, parts[-1].timing["epochs"] + 1)]
    seconds = [record.timing["wall_seconds"] for record in parts]
    assert seconds == sorted(seconds)
    for record in parts[1:]:
        booked = sum(v for name, v in record.timing.items() if name.endswith("_seconds"))
        assert booked == pytest.approx(2 * record.timing["wall_seconds"], rel=0.1)
    # The whole run has left no state, and neither has a part of it that came afterwards.
    assert not Store(results).checkpoint(whole.id).exists()
    assert not Store(elsewhere).checkpoint(whole.id).exists()


def test_patience_that_runs_out_ends_the_rest_at_once(results: Path, watcher: Watcher) -> None:
    values = {"epochs": EPOCHS, "patience": 1, "min_delta": 1.0}
    first, second, whole = carry_out(results, values, [3, 6, None], watcher).records
    assert [metrics.epoch for _, metrics in watcher.epochs] == [1, 2]
    for record in (first, second, whole):
        assert record.status is RunStatus.OK
        assert record.timing["epochs"] == 2
        assert record.timing["stopped_early"]
        assert record.metrics == whole.metrics


def test_a_trial_tells_nothing_of_test_and_keeps_no_weights(results: Path) -> None:
    part, whole = carry_out(results, {"epochs": 2, "keep": "best"}, [1, None]).records
    store = Store(results)
    for record in (part, whole):
        assert {*record.metrics} == {"val"}
        with np.load(store.folder(record.id) / "predictions.npz") as arrays:
            assert {name.partition("_")[0] for name in arrays} == {"val"}
        text = (store.folder(record.id) / "record.json").read_text()
        mentioned = {name for name in leaves(json.loads(text)) if "test" in name}
        assert mentioned == set(), text
        assert not (store.folder(record.id) / "model.safetensors").exists()
        assert not (store.folder(record.id) / "pictures.npz").exists()
        assert "pictures_seconds" not in record.timing


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted names of all fields of plain data."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield f"{path}.{name}"
        yield from leaves(inner, f"{path}.{name}")


def test_the_test_split_stays_shut_for_trials(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = trial(results, {"epochs": 2, "threads": torch.get_num_threads(), "deterministic": False})
    facts = worker.perform(
        JobKind.REHEARSE, {"spec": spec.to_dict(), "workers": 1, "offline": True}, print
    )
    assert facts["status"] == "ok", facts
    assert facts["test_items"] == 0
    assert {*facts["counts"]} == {"train", "val"}
    monkeypatch.setattr(data, "view", lambda *arguments: pytest.fail("it was looked at"))
    nothing: Any = None
    for part, what in ((spec, "trial run"), (spec.paused_at(1), "trial run that pauses")):
        with pytest.raises(DataError, match=f"stays shut for a {what}; only a final run"):
            data.open_test(part, nothing, "cpu", "dataset `tiny`")
    broken = dataclasses.replace(spec, purpose=Purpose.FINAL, until=1)
    with pytest.raises(DataError, match="stays shut for a final run that pauses"):
        data.open_test(broken, nothing, "cpu", "dataset `tiny`")


# Where the state is, and is not


def state_of(results: Path, record: RunRecord) -> Path:
    return Store(results).checkpoint(record.spec.whole_id)


def test_a_paused_run_saves_its_state_however_short_it_was(results: Path) -> None:
    first, second = carry_out(results, {"epochs": EPOCHS}, [1, 3]).records
    assert second.timing["train_seconds"] < checkpoint.SHORTEST_SECONDS
    state = torch.load(state_of(results, first), weights_only=True)
    assert state["run"] == second.spec.whole_id
    assert len(state["history"]) == 3
    # What the part has cost is known to the next one, but for the writing of the state itself.
    spent = second.timing["wall_seconds"] - sum(state["spent"].values())
    assert 0 <= spent < 0.5
    # An empty temporary file, left by a kill, goes with the next part.
    left = state_of(results, first).with_name(".checkpoint.pt.x.tmp")
    left.touch()
    carry_out(results, {"epochs": EPOCHS}, [4])
    assert not left.exists()


def test_a_lost_state_costs_time_and_changes_nothing(results: Path, elsewhere: Path) -> None:
    values = {"epochs": EPOCHS}
    (first,) = carry_out(results, values, [1]).records
    state_of(results, first).unlink()
    (second,) = carry_out(results, values, [3]).records
    assert second.timing["resumed"] == 0
    (alone,) = carry_out(elsewhere, values, [3]).records
    assert told(results, second) == told(elsewhere, alone)
    state_of(results, first).write_bytes(b"damaged")
    (whole,) = carry_out(results, values, [None]).records
    (uninterrupted,) = carry_out(elsewhere, values, [None]).records
    assert told(results, whole) == told(elsewhere, uninterrupted)


def test_an_earlier_part_starts_anew_and_leaves_the_state_alone(
    results: Path, elsewhere: Path
) -> None:
    values = {"epochs": EPOCHS, "log_steps": 2}
    (third,) = carry_out(results, values, [3]).records
    before = state_of(results, third).read_bytes()
    (first,) = carry_out(results, values, [1]).records
    assert first.timing["resumed"] == 0
    assert state_of(results, third).read_bytes() == before
    (alone,) = carry_out(elsewhere, values, [1]).records
    assert told(results, first) == told(elsewhere, alone)
    # A part whose record was lost is told again from the state that it has left.
    (Store(results).folder(third.id) / "record.json").unlink()
    watcher = Watcher()
    (again,) = carry_out(results, values, [3], watcher).records
    assert watcher.epochs == []
    (alone,) = carry_out(elsewhere, values, [3]).records
    assert told(results, again) == told(elsewhere, alone)


def test_a_state_in_the_midst_of_the_next_epoch_is_of_no_use_to_a_part(
    results: Path, elsewhere: Path
) -> None:
    values = {"epochs": EPOCHS, "log_steps": 1}
    (third,) = carry_out(results, values, [3]).records
    state = torch.load(state_of(results, third), weights_only=True)
    torch.save({**state, "step": 1}, state_of(results, third))
    (Store(results).folder(third.id) / "record.json").unlink()
    (again,) = carry_out(results, values, [3]).records
    assert again.timing["resumed"] == 0
    (alone,) = carry_out(elsewhere, values, [3]).records
    assert told(results, again) == told(elsewhere, alone)


def test_a_repetition_is_done_again_from_the_first_epoch(results: Path) -> None:
    values = {"epochs": EPOCHS}
    carry_out(results, values, [1, 3])
    watcher = Watcher()
    records = carry_out(results, {**values, "rerun": True}, [1, 3], watcher).records
    assert [metrics.epoch for _, metrics in watcher.epochs] == [1, 2, 3]
    assert [record.timing["resumed"] for record in records] == [0, 1]


def test_a_trial_that_diverges_leaves_no_state(results: Path) -> None:
    # Evaluations are counted by part.
    settings = {"models": "nan-in-evaluation", "set": {"nan-in-evaluation.after": 1}}
    (first,) = carry_out(results, {**settings, "epochs": 4}, [1]).records
    assert first.status is RunStatus.OK
    assert state_of(results, first).exists()
    (third,) = carry_out(results, {**settings, "epochs": 4}, [3]).records
    assert third.status is RunStatus.DIVERGED
    assert not state_of(results, first).exists()


# Several processes

SLOW = {"epochs": 6, "set": {"dropout.seconds": 0.1}}


def process(results: Path, *parts: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(Path(__file__).with_name("trials.py")), str(results)]
    return subprocess.Popen([*command, json.dumps(SLOW), *map(str, parts)], start_new_session=True)


@pytest.mark.slow
def test_two_processes_take_turns_at_one_run(results: Path, elsewhere: Path) -> None:
    running = [process(results, part) for part in (2, 4)]
    assert [each.wait(120) for each in running] == [0, 0]
    (whole,) = carry_out(results, SLOW, [None]).records
    alone = carry_out(elsewhere, SLOW, [2, 4, None]).records
    store = Store(results)
    records = [store.find(record.id) for record in alone]
    for record, expected in zip(records, alone, strict=True):
        assert told(results, record) == told(elsewhere, expected)
    times = sorted((record.started_at, record.finished_at) for record in records)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(times))
    assert whole.timing["resumed"] >= 1


def test_a_kill_between_or_within_parts_changes_nothing(results: Path, elsewhere: Path) -> None:
    carry_out(results, SLOW, [1])
    victim = process(results, 4)
    spec = trial(results, SLOW).paused_at(4)
    store = Store(results)
    curve = store.attempt(spec.id) / "epochs.jsonl"
    limit = time.monotonic() + 100
    while not curve.exists() or len(curve.read_text().splitlines()) < 2:
        assert victim.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.01)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert store.read(spec.id) is None
    records = carry_out(results, SLOW, [4, None]).records
    alone = carry_out(elsewhere, SLOW, [4, None]).records
    assert [r.timing["resumed"] > 0 for r in records] == [True, True]
    for record, expected in zip(records, alone, strict=True):
        assert told(results, record) == told(elsewhere, expected)
    assert list(results.rglob("*.tmp")) == []


@pytest.mark.slow
def test_a_trial_on_several_devices_pauses_too(results: Path, elsewhere: Path) -> None:
    values = {
        **{"epochs": 3, "devices": 2, "batch_size": 15},
        **{"averaging": "ema", "batch_norm": "sync", "log_steps": 2},
    }
    parts = carry_out(results, values, [1, 2, None]).records
    (whole,) = carry_out(elsewhere, values, [None]).records
    assert [record.timing.get("resumed") for record in parts] == [0, 1, 2], parts[0].error
    assert told(results, parts[-1]) == told(elsewhere, whole)
    assert {*parts[-1].metrics} == {"val"}


# What is said of them


def test_commands_say_what_a_run_was_for(results: Path, cli: Callable[..., Done]) -> None:
    part, whole = carry_out(results, {"epochs": 2}, [1, None]).records
    study = {"study": "5e1f00d5e1f0", "trial": 7}
    tuned = dataclasses.replace(whole.spec, purpose=Purpose.FINAL, tuned=study)
    tuned = dataclasses.replace(tuned, key={**tuned.key, **tuned.tuning})
    plain = dataclasses.replace(tuned, tuned={}, key={**whole.spec.key, "purpose": "final"})
    for spec in (tuned, plain):
        Store(results).write(dataclasses.replace(whole, spec=spec))
    roles = {
        part.id: "trial, paused after epoch 1 of 2",
        whole.id: "trial",
        tuned.id: "tuned by study 5e1f00d5e1f0, trial 7",
    }
    lines = cli("list", "runs", "--results", results).out.splitlines()
    listed = {line.split()[0]: line for line in lines}
    assert {*listed} == {*roles, plain.id}
    for run_id, role in roles.items():
        assert listed[run_id].endswith(f"  {role}")
        shown = cli("show", run_id, "--results", results).out
        assert ["role", role] in [line.split(maxsplit=1) for line in shown.splitlines()]
        assert f"run {run_id} ({role}) is" in cli("why", run_id, "--results", results).out
    assert not listed[plain.id].endswith("trial")
    assert "role" not in cli("show", plain.id, "--results", results).out
    rows = json.loads(cli("list", "runs", "--results", results, "--json").out)["runs"]
    told = {row["id"]: (row["purpose"], row["until"], row["tuned"]) for row in rows}
    assert told == {
        part.id: ("trial", 1, {}),
        whole.id: ("trial", None, {}),
        tuned.id: ("final", None, study),
        plain.id: ("final", None, {}),
    }
    reused = json.loads(cli("why", part.id, "--results", results, "--json").out)
    assert reused["reused"], reused
    assert reused["role"] == roles[part.id]


# What a run cost that did not end well


@pytest.mark.parametrize(
    ("model", "values", "status", "epochs"),
    [
        # Five steps make an epoch.
        ("nan-in-evaluation", {"set": {"nan-in-evaluation.after": 2}}, "diverged", 3),
        ("out-of-memory", {}, "oom", 2),
        ("mended", {"set": {"mended.by": "/nowhere"}}, "failed", 2),
        ("dies-late", {"set": {"dies-late.at": 12}}, "crashed", 2),
        ("sleeps", {"timeout": "2s"}, "timeout", 1),
    ],
)
def test_a_run_that_does_not_end_well_says_what_it_has_cost(
    model: str, values: dict[str, Any], status: str, epochs: int, results: Path
) -> None:
    values = {"models": model, "epochs": 4, **values}
    (record,) = carry_out(results, values, [None]).records
    assert str(record.status) == status
    assert record.timing["epochs"] == epochs
    least = 2.0 if status == "timeout" else 0.0
    assert record.timing["wall_seconds"] > least
    booked = sum(v for name, v in record.timing.items() if name.endswith("_seconds"))
    if "setup_seconds" in record.timing:
        assert booked == pytest.approx(2 * record.timing["wall_seconds"], rel=0.1)


@pytest.mark.parametrize(("timeout", "status"), [(None, "failed"), ("2s", "timeout")])
def test_the_cost_of_earlier_parts_is_not_forgotten(
    timeout: str | None, status: str, results: Path, tmp_path: Path
) -> None:
    # Steps are counted by part: the seventh of the second one, in epoch 3, is out of the ordinary.
    gate = tmp_path / "gate"
    values: dict[str, Any] = {"models": "sleeps", "epochs": 6}
    if timeout is None:
        gate.touch()
        values |= {"models": "mended", "set": {"mended.by": str(gate)}}
    (first,) = carry_out(results, values, [1]).records
    gate.unlink(missing_ok=True)
    (part,) = carry_out(results, {**values, "timeout": timeout}, [5]).records
    assert str(part.status) == status
    assert part.timing["epochs"] == (3 if status == "failed" else 2)
    more = part.timing["wall_seconds"] - first.timing["wall_seconds"]
    assert more > (1.5 if status == "timeout" else 0)
