from __future__ import annotations

import dataclasses
import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from study_samples import (
    LATENCY,
    RATE,
    SCORE,
    make_rate_study,
    make_study,
    make_trial,
    make_wide_study,
)
from test_figures import HOSTILE, SHAPES, points, texts, written

from bench import figures
from bench.figures import tuning
from bench.rate_series import rate_sheets
from bench.report import study_charts
from bench.studies import Objective, StudyRecord, TrialState
from bench.study_series import StudyView, view_of

BLUE, VERMILLION = figures.COLORS[:2]


@pytest.fixture(scope="module")
def wide() -> StudyView:
    return view_of(make_wide_study(60))


def marked(axes: Axes, marker: str, color: str) -> list[tuple[float, float]]:
    """Return the points that are drawn with a marker of a colour."""
    return [
        point
        for line in axes.get_lines()
        if line.get_marker() == marker and line.get_color() == color
        for point in points(line)
    ]


def stepped(axes: Axes) -> list[tuple[float, float]]:
    (line,) = [line for line in axes.get_lines() if line.get_drawstyle().startswith("steps")]
    return points(line)


class Recorder(RendererAgg):
    """Notes which lines of text it draws, and where; slanting ones it leaves out."""

    def __init__(self, figure: Figure) -> None:
        width, height = figure.bbox.size
        super().__init__(width, height, figure.dpi)
        self.boxes: list[tuple[str, Bbox]] = []

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float, *rest: Any, **more: Any
    ) -> None:
        width, height, descent = self.get_text_width_height_descent(s, prop, False)
        if angle == 0:
            box = Bbox.from_bounds(x, y + descent - height, width, height)
            self.boxes.append((s, box.shrunk(0.96, 0.9)))
        elif angle == 90:
            self.boxes.append((s, Bbox.from_bounds(x - height, y - width, height, width)))
        super().draw_text(gc, x, y, s, prop, angle, *rest, **more)


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Return the lines of text that are drawn over one another."""
    recorder = Recorder(figure)
    figure.draw(recorder)
    return [
        (a, b)
        for place, (a, box) in enumerate(recorder.boxes)
        for b, other in recorder.boxes[place + 1 :]
        if box.overlaps(other)
    ]


def all_figures(view: StudyView) -> list[Figure]:
    drawn = [figures.draw_history(view), figures.draw_parallel(view), figures.draw_slices(view)]
    if view.importances.shares:
        drawn.append(figures.draw_importances(view))
    if view.expected.curve:
        drawn.append(figures.draw_expected(view))
    if len(view.study.objectives) > 1:
        drawn.append(figures.draw_front(view))
    return drawn


# History


def test_the_history_has_a_point_for_each_trial_and_the_best_so_far() -> None:
    trials = [make_trial(0, 0.5), make_trial(1, 0.8), make_trial(2, 0.7)]
    trials += [make_trial(3, 0.4, state=TrialState.PRUNED)]
    trials += [make_trial(4, state=TrialState.FAILED), make_trial(5, state=TrialState.WAITING)]
    figure = figures.draw_history(view_of(make_study(trials)))
    (axes,) = figure.axes
    assert marked(axes, "o", BLUE) == [(0, 0.5), (1, 0.8), (2, 0.7)]
    assert marked(axes, "X", tuning.FAINT) == [(3, 0.4)]
    assert [x for x, _ in marked(axes, "v", VERMILLION)] == [4]
    assert [x for x, _ in marked(axes, "s", tuning.FAINT)] == [5]
    assert stepped(axes) == [(0, 0.5), (1, 0.8), (2, 0.8), (5, 0.8)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("trial", "val score")
    legend = {*texts(figure)} & {"complete", "pruned", "failed", "waiting", "running"}
    assert legend == {"complete", "pruned", "failed", "waiting"}
    assert "At the foot: trials without a score." in written(figure)


def test_a_study_of_failures_only_has_a_history() -> None:
    trials = [make_trial(n, state=TrialState.FAILED) for n in range(3)]
    figure = figures.draw_history(view_of(make_study(trials)))
    assert figures.render(figure, "png")
    assert "best so far" not in texts(figure)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_value_far_from_all_others_stands_at_the_edge(sign: int) -> None:
    values = [*np.linspace(0.8, 0.9, 9), -1000.0]
    objective = Objective("score", sign > 0)
    trials = [make_trial(n, sign * value) for n, value in enumerate(values)]
    view = view_of(make_study(trials, objectives=[objective]))
    low, high, cut = study_charts.value_range(view, [TrialState.COMPLETE])
    assert cut == 1
    assert abs(high - low) < 1
    figure = figures.draw_history(view)
    drawn = [y for _, y in marked(figure.axes[0], "o", BLUE)]
    assert low <= min(drawn) <= max(drawn) <= high
    assert drawn[-1] == (low if sign > 0 else high)
    assert "1 trial stands at the edge and scored worse than that." in written(figure)


# Importances and the expected best


def test_bars_are_the_importances_the_largest_on_top(wide: StudyView) -> None:
    (axes,) = figures.draw_importances(wide).axes
    shares = wide.importances.shares
    assert [bar.get_width() for bar in axes.patches] == [*shares.values()]
    assert [label.get_text() for label in axes.get_yticklabels()] == [*shares]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_of_many_params_the_most_important_have_bars() -> None:
    generator = np.random.default_rng(0)
    names = [f"net.p{number}" for number in range(30)]
    trials = [
        make_trial(n, float(generator.random()), params={x: generator.random() for x in names})
        for n in range(12)
    ]
    space = {name: {"kind": "float", "low": 0.0, "high": 1.0, "log": False} for name in names}
    view = view_of(make_study(trials, space=space))
    figure = figures.draw_importances(view)
    assert len(figure.axes[0].patches) == tuning.MOST_BARS
    assert "Not drawn: 5 params of less importance." in written(figure)
    assert "Not drawn: 14 params of less importance." in written(figures.draw_slices(view))
    assert "Not drawn: 16 params of less importance." in written(figures.draw_parallel(view))


def test_the_expected_best_is_a_line_in_its_band() -> None:
    view = view_of(make_wide_study(30, pruned=False))
    figure = figures.draw_expected(view)
    (axes,) = figure.axes
    curve = view.expected.curve
    assert points(axes.get_lines()[0]) == [(k, each.mean) for k, each in enumerate(curve, 1)]
    (band,) = axes.collections
    edge = band.get_paths()[0].vertices
    low, high = axes.get_ylim()
    for k in (5, 29):
        ys = edge[edge[:, 0] == k][:, 1]
        each = curve[k - 1]
        assert max(ys.min(), low) == pytest.approx(max(each.low, low))
        assert min(ys.max(), high) == pytest.approx(min(each.high, high))
    assert "holds at 95 % for the whole curve" in written(figure)


def test_one_score_far_off_does_not_flatten_the_expected_best() -> None:
    scores = [*np.linspace(-0.5, -0.3, 12), -5000.0]
    trials = [make_trial(n, float(score)) for n, score in enumerate(scores, 1)]
    study = make_study(trials, sampler="random", protocol={"monitor": "log_loss"})
    (axes,) = figures.draw_expected(view_of(study)).axes
    low, high = axes.get_ylim()
    assert -10 < low < -0.3 < high < 1


# Params


def test_parallel_axes_have_a_line_for_each_complete_trial(wide: StudyView) -> None:
    figure = figures.draw_parallel(wide)
    (axes,) = figure.axes
    count = len(wide.axes)
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == count + 1]
    assert len(lines) == wide.study.count(TrialState.COMPLETE)
    best = [line for line in lines if line.get_color() == VERMILLION]
    assert len(best) == 1
    assert wide.winner is not None
    ys = [y for _, y in points(best[0])]
    assert ys[-1] == 1  # the value has the last axis, the best at its top
    for axis, y in zip(wide.by_importance, ys, strict=False):
        place = axis.fraction(wide.winner.params)
        if place is None:
            assert y < 0  # below the axis: the param did not apply
        elif not axis.choices:
            assert y == place
        else:
            assert y == pytest.approx(0.05 + 0.9 * place, abs=0.051)
    assert "off" in texts(figure)
    assert "trials that are not complete" in written(figure)


def test_the_better_a_trial_the_darker_its_line() -> None:
    trials = [make_trial(n, 0.5 + n / 10, params={"a.lr": 0.01, "a.b": 0.1}) for n in range(4)]
    space = {"a.lr": RATE, "a.b": RATE}
    (axes,) = figures.draw_parallel(view_of(make_study(trials, space=space))).axes
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
    by_value = sorted(lines, key=lambda line: points(line)[-1][1])[:-1]
    lights = [
        sum(int(to_hex(line.get_color())[i : i + 2], 16) for i in (1, 3, 5)) for line in by_value
    ]
    assert lights == sorted(lights, reverse=True)
    assert len({*lights}) == 3


def test_slices_show_values_against_each_param(wide: StudyView) -> None:
    figure = figures.draw_slices(wide)
    assert [axes.get_xlabel() for axes in figure.axes] == [a.name for a in wide.by_importance]
    rate = figure.axes[0]
    assert rate.get_xscale() == "log"
    assert figure.axes[0].get_ylim() == figure.axes[5].get_ylim()
    special = {wide.front[0].number, 0}
    expected = [
        (trial.params["adamw.lr"], wide.values[trial.number])
        for trial in wide.study.trials
        if trial.state is TrialState.COMPLETE and trial.number not in special
    ]
    assert marked(rate, "o", BLUE) == expected
    star = wide.front[0]
    assert marked(rate, "*", VERMILLION) == [(star.params["adamw.lr"], wide.values[star.number])]
    activation = next(axes for axes in figure.axes if axes.get_xlabel() == "cnn.activation")
    labels = [label.get_text() for label in activation.get_xticklabels()]
    assert labels == ["relu", "gelu", "silu", "leaky_relu"]
    for x, _ in marked(activation, "o", BLUE):
        assert abs(x - round(x)) <= 0.15


def test_a_conditional_param_has_those_trials_only_that_it_applied_to(wide: StudyView) -> None:
    figure = figures.draw_slices(wide)
    axes = next(axes for axes in figure.axes if axes.get_xlabel() == "cosine.final")
    number = sum(
        len(marked(axes, marker, color))
        for marker, color in (
            ("o", BLUE),
            ("X", tuning.FAINT),
            ("*", VERMILLION),
            ("D", figures.COLORS[2]),
        )
    )
    shown = [t for t in wide.study.trials if t.number in wide.values]
    assert number == sum("cosine.final" in trial.params for trial in shown) < len(shown)


def test_no_axis_is_written_in_formulas(wide: StudyView) -> None:
    for figure in all_figures(wide):
        figures.render(figure, "png")
        literal = [text for text in figure.findobj(Text) if isinstance(text, Text)]
        assert not [t for t in literal if "$" in t.get_text() or t.get_usetex()]
        assert not [t for t in literal if t.get_text() and t.get_parse_math()]


def test_with_twelve_params_and_sixty_trials_no_text_covers_another(wide: StudyView) -> None:
    both = [SCORE, LATENCY]
    for view in (wide, view_of(make_wide_study(60, pruned=False, objectives=both))):
        for figure in all_figures(view):
            assert overlapping(figure) == []
    figure.text(0.5, 0.5, "one")
    figure.text(0.505, 0.5, "two")
    assert overlapping(figure) == [("one", "two")]  # it would have been seen


# Fronts


def test_the_front_is_a_staircase_through_the_trials_on_it() -> None:
    values = [(0.9, 5.0), (0.8, 1.0), (0.7, 9.0), (0.85, 3.0)]
    trials = [make_trial(n, objectives=list(each)) for n, each in enumerate(values)]
    figure = figures.draw_front(view_of(make_study(trials, objectives=[SCORE, LATENCY])))
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("latency (ms)", "val score")
    assert stepped(axes) == [(1.0, 0.8), (3.0, 0.85), (5.0, 0.9)]
    assert marked(axes, "o", BLUE) == [(9.0, 0.7)]
    assert {"0", "1", "3"} <= {*texts(figure)}
    assert "Wanted: more val score, less latency (ms)." in written(figure)


def test_of_three_objectives_there_are_two_panels_and_large_counts_are_short() -> None:
    wanted = [SCORE, LATENCY, Objective("parameters", False)]
    view = view_of(make_wide_study(30, objectives=wanted))
    figure = figures.draw_front(view)
    figures.render(figure, "png")
    assert [axes.get_xlabel() for axes in figure.axes] == ["latency (ms)", "parameters"]
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert any(label.endswith(("k", "M")) for label in labels)


def test_objectives_of_many_magnitudes_are_logarithmic() -> None:
    trials = [make_trial(n, objectives=[0.5 + n / 9, 10.0**n]) for n in range(4)]
    (axes,) = figures.draw_front(view_of(make_study(trials, objectives=[SCORE, LATENCY]))).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")


# Learning rates


def test_each_optimizer_has_its_colour_in_all_panels() -> None:
    studies = [
        make_rate_study([1e-3, 1e-2], optimizer=optimizer, model=model, name=optimizer + model)
        for model, optimizer in (("net", "adamw"), ("net", "lion"), ("big", "lion"))
    ]
    (sheet,) = rate_sheets(studies)
    figure = figures.draw_rates(sheet)
    net, big = figure.axes
    assert [axes.get_title() for axes in (net, big)] == ["net", "big"]
    assert {"adamw", "lion"} <= {*texts(figure)}
    (line,) = [
        line for line in big.get_lines() if len(points(line)) == 2 and line.get_marker() == "s"
    ]
    assert line.get_color() == VERMILLION
    assert points(line) == [(1e-3, pytest.approx(0.8)), (1e-2, 0.9)]
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert net.get_ylim() == big.get_ylim()


def test_failed_rates_are_at_the_foot_and_what_is_left_out_is_said() -> None:
    studies = [
        make_wide_study(15, seed=n, optimizer=f"o{n}", model=f"m{n}", name=str(n))
        for n in range(10)
    ]
    (sheet,) = rate_sheets(studies)
    figure = figures.draw_rates(sheet)
    assert "Crosses at the foot: trials that failed." in written(figure)
    assert "Not drawn: 2 further optimizers, 6 further models or protocols." in written(figure)
    assert len(figure.axes) == 4


# Names and files


def hostile(name: str) -> StudyRecord:
    space = {
        name: RATE,
        f"{name}.b": {"kind": "choice", "choices": [name, f"{name} 2"], "condition": name},
    }
    generator = np.random.default_rng(0)
    trials = [
        make_trial(
            n,
            None,
            params={name: float(generator.uniform(1e-5, 0.1)), f"{name}.b": name},
            objectives=[float(generator.random()), float(generator.random())],
        )
        for n in range(12)
    ]
    trials.append(make_trial(12, state=TrialState.FAILED, error=name))
    wanted = [SCORE, Objective(f"{name}_ms", False)]
    fields = {"model": name, "optimizer": name, "dataset": f"{name}/.."}
    return make_study(trials, space=space, objectives=wanted, name=f"../{name}", **fields)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_drawn_letter_by_letter(name: str, tmp_path: Path) -> None:
    view = view_of(hostile(name))
    paths = figures.write_study(view, tmp_path / "out")
    assert len(paths) == 10
    for path in paths:
        assert path.parent == tmp_path / "out"
        content = path.read_bytes()
        if path.suffix == ".png":
            Image.open(io.BytesIO(content)).verify()
        else:
            tree = ElementTree.fromstring(content)
            assert {element.tag.rpartition("}")[2] for element in tree.iter()} <= SHAPES
    shown = name.encode("utf-8", "replace").decode()
    for figure in all_figures(view):
        assert any(shown in " ".join(text.split()) for text in texts(figure)), shown


def test_hostile_optimizers_have_rates(tmp_path: Path) -> None:
    studies = [make_rate_study([1e-3], optimizer=o, dataset=o, name=o) for o in HOSTILE]
    paths = figures.write_rates(rate_sheets(studies), tmp_path)
    assert len(paths) == 2 * len(HOSTILE) == len({*paths})
    for sheet, name in zip(rate_sheets(studies), HOSTILE, strict=True):
        assert name.encode("utf-8", "replace").decode() in texts(figures.draw_rates(sheet))


def test_the_same_study_is_the_same_picture_whatever_the_readers_settings(wide: StudyView) -> None:
    def pictures() -> list[bytes]:
        drawn = figures.draw_history(wide), figures.draw_parallel(wide)
        return [figures.render(figure, form) for figure in drawn for form in ("png", "svg")]

    plain = pictures()
    own: dict[str, Any] = {"axes.facecolor": "black", "text.usetex": True, "font.size": 30}
    with matplotlib.rc_context(own):
        assert pictures() == plain


def kinds_of(paths: Sequence[Path]) -> set[str]:
    return {path.stem.rpartition("-")[2] for path in paths}


def test_only_what_there_is_to_see_is_drawn(tmp_path: Path) -> None:
    failed = make_study([make_trial(0, state=TrialState.FAILED)])
    assert kinds_of(figures.write_study(view_of(failed), tmp_path)) == {"history"}
    one = make_rate_study([1e-3, 1e-2])
    assert kinds_of(figures.write_study(view_of(one), tmp_path)) == {"history", "slices"}
    single = dataclasses.replace(one, trials=one.trials[:1], sampler="random")
    assert kinds_of(figures.write_study(view_of(single), tmp_path)) == {"history", "slices"}
    assert figures.write_study(view_of(make_study()), tmp_path) == []
    trials = [make_trial(n, 0.5, params={"adamw.lr": 0.1}) for n in range(2)]
    random = make_study(trials, sampler="random")
    drawn = kinds_of(figures.write_study(view_of(random), tmp_path))
    assert drawn == {"history", "slices", "expected"}
