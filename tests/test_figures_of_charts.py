from __future__ import annotations

import dataclasses
import json
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import report_samples
from answers_samples import single, store_run
from conftest import Done
from hypothesis import given, settings
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from samples import make_record
from study_samples import make_wide_study
from test_charts import HOSTILE, charts

from bench import figures, pictures, studies
from bench.charts import Axis, Band, Cell, Chart, Dot, Line, Mark, Rule
from bench.errors import StoreError
from bench.figures import reports
from bench.records import EpochMetrics, RunRecord
from bench.store import Store

Cli = Callable[..., Done]


def chart(*drawn: Mark, x: Axis | None = None, y: Axis | None = None, **more: object) -> Chart:
    return Chart("a", "title", x or Axis("x"), y or Axis("y"), drawn, **more)  # type: ignore[arg-type]


def texts(figure: Figure) -> list[str]:
    found = figure.findobj(Text)
    return [text.get_text() for text in found if isinstance(text, Text) and text.get_text()]


def signs(figure: Figure) -> list[tuple[str, str]]:
    """Return the colour and the marker of all that has one."""
    (axes,) = figure.axes
    return [
        (to_hex(str(line.get_markerfacecolor())), marker)
        for line in axes.get_lines()
        if (marker := str(line.get_marker())) not in ("None", "")
    ]


@settings(max_examples=25, deadline=None)
@given(drawn=charts)
def test_any_chart_is_drawn(drawn: Chart) -> None:
    assert figures.render(figures.draw_chart(drawn), "svg").startswith(b"<?xml")


def test_series_have_the_colours_and_shapes_of_all_pictures() -> None:
    drawn = figures.draw_chart(chart(*(Dot(i, i, i) for i in range(8))))
    expected = [*zip((each.lower() for each in figures.COLORS), figures.MARKERS, strict=True)]
    assert signs(drawn) == expected


def test_names_are_drawn_letter_by_letter() -> None:
    for name in HOSTILE:
        drawn = chart(
            Dot(0, 0, label=name),
            Cell(0, 0, 0.5, name),
            Rule(x=0, label=name),
            x=Axis(name, categories=(name, "b")),
            series=(name,),
            note=name,
        )
        figure = figures.draw_chart(drawn)
        assert figures.render(figure, "png").startswith(b"\x89PNG")
    figure = figures.draw_chart(chart(Dot(0, 0), x=Axis("$x$ <b>")))
    assert "$x$ <b>" in texts(figure)
    (axes,) = figure.axes
    assert not any(text.get_parse_math() for text in (*axes.texts, *figure.texts))


def test_a_chart_of_nothing_says_so() -> None:
    figure = figures.draw_chart(chart(Dot(math.nan, 0), Rule(y=1), note="why"))
    assert set(texts(figure)) == {"title", "why", "nothing to draw"}


def test_every_kind_of_mark_is_there() -> None:
    axis = Axis("", categories=("a", "b"))
    drawn = chart(
        Cell(0, 0, 1, "31", right=True),
        Cell(1, 0, 0.5, "7"),
        Band((0.0, 1.0), (0.0, 0.0), (1.0, 1.0), 1),
        Line((0.0, 1.0), (0.0, 1.0), 2),
        Dot(1, 1, 3, "named", hollow=True, y_low=0, y_high=1),
        Rule(y=0, label="a rule"),
        x=axis,
        y=axis,
        series=tuple("pqrs"),
    )
    figure = figures.draw_chart(drawn)
    assert {"31", "7", "named", "a rule", *"qrs"} <= set(texts(figure))
    (axes,) = figure.axes
    colors = {to_hex(patch.get_facecolor()) for patch in axes.patches}
    assert {"#0072b2", "#c04f00", figures.COLORS[1].lower()} <= colors
    assert len(axes.collections) == 1  # whiskers


