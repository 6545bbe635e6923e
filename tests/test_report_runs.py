"""What a report tells of single runs, from files as runs leave them."""

from __future__ import annotations

import dataclasses
import io
import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers_samples import NAMES, sets, single, store_run
from ensemble_samples import write_run
from PIL import Image
from report_samples import HOSTILE
from samples import make_record, make_spec

from bench import Answers, Task, curves, ensembles, files, pictures, stats
from bench.answers import AnswerBook
from bench.charts import Cell, Line, Rule
from bench.config import ExperimentConfig
from bench.ensembles import Recipe
from bench.pictures import Pictures
from bench.plan import plan
from bench.records import EpochMetrics, RunRecord, RunStatus
from bench.registry import Registry, load_registry
from bench.report import facts, learning_charts, runs, shelf
from bench.report.content import RunPart
from bench.report.gallery import Gallery
from bench.report.run_pictures import caption
from bench.report.shelf import Shelf
from bench.store import Store

REGISTRY = Registry()


def make_epochs(count: int, **fields: Any) -> list[EpochMetrics]:
    """Return curves on which train and val get better."""
    return [
        EpochMetrics(
            **{
                "epoch": number,
                "epochs": count,
                "train_loss": 2.0 / number,
                "train_accuracy": 1 - 0.5 / number,
                "val_loss": 2.2 / number,
                "val_accuracy": 1 - 0.6 / number,
                "lr": 0.1 / number,
                "seconds": 1.0,
                "images_per_second": 100.0,
                **fields,
            }
        )
        for number in range(1, count + 1)
    ]


def images(count: int, seed: int = 0, *, edge: int = 8, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, edge, edge, channels), np.uint8)


def hang(store: Store, record: RunRecord, answers: Answers, *, maps: int = 3, **how: Any) -> None:
    """Write the pictures that a run leaves of its answers."""
    ids = pictures.chosen(answers)
    pixels = images(len(ids), int(answers.labels.sum()), **how)
    heat = np.arange(maps, dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8)
    found = Pictures("test", ids, pixels, ids[:maps], heat, "last")
    pictures.write(store.folder(record.id), found)


def part_of(record: RunRecord, store: Store, room: Shelf | None = None, **more: Any) -> RunPart:
    book = AnswerBook(store)
    registry = more.pop("registry", REGISTRY)
    room = room or Shelf()
    return runs.run_part(record, "b0-r0", "net, seed 0", book, store, registry, room, **more)


# ------------------------------------------------------------------------------- the shelf


