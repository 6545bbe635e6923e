from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from conftest import Done
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image
from samples import make_record, make_spec

import bench
from bench import curves, figures, leaderboard, series
from bench.api import Result
from bench.records import EpochMetrics, RunRecord, RunStatus
from bench.series import Sheet
from bench.store import Store

HOSTILE = (
    "$x$",
    "<script>alert(1)</script>",
    "_hidden",
    "a_b^{2}",
    "--> ]]> & \udcff",
    "%d {x} \\",
)
EPOCHS = 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two models with two seeds each under two protocols, and one that fails; for reading only."""
    folder = tmp_path_factory.mktemp("figures")
    grid = {"tiny.gain": [1.0, 2.0], "protocol.batch_size": [16, 32]}
    result: Result = bench.run(
        models="tiny,exits", datasets="tiny", set=grid, seeds=2, epochs=EPOCHS, results=folder
    )
    assert [str(record.status) for record in result.records].count("ok") == 8
    return Store(folder)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def sheets(store: Store, records: Sequence[RunRecord] | None = None) -> list[Sheet]:
    found = store.records() if records is None else records
    return series.sheets_of(leaderboard.build(found, store), store)


def only(store: Store, records: Sequence[RunRecord]) -> Sheet:
    (sheet,) = sheets(store, records)
    return sheet


def keep_curves(store: Store, record: RunRecord, epochs: int = 4, **values: Any) -> RunRecord:
    """Store made-up curves that differ from record to record; the last epoch is the best."""
    generator = np.random.default_rng([*record.id.encode()])
    folder = store.folder(record.id)
    folder.mkdir(parents=True)
    lines = []
    for epoch in range(1, epochs + 1):
        numbers = dict(zip(("train_loss", "val_loss"), generator.uniform(0.2, 1.0, 2), strict=True))
        numbers |= dict(
            zip(("train_accuracy", "val_accuracy"), generator.uniform(0.1, 0.9, 2), strict=True)
        )
        given = {name: value(epoch) for name, value in values.items()}
        shared = {"lr": 0.1, "seconds": 1.0, "images_per_second": 9.0}
        lines.append(EpochMetrics(epoch=epoch, epochs=epochs, **{**shared, **numbers, **given}))
    text = "".join(json.dumps(line.to_dict()) + "\n" for line in lines)
    (folder / "epochs.jsonl").write_text(text)
    return dataclasses.replace(record, timing={"best_epoch": epochs})


def stored_curves(store: Store, record: RunRecord) -> list[EpochMetrics]:
    return curves.read_epochs(store.folder(record.id) / "epochs.jsonl")


def texts(figure: Figure) -> list[str]:
    """Return all that is written, except what is empty."""
    found = figure.findobj(Text)
    return [text.get_text() for text in found if isinstance(text, Text) and text.get_text()]


def written(figure: Figure) -> str:
    return " ".join(" ".join(texts(figure)).split())


def drawn(axes: Axes, dash: str, *, thick: bool = True) -> list[Line2D]:
    """Return the curves of one kind: `--` for train, `-` for val."""
    lines = [line for line in axes.get_lines() if line.get_linestyle() == dash]
    return [line for line in lines if (line.get_linewidth() > 1) == thick]


def kept(axes: Axes) -> list[Line2D]:
    return [line for line in axes.get_lines() if line.get_linestyle() == "None"]


def points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


# Curves


def test_a_line_is_the_curve_of_its_run(store: Store) -> None:
    record = keep_curves(store, make_record())
    loss, accuracy = figures.draw_curves(only(store, [record])).axes
    assert [axes.get_ylabel() for axes in (loss, accuracy)] == ["loss", "accuracy"]
    assert [axes.get_xlabel() for axes in (loss, accuracy)] == ["epoch", "epoch"]
    stored = stored_curves(store, record)
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        for dash, split in (("--", "train"), ("-", "val")):
            (line,) = drawn(axes, dash)
            field = f"{split}_{name}"
            assert points(line) == [(each.epoch, getattr(each, field)) for each in stored]
        (mark,) = kept(axes)
        assert points(mark) == [(4, getattr(stored[-1], f"val_{name}"))]
        assert not axes.collections  # no band about a single seed


def test_several_seeds_are_drawn_as_their_mean_in_a_band(trained: Store) -> None:
    sheet = sheets(trained)[1]
    figure = figures.draw_curves(sheet)
    (panel,) = sheet.panels
    assert [len(method.traces) for method in panel.methods] == [2, 2]
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        lines, bands = drawn(axes, "-"), axes.collections[1::2]
        for method, line, band in zip(panel.methods, lines, bands, strict=True):
            values = np.array(
                [[getattr(epoch, f"val_{name}") for epoch in t.epochs] for t in method.traces]
            )
            assert values.shape == (2, EPOCHS)
            assert list(line.get_xdata()) == [1, 2, 3]
            np.testing.assert_allclose(line.get_ydata(), values.mean(0))
            edge = band.get_paths()[0].vertices
            for epoch in range(EPOCHS):
                ys = edge[edge[:, 0] == epoch + 1][:, 1]
                np.testing.assert_allclose(
                    [ys.min(), ys.max()], [values[:, epoch].min(), values[:, epoch].max()]
                )
        assert [len(points(mark)) for mark in kept(axes)] == [2, 2]
    assert "mean of seeds" in written(figure)
    assert "smallest to largest of the seeds" in written(figure)


def test_a_seed_that_trained_on_has_a_line_of_its_own(store: Store) -> None:
    records = [
        keep_curves(store, make_record(make_spec(seed=seed), 0.8 + seed / 10), epochs)
        for seed, epochs in enumerate((2, 5))
    ]
    figure = figures.draw_curves(only(store, records))
    for axes, field in zip(figure.axes, ("val_loss", "val_accuracy"), strict=True):
        (mean,) = drawn(axes, "-")
        assert [x for x, _ in points(mean)] == [1, 2]
        (rest,) = drawn(axes, "-", thick=False)
        longer = stored_curves(store, records[1])
        assert points(rest) == [(e.epoch, getattr(e, field)) for e in longer[1:]]
    assert "a seed that trained on" in written(figure)


def test_one_epoch_is_a_point_that_can_be_seen(store: Store) -> None:
    record = keep_curves(store, make_record(), epochs=1)
    for axes in figures.draw_curves(only(store, [record])).axes:
        for dash in ("-", "--"):
            (line,) = drawn(axes, dash)
            assert line.get_marker() == "."


def test_blocks_of_a_dataset_stand_side_by_side_on_the_same_axes(trained: Store) -> None:
    together, *alone = sheets(trained)
    assert [len(sheet.panels) for sheet in (together, *alone)] == [2, 1, 1]
    assert together.title == f"tiny · epochs {EPOCHS}"
    figure = figures.draw_curves(together)
    (loss_a, loss_b), (accuracy_a, accuracy_b) = figure.axes[:2], figure.axes[2:]
    assert [axes.get_title() for axes in (loss_a, loss_b)] == ["batch size 16", "batch size 32"]
    assert loss_a.get_ylim() == loss_b.get_ylim()
    assert accuracy_a.get_ylim() == accuracy_b.get_ylim()
    assert [loss_a.get_ylabel(), loss_b.get_ylabel()] == ["loss", ""]
    ranking = figures.draw_ranking(together).axes
    assert ranking[0].get_xlim() == ranking[1].get_xlim()
    assert [axes.get_title(loc="left") for axes in ranking] == ["batch size 16", "batch size 32"]


def test_a_row_has_one_colour_in_all_pictures_of_its_dataset(trained: Store) -> None:
    looks: dict[str, set[Any]] = {}
    for sheet in sheets(trained):
        figure = figures.draw_curves(sheet)
        places = [axes for axes in figure.axes if axes.get_ylabel() == "accuracy"]
        places += figure.axes[3:]
        for axes, panel in zip(places, sheet.panels, strict=True):
            for method, line, mark in zip(panel.methods, drawn(axes, "-"), kept(axes), strict=True):
                looks.setdefault(method.label, set()).add((line.get_color(), mark.get_marker()))
    assert [len(each) for each in looks.values()] == [1, 1]
    assert len(set.union(*looks.values())) == 2


def test_a_row_has_one_name_in_all_blocks_even_where_one_lacks_its_neighbour(store: Store) -> None:
    records = [
        make_record(make_spec(params={"model": {"depth": depth}}, protocol={"epochs": epochs}))
        for depth, epochs in ((1, 5), (2, 5), (1, 9))
    ]
    together = sheets(store, records)[0]
    names = [{method.label for method in panel.methods} for panel in together.panels]
    assert names == [{"net (depth=1)", "net (depth=2)"}, {"net (depth=1)"}]
    assert "net (depth=1)" in written(figures.draw_ranking(together))


def test_the_colours_differ_and_stand_out_from_white() -> None:
    assert len(set(figures.COLORS)) == len(set(figures.MARKERS)) == figures.MOST_CURVES
    for color in figures.COLORS:
        red, green, blue = (int(to_hex(color)[i : i + 2], 16) / 255 for i in (1, 3, 5))
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.72


def test_of_many_rows_the_best_are_drawn_and_the_others_counted(store: Store) -> None:
    records = [
        keep_curves(store, make_record(make_spec(f"m{number}"), number / 100))
        for number in range(40)
    ]
    sheet = only(store, records)
    figure = figures.draw_curves(sheet)
    assert len(drawn(figure.axes[0], "-")) == figures.MOST_CURVES
    assert {f"m{number}" for number in range(32, 40)} <= {*texts(figure)}
    assert "m31" not in texts(figure)
    assert "Not drawn: 32 rows with lower scores." in written(figure)
    assert "Not drawn: 10 rows with lower scores." in written(figures.draw_ranking(sheet))


def test_of_many_blocks_the_best_are_drawn_and_the_others_counted(store: Store) -> None:
    records = [
        keep_curves(store, make_record(make_spec(protocol={"epochs": epochs}), epochs / 100))
        for epochs in range(10, 17)
    ]
    together = sheets(store, records)[0]
    assert len(together.panels) == 7
    figure = figures.draw_curves(together)
    titles = [axes.get_title() for axes in figure.axes[:4]]
    assert titles == ["epochs 13", "epochs 14", "epochs 15", "epochs 16"]
    assert "Not drawn: 3 further blocks." in written(figure)


def test_what_failed_is_not_drawn_and_said(trained: Store, store: Store) -> None:
    for sheet in sheets(trained)[1:]:
        for draw in (figures.draw_curves, figures.draw_ranking):
            assert "Not drawn: 1 failed row." in written(draw(sheet))
    crashed = make_record(status=RunStatus.CRASHED)
    assert sheets(store, [crashed]) == []


def test_rows_without_curves_are_ranked_and_said_to_have_none(store: Store) -> None:
    records = [keep_curves(store, make_record(make_spec("a"))), make_record(make_spec("b"))]
    sheet = only(store, records)
    assert "Not drawn: 1 row without stored curves." in written(figures.draw_curves(sheet))
    assert "Not drawn" not in written(figures.draw_ranking(sheet))
    names = [path.name for path in figures.write([only(store, records[1:])], store.root / "out")]
    assert {name.rpartition("-")[2] for name in names} == {"ranking.png", "ranking.svg"}


def test_a_loss_of_many_magnitudes_has_a_logarithmic_axis_without_formulas(store: Store) -> None:
    record = keep_curves(store, make_record(), val_loss=lambda epoch: 4000.0 if epoch < 2 else 0.4)
    figure = figures.draw_curves(only(store, [record]))
    loss, accuracy = figure.axes
    figures.render(figure, "png")
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    assert loss.get_ylabel() == "loss (logarithmic)"
    assert [label.get_text() for label in loss.get_yticklabels() if "$" in label.get_text()] == []
    tame = keep_curves(store, make_record(make_spec("tame")))
    assert figures.draw_curves(only(store, [tame])).axes[0].get_yscale() == "linear"


def test_losses_that_are_not_the_same_are_said_to_differ(store: Store) -> None:
    record = keep_curves(store, make_record())
    for same in (True, False):
        told = dataclasses.replace(record, environment={"train_loss_is_log_loss": same})
        text = written(figures.draw_curves(only(store, [told])))
        assert ("do not compare it with val loss" in text) is not same


@pytest.mark.parametrize(("monitor", "name"), [(None, "mAP"), ("accuracy", "exact match")])
def test_a_multi_label_task_has_curves_of_what_it_stores(
    store: Store, monitor: str | None, name: str
) -> None:
    record = make_record(make_spec(protocol={"monitor": monitor}))
    scores = {"accuracy": 0.4, "mean_average_precision": 0.7, "n": 100}
    record = keep_curves(
        store,
        dataclasses.replace(
            record, metrics={"val": scores, "test": scores}, environment={"task": "multi-label"}
        ),
        val_score=lambda epoch: epoch / 10,
    )
    # Only now: the stored timing says which epoch was kept.
    sheet = only(store, [dataclasses.replace(record, environment={"task": "multi-label"})])
    _, axes = figures.draw_curves(sheet).axes
    assert axes.get_ylabel() == name
    (val,) = drawn(axes, "-")
    expected = [
        (e.epoch, e.val_accuracy if monitor else e.epoch / 10) for e in stored_curves(store, record)
    ]
    assert points(val) == expected
    assert len(drawn(axes, "--")) == bool(monitor)
    assert figures.draw_ranking(sheet).axes[0].get_xlabel() == "test mAP"


# The ranking


def test_the_ranking_shows_scores_intervals_and_ties_in_order(store: Store) -> None:
    scores = {"a": 0.9, "b": 0.895, "c": 0.5, "d": 0.49}
    records = [make_record(make_spec(model), score) for model, score in scores.items()]
    sheet = only(store, records)
    (axes,) = figures.draw_ranking(sheet).axes
    assert axes.get_xlabel() == "test accuracy"
    labels = [label.get_text().split() for label in axes.get_yticklabels()]
    assert labels == [["a", "1"], ["b", "1"], ["c", "3"], ["d", "3"]]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the best on top
    for place, (method, container) in enumerate(
        zip(sheet.panels[0].methods, axes.containers, strict=True)
    ):
        point, _, (bar,) = container.lines
        assert points(point) == [(method.score, place)]
        ends = bar.get_segments()[0][:, 0]
        score = method.row.score
        assert score is not None
        np.testing.assert_allclose(ends, [score.low, score.high])
    stripes = sorted(patch.get_y() + 0.5 for patch in axes.patches)
    assert stripes == [0, 1]  # the first tie group, not the second
    text = written(figures.draw_ranking(sheet))
    assert "90.0% (88.0 to 91.7), 1 seed" in text
    assert "Wilson interval" in text


# Names


def test_hostile_names_are_drawn_letter_by_letter(store: Store) -> None:
    records = [
        keep_curves(store, make_record(make_spec(name, optimizer="<b>&$", dataset=f"{name}/..")))
        for name in HOSTILE
    ]
    paths = figures.write(sheets(store, records), store.root / "out")
    assert len(paths) == 4 * len(HOSTILE)
    for path in paths:
        assert path.parent == store.root / "out"
        content = path.read_bytes()
        if path.suffix == ".png":
            Image.open(io.BytesIO(content)).verify()
        else:
            tree = ElementTree.fromstring(content)
            assert {element.tag.rpartition("}")[2] for element in tree.iter()} <= SHAPES
    for sheet in sheets(store, records):
        (method,) = sheet.panels[0].methods
        shown = method.row.model.encode("utf-8", "replace").decode()
        for figure in (figures.draw_curves(sheet), figures.draw_ranking(sheet)):
            assert any(text.split("   ")[0] == shown for text in texts(figure)), shown
            assert any(shown in text for text in texts(figure) if "epochs 10" in text)
            literal = [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_text()]
            assert not [t for t in literal if t.get_parse_math() or t.get_usetex()]


SHAPES = {"svg", "metadata", "RDF", "Work", "type", "creator", "Agent", "title", "format", "defs"}
SHAPES |= {"style", "g", "path", "use", "clipPath", "rect"}


def test_long_names_lose_their_middle(store: Store) -> None:
    records = [
        keep_curves(store, make_record(make_spec(f"first{'x' * 300}{end}"))) for end in ("a", "b")
    ]
    figure = figures.draw_curves(only(store, records))
    shown = [text for text in texts(figure) if text.startswith("first")]
    assert {text[-1] for text in shown} == {"a", "b"}
    assert {len(text) for text in shown} == {figures.LONGEST_LABEL}


def test_letters_that_the_font_lacks_are_no_warning(store: Store) -> None:
    record = keep_curves(store, make_record(make_spec("花の網")))
    assert figures.render(figures.draw_curves(only(store, [record])), "png")


@given(st.lists(st.text(max_size=150), max_size=6))
def test_file_names_are_safe_and_no_two_alike(names: list[str]) -> None:
    found = figures._file_names(names)
    assert len({name.lower() for name in found}) == len(names)
    for name in found:
        assert name.isascii()
        assert name[0] not in ".-"
        assert len(name) <= 120
        assert not {*name} & {*"/\\:*?\"<>| $'\n\0"}


# Files, and what a reader's own settings do


def test_the_same_picture_is_the_same_file_whatever_the_readers_settings(store: Store) -> None:
    record = keep_curves(store, make_record())
    plain = [figures.render(figures.draw_curves(only(store, [record])), e) for e in ("png", "svg")]
    own = {"axes.facecolor": "black", "figure.facecolor": "black", "text.usetex": True}
    with matplotlib.rc_context({**own, "font.size": 30, "savefig.dpi": 10}):
        odd = [
            figures.render(figures.draw_curves(only(store, [record])), e) for e in ("png", "svg")
        ]
        assert matplotlib.rcParams["font.size"] == 30
    assert odd == plain
    picture = Image.open(io.BytesIO(plain[0])).convert("RGB")
    assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_the_command_draws_beside_what_it_prints(
    trained: Store, tmp_path: Path, cli: Callable[..., Done]
) -> None:
    folder = tmp_path / "new" / "pictures"
    words = ("leaderboard", "--results", trained.root, "--figures", folder)
    done = cli(*words, "--json")
    assert done.code == 0
    assert len(json.loads(done.out)["blocks"]) == 2
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 12
    assert f"tiny-epochs-{EPOCHS}-curves.png" in names
    assert f"tiny-epochs-{EPOCHS}-batch-size-16-ranking.svg" in names
    assert done.err.count("drew `") == 12
    assert cli(*words[:3]).out == cli(*words).out


def test_a_folder_that_cannot_be_written_is_one_line(
    trained: Store, tmp_path: Path, cli: Callable[..., Done]
) -> None:
    (tmp_path / "file").write_text("")
    words = ("leaderboard", "--results", trained.root, "--figures")
    below = cli(*words, tmp_path / "file" / "below")
    assert below.code == 3
    (line,) = [line for line in below.err.splitlines() if line]
    assert line.startswith("error: cannot write `")
    assert cli(*words, tmp_path / "file").code == 2


def test_where_nothing_succeeded_no_picture_is_drawn(
    tmp_path: Path, cli: Callable[..., Done]
) -> None:
    done = cli("leaderboard", "--results", tmp_path, "--figures", tmp_path / "out")
    assert done.code == 0
    assert done.err == "no pictures: no run here has succeeded\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("drawn", [False, True])
def test_matplotlib_is_imported_only_for_pictures_and_never_torch_or_pyplot(
    trained: Store, tmp_path: Path, drawn: bool
) -> None:
    words = ["leaderboard", "--results", str(trained.root)]
    words += ["--figures", str(tmp_path)] if drawn else []
    code = (
        "import sys\nfrom bench.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code\n"
        "known = ('matplotlib', 'matplotlib.pyplot', 'torch')\n"
        "print([name for name in known if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120
    )
    assert done.stderr.splitlines()[-1] == str(["matplotlib"] if drawn else [])
