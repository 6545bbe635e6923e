"""From results folders of all kinds to the content of a report."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_samples
from answers_samples import single, store_run
from hypothesis import given
from hypothesis import strategies as st
from report_folders import charts_of, prepare, seeded, write
from samples import make_record, make_spec, write_predictions

from bench import cards, pictures, stats, studies
from bench.errors import StoreError
from bench.pictures import Pictures
from bench.records import Purpose, RunStatus
from bench.registry import Registry
from bench.report import blocks, choice, preparing, shelf
from bench.report.content import Content, Image
from bench.rows import Row
from bench.store import Store
from bench_reports.html import render

HOSTILE = ("<script>alert(1)</script>", "$x$ [red] =cmd", "half \ud800", "long" * 100, "\u202eabc")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no folder `.*nowhere`.*--results") as caught:
        preparing.prepare(Store(tmp_path / "nowhere"), Registry())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "nowhere").exists()


def test_an_empty_folder_says_what_to_do(store: Store) -> None:
    with pytest.raises(preparing.NothingToReportError, match=r"no finished runs in .*bench run"):
        prepare(store)


def test_runs_are_counted_by_what_became_of_them(store: Store) -> None:
    write(store, seeded("a", [0.8, 0.9]))
    store.write(make_record(make_spec("b"), status=RunStatus.OOM, error="no memory"))
    store.write(make_record(make_spec("c"), status=RunStatus.INTERRUPTED))
    store.write(make_record(make_spec("t", purpose=Purpose.TRIAL)))
    store.attempt("0123456789ab").mkdir(parents=True)
    (store.runs / "paused").mkdir()  # holds the state of a trial, and no attempt
    said = prepare(store).counts
    assert said == (
        "4 runs of 3 methods on 1 dataset; 1 failed; 1 interrupted, which the same command goes on "
        "with; 1 trial of searches besides; 1 under way, or cut off"
    )


def test_runs_that_later_ones_replace_are_counted(store: Store) -> None:
    store.write(make_record(make_spec("a", version="1.0"), 0.5))
    later = "2026-02-01T00:00:00+00:00"
    store.write(make_record(make_spec("a", version="2.0"), 0.9, finished_at=later))
    content = prepare(store)
    assert "1 left out, since later ones replace them" in content.counts
    assert [row.cells["test"].sort for row in content.blocks[0].rows] == [0.9]


def test_damaged_and_foreign_files_are_warnings(store: Store) -> None:
    good, bad = write(store, [make_record(make_spec("a")), make_record(make_spec("b"))])
    (store.folder(bad.id) / "record.json").write_text('{"schema": 1, "id"')
    (store.runs / "notes.txt").write_text("mine")
    studies.folder_of(store.root).mkdir()
    (studies.folder_of(store.root) / "0123.json").write_text("{")
    (store.folder(good.id) / "epochs.jsonl").write_text("[]\n{")
    (store.folder(good.id) / "predictions.npz").write_bytes(b"PK no archive")
    content = prepare(store)
    assert [row.label for row in content.blocks[0].rows] == ["a"]
    told = " ".join(content.warnings)
    assert all(word in told for word in (bad.id, "notes.txt", "0123.json", "predictions.npz"))
    assert "predictions of 1 run cannot be used" in content.blocks[0].footnote


def test_pairs_are_not_told_by_predictions_that_are_gone(store: Store) -> None:
    generator = np.random.default_rng(0)
    for model, accuracy in (("a", 0.9), ("b", 0.82)):
        record = make_record(make_spec(model), accuracy, 400, timing={"saving_seconds": 0.1})
        right = generator.permutation(np.arange(400) < 400 * accuracy)
        store.write(record)
        write_predictions(store, record, right.tolist())

    def tests(content: Content) -> set[str]:
        (block,) = content.blocks
        assert block.significance is not None
        return {row[5].text for row in block.significance.table.rows}

    first = prepare(store)
    assert first.warnings == ()
    assert tests(first) == tests(prepare(store))
    path = store.folder(record.id) / "predictions.npz"
    path.unlink()
    for _ in range(2):
        content = prepare(store)
        assert tests(content) != tests(first)
        (warning,) = content.warnings
        assert f"`{path}` is missing" in warning
        assert "predictions of 1 run cannot be used" in content.blocks[0].footnote


def test_pictures_and_cards_that_cannot_be_read_are_named_once(store: Store) -> None:
    record = make_record(accuracy=0.5, n=4)
    store.write(record)
    write_predictions(store, record, [True, False, True, False])
    picture = store.folder(record.id) / pictures.NAME
    card, samples = cards.paths(store.root, record.spec.fingerprint)
    card.parent.mkdir()
    for path in (picture, card, samples):
        path.write_bytes(b"PK torn")
    content = prepare(store)
    for path in (picture, card):
        assert len([line for line in content.warnings if f"`{path}` cannot be read" in line]) == 1
    (why,) = content.datasets[0].warnings
    assert "cannot be read" in why
    assert "no card" not in why


def test_only_trials_are_nothing_to_tell_of(store: Store) -> None:
    store.write(make_record(make_spec(purpose=Purpose.TRIAL)))
    with pytest.raises(preparing.NothingToReportError, match="there are only trials of searches"):
        prepare(store)


def test_failures_stand_last_with_their_causes(store: Store) -> None:
    write(store, seeded("good", [0.9]))
    for seed in range(2):
        bad = make_spec("bad", seed=seed)
        store.write(make_record(bad, status=RunStatus.DIVERGED, error="the loss is not finite"))
    (block,) = prepare(store).blocks
    good, bad = block.rows
    assert (good.errors, good.rank, bad.rank, bad.interval) == ((), 1, None, None)
    assert bad.errors == ("2 × diverged: the loss is not finite",)
    assert "status" in [column.name for column in block.columns]
    assert bad.cells["test"].sort is None
    assert bad.part  # what is known of a failed run is told as well


def test_only_failures_make_a_block_that_says_so(store: Store) -> None:
    store.write(make_record(status=RunStatus.CRASHED, error="signal 11"))
    (block,) = prepare(store).blocks
    assert "no run succeeded" in block.answer
    assert charts_of(block) == []
    assert (block.significance, block.reached) == (None, None)


def test_datasets_and_protocols_have_blocks_of_their_own(store: Store) -> None:
    for dataset, epochs in itertools.product(("digits", "shapes"), (5, 9)):
        protocol = {"epochs": epochs}
        content = f"{dataset}-content"
        fields = {"dataset": dataset, "protocol": protocol, "fingerprint": content}
        write(store, [*seeded("a", [0.9], **fields), *seeded("b", [0.5], **fields)])
    content = prepare(store)
    assert [block.title for block in content.blocks] == [
        f"{dataset} · epochs {epochs}, batch size 64"
        for dataset, epochs in itertools.product(("digits", "shapes"), (5, 9))
    ]
    assert [dataset.name for dataset in content.datasets] == ["digits", "shapes"]
    assert content.title == "digits and shapes"
    labels = [label for _, label in content.settings.rows]
    assert len({*labels}) == len(labels) == 8


def test_details_go_to_the_best_rows_of_all_blocks_in_turn(store: Store) -> None:
    for dataset in ("digits", "shapes"):
        for place, model in enumerate("abc"):
            record = {"dataset": dataset, "fingerprint": dataset}
            write(store, seeded(model, [0.9 - 0.2 * place], **record))
    content = prepare(store, top=3)
    assert [run.row for run in content.runs] == ["b0-r0", "b0-r1", "b1-r0"]
    assert content.blocks[1].rows[0].part == content.runs[2].id
    assert content.blocks[1].rows[1].part == ""
    assert prepare(store, top=0).runs == ()


def test_room_for_pictures_is_shared_by_those_that_have_any(store: Store) -> None:
    answers = single(120)
    for place in range(12):
        store_run(store, answers, model=f"m{place}", dataset=f"d{place}", fingerprint=f"f{place}")
    [record] = [run for run in store.finals() if run.spec.model.name == "m3"]
    ids = pictures.chosen(answers)
    noise = np.random.default_rng(0).integers(0, 256, (len(ids), 48, 48, 1), np.uint8)
    empty = np.zeros((0, 48, 48), np.uint8)
    pictures.write(store.folder(record.id), Pictures("test", ids, noise, ids[:0], empty))
    content = prepare(store)
    [shown] = [run for run in content.runs if run.run == record.id]
    assert len(content.runs) == 12
    taken = sum(len(image.data) for image in content.images.values())
    assert taken > 900_000 / len(content.runs)
    assert not any("no room" in note for note in shown.notes)


def test_the_run_that_is_told_of_is_the_best_on_val(store: Store) -> None:
    best, other = (
        dataclasses.replace(record, metrics={**record.metrics, "val": {"accuracy": val, "n": 200}})
        for record, val in zip(seeded("a", [0.5, 0.9]), (0.8, 0.7), strict=True)
    )
    write(store, [best, other])
    (run,) = prepare(store).runs
    assert (run.run, run.label) == (best.id, "a, seed 0")


def test_a_thousand_rows_are_told_within_bounds(store: Store) -> None:
    store.root.mkdir()
    for place in range(1010):
        record = make_record(make_spec("net", params={"model": {"width": place}}), place / 2000)
        store.write(record)
    content = prepare(store)
    (block,) = content.blocks
    assert (len(block.rows), block.left_out) == (1000, 10)
    assert len(content.runs) == preparing.TOP
    assert len(content.settings.rows) == 200
    assert len([*content.settings.own.values()]) == 200
    assert content.settings.left_out == 800
    scores = [row.interval[0] for row in block.rows if row.interval]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("datasets", "methods"), [(3, 24), (12, 9)])
def test_a_page_of_many_blocks_stays_under_three_megabytes(
    store: Store, datasets: int, methods: int
) -> None:
    curve = [0.9 - 0.6 / epoch + 0.01 * (epoch % 3) for epoch in range(1, 31)]
    for dataset, place in itertools.product(range(datasets), range(methods)):
        profile = {"latency_ms": 1.0 + place * 7 % 13, "parameters": 1000 + place * 5 % 17}
        record = seeded(
            f"resnet{place // 3}",
            [0.9 - place / 1000 - seed / 500 for seed in range(3)],
            optimizer=("adamw", "sgd", "lion")[place % 3],
            dataset=f"set{dataset}",
            fingerprint=f"content{dataset}",
            profile=profile,
            timing={"train_seconds": 3.0 + place * 11 % 19, "best_epoch": 20},
        )
        write(store, record, curve)
    content = prepare(store)
    drawn = [charts_of(block) for block in content.blocks]
    assert sum(map(len, drawn)) <= preparing.CHARTS_IN_ALL
    html = render(dataclasses.replace(content, **large_runs(content)))
    assert len(html.encode()) < 3_000_000
    for block in content.blocks:
        for title in block.not_drawn:
            assert title in html


def large_runs(content: Content) -> dict[str, Any]:
    """Return twenty runs as large as ten classes make them, and pictures that fill the shelf."""
    sample = report_samples.rich().runs[0]
    confused = sample.confused * 18
    rows = [row.id for block in content.blocks for row in block.rows]
    runs = tuple(
        dataclasses.replace(
            sample, id=f"run-{n}", row=rows[0], charts=sample.charts * 2, confused=confused
        )
        for n in range(preparing.TOP)
    )
    images = report_samples.rich().images
    size = shelf.BUDGET // len(images)
    return {
        "runs": runs,
        "images": {key: Image(bytes(size), "image/png", 28, 28) for key in images},
    }


def test_charts_of_a_block_take_turns_by_kind_and_those_without_room_are_named(
    store: Store,
) -> None:
    for dataset, place in itertools.product("ab", range(3)):
        profile = {"latency_ms": 1.0 + place, "parameters": 1000 + place}
        fields = {"dataset": dataset, "fingerprint": dataset, "profile": profile}
        write(store, seeded("xyz"[place], [0.9 - 0.1 * place, 0.8 - 0.1 * place], **fields))
    content = prepare(store)
    assert all(block.not_drawn == () for block in content.blocks)
    first, second = blocks.with_room(content.blocks, 7)
    assert [c.name for c in charts_of(first)] == [
        *("b0-latency", "b0-parameters", "b0-loss", "b0-significance")
    ]
    assert [c.name for c in charts_of(second)] == ["b1-latency", "b1-loss", "b1-significance"]
    assert len(second.not_drawn) == len(charts_of(content.blocks[1])) - 3
    assert first.reached is not None
    (lone, other) = blocks.with_room(content.blocks, 2)
    assert lone.significance is None
    assert [c.name for c in charts_of(other)] == ["b1-latency"]


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 300)), min_size=1, max_size=30))
def test_rows_are_shared_out_and_failures_are_never_all_left_out(
    sizes: list[tuple[int, int]],
) -> None:
    row = Row("d", "m", "o", {}, {}, {}, 1, 0, "cpu", "fast")
    good = dataclasses.replace(row, score=stats.Interval(0.5, 0.4, 0.6))
    limits = choice._shares([well + badly for well, badly in sizes])
    assert sum(limits) <= max(choice.ROWS_IN_ALL, len(sizes))
    for (well, badly), limit in zip(sizes, limits, strict=True):
        shown = choice._shown([good] * well + [row] * badly, limit)
        assert len(shown) == limit <= choice.MOST_ROWS
        assert limit == well + badly or limit >= choice.ROWS_IN_ALL // len(sizes) or limit == 1000
        failed = sum(each.score is None for each in shown)
        assert failed == badly or failed >= limit // choice.FAILED_SHARE
        assert all(each.score is None for each in shown[len(shown) - failed :])


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_told(store: Store, name: str) -> None:
    write(store, seeded(name, [0.8, 0.9], optimizer=name, dataset=name))
    write(store, seeded(name + "2", [0.5, 0.6], optimizer="sgd", dataset=name))
    store.write(
        make_record(make_spec("b", dataset=name), status=RunStatus.FAILED, error=f"{name}\n{name}")
    )
    content = prepare(store)
    (block,) = content.blocks
    assert block.dataset == name
    assert all("\n" not in row.label and len(row.label) <= 140 for row in block.rows)


@given(
    st.lists(st.integers(0, 7), max_size=6),
    st.integers(0, 30),
)
def test_each_block_has_its_turn(sizes: list[int], most: int) -> None:
    groups = [[object() for _ in range(size)] for size in sizes]
    taken = choice.in_turn(groups, most)  # type: ignore[type-var, arg-type]
    assert sum(map(len, taken)) == min(most, sum(sizes))
    for group, own in zip(groups, taken, strict=True):
        assert own == group[: len(own)]
    # No block has a second row more than another that could have had one.
    for (a, own), (b, other) in itertools.permutations(enumerate(taken), 2):
        assert len(own) <= len(other) + 1 or len(other) == len(groups[b]), (a, b)