def test_the_same_picture_is_kept_once_under_a_key_of_its_content() -> None:
    first, second = images(2)
    one, other = Shelf(), Shelf()
    assert one.put(first) == one.put(first.copy()) == other.put(first[..., 0])
    assert one.put(second) != one.put(first)
    assert len(one.images) == 2


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 1), (7, 9, 3)])
def test_small_pictures_come_back_as_they_were(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    room = Shelf()
    key = room.put(pixels)
    assert key is not None
    image = room.images[key]
    assert (image.media, image.width, image.height) == ("image/png", 9, 7)
    back = np.asarray(Image.open(io.BytesIO(image.data)))
    np.testing.assert_array_equal(back, pixels[..., 0] if shape[2:] == (1,) else pixels)


def test_photographs_lose_little_and_are_small() -> None:
    across = np.linspace(0, 255, 96)
    pixels = np.stack(
        [
            across + 0 * across[:, None],
            across[:, None] + 0 * across,
            0 * across + 99 * (1 + 0 * across[:, None]),
        ],
        2,
    )
    pixels = pixels.round().astype(np.uint8)
    room = Shelf()
    image = room.images[room.put(pixels) or ""]
    assert image.media == "image/webp"
    assert len(image.data) < 2000
    back = np.asarray(Image.open(io.BytesIO(image.data)).convert("RGB")).astype(int)
    assert back.shape == (96, 96, 3)
    assert np.abs(back - pixels).mean() < 6


def test_a_map_is_the_brighter_the_more_it_says_and_can_be_seen_through() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    room = Shelf()
    image = room.images[room.put_map(values) or ""]
    assert (image.media, image.width, image.height) == ("image/png", 16, 16)
    back = Image.open(io.BytesIO(image.data))
    bright = np.asarray(back.convert("RGBA"))[..., :3].astype(int).sum(2).ravel() / 3
    assert (np.diff(bright) >= 0).all()
    assert bright[-1] - bright[0] > 150
    opacity = np.asarray(back.convert("RGBA"))[..., 3]
    assert 80 < opacity.min() <= opacity.max() < 180
    assert len(image.data) < 500


def test_what_has_no_room_is_left_out_and_counted() -> None:
    pixels = images(40, edge=32)
    room = Shelf(budget=20_000)
    keys = [room.put(each) for each in pixels]
    kept = [key for key in keys if key]
    assert 0 < len(kept) < 40
    assert room.left_out == 40 - len(kept)
    assert sum(len(image.data) for image in room.images.values()) <= 20_000
    assert room.put(pixels[0]) == keys[0]  # what is there already takes no more


def test_no_part_takes_the_room_of_those_that_follow() -> None:
    pixels = images(60, edge=32)
    room = Shelf(budget=40_000, parts=3)
    taken = []
    for _ in range(3):
        before = len(room.images)
        with room.part():
            for each in pixels[before:]:
                room.put(each)
        taken.append(len(room.images) - before)
    assert max(taken) - min(taken) <= 2
    assert min(taken) > 5


@pytest.mark.parametrize("shape", [(4, 4, 2), (4, 4, 4), (0, 4), (4,)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no picture"):
        Shelf().put(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="no picture"):
        Shelf().put(np.zeros((4, 4), np.float32))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ the gallery


def test_runs_borrow_pictures_of_the_same_items(tmp_path: Path) -> None:
    store, answers = Store(tmp_path), single(120)
    lender = store_run(store, answers)
    hang(store, lender, answers)
    ids = pictures.chosen(answers).tolist()
    borrower = store_run(store, answers, model="other")
    stranger = store_run(store, answers, model="other", fingerprint="beef" * 8)
    gallery = Gallery(store, [lender])
    own = gallery.find(lender, ids, "test")
    assert sorted(own) == ids
    lent = gallery.find(borrower, ids, "test")
    assert {each: pixels.tobytes() for each, pixels in lent.items()} == {
        each: pixels.tobytes() for each, pixels in own.items()
    }
    assert gallery.find(stranger, ids, "test") == {}
    assert gallery.find(lender, ids, "val") == {}
    assert gallery.find(lender, [10_000], "test") == {}
    part = part_of(borrower, store, gallery=gallery)
    assert part.wrong
    assert not part.seen  # maps are of one network
    assert any("no pictures of its own" in note for note in part.notes)


def test_its_own_pictures_come_first(tmp_path: Path) -> None:
    store, answers = Store(tmp_path), single(60)
    first, second = (store_run(store, answers, model=name) for name in ("a", "b"))
    ids = pictures.chosen(answers)
    for record, value in ((first, 10), (second, 200)):
        pixels = np.full((len(ids), 8, 8, 1), value, np.uint8)
        empty = np.zeros((0, 8, 8), np.uint8)
        found = Pictures("test", ids, pixels, ids[:0], empty)
        pictures.write(store.folder(record.id), found)
    gallery = Gallery(store, [first, second])
    assert {pixels.max() for pixels in gallery.find(second, ids.tolist(), "test").values()} == {200}


def test_items_are_looked_for_in_one_run_after_the_other(tmp_path: Path) -> None:
    store, answers = Store(tmp_path), single(60)
    first, second, borrower = (store_run(store, answers, model=name) for name in "abc")
    for record, ids, value in ((first, (0, 3), 10), (second, (3, 6), 200)):
        places = np.array(ids, np.int64)
        pixels = np.full((2, 8, 8, 1), value, np.uint8)
        found = Pictures("test", places, pixels, places[:0], np.zeros((0, 8, 8), np.uint8))
        pictures.write(store.folder(record.id), found)
    lent = Gallery(store, [first, second]).find(borrower, [0, 3, 6, 9], "test")
    assert {each: pixels.max() for each, pixels in lent.items()} == {0: 10, 3: 10, 6: 200}


# ------------------------------------------------------------------------- the part of a run


def test_behind_each_linked_cell_there_are_pictures_of_it(tmp_path: Path) -> None:
    store, answers = Store(tmp_path), single(200)
    record = store_run(store, answers)
    hang(store, record, answers)
    room = Shelf()
    part = part_of(record, store, room)
    [matrix] = [chart for chart in part.charts if chart.name.endswith("-confusion")]
    links = {cell.link for cell in matrix.marks if isinstance(cell, Cell) and cell.link}
    assert links == {each.link for each in part.confused}
    assert links
    wrong = answers.labels != answers.predicted
    for each in part.confused:
        true, said = (int(place) for place in each.link.rpartition("-c")[2].split("-"))
        count = int((wrong & (answers.labels == true) & (answers.predicted == said)).sum())
        total = int((answers.labels == true).sum())
        assert each.title == f"{NAMES[true]} taken for {NAMES[said]}: {count} of {total}"
        assert each.count == count
        assert 0 < len(each.pictures) <= count
        assert all(NAMES[true] in picture.caption for picture in each.pictures)
        assert all(f"taken for {NAMES[said]}" in picture.caption for picture in each.pictures)
    shown = [*part.wrong, *part.doubtful, *part.seen]
    shown += [picture for each in part.confused for picture in each.pictures]
    assert all(picture.image in room.images for picture in shown)
    assert not any(picture.right for picture in part.wrong)
    assert len(part.seen) == 3
    assert all(picture.overlay in room.images for picture in part.seen)
    assert part.layer == "last"
    assert part.notes == ("No command that trains it again: " + part.notes[0].partition(": ")[2],)


def test_pictures_without_room_are_counted_as_they_would_have_been_shown(tmp_path: Path) -> None:
    store, answers = Store(tmp_path), single(200)
    record = store_run(store, answers)
    hang(store, record, answers)
    whole = part_of(record, store)
    shown = [*whole.wrong, *whole.doubtful, *whole.seen]
    shown += [picture for each in whole.confused for picture in each.pictures]
    none = part_of(record, store, Shelf(budget=0))
    assert (none.wrong, none.doubtful, none.seen, none.confused) == ((), (), (), ())
    [note] = [note for note in none.notes if "no room" in note]
    assert note.startswith(f"{len(shown)} more pictures")
    assert none.classes == whole.classes


def test_the_worst_mistakes_come_first(tmp_path: Path) -> None:
    store, answers = Store(tmp_path), single(200)
    record = store_run(store, answers)
    hang(store, record, answers)
    part = part_of(record, store)
    place = {each: number for number, each in enumerate(answers.ids.tolist())}
    worst = [place[each] for each in pictures.worst(answers, len(part.wrong)).tolist()]
    assert [picture.caption for picture in part.wrong] == [caption(answers, p) for p in worst]


def test_charts_of_a_page_have_names_of_their_own(tmp_path: Path) -> None:
    store, answers = Store(tmp_path), single(60)
    records = [store_run(store, answers, model=name) for name in ("a", "b")]
    for record in records:
        write_curves(store, record, make_epochs(5))
    names = [chart.name for record in records for chart in part_of(record, store).charts]
    assert len(names) == len(set(names)) == 14


def test_captions_say_what_an_item_is_and_what_was_said() -> None:
    shares = np.array([[0.02, 0.98, 0], [0.5, 0.3, 0.2], [1, 0, 0], [0.0004, 0, 0.9996]])
    answers = Answers(
        Task.MULTI_CLASS,
        ("ankle boot", "sneaker", "bag"),
        np.arange(4),
        np.array([0, 0, 0, 2]),
        shares.argmax(1),
        shares,
    )
    assert [caption(answers, place) for place in range(4)] == [
        "ankle boot, taken for sneaker at 98 %",
        "ankle boot, recognised at 50 % (sneaker 30 %)",
        "ankle boot, recognised at 100 %",
        "bag, recognised at over 99 %",
    ]
    plain = dataclasses.replace(answers, probabilities=None)
    assert caption(plain, 0) == "ankle boot, taken for sneaker"


def test_captions_of_labels_name_them() -> None:
    truth = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0]])
    said = np.array([[1, 1, 0], [0, 0, 1], [1, 1, 0]])
    answers = Answers(Task.MULTI_LABEL, ("a", "b", "c"), np.arange(3), truth, said, None)
    assert [caption(answers, place) for place in range(3)] == [
        "a, c; said a, b",
        "nothing; said c",
        "a, b",
    ]


