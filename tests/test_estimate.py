from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import make_record, make_spec

from bench import estimate, hardware
from bench.estimate import History, estimate_seconds, total_seconds
from bench.records import Mode, Purpose, RunRecord, RunSpec, RunStatus
from bench.specs import DatasetHints, ModelHints

DATA = DatasetHints(train=1000, test=200, image_size=28, channels=1)
MODEL = ModelHints(family="net", parameters=10**6, macs=10**8, layers=20, input_size=224)
NOTHING = History([])


@pytest.fixture(autouse=True)
def reference_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this machine as fast as the one that the rates were fitted on."""
    monkeypatch.setattr(estimate, "_slowness", lambda device: 1.0)


def seconds(
    spec: RunSpec | None = None,
    model: ModelHints | None = MODEL,
    data: DatasetHints | None = DATA,
    history: History = NOTHING,
    **protocol: Any,
) -> float:
    spec = spec or make_spec(protocol={"val": 0.1, "epochs": 2, "batch_size": 100, **protocol})
    return estimate_seconds(spec, model, data, history)


def past(spec: RunSpec, images_per_second: float | None = 100.0, **fields: Any) -> RunRecord:
    return make_record(spec, timing={"images_per_second": images_per_second}, **fields)


# The cost model


def test_a_step_costs_more_with_more_images_but_less_than_in_proportion() -> None:
    spec = make_spec()
    one, ten, hundred = (estimate.step_seconds(spec, MODEL, DATA, batch) for batch in (1, 10, 100))
    assert one < ten < hundred < 10 * ten < 100 * one


def test_arithmetic_grows_with_the_area_of_the_images() -> None:
    small, double, large = (
        estimate.step_seconds(make_spec(image_size=size), MODEL, DATA, 10)
        for size in (56, 112, 224)
    )
    assert large - double == pytest.approx(4 * (double - small))


@pytest.mark.parametrize(
    "slower", [make_spec(protocol={"threads": 1}), make_spec(mode=Mode.DETERMINISTIC)]
)
def test_fewer_threads_take_longer(slower: RunSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cpu_count", lambda: 8)
    assert seconds(slower) > seconds(make_spec())


def test_a_slow_machine_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    before = seconds()
    monkeypatch.setattr(estimate, "_slowness", lambda device: 3.0)
    assert seconds() == pytest.approx(3 * before)


def test_unknown_sizes_still_give_an_estimate() -> None:
    assert seconds(model=None, data=None) > 0
    assert seconds(model=ModelHints(family="net")) > 0


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_device_has_rates(device: str) -> None:
    spec = make_spec(device=device)
    assert seconds(spec) > 0
    assert estimate.START_SECONDS[device] > 0


positive = st.integers(1, 100_000)


@given(positive, positive, st.integers(1, 512), st.integers(1, 50), st.integers(1, 50))
@settings(deadline=None)
def test_more_epochs_take_longer(images: int, test: int, batch: int, few: int, more: int) -> None:
    data = DatasetHints(train=images, test=test, image_size=28)
    few, many = sorted((few, few + more))
    assert seconds(data=data, batch_size=batch, epochs=few) < seconds(
        data=data, batch_size=batch, epochs=many
    )


@pytest.mark.parametrize("history", [NOTHING, History([past(make_spec())])])
@given(train=positive, more=positive, batch=st.integers(1, 512))
@settings(deadline=None)
def test_more_images_take_at_least_as_long(
    history: History, train: int, more: int, batch: int
) -> None:
    fewer = dataclasses.replace(DATA, train=train)
    many = dataclasses.replace(DATA, train=train + more)
    one = seconds(data=fewer, history=history, batch_size=batch)
    assert one <= seconds(data=many, history=history, batch_size=batch) * (1 + 1e-9)
    tested = dataclasses.replace(fewer, test=DATA.test + more)
    assert one < seconds(data=tested, history=history, batch_size=batch)


def test_a_limit_caps_the_images() -> None:
    small = DatasetHints(train=100, test=100, image_size=28)
    assert seconds(limit=100) == pytest.approx(seconds(data=small))
    assert seconds(limit=10**6) == seconds()


def test_larger_images_and_models_take_longer() -> None:
    fields = {"val": 0.1, "epochs": 2, "batch_size": 100}
    assert seconds(make_spec(protocol=fields, image_size=56)) > seconds()
    assert seconds(data=dataclasses.replace(DATA, image_size=56)) > seconds()
    assert seconds(model=dataclasses.replace(MODEL, macs=10**9)) > seconds()
    assert seconds(model=dataclasses.replace(MODEL, layers=200)) > seconds()
    assert seconds(model=dataclasses.replace(MODEL, parameters=10**8)) > seconds()


# History


def test_the_past_beats_the_cost_model() -> None:
    spec = make_spec(protocol={"epochs": 2, "batch_size": 100, "val": 0.1})
    found = seconds(spec, history=History([past(spec, 10.0)]))
    # 900 images in each of two epochs and three steps of rehearsal, at 10 images a second;
    # evaluation is the rest.
    training = 2 * 900 / 10 + 3 * 100 / 10
    assert training < found < training * 1.1
    assert found != pytest.approx(seconds(spec))


def test_the_latest_run_counts() -> None:
    spec = make_spec()
    history = History([past(spec, 10.0), past(make_spec(seed=1), 50.0)])
    assert history.seconds_per_image(spec) == 1 / 50


@pytest.mark.parametrize(
    "other",
    [
        make_spec("another"),
        make_spec(dataset="another"),
        make_spec(params={"model": {"width": 9}}),
        make_spec(device="cuda"),
        make_spec(protocol={"batch_size": 1}),
        make_spec(protocol={"input_size": 64}),
        make_spec(protocol={"precision": "float32"}),
    ],
)
def test_a_run_that_was_different_tells_nothing(other: RunSpec) -> None:
    assert History([past(other)]).seconds_per_image(make_spec()) is None


@pytest.mark.parametrize(
    "other", [make_spec(seed=5), make_spec(optimizer="sgd"), make_spec(protocol={"epochs": 99})]
)
def test_a_run_that_was_like_it_tells_what_an_image_costs(other: RunSpec) -> None:
    assert History([past(other)]).seconds_per_image(make_spec()) == 0.01


@pytest.mark.parametrize(
    "record",
    [
        past(make_spec(), None),
        past(make_spec(), 0.0),
        past(make_spec(), status=RunStatus.DIVERGED),
    ],
)
def test_a_run_without_a_speed_tells_nothing(record: RunRecord) -> None:
    assert History([record]).seconds_per_image(make_spec()) is None


# All runs together


def test_no_runs_take_no_time() -> None:
    assert total_seconds([], "cpu", 1) == 0


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_runs_one_after_the_other_add_up(device: str) -> None:
    assert total_seconds([10, 20, 30], device, 1) == 60 + estimate.START_SECONDS[device]


def test_workers_on_a_gpu_share_the_runs() -> None:
    assert total_seconds([10.0] * 8, "cuda", 4) == 20 + estimate.START_SECONDS["cuda"]


def test_workers_on_a_cpu_share_its_cores() -> None:
    assert total_seconds([10.0] * 8, "cpu", 4) == 40 + estimate.START_SECONDS["cpu"]


@given(st.lists(st.floats(0.1, 1e5), min_size=1, max_size=8), st.integers(1, 16))
@settings(deadline=None)
def test_workers_never_make_it_slower_nor_quicker_than_the_longest(
    runs: list[float], workers: int
) -> None:
    for device, start in estimate.START_SECONDS.items():
        together = total_seconds(runs, device, workers)
        assert max(runs) <= together - start + 1e-6
        assert total_seconds(runs, device, workers + 1) <= together + 1e-6


def test_the_speed_of_this_machine_is_measured() -> None:
    speed = hardware.measure_gflops(0.01)
    assert speed > 0


# Parts of runs


def trial(epochs: int = 10) -> RunSpec:
    protocol = {"val": 0.1, "epochs": epochs, "batch_size": 100}
    return make_spec(purpose=Purpose.TRIAL, protocol=protocol)


def test_a_part_of_a_run_takes_as_long_as_its_epochs() -> None:
    assert seconds(trial().paused_at(3)) == pytest.approx(seconds(trial(3)))
    assert seconds(trial().paused_at(3)) < seconds(trial())
    # A trial is not tested.
    assert seconds(trial(2)) < seconds()
    done = estimate_seconds(trial().paused_at(5), MODEL, DATA, NOTHING, done=3)
    assert done == pytest.approx(seconds(trial(2)))


def test_parts_that_are_finished_are_not_counted_again() -> None:
    whole = trial()
    parts = [make_record(whole.paused_at(epoch)) for epoch in (1, 3)]
    failed = make_record(whole.paused_at(6), status=RunStatus.CRASHED, error="signal 11")
    other = make_record(make_spec(purpose=Purpose.TRIAL, seed=9).paused_at(1))
    history = History([*parts, failed, other])
    done = [history.epochs_done(whole.paused_at(epoch)) for epoch in (1, 2, 3, 9, 10)]
    assert done == [1, 1, 3, 3, 3]
    assert NOTHING.epochs_done(whole) == 0
