"""Results folders brought into one, whoever is at work in them and whenever it is stopped."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from samples import FINGERPRINT, make_record, make_spec, write_predictions
from study_samples import make_study, make_trial
from test_cards import make_card

from bench import cards, files, merging, studies
from bench.cli import main
from bench.errors import ConfigError
from bench.records import RunStatus
from bench.store import Store


def fill(root: Path, *seeds: int, accuracy: float = 0.8, model: str = "net") -> Store:
    store = Store(root)
    for seed in seeds:
        record = make_record(make_spec(model, seed=seed), accuracy)
        write_predictions(store, record, [True, False])
        (store.folder(record.id) / "epochs.jsonl").write_text("{}\n")
        store.write(record)
    return store


def content(store: Store) -> dict[str, bytes]:
    """Return every file of every run."""
    return {
        str(path.relative_to(store.runs)): path.read_bytes()
        for path in sorted(store.runs.rglob("*"))
        if path.is_file()
    }


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main([str(word) for word in words])
    code = done.value.code
    assert isinstance(code, int)
    return code, *capsys.readouterr()


def test_runs_of_several_folders_come_into_one_and_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = fill(tmp_path / "a", 0, 1), fill(tmp_path / "b", 1, 2)
    before = content(a), content(b)
    words = ("merge", a.root, b.root, "--results", tmp_path / "all")
    assert run(capsys, *words)[:2] == (0, "3 copied, 1 there already\n")
    merged = Store(tmp_path / "all")
    assert content(merged) == {**before[0], **before[1]}
    assert {path.name for path in merged.root.glob("leaderboard.*")} == {
        "leaderboard.md",
        "leaderboard.csv",
        "leaderboard.json",
    }
    # Again there is nothing to do, and the sources are as they were.
    stamp = (merged.root / "leaderboard.json").stat().st_mtime_ns
    assert run(capsys, *words)[:2] == (0, "4 there already\n")
    assert (merged.root / "leaderboard.json").stat().st_mtime_ns == stamp
    assert (content(a), content(b)) == before
    assert not (a.root / "locks").exists()


def test_of_two_results_of_a_run_the_destination_keeps_its_own_and_names_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = fill(tmp_path / "a", 0, accuracy=0.7), fill(tmp_path / "b", 0, 1)
    kept, [run_id] = content(ours), [record.id for record in ours.records()]
    code, out, err = run(capsys, "merge", theirs.root, "--results", ours.root)
    assert (code, out) == (0, "1 copied, 1 with another result, kept as it was\n")
    assert run_id in err
    assert "0.8000" in err
    assert "0.7000" in err
    assert err.count("\n") == 1
    assert {name: content(ours)[name] for name in kept} == kept
    assert len(theirs.records()) == 2


def test_a_run_that_succeeded_takes_the_place_of_one_that_failed_never_the_reverse(
    tmp_path: Path,
) -> None:
    good = fill(tmp_path / "good", 0)
    bad = Store(tmp_path / "bad")
    bad.write(make_record(make_spec(seed=0), status=RunStatus.CRASHED, error="it broke"))
    assert merging.merge([bad.root], good.root).conflicts
    assert good.records()[0].status is RunStatus.OK
    assert len(merging.merge([good.root], bad.root).replaced) == 1
    assert content(bad) == content(good)


def test_what_is_damaged_is_named_and_the_rest_comes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = fill(tmp_path / "a", 0, 1)
    torn, whole = (source.folder(record.id) for record in source.records())
    text = (torn / "record.json").read_bytes()
    (torn / "record.json").write_bytes(text[: len(text) // 2])
    (source.runs / "notes.txt").write_text("mine")
    code, out, err = run(capsys, "merge", source.root, "--results", tmp_path / "all")
    assert (code, out) == (0, "1 copied, 2 skipped as damaged\n")
    assert str(torn) in err
    assert [record.id for record in Store(tmp_path / "all").records()] == [whole.name]


def test_a_run_that_somebody_has_in_hand_is_left_on_either_side(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "a", 0, 1), Store(tmp_path / "all")
    first, second = source.records()
    for store, held in ((source, first), (target, second)):
        with store.lock(held.spec.whole_id):
            left = in_thread(lambda: merging.merge([source.root], target.root).left)
        assert any(held.id in line for line in left)
        assert target.read(held.id) is None or store is target
    assert merging.merge([source.root], target.root).left == []
    assert content(target) == content(source)


def in_thread(work: Callable[[], list[str]]) -> list[str]:
    """Do something where this thread's locks are not one's own."""
    found: list[list[str]] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_a_run_that_is_done_again_meanwhile_is_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = fill(tmp_path / "a", 0), Store(tmp_path / "all")
    [record] = source.records()
    copy = files.atomic_open

    def repeated(path: Path) -> object:
        if path.name == "epochs.jsonl" and record is not None:
            changed = make_record(record.spec, 0.1)
            (source.folder(record.id) / "record.json").write_text(json.dumps(changed.to_dict()))
        return copy(path)

    monkeypatch.setattr(files, "atomic_open", repeated)
    result = merging.merge([source.root], target.root)
    assert "changed while it was copied" in result.left[0]
    monkeypatch.undo()
    assert target.records() == []
    assert merging.merge([source.root], target.root).copied == [record.id]
    assert content(target) == content(source)


def test_interrupted_runs_and_their_states_stay_where_they_go_on(tmp_path: Path) -> None:
    source = fill(tmp_path / "a", 0)
    [record] = source.records()
    source.checkpoint(record.id).write_bytes(b"state")
    going = make_record(make_spec(seed=1), status=RunStatus.INTERRUPTED, error="stopped")
    source.write(going)
    result = merging.merge([source.root], tmp_path / "all")
    assert result.copied == [record.id]
    assert going.id in result.left[0]
    assert not Store(tmp_path / "all").checkpoint(record.id).exists()


STEPS = 16
"""Renamings of a merge of three runs: a probe; two files each twice, and a record, for each."""


@pytest.mark.parametrize("step", range(1, STEPS + 2))
def test_a_merge_that_is_killed_anywhere_leaves_whole_runs_and_is_done_again(
    tmp_path: Path, step: int
) -> None:
    source, target = fill(tmp_path / "a", 0, 1, 2), Store(tmp_path / "all")
    child = os.fork()
    if child == 0:
        die_at(step)
        merging.merge([source.root], target.root)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed == (step <= STEPS)
    before = content(source)
    for record in target.records():
        mine = {name: data for name, data in before.items() if name.startswith(record.id)}
        assert {name: content(target).get(name) for name in mine} == mine
    assert target.warnings == []
    again = merging.merge([source.root], target.root)
    assert again.conflicts == again.left == []
    assert content(target) == before


def die_at(step: int) -> None:
    """End this process by force when the `step`-th file is about to take its place."""
    replace, count = Path.replace, iter(range(1, 1000))

    def counted(path: Path, target: Path) -> Path:
        if next(count) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)

    Path.replace = counted  # type: ignore[method-assign, assignment]


def test_studies_come_along_and_go_on(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "all"
    early = make_study(trials=[make_trial(0, 0.5)])
    late = make_study(trials=[make_trial(0, 0.5), make_trial(1, 0.6)])
    other = make_study(trials=[make_trial(0, 0.4), make_trial(1, 0.6)])
    studies.write(source, early)
    assert merging.merge([source], target).studies == [early.id]
    studies.write(source, late)
    assert merging.merge([source], target).studies == [early.id]
    gone_on = studies.read_all(source)
    assert studies.read_all(target) == gone_on
    # An earlier state of the same study is no conflict; another history is.
    studies.write(source, early)
    assert not merging.merge([source], target).conflicts
    studies.write(source, other)
    [line] = merging.merge([source], target).conflicts
    assert early.id in line
    assert studies.read_all(target) == gone_on


def test_what_a_later_version_wrote_into_a_record_is_not_lost(tmp_path: Path) -> None:
    source = fill(tmp_path / "a", 0)
    [record] = source.records()
    path = source.folder(record.id) / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": 1}))
    merging.merge([source.root], tmp_path / "all")
    assert content(Store(tmp_path / "all")) == content(source)


def test_what_is_no_results_folder_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = fill(tmp_path / "a", 0)
    (tmp_path / "empty").mkdir()
    for words, why in (
        ((source.root, "--results", source.root), "into itself"),
        ((tmp_path / "empty", "--results", source.root), "no results folder"),
        ((tmp_path / "nowhere", "--results", source.root), "does not exist"),
        ((), "Missing argument"),
    ):
        code, _, err = run(capsys, "merge", *words)
        assert (code, err.count("\n")) == (2, 1)
        assert why in err
    with pytest.raises(ConfigError):
        merging.merge([tmp_path / "empty"], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = fill(tmp_path / "a", 0)
    _, out, _ = run(capsys, "merge", source.root, "--results", tmp_path / "all", "--json")
    plain = json.loads(out)
    assert plain["schema"] == 1
    assert plain["copied"] == [record.id for record in source.records()]


# Cards of datasets, and pictures


def test_pictures_come_along_and_so_do_cards_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = fill(tmp_path / "a", 0), Store(tmp_path / "b")
    [record] = source.records()
    (source.folder(record.id) / "pictures.npz").write_bytes(b"some bytes")
    cards.write(source.root, make_card())
    code, out, _ = run(capsys, "merge", source.root, "--results", target.root)
    assert (code, out) == (0, "1 copied; cards of 1 dataset\n")
    assert (target.folder(record.id) / "pictures.npz").read_bytes() == b"some bytes"
    for one, another in zip(
        *(cards.paths(s.root, FINGERPRINT) for s in (source, target)), strict=True
    ):
        assert one.read_bytes() == another.read_bytes()
    assert run(capsys, "merge", source.root, "--results", target.root)[1] == "1 there already\n"


def test_a_card_gains_findings_and_loses_nothing(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "a", 0), Store(tmp_path / "b")
    cards.write(source.root, make_card(classes=("a",) * 8))
    bare = make_card(
        classes=("a",) * 8,
        ids=np.zeros(0, np.int64),
        labels=np.zeros(0, np.int64),
        images=np.zeros((0, 0, 0, 3), np.uint8),
        findings=None,
        why_not=cards.PENDING,
    )
    cards.write(target.root, bare)
    assert merging.merge([source.root], target.root).cards == [FINGERPRINT]
    found = cards.read(target.root, FINGERPRINT)
    assert found is not None
    assert found.findings == make_card().findings
    assert found.why_not == ""
    assert len(found.images) == 0  # somebody may want none
    # The other way round nothing is lost.
    merging.merge([target.root], source.root)
    kept = cards.read(source.root, FINGERPRINT)
    assert kept is not None
    assert len(kept.images) == 5


def test_a_damaged_card_is_named_and_skipped(tmp_path: Path) -> None:
    source = fill(tmp_path / "a", 0)
    cards.write(source.root, make_card())
    path, _ = cards.paths(source.root, FINGERPRINT)
    path.write_text("{")
    result = merging.merge([source.root], tmp_path / "b")
    assert result.cards == []
    assert len(result.copied) == 1
    assert result.warnings == [f"skipped `{path}`: it is no card of a dataset"]