def test_the_table_of_classes_has_wilsons_intervals(tmp_path: Path) -> None:
    store, answers = Store(tmp_path), single(100, kept=3)
    part = part_of(store_run(store, answers), store)
    assert part.classes is not None
    assert [column.name for column in part.classes.columns] == [
        *("class", "n", "precision", "recall", "interval", "f1")
    ]
    for place, row in enumerate(part.classes.rows):
        n = int((answers.labels == place).sum())
        assert (row[0].text, row[1].text) == (NAMES[place], str(n))
        if n:
            found = int(((answers.labels == place) & (answers.predicted == place)).sum())
            share = stats.wilson(found, n)
            assert row[3].sort == pytest.approx(share.mean)
            assert row[4].text == f"{share.low:.1%} to {share.high:.1%}"
        else:
            assert (row[3].text, row[4].text) == ("–", "–")


def test_of_many_classes_the_worst_are_in_the_table() -> None:
    names = [f"c{number}" for number in range(40)]
    table = runs.class_table(single(2000, 40, names=names), "test")
    assert len(table.rows) == runs.MOST_CLASSES
    f1 = [row[5].sort for row in table.rows]
    assert f1 == sorted(f1)
    assert "30 of 40" in table.note


def test_labels_have_average_precision(tmp_path: Path) -> None:
    store, answers = Store(tmp_path), sets(80)
    record = store_run(store, answers)
    hang(store, record, answers)
    part = part_of(record, store)
    assert part.classes is not None
    assert part.classes.columns[-1].name == "average_precision"
    assert part.confused == ()
    assert part.wrong


