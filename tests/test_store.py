from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from samples import make_record, make_spec

from bench import files
from bench.errors import StoreError, UnknownNameError
from bench.records import Purpose, RunRecord, RunSpec, RunStatus
from bench.store import Store, prune_weights


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A results directory with three runs, the third of them the newest."""
    store = Store(tmp_path / "results")
    for seed in range(3):
        store.write(make_record(make_spec(seed=seed), 0.5 + seed / 10, finished_at=f"2026-0{seed}"))
    return store


def seeds(records: list[RunRecord]) -> list[int]:
    return [record.spec.seed for record in records]


def record_path(store: Store, seed: int) -> Path:
    return store.folder(make_spec(seed=seed).id) / "record.json"


def test_an_empty_directory_has_no_records(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert store.records() == []
    assert store.read("0" * 12) is None
    assert not store.root.exists()


def test_what_was_written_is_read(store: Store) -> None:
    record = make_record(make_spec(seed=2), 0.7, finished_at="2026-02")
    assert store.read(record.id) == record
    assert store.records()[2] == record


def test_records_come_oldest_first(store: Store) -> None:
    store.write(make_record(make_spec(seed=9), finished_at="2025"))
    assert seeds(store.records()) == [9, 0, 1, 2]
    assert store.warnings == []


def test_records_of_some_runs_alone_are_read(store: Store) -> None:
    wanted = [make_spec(seed=seed).id for seed in (2, 0)]
    record_path(store, 1).write_text("cut")
    assert seeds(store.records(wanted)) == [0, 2]
    assert store.warnings == []
    assert sorted(store.ids()) == sorted(make_spec(seed=seed).id for seed in range(3))
    assert store.ids(wanted[0][:9]) == wanted[:1]


def test_a_changed_record_is_seen(store: Store) -> None:
    store.records()
    store.write(make_record(make_spec(seed=1), 0.123, finished_at="2026-01"))
    found = {record.spec.seed: record for record in store.records()}
    assert found[1].metrics["test"]["accuracy"] == 0.123


def test_a_deleted_record_is_gone(store: Store) -> None:
    store.records()
    record_path(store, 1).unlink()
    assert seeds(store.records()) == [0, 2]


def test_another_process_sees_what_was_added(store: Store) -> None:
    other = Store(store.root)
    assert len(other.records()) == 3
    store.write(make_record(make_spec(seed=7), finished_at="2026-09"))
    assert seeds(other.records()) == [0, 1, 2, 7]


# Foreign and torn files


def test_a_record_cut_anywhere_is_skipped_with_its_name(store: Store) -> None:
    path = record_path(store, 1)
    whole = path.read_bytes()
    for length in reversed(range(len(whole) - 1)):
        os.truncate(path, length)
        assert store.read(path.parent.name) is None
        if length % 300 == 0:
            assert seeds(store.records()) == [0, 2]
            (warning,) = store.warnings
            assert str(path) in warning
    path.write_bytes(whole)
    assert seeds(store.records()) == [0, 1, 2]
    assert store.warnings == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{}", "its schema is None, this version reads 1"),
        (b"[]", "it holds no object"),
        (b"\xff\xfe", "it is no JSON; was it cut?"),
        (b'{"schema": 2}', "its schema is 2, this version reads 1"),
        (b"[" * 100_000, "it is no JSON; was it cut?"),
    ],
)
def test_a_foreign_record_is_skipped_and_says_why(store: Store, content: bytes, why: str) -> None:
    path = record_path(store, 1)
    path.write_bytes(content)
    assert seeds(store.records()) == [0, 2]
    (warning,) = store.warnings
    assert warning.startswith(f"skipped `{path}`: {why}")
    assert warning.endswith("remove its folder and run again")


def test_a_record_in_the_wrong_folder_is_skipped(store: Store) -> None:
    (store.runs / "copy").mkdir()
    (store.runs / "copy" / "record.json").write_bytes(record_path(store, 1).read_bytes())
    assert seeds(store.records()) == [0, 1, 2]
    assert f"it is the record of run {make_spec(seed=1).id}" in store.warnings[0]
    assert store.read("copy") is None


def test_other_things_among_the_runs_do_no_harm(store: Store) -> None:
    (store.runs / "unfinished").mkdir()
    (store.runs / "note.txt").write_text("")
    (store.runs / "odd" / "record.json").mkdir(parents=True)
    assert seeds(store.records()) == [0, 1, 2]
    assert [line for line in store.warnings if "note.txt" in line]
    assert [line for line in store.warnings if "odd" in line]


def test_runs_that_are_no_folder_are_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match="cannot read"):
        Store(tmp_path).records()


# Writing


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_somebody_else_is_read_but_not_written(store: Store) -> None:
    store.root.chmod(0o555)
    try:
        assert seeds(store.records()) == [0, 1, 2]
        with pytest.raises(StoreError, match="cannot write"):
            store.check_writable()
    finally:
        store.root.chmod(0o755)


def test_a_directory_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    Store(tmp_path).check_writable()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StoreError, match="results"):
        Store(tmp_path / "results").check_writable()


# Finding


def test_a_run_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    wanted = make_spec(seed=1).id
    for length in range(1, 13):
        others = [make_spec(seed=seed).id[:length] for seed in (0, 2)]
        if wanted[:length] not in others:
            assert store.find(wanted[:length]).id == wanted


def test_a_beginning_that_fits_no_run_is_an_error(store: Store) -> None:
    with pytest.raises(UnknownNameError, match=r"no run in `.*` starts with `zz`.*bench list runs"):
        store.find("zz")


def test_a_beginning_that_fits_several_asks_for_more(store: Store) -> None:
    with pytest.raises(UnknownNameError, match=r"3 runs start with ``: .*give more digits"):
        store.find("")


# Weights


def test_weights_of_the_best_run_of_each_cell_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [
        make_record(make_spec("a", seed=0), 0.6),
        make_record(make_spec("a", seed=1), 0.8),
        make_record(make_spec("a", seed=2), status=RunStatus.DIVERGED, error="nan"),
        make_record(make_spec("b", seed=0), 0.1),
        make_record(make_spec("b", seed=1), 0.0),
        make_record(make_spec("elsewhere", seed=0), 0.1),
        make_record(make_spec("elsewhere", seed=1), 0.2),
    ]
    for record in runs:
        store.write(record)
        (store.folder(record.id) / "model.safetensors").write_bytes(b"weights")
    prune_weights(store, [runs[0].spec.method, runs[3].spec.method])
    kept = [(store.folder(run.id) / "model.safetensors").exists() for run in runs]
    assert kept == [False, True, False, True, False, True, True]


def test_what_an_ensemble_combines_keeps_its_weights(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [make_record(make_spec("a", seed=seed), 0.5 + seed / 10) for seed in range(3)]
    for record in runs:
        store.write(record)
        (store.folder(record.id) / "model.safetensors").write_bytes(b"weights")
    members = (runs[0].id, runs[2].id)
    store.write(make_record(make_spec("both", members=members), 0.9))
    prune_weights(store, [runs[0].spec.method])
    kept = [(store.folder(run.id) / "model.safetensors").exists() for run in runs]
    assert kept == [True, False, True]


def test_trials_are_no_affair_of_the_weights_that_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    spec = make_spec("a", purpose=Purpose.TRIAL)
    for seed, accuracy in enumerate((0.6, 0.8)):
        record = make_record(make_spec("a", seed=seed, purpose=Purpose.TRIAL), accuracy)
        store.write(record)
        (store.folder(record.id) / "model.safetensors").write_bytes(b"somebody's")
    prune_weights(store, [spec.method])
    assert len(list(store.runs.glob("*/model.safetensors"))) == 2


# The states of runs that pause


WHOLE = make_spec(purpose=Purpose.TRIAL, protocol={"epochs": 10})


def save_state(store: Store, spec: RunSpec) -> Path:
    path = store.checkpoint(spec.whole_id)
    files.write_bytes(path, b"a state")
    return path


@pytest.mark.parametrize(
    ("spec", "status", "kept"),
    [
        (WHOLE, RunStatus.OK, False),
        (WHOLE, RunStatus.DIVERGED, False),
        (WHOLE, RunStatus.TIMEOUT, True),
        (WHOLE.paused_at(3), RunStatus.OK, True),
        (WHOLE.paused_at(3), RunStatus.CRASHED, True),
        (WHOLE.paused_at(3), RunStatus.DIVERGED, False),
    ],
)
def test_a_state_stays_for_as_long_as_a_run_can_go_on(
    tmp_path: Path, spec: RunSpec, status: RunStatus, kept: bool
) -> None:
    store = Store(tmp_path)
    path = save_state(store, spec)
    store.write(make_record(spec, status=status, error="so it is"))
    assert path.exists() == kept


@pytest.mark.parametrize("status", [RunStatus.OK, RunStatus.DIVERGED])
def test_a_part_of_a_run_that_is_over_leaves_no_state(tmp_path: Path, status: RunStatus) -> None:
    store = Store(tmp_path)
    store.write(make_record(WHOLE, status=status))
    path = save_state(store, WHOLE)
    store.write(make_record(WHOLE.paused_at(3)))
    assert not path.exists()


def test_states_that_nobody_goes_on_with_are_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    pruned, held, failed, without = (
        make_spec(purpose=Purpose.TRIAL, seed=seed) for seed in range(4)
    )
    paths = [save_state(store, spec) for spec in (pruned, held, failed)]
    store.write(make_record(failed, status=RunStatus.CRASHED, error="signal 11"))
    with store.lock(held.whole_id):
        store.forget_states([spec.whole_id for spec in (pruned, held, failed, without)])
    assert [path.exists() for path in paths] == [False, True, False]
    # A folder that held nothing else is gone as well.
    assert [path.parent.exists() for path in paths] == [False, True, True]
    assert store.read(failed.id) is not None
    store.forget_states([held.whole_id])
    assert not paths[1].parent.exists()


def test_a_record_is_plain_json_that_people_can_read(store: Store) -> None:
    text = record_path(store, 0).read_text("utf-8")
    assert json.loads(text)["model"] == "net"
    assert len(text.splitlines()) > 20


def test_an_attempt_replaces_files_only_when_it_is_committed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = make_record(make_spec("net"), 0.5)
    (store.attempt(record.id)).mkdir(parents=True)
    (store.attempt(record.id) / "epochs.jsonl").write_text("first")
    store.write(record)
    assert (store.folder(record.id) / "epochs.jsonl").read_text() == "first"

    store.attempt(record.id).mkdir()
    (store.attempt(record.id) / "epochs.jsonl").write_text("second")
    store.discard(record.id)
    assert (store.folder(record.id) / "epochs.jsonl").read_text() == "first"
    assert not store.attempt(record.id).exists()