def test_the_same_chart_gives_the_same_bytes(tmp_path: Path) -> None:
    drawn = chart(Line((0.0, 1.0), (0.0, 1.0)), Dot(0, 1, 1))
    for folder in ("a", "b"):
        paths = figures.write_charts([("one", drawn)], tmp_path / folder)
        assert [path.name for path in paths] == ["one.png", "one.svg"]
    for name in ("one.png", "one.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_files_have_safe_names_no_two_alike(tmp_path: Path) -> None:
    drawn = chart(Dot(0, 0))
    paths = figures.write_charts(
        [(name, drawn) for name in ("../up", "..-up", "a/b", "")], tmp_path
    )
    assert len({path.name.lower() for path in paths}) == 8
    assert {path.parent for path in paths} == {tmp_path}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(p.name for p in paths)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        figures.write_charts([("one", chart(Dot(0, 0)))], tmp_path / "file" / "folder")


# Reports


def test_a_report_is_drawn_whole_and_nothing_twice() -> None:
    content = report_samples.rich()
    found = [*reports.charts_of(content)]
    inside = [
        *(c for b in content.blocks for c in (*b.tradeoffs, *b.learning)),
        *(b.significance.chart for b in content.blocks if b.significance),
        *(f.chart for f in content.findings if f.chart),
        *(c for r in content.runs for c in r.charts),
        *(c for s in content.studies for c in s.charts),
    ]
    assert len(found) == len(inside) + len(content.blocks)  # and the ranking of each block
    assert len({name for name, _ in found}) == len(found)
    drawn = [(each.title, each.marks) for _, each in found]
    assert len(set(drawn)) == len(drawn)


def test_a_ranking_has_the_rows_with_a_score_in_their_order() -> None:
    (block, *_) = report_samples.rich().blocks
    ranking = reports.ranking_of(block)
    assert ranking is not None
    scored = [row for row in block.rows if row.interval]
    assert len(ranking.marks) == len(ranking.y.categories) == len(scored)
    for row, mark, name in zip(scored, ranking.marks, ranking.y.categories, strict=True):
        assert isinstance(mark, Dot)
        assert (mark.x, mark.x_low, mark.x_high) == row.interval
        assert name == f"{row.rank}  {row.label}"
        assert mark.hollow == (row.tie_group != 1)


def test_a_hostile_report_is_drawn_too(tmp_path: Path) -> None:
    content = report_samples.hostile()
    content = dataclasses.replace(content, runs=content.runs[:1], studies=content.studies[:1])
    written = [*figures.write_report(content, tmp_path)]
    assert written
    for path in written:
        assert path.parent == tmp_path
        if path.suffix == ".svg":
            tags = {each.tag.split("}")[1] for each in ElementTree.parse(path).iter()}
            assert "script" not in tags


# Runs


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def keep_curves(store: Store, record: RunRecord) -> None:
    numbers = {"train_loss": 0.5, "val_loss": 0.4, "train_accuracy": 0.6, "val_accuracy": 0.7}
    shared = {"lr": 0.1, "seconds": 1.0, "images_per_second": 9.0, "epochs": 3}
    lines = [EpochMetrics(epoch=epoch, **shared, **numbers) for epoch in (1, 2, 3)]  # type: ignore[arg-type]
    text = "".join(json.dumps(line.to_dict()) + "\n" for line in lines)
    (store.folder(record.id) / "epochs.jsonl").write_text(text)


def keep_pictures(store: Store, record: RunRecord, ids: Sequence[int]) -> None:
    images = np.zeros((len(ids), 8, 8, 1), np.uint8)
    none = np.zeros((0, 8, 8), np.uint8)
    places = np.array(sorted(ids), np.int64)
    kept = pictures.Pictures("test", places, images, np.zeros(0, np.int64), none)
    pictures.write(store.folder(record.id), kept)


def test_show_plots_a_run(cli: Cli, store: Store, tmp_path: Path) -> None:
    answers = single(seed=3)
    record = store_run(store, answers)
    keep_curves(store, record)
    wrong = answers.ids[~answers.right].tolist()
    keep_pictures(store, record, wrong[:5])
    folder = tmp_path / "out"
    done = cli("show", record.id, "--results", store.root, "--plot", folder, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["id"] == record.id
    names = {path.name.partition(record.id)[2] for path in folder.iterdir()}
    curves = {"-loss", "-accuracy"}
    said = {"-test-confusion", "-test-roc", "-test-precision-recall", "-test-reliability"}
    expected = {f"{name}.{end}" for name in curves | said for end in ("png", "svg")}
    assert names == expected | {"-test-mistakes.png"}
    assert done.err.count("drew `") == len(names)
    assert "not drawn" not in done.err
    (sheet,) = folder.glob("*-mistakes.png")
    with Image.open(sheet) as opened:
        assert opened.width > 300


def test_the_worst_mistakes_come_first_and_only_those_with_a_picture(store: Store) -> None:
    answers = single(seed=3)
    record = store_run(store, answers)
    worst = pictures.worst(answers, 400).tolist()
    assert figures.runs.mistakes_of(record, store, answers, "test") is None
    keep_pictures(store, record, [worst[2]])
    one = figures.runs.mistakes_of(record, store, answers, "test")
    keep_pictures(store, record, worst[:4])
    four = figures.runs.mistakes_of(record, store, answers, "test")
    assert one is not None
    assert four is not None
    assert one.size != four.size
    assert figures.runs.mistakes_of(record, store, answers, "val") is None


def test_what_a_run_lacks_is_said_in_one_line(cli: Cli, store: Store, tmp_path: Path) -> None:
    record = make_record()
    store.write(record)
    done = cli("show", record.id, "--results", store.root, "--plot", tmp_path / "out")
    assert done.code == 0
    said = [line for line in done.err.splitlines() if line.startswith("not drawn")]
    assert said == ["not drawn: it has no curves; no test predictions"]
    assert not (tmp_path / "out").exists()
    answers = single(seed=3)
    other = store_run(store, answers)
    done = cli("show", other.id, "--results", store.root, "--plot", tmp_path / "out")
    assert "not drawn: it has no curves; no pictures of its mistakes" in done.err


def test_pictures_go_into_a_folder_here_unless_one_is_named(
    cli: Cli, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = store_run(store, single(seed=3))
    assert cli("show", record.id, "--results", store.root, "--split", "test", "--plot").code == 0
    assert [*(tmp_path / "pictures").glob("*-confusion.svg")]
    study = make_wide_study(5, name="cell", pruned=False)
    studies.write(store.root, study)
    assert cli("show", "cell", "--results", store.root, "--plot").code == 0
    assert [*(tmp_path / "pictures").glob("*-history.svg")]