def write_curves(store: Store, record: RunRecord, epochs: list[EpochMetrics]) -> None:
    text = "".join(files.dump_json(epoch.to_dict()) + "\n" for epoch in epochs)
    folder = store.folder(record.id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "epochs.jsonl").write_text(text)


def test_its_sentence_is_the_verdict_on_its_curves(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = store_run(
        store, single(60), environment={"train_items": 900, "train_loss_is_log_loss": True}
    )
    record = dataclasses.replace(record, timing={**record.timing, "best_epoch": 8})
    store.write(record)
    epochs = make_epochs(8)
    write_curves(store, record, epochs)
    verdict = curves.verdict(epochs, 8, 900, 200, classes=4, same_loss=True)
    assert part_of(record, store).sentence == f"{verdict.kind}: {verdict.sentence}"


def test_a_failed_run_is_told_with_its_error_its_log_and_how_far_it_came(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = make_record(status=RunStatus.DIVERGED, error="the loss is\nnot finite")
    write_curves(store, record, make_epochs(2))
    log = "".join(f"line {number}\x07\n\n" for number in range(60_000))
    (store.folder(record.id) / "log.txt").write_text(log)
    store.write(record)
    part = part_of(record, store)
    assert part.status == "diverged"
    assert part.sentence == "diverged: the loss is not finite"
    assert part.log == tuple(f"line {number}" for number in range(59_980, 60_000))
    assert [chart.name.rpartition("-")[2] for chart in part.charts] == ["loss", "accuracy", "rate"]
    assert part.classes is None
    assert part.settings


def test_a_run_that_ended_well_shows_no_log(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = store_run(store, single(30))
    (store.folder(record.id) / "log.txt").write_text("something\n")
    part = part_of(record, store)
    assert part.log == ()
    assert any(note.startswith("No pictures") for note in part.notes)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "`--rerun --pictures auto`"),
        ({"timing": {"pictures_seconds": 0.1}}, "are gone or cannot be read"),
        (
            {"environment": {"pictures_error": "no pictures: OSError: full"}},
            "(no pictures: OSError",
        ),
        ({"metrics": {"val": {"accuracy": 0.5, "n": 30}}}, "these are of val"),
    ],
)
def test_why_there_are_no_pictures_and_what_helps(
    tmp_path: Path, fields: dict[str, Any], says: str
) -> None:
    store = Store(tmp_path)
    record = store_run(store, single(30))
    changed = {
        name: value if name == "metrics" else {**getattr(record, name), **value}
        for name, value in fields.items()
    }
    record = dataclasses.replace(record, **changed)
    [note] = [note for note in part_of(record, store).notes if note.startswith("No pictures")]
    assert says in note
    assert ("--rerun" in note) == ("metrics" not in fields and "environment" not in fields)


