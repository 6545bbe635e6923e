from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Done
from hypothesis import given
from hypothesis import strategies as st
from samples import make_record, make_spec

from bench import curves, files
from bench.curves import Curve, Fit
from bench.errors import ConfigError
from bench.records import EpochMetrics, StepMetrics
from bench.store import Store

Cli = Callable[..., Done]


def history(
    train: list[float],
    val: list[float],
    train_loss: list[float] | None = None,
    val_loss: list[float] | None = None,
    seconds: float = 2.0,
) -> list[EpochMetrics]:
    """Return epochs of these accuracies; the losses are what is missing from 1 where not given."""
    train_loss = train_loss or [1 - value for value in train]
    val_loss = val_loss or [1 - value for value in val]
    return [
        EpochMetrics(
            epoch=place + 1,
            epochs=len(train),
            train_loss=train_loss[place],
            train_accuracy=train[place],
            val_loss=val_loss[place],
            val_accuracy=val[place],
            lr=0.1,
            seconds=seconds,
            images_per_second=100.0,
            steps=10 * (place + 1),
            val_score=val[place],
        )
        for place in range(len(train))
    ]


def verdict(epochs: list[EpochMetrics], best: int | None = None, **given: Any) -> curves.Verdict:
    values = {"n_train": 10_000, "n_val": 2_000, "classes": 10, "same_loss": True, **given}
    return curves.verdict(epochs, best or len(epochs), **values)


numbers = st.one_of(
    st.floats(0, 1), st.floats(), st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf, 1e300])
)
tame = st.floats(0, 1)


@st.composite
def histories(draw: st.DrawFn, value: Any = numbers, least: int = 0) -> list[EpochMetrics]:
    count = draw(st.integers(least, 12))
    columns = [draw(st.lists(value, min_size=count, max_size=count)) for _ in range(4)]
    epochs = history(*columns) if count else []
    if draw(st.booleans()):  # lines of an older version
        epochs = [dataclasses.replace(epoch, steps=0, val_score=None) for epoch in epochs]
    return epochs


# Time to a target


@given(histories(tame), st.sampled_from([*Curve]), tame, tame)
def test_a_harder_target_is_never_reached_sooner(
    epochs: list[EpochMetrics], curve: Curve, one: float, other: float
) -> None:
    easy, hard = sorted((one, other), reverse=curve is Curve.LOSS)
    first = curves.time_to_target(epochs, curve, easy)
    second = curves.time_to_target(epochs, curve, hard)
    if second is not None:
        assert first is not None
        assert first.epoch <= second.epoch
        assert first.seconds <= second.seconds


@given(histories(), st.sampled_from([*Curve]))
def test_the_best_value_is_reached_and_nothing_better_is(
    epochs: list[EpochMetrics], curve: Curve
) -> None:
    best = curves.best_of(epochs, curve)
    if best is None:
        assert curves.time_to_target(epochs, curve, -math.inf) is None or curve is Curve.LOSS
        return
    assert curves.time_to_target(epochs, curve, best) is not None
    beyond = math.nextafter(best, -math.inf if curve is Curve.LOSS else math.inf)
    if beyond != best:
        assert curves.time_to_target(epochs, curve, beyond) is None


def test_time_to_target_adds_up_the_training_seconds_of_the_epochs_until_then() -> None:
    epochs = history([0.5] * 4, [0.2, 0.6, 0.5, 0.9], seconds=1.5)
    reached = curves.time_to_target(epochs, Curve.ACCURACY, 0.6)
    assert reached == curves.Reached(epoch=2, steps=20, seconds=3.0)
    assert curves.time_to_target(epochs, Curve.LOSS, 0.11) == curves.Reached(4, 40, 6.0)
    assert curves.time_to_target(epochs, Curve.SCORE, 0.95) is None