def test_why_there_are_no_maps_is_told(tmp_path: Path) -> None:
    store, answers = Store(tmp_path), single(60)
    record = store_run(store, answers, environment={"pictures_error": "no maps: RuntimeError: x"})
    hang(store, record, answers, maps=0)
    part = part_of(record, store)
    assert part.wrong
    assert "The run could not keep all pictures (no maps: RuntimeError: x)." in part.notes


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x00" * 1000])
@pytest.mark.parametrize("name", ["predictions.npz", "pictures.npz", "epochs.jsonl", "log.txt"])
def test_a_damaged_file_costs_what_is_in_it_and_no_more(
    tmp_path: Path, name: str, content: bytes
) -> None:
    store, answers = Store(tmp_path), single(60)
    record = store_run(store, answers)
    hang(store, record, answers)
    write_curves(store, record, make_epochs(5))
    whole = part_of(record, store)
    (store.folder(record.id) / name).write_bytes(content)
    part = part_of(record, store)
    assert part.settings == whole.settings
    if name == "predictions.npz":
        assert part.classes is None
        assert "It has no test predictions that can be read." in part.notes
        assert len(part.charts) == 3
    else:
        assert part.classes == whole.classes
    if name == "pictures.npz":
        assert part.wrong == ()
        assert not any(m.link for c in part.charts for m in c.marks if isinstance(m, Cell))


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (Recipe("soft"), "ensemble-soft"),
        (Recipe("greedy", {"steps": 7, "select_by": "score"}, "mine"), "mine"),
    ],
)
def test_an_ensemble_shows_pictures_of_its_members_and_how_it_was_made(
    tmp_path: Path, cli: Callable[..., Any], recipe: Recipe, name: str
) -> None:
    store = Store(tmp_path)
    members = [write_run(store, model, skill=0.5) for model in ("a", "b", "c")]
    answers = AnswerBook(store).of(members[0])
    assert answers is not None
    hang(store, members[0], answers)
    ensemble = ensembles.build(members, recipe, store, AnswerBook(store)).record
    part = part_of(ensemble, store)
    assert part.sentence == "ensemble of 3 runs"
    assert part.wrong
    words = shlex.split(part.command)
    assert words[:2] == ["bench", "ensemble"]
    assert cli(*words[1:], "--results", tmp_path).code == 0
    again = [record.id for record in store.finals() if record.spec.members]
    assert again == [ensemble.id]  # the command asks for the same one, which is there
    assert ensemble.spec.model.name == name


def test_a_command_trains_the_seeds_up_to_that_of_the_run() -> None:
    registry = load_registry()
    config = ExperimentConfig.create({"datasets": "digits", "models": "cnn3", "seeds": 3})
    spec = plan(config, registry).runs[1]
    assert spec.seed == 1
    tuned = dataclasses.replace(spec, tuned={"study": "abc", "trial": 2})
    usual = "bench run --datasets digits --models cnn3 --optimizers adamw --seeds 2"
    assert runs.command_of(make_record(plan(config, registry).runs[0]), registry)[1] == ""
    command, note = runs.command_of(make_record(spec), registry)
    assert command == usual
    assert "trains those before 1 as well" in note
    command, note = runs.command_of(make_record(tuned), registry)
    assert command == usual
    assert "not the search" in note


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"draw": {"resample": "weights", "round": 2}}, "bench ensemble --how boosting"),
        ({}, "No command that trains it again"),
    ],
)
def test_where_no_command_trains_it_that_is_said(fields: dict[str, Any], says: str) -> None:
    command, why = runs.command_of(make_record(make_spec(**fields)), REGISTRY)
    assert command == ""
    assert says in why


def test_hostile_names_stand_in_one_line_each(tmp_path: Path) -> None:
    store = Store(tmp_path)
    answers = dataclasses.replace(single(200, 6), classes=HOSTILE[8:14])
    name = HOSTILE[0]
    record = store_run(store, answers, model=name, optimizer=HOSTILE[8], dataset=HOSTILE[2])
    hang(store, record, answers)
    part = part_of(record, store)
    texts = [text for pair in (*part.settings, *part.provenance) for text in pair]
    texts += [picture.caption for picture in part.wrong]
    texts += [each.title for each in part.confused]
    assert part.wrong
    assert all("\n" not in text and "\x00" not in text for text in texts)
    assert dict(part.settings)["model"] == name
    assert max(len(picture.caption) for picture in part.wrong) < 300


# ---------------------------------------------------------------------------------- curves


def test_curves_show_train_and_val_and_the_epoch_that_was_kept() -> None:
    epochs = make_epochs(6)
    record = make_record(timing={"best_epoch": 4})
    loss, accuracy, rate = learning_charts.of_run(epochs, record)
    for chart, train, val in (
        (loss, "train_loss", "val_loss"),
        (accuracy, "train_accuracy", "val_accuracy"),
    ):
        drawn = [mark for mark in chart.marks if isinstance(mark, Line)]
        assert chart.series == ("train", "val")
        assert [line.y for line in drawn] == [
            tuple(getattr(epoch, name) for epoch in epochs) for name in (train, val)
        ]
        assert [line.dashed for line in drawn] == [True, False]
        assert [mark.x for mark in chart.marks if isinstance(mark, Rule)] == [4.0]
    assert [line.y for line in rate.marks if isinstance(line, Line)] == [
        tuple(epoch.lr for epoch in epochs)
    ]


def test_a_rate_that_stays_and_a_score_that_is_the_accuracy_have_no_chart() -> None:
    epochs = make_epochs(3, lr=0.1)
    same = [dataclasses.replace(each, val_score=each.val_accuracy) for each in epochs]
    names = [chart.name for chart in learning_charts.of_run(same, make_record())]
    assert names == ["loss", "accuracy"]
    other = [dataclasses.replace(each, val_score=0.3) for each in epochs]
    charts = learning_charts.of_run(other, make_record(environment={"selected_by": "f1_macro"}))
    assert [chart.name for chart in charts] == ["loss", "accuracy", "score"]
    assert charts[2].y.label == "val f1 macro"


def test_no_curves_are_no_charts_and_one_epoch_can_be_seen() -> None:
    assert learning_charts.of_run([], make_record()) == ()
    [loss, _] = learning_charts.of_run(make_epochs(1), make_record())
    assert len(loss.marks) == 4  # a dot at the end of each line


def test_a_loss_that_begins_high_is_drawn_on_a_logarithm() -> None:
    epochs = make_epochs(30)
    assert not learning_charts.of_run(epochs, make_record())[0].y.log
    epochs[0] = dataclasses.replace(epochs[0], val_loss=900.0)
    assert learning_charts.of_run(epochs, make_record())[0].y.log


# ----------------------------------------------------------------------------------- facts


def test_facts_say_what_is_known_in_words() -> None:
    record = make_record(
        timing={"train_seconds": 61.0, "stopped_early": False},
        profile={"latency_ms": 1.5, "peak_memory_bytes": 2_000_000, "parameters": 1234},
        environment={"libraries": {"torch": "2"}, "cuda": None, "share": math.nan},
    )
    known = dict(facts.measured_of(record))
    assert known["train seconds"] == "61 s"
    assert known["latency"] == "1.5 ms"
    assert known["peak memory"] == "2.0 MB"
    assert known["stopped early"] == "no"
    assert known["test"] == "accuracy 0.8, log loss 0.5, n 1,000"
    assert dict(facts.environment_of(record)) == {
        "threads": "2",
        "share": "–",
        "torch": "2",
    }


def test_provenance_names_content_and_code() -> None:
    spec = make_spec()
    key = {**spec.key, "model": {"plugin": "acme", "version": "1", "source": "abc"}, "engine": "e"}
    record = make_record(dataclasses.replace(spec, key=key))
    known = dict(facts.provenance_of(record))
    assert known["run"] == record.id
    assert known["content"] == "f00d" * 8
    assert known["model from"] == "acme 1, code abc"
    assert known["code of the engine"] == "e"


def test_settings_leave_out_what_does_nothing() -> None:
    record = make_record(make_spec(params={"optimizer": {"lr": 0.5}}, protocol={"epochs": 7}))
    known = dict(facts.settings_of(record))
    assert known["optimizer"] == "adamw (lr=0.5)"
    assert known["epochs"] == "7"
    assert "ema decay" not in known  # without averaging
    assert known["seed"] == "0"


def test_the_budget_leaves_room_for_charts() -> None:
    assert shelf.BUDGET * 4 / 3 < 1_500_000