def test_older_curves_say_neither_steps_nor_score() -> None:
    [epoch] = history([0.5], [0.5])
    older = [dataclasses.replace(epoch, steps=0, val_score=None)]
    assert curves.time_to_target(older, Curve.ACCURACY, 0.5) == curves.Reached(1, None, 2.0)
    assert curves.time_to_target(older, Curve.SCORE, 0.5) is None
    assert curves.best_of(older, Curve.SCORE) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.85", (Curve.ACCURACY, 0.85)),
        ("accuracy:1", (Curve.ACCURACY, 1.0)),
        ("loss:0.4", (Curve.LOSS, 0.4)),
        ("score:-0.3", (Curve.SCORE, -0.3)),
    ],
)
def test_a_target_is_a_metric_and_a_number(text: str, expected: tuple[Curve, float]) -> None:
    assert curves.parse_target(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("85", "85 % is `0.85`"),
        ("-0.1", "is no accuracy"),
        ("lots", "no number in the target `lots`"),
        ("", "no number"),
        ("loss:", "no number"),
        ("loss:nan", "no number"),
        ("los:0.4", "(did you mean `loss`?)"),
        ("f1:0.4", "there are `accuracy`, `loss`, `score`"),
    ],
)
def test_a_bad_target_says_what_a_good_one_is(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        curves.parse_target(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# The gap


@given(tame, tame, st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_gap_lies_in_its_interval_which_more_images_narrow(
    train: float, val: float, n_train: int, n_val: int
) -> None:
    epochs = history([train], [val])
    gap = curves.gap(epochs, 1, n_train, n_val, same_loss=True)
    more = curves.gap(epochs, 1, 100 * n_train, 100 * n_val, same_loss=True)
    assert gap is not None
    assert more is not None
    assert gap.low <= gap.accuracy == train - val <= gap.high
    assert more.high - more.low <= gap.high - gap.low


def test_the_gap_is_that_of_the_epoch_asked_for() -> None:
    epochs = history([0.5, 0.9, 1.0], [0.5, 0.8, 0.7])
    gap = curves.gap(epochs, 2, 1000, 1000, same_loss=True)
    assert gap is not None
    assert gap.epoch == 2
    assert gap.accuracy == pytest.approx(0.1)
    assert gap.loss == pytest.approx(0.1)
    assert gap.large
    other = curves.gap(epochs, 2, 1000, 1000, same_loss=False)
    assert other is not None
    assert other.loss is None
    few = curves.gap(epochs, 2, 1000, 20, same_loss=True)
    assert few is not None
    assert not few.large
    assert curves.gap(epochs, 4, 1000, 1000, same_loss=True) is None


# The verdict


@given(
    histories(),
    st.integers(-1, 14),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.sampled_from([None, 2, 10]),
    st.booleans(),
)
def test_every_history_has_a_verdict_of_one_line(
    epochs: list[EpochMetrics],
    best: int,
    n_train: int,
    n_val: int,
    classes: int | None,
    same_loss: bool,
) -> None:
    said = curves.verdict(epochs, best, n_train, n_val, classes=classes, same_loss=same_loss)
    assert said.sentence
    assert "\n" not in said.sentence
    finite = all(math.isfinite(e.train_loss + e.val_loss) for e in epochs)
    if len(epochs) < curves.MIN_EPOCHS or not finite:
        assert said.kind is Fit.UNCLEAR


@given(st.floats(0, 1), st.floats(0, 5), st.integers(4, 40))
def test_equal_and_constant_curves_neither_overfit_nor_learn(
    accuracy: float, loss: float, count: int
) -> None:
    epochs = history([accuracy] * count, [accuracy] * count, [loss] * count, [loss] * count)
    expected = Fit.UNDERFITS if accuracy < 0.55 else Fit.FITS
    assert verdict(epochs).kind is expected


def test_a_gap_beyond_noise_is_overfitting() -> None:
    train = [0.5, 0.7, 0.9, 0.95, 0.98, 0.98, 0.98, 0.98]
    val = [0.5, 0.65, 0.78, 0.8, 0.8, 0.8, 0.8, 0.8]
    said = verdict(history(train, val))
    assert said.kind is Fit.OVERFITS
    assert "train is ahead of val by 18.0 points" in said.sentence


def test_overfitting_that_still_gains_on_val_says_so() -> None:
    said = verdict(history([0.5, 0.7, 0.85, 0.9, 0.95], [0.5, 0.6, 0.65, 0.7, 0.75]))
    assert said.kind is Fit.OVERFITS
    assert said.sentence.endswith("val was still improving, though")


def test_the_same_gap_on_a_few_images_is_too_little_to_say() -> None:
    train = [0.5, 0.7, 0.9, 0.95, 0.95, 0.95, 0.95, 0.95]
    val = [0.5, 0.65, 0.78, 0.8, 0.85, 0.85, 0.85, 0.85]
    assert verdict(history(train, val)).kind is Fit.OVERFITS
    said = verdict(history(train, val), n_train=80, n_val=20)
    assert said.kind is Fit.UNCLEAR
    assert "noise of 20 val images" in said.sentence


def test_a_small_gap_is_no_overfitting_however_many_images_prove_it() -> None:
    epochs = history([0.94] * 8, [0.9] * 8)
    assert verdict(epochs, n_train=1_000_000, n_val=1_000_000).kind is Fit.FITS


def test_a_gap_that_opened_after_the_epoch_kept_names_both() -> None:
    train = [0.6, 0.7, 0.8, 0.82, 0.9, 0.95, 0.97, 0.98, 0.98]
    said = verdict(history(train, [0.6, 0.7, 0.79, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]), best=4)
    assert said.kind is Fit.OVERFITS
    assert "at epoch 9, the last; at epoch 4, which was kept, the gap was 2.0" in said.sentence


def test_a_val_loss_that_rises_while_train_loss_falls_is_overfitting() -> None:
    accuracy = [0.6, 0.7, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
    train_loss = [1.0, 0.7, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2]
    val_loss = [1.0, 0.7, 0.5, 0.5, 0.55, 0.6, 0.65, 0.7]
    epochs = history(accuracy, accuracy, train_loss, val_loss)
    said = verdict(epochs)
    assert said.kind is Fit.OVERFITS
    assert "val loss rose from 0.5000 (epoch 3) to 0.6750" in said.sentence
    assert "train loss fell from 0.5000 to 0.2250" in said.sentence
    # With another loss, with few images, and where training is undone, it proves nothing.
    assert verdict(epochs, same_loss=False).kind is Fit.FITS
    assert verdict(epochs, n_val=40).kind is Fit.FITS
    assert verdict(history(accuracy, accuracy, val_loss, val_loss)).kind is Fit.FITS


def test_a_loss_close_to_zero_may_double_by_chance() -> None:
    val_loss = [0.5, 0.1, 0.03, 0.04, 0.05, 0.05]
    train_loss = [0.5, 0.1, 0.03, 0.02, 0.02, 0.01]
    accuracy = [0.9, 0.97, 0.99, 0.99, 0.99, 0.99]
    epochs = history(accuracy, accuracy, train_loss, val_loss)
    assert verdict(epochs, n_val=300).kind is Fit.FITS
    assert verdict(epochs, n_val=300_000).kind is Fit.OVERFITS


def test_curves_that_rise_to_the_end_are_still_learning() -> None:
    rising = [0.3, 0.5, 0.6, 0.66, 0.7]
    said = verdict(history(rising, rising))
    assert said.kind is Fit.STILL_LEARNING
    assert "from epochs 2–3 to epochs 4–5 train accuracy rose from 55.0% to 68.0%" in said.sentence
    flat = [0.6, *rising, 0.7, 0.7, 0.7, 0.7]
    assert verdict(history(flat, flat)).kind is Fit.FITS
    # Where train alone still rises, or the rise may be noise, more epochs promise nothing.
    assert verdict(history(rising, [0.7] * 5)).kind is Fit.FITS
    slowly = [0.70, 0.70, 0.70, 0.72, 0.72]
    assert verdict(history(slowly, slowly)).kind is Fit.STILL_LEARNING
    assert verdict(history(slowly, slowly), n_train=200).kind is Fit.FITS


def test_what_never_leaves_guessing_underfits() -> None:
    epochs = history([0.1, 0.11, 0.1, 0.1, 0.1], [0.1, 0.1, 0.11, 0.1, 0.1])
    said = verdict(epochs)
    assert said.kind is Fit.UNDERFITS
    assert "guessing (10.0%)" in said.sentence
    # Of several labels all have to be right: nobody knows what guessing gives.
    assert verdict(epochs, classes=None).kind is Fit.FITS


def test_val_ahead_of_train_is_no_fault() -> None:
    said = verdict(history([0.6] * 6, [0.8] * 6))
    assert said.kind is Fit.FITS
    assert "augmented" in said.sentence


def test_what_fell_apart_in_the_end_is_not_passed_over() -> None:
    said = verdict(history([0.8, 0.9, 0.1, 0.1, 0.1], [0.8, 0.9, 0.1, 0.1, 0.1]), best=2)
    assert said.kind is Fit.FITS
    assert said.sentence.endswith("val had fallen to 10.0%: training was not stable")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_few_epochs_show_no_trend(count: int) -> None:
    said = verdict(history([0.9] * count, [0.5] * count), best=1)
    assert said.kind is Fit.UNCLEAR
    assert said.sentence == f"a trend needs 4 epochs, not {count}"


# Reading


@given(histories(tame, least=1))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, epochs: list[EpochMetrics]
) -> None:
    path = tmp_path_factory.mktemp("curves") / "epochs.jsonl"
    path.write_text("".join(files.dump_json(epoch.to_dict()) + "\n" for epoch in epochs))
    assert curves.read_epochs(path) == epochs


def test_a_file_cut_at_any_byte_reads_up_to_the_cut(tmp_path: Path) -> None:
    epochs = history([0.5, 0.6], [0.5, 0.6])
    path = tmp_path / "epochs.jsonl"
    lines = [json.dumps(epoch.to_dict()) + "\n" for epoch in epochs]
    whole = "".join(lines)
    for length in range(len(whole)):
        path.write_text(whole[:length])
        # The line break at a line's end is no part of what it says.
        expected = sum(length >= end - 1 for end in (len(lines[0]), len(whole)))
        assert curves.read_epochs(path) == epochs[:expected]


def test_lines_of_an_older_version_are_read(tmp_path: Path) -> None:
    [epoch] = history([0.5], [0.5])
    plain = epoch.to_dict()
    del plain["steps"], plain["val_score"]
    path = tmp_path / "epochs.jsonl"
    path.write_text(json.dumps(plain) + "\n")
    assert curves.read_epochs(path) == [dataclasses.replace(epoch, steps=0, val_score=None)]


@pytest.mark.parametrize(
    "line",
    ["5", "null", "[]", '{"epoch": 1}', "\x00", "[" * 100_000]
    + [json.dumps({**history([0.5], [0.5])[0].to_dict(), "val_loss": v}) for v in (None, "x")]
    + [json.dumps({**history([0.5], [0.5])[0].to_dict(), "val_loss": v}) for v in (10**400, [])]
    + [json.dumps({**history([0.5], [0.5])[0].to_dict(), "other": 1})],
    ids=lambda line: line[:20],
)
def test_reading_ends_at_a_line_that_is_none_of_ours(tmp_path: Path, line: str) -> None:
    epochs = history([0.5], [0.5])
    path = tmp_path / "epochs.jsonl"
    whole = json.dumps(epochs[0].to_dict())
    path.write_text(f"{whole}\n{line}\n{whole}\n")
    assert curves.read_epochs(path) == epochs


def test_steps_are_read_likewise_and_a_missing_file_holds_none(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    assert curves.read_steps(path) == []
    points = [StepMetrics(5 * n, 1, 0.1, 0.5 * n, 1.0, 0.5, 1.1, 0.4) for n in (1, 2)]
    lines = [json.dumps(point.to_dict()) for point in points]
    path.write_text("\n".join([*lines, lines[0][:30]]))
    assert curves.read_steps(path) == points


# bench show


def stored(
    results: Path, epochs: list[EpochMetrics], steps: int = 0, best: int = 2, **timing: Any
) -> str:
    """Store a run with these curves and `steps` points, and return its id."""
    record = make_record(n=2000, timing={"best_epoch": best, **timing})
    environment = {
        "task": "multi-class",
        "classes": list("abcdefghij"),
        "train_items": 10_000,
        "train_loss_is_log_loss": True,
    }
    record = dataclasses.replace(
        record,
        environment=environment,
        profile={
            "latency_ms": 12.3456,
            "peak_memory_bytes": 1_234_567,
            "flops_uncounted": [],
            "throughput_images_per_second": 54321.9,
            "profiled_alone": True,
        },
    )
    Store(results).write(record)
    folder = Store(results).folder(record.id)
    lines = [files.dump_json(epoch.to_dict()) + "\n" for epoch in epochs]
    (folder / "epochs.jsonl").write_text("".join(lines))
    points = [StepMetrics(n + 1, 1, 0.1, 0.5 * n, 1.0, 0.5, 1.1, 0.4) for n in range(steps)]
    if points:
        lines = [files.dump_json(point.to_dict()) + "\n" for point in points]
        (folder / "steps.jsonl").write_text("".join(lines))
    return record.id


OVERFITTED = history([0.5, 0.7, 0.9, 0.95, 0.98, 0.98], [0.5, 0.7, 0.78, 0.8, 0.8, 0.8])


def rows_below(out: str, title: str) -> list[str]:
    """Return the lines of a table, its headings left out."""
    lines = out.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(title))
    return lines[start + 2 : lines.index("", start)]


def test_show_ends_the_curves_with_the_gap_and_the_verdict(cli: Cli, tmp_path: Path) -> None:
    run = stored(tmp_path, OVERFITTED, best=4)
    out = cli("show", run, "--results", tmp_path).out
    assert "gap      train less val accuracy at epoch 4: +15.0 points (95%: " in out
    assert "val less train loss: +0.1500" in out
    assert "\nverdict  overfits: train is ahead of val by 15.0 points" in out
    kept = [line for line in rows_below(out, "epochs") if line.endswith("kept")]
    assert [line.split()[0] for line in kept] == ["4"]
    plain = json.loads(cli("show", run, "--results", tmp_path, "--json").out)
    assert plain["verdict"]["kind"] == "overfits"
    assert plain["verdict"]["sentence"] in out
    assert plain["gap"]["accuracy"] == pytest.approx(0.15)
    assert plain["steps"] == plain["targets"] == []


def test_show_says_when_a_target_was_reached(cli: Cli, tmp_path: Path) -> None:
    run = stored(tmp_path, OVERFITTED)
    words = ("show", run, "--results", tmp_path, "--target", "0.75", "--target", "loss:0.1")
    out = cli(*words).out
    assert "val accuracy ≥ 75%: reached after 3 epochs, 30 steps, 6.0 s of training" in out
    assert "val loss ≤ 0.1: never reached; the best was 0.2" in out
    first, second = json.loads(cli(*words, "--json").out)["targets"]
    assert (first["epoch"], first["steps"], first["seconds"]) == (3, 30, 6.0)
    assert (second["metric"], second["epoch"], second["best"]) == ("loss", None, pytest.approx(0.2))


def test_show_says_how_the_other_seeds_reached_a_target(cli: Cli, tmp_path: Path) -> None:
    store = Store(tmp_path)
    ids = []
    for seed, last in enumerate((0.9, 0.7, 0.8)):
        record = dataclasses.replace(
            make_record(make_spec(seed=seed)), environment={"train_items": 1000}
        )
        store.write(dataclasses.replace(record, timing={"best_epoch": 3}))
        lines = [json.dumps(epoch.to_dict()) for epoch in history([0.9] * 3, [0.5, 0.6, last])]
        files.write_text(store.folder(record.id) / "epochs.jsonl", "\n".join(lines))
        ids.append(record.id)
    store.write(make_record(make_spec("other")))
    words = ("show", ids[0], "--results", tmp_path, "--target", "0.75")
    out = cli(*words).out
    assert (
        "over seeds: reached by 2 of 3 (95%: 21 to 94%); median 6.0 s (75%: 6.0 s to never)" in out
    )
    [target] = json.loads(cli(*words, "--json").out)["targets"]
    assert (target["seeds"]["reached"], target["seeds"]["runs"]) == (2, 3)
    assert target["seeds"]["high"] is None


def test_a_target_of_a_run_without_such_a_curve_is_not_known(cli: Cli, tmp_path: Path) -> None:
    run = stored(tmp_path, [])
    done = cli("show", run, "--results", tmp_path, "--target", "score:0.5")
    assert done.code == 0
    assert "not known; the curves hold no val score" in done.out


@pytest.mark.parametrize("target", ["85", "f1:0.5", "loss:", "loss:x"])
def test_a_bad_target_is_one_line_and_exit_2(cli: Cli, tmp_path: Path, target: str) -> None:
    run = stored(tmp_path, OVERFITTED)
    done = cli("show", run, "--results", tmp_path, "--target", target)
    assert done.code == 2
    assert done.out == ""
    [line] = done.err.splitlines()
    assert line.startswith("error: ")
    assert f"`{target}`" in line


def test_long_curves_are_thinned_and_say_so(cli: Cli, tmp_path: Path) -> None:
    epochs = history([0.5] * 100, [0.5] * 100)
    run = stored(tmp_path, epochs, steps=500, best=50)
    out = cli("show", run, "--results", tmp_path).out
    assert "epochs (21 of 100; --json has all)" in out
    shown = [int(line.split()[0]) for line in rows_below(out, "epochs")]
    assert len(shown) == 21
    assert {1, 50, 100} <= {*shown}
    assert "steps (20 of 500 points; --json has all)" in out
    points = [int(line.split()[0]) for line in rows_below(out, "steps (")]
    assert len(points) == 20
    assert (points[0], points[-1]) == (1, 500)
    plain = json.loads(cli("show", run, "--results", tmp_path, "--json").out)
    assert (len(plain["epochs"]), len(plain["steps"])) == (100, 500)


def test_short_curves_are_shown_whole(cli: Cli, tmp_path: Path) -> None:
    run = stored(tmp_path, OVERFITTED, steps=3)
    out = cli("show", run, "--results", tmp_path).out
    assert "steps (3 points)" in out
    assert len(rows_below(out, "epochs")) == 6
    assert "--json has all" not in out


def test_the_score_has_a_column_where_it_is_not_the_accuracy(cli: Cli, tmp_path: Path) -> None:
    plain = cli("show", stored(tmp_path, OVERFITTED), "--results", tmp_path).out
    assert "val score" not in plain
    scored = [dataclasses.replace(epoch, val_score=0.1234) for epoch in OVERFITTED]
    out = cli("show", stored(tmp_path, scored), "--results", tmp_path).out
    assert all("0.1234" in line for line in rows_below(out, "epochs"))


def test_show_prints_fields_in_their_units(cli: Cli, tmp_path: Path) -> None:
    timing = {"checkpoint_seconds": 75.0, "stopped_early": True, "resumed": 2, "x_seconds": None}
    run = stored(tmp_path, OVERFITTED, **timing)
    lines = cli("show", run, "--results", tmp_path).out.splitlines()
    fields = dict(line.split("  ", 1) for line in lines if "  " in line.strip())
    fields = {name: value.strip() for name, value in fields.items()}
    expected = {
        "checkpoint seconds": "75 s",
        "stopped early": "yes",
        "resumed": "2",
        "x seconds": "–",
        "latency": "12.3 ms",
        "peak memory": "1.2 MB",
        "flops uncounted": "none",
        "throughput images per second": "54,322",
        "profiled alone": "yes",
    }
    assert {name: fields[name] for name in expected} == expected
