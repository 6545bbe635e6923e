from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
from samples import add_plugin, load_nothing, make_record

import bench
from bench import datastore, files
from bench.config import ExperimentConfig
from bench.errors import AmbiguousNameError, ConfigError, PluginError, UnknownNameError, UsageError
from bench.forecast import PICTURE_BYTES, forecast, resolve_again
from bench.pictures import MOST
from bench.plan import Plan, plan
from bench.plan_table import plan_summary, plan_table
from bench.protocol import Protocol
from bench.records import Mode, Purpose, RunSpec, RunStatus
from bench.registry import Registry
from bench.store import Store
from bench.variation import vary
from bench.words import parse_set


def load_arrays(data_dir: Path | None, *, side: int = 4) -> bench.Splits:
    import numpy as np

    images = np.zeros((6, side, side), np.uint8)
    labels = np.arange(6) % 2
    return bench.Splits(train=(images, labels), test=(images, labels))


def build_net(num_classes: int, input_shape: Any, *, width: int = 8, act: str = "relu") -> None:
    """A network."""


def build_other(num_classes: int, input_shape: Any, *, drop: float = 0.0) -> None:
    """Another network."""


def build_adamw(
    model: Any,
    *,
    lr: float = 1e-3,
    betas: tuple[float, ...] = (0.9, 0.99),
    fused: bool = False,
    clip: float | None = None,
    steps: int = 1,
) -> None:
    """An optimizer."""


def build_sgd(model: Any, *, lr: float = 0.1) -> None:
    """Another optimizer."""


def build_flat(steps: int, steps_per_epoch: int) -> list[float]:
    """A schedule."""
    return [1.0] * steps


def build_ramp(steps: int, steps_per_epoch: int, *, warmup: float = 0.3) -> list[float]:
    """Another schedule."""
    return [1.0] * steps


def build_loss(num_classes: int, *, smoothing: float = 0.0) -> None:
    """A loss."""


def build_plain(image_shape: Any, image_kind: Any, *, strength: float = 1.0) -> list[Any]:
    """An augmentation."""
    return []


def build_executor(workers: int, preload: Any, *, patience: int = 1) -> None:
    """An executor."""


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    add_plugin(
        registry,
        bench.Dataset(
            name="shapes", load=load_nothing, default=True, recommends={"epochs": 4, "limit": 50}
        ),
        bench.Dataset(name="tiny", load=load_arrays),
        bench.Model(name="net.v1", build=build_net, aliases=("net",)),
        bench.Model(name="net.v2", build=build_net),
        bench.Model(name="other", build=build_other),
        bench.Optimizer(name="adamw", build=build_adamw, default=True),
        bench.Optimizer(name="sgd", build=build_sgd),
        bench.Optimizer(name="sgd-one", build=build_sgd, pins={"batch_size": 1}),
        bench.Optimizer(name="sgd-two", build=build_sgd, pins={"batch_size": 2}),
        bench.Schedule(name="flat", build=build_flat, default=True),
        bench.Schedule(name="ramp", build=build_ramp),
        bench.Loss(name="entropy", build=build_loss, default=True),
        bench.Augmentation(name="plain", build=build_plain, default=True),
        bench.Augmentation(name="wild", build=build_plain),
        bench.Executor(name="here", build=build_executor, default=True),
    )
    return registry


def planned(registry: Registry, *options: str, **values: Any) -> Plan:
    """Plan an experiment from flag-words and `--set` options."""
    config = ExperimentConfig.create({"models": "net.v1", **values, "set": parse_set(options)})
    return plan(config, registry)


def runs(registry: Registry, *options: str, **values: Any) -> list[RunSpec]:
    return planned(registry, *options, **values).runs


# What is chosen


def test_a_model_is_enough(registry: Registry) -> None:
    (spec,) = runs(registry)
    names = {kind: ref.name for kind, ref in spec.components.items()}
    assert names == {
        "dataset": "shapes",
        "model": "net.v1",
        "optimizer": "adamw",
        "schedule": "flat",
        "loss": "entropy",
        "augmentation": "plain",
    }
    assert {ref.plugin for ref in spec.components.values()} == {"acme"}
    assert spec.model.params == {"width": 8, "act": "relu"}
    assert (spec.seed, spec.purpose, spec.mode) == (0, Purpose.FINAL, Mode.FAST)
    assert not spec.key
    assert planned(registry).executor.params == {"patience": 1}


def test_no_model_is_an_error_that_says_how_to_name_one(registry: Registry) -> None:
    with pytest.raises(UsageError, match=r"no model is chosen; try `--models .*`bench list models"):
        plan(ExperimentConfig.create({}), registry)


def test_an_experiment_multiplies_out_in_order(registry: Registry) -> None:
    specs = runs(registry, datasets="shapes,tiny", models="net,other", optimizers="*w,sgd", seeds=2)
    chosen = [(s.dataset.name, s.model.name, s.optimizer.name, s.seed) for s in specs]
    axes = (("shapes", "tiny"), ("net.v1", "other"), ("adamw", "sgd"), (0, 1))
    assert chosen == list(itertools.product(*axes))


def test_names_outside_the_protocol_are_resolved_through_aliases(registry: Registry) -> None:
    (spec,) = runs(registry, models="net@acme", schedule="ramp", loss="entropy@acme-dist")
    assert (spec.model.name, spec.schedule.name, spec.loss.name) == ("net.v1", "ramp", "entropy")
    assert (spec.protocol["schedule"], spec.protocol["loss"]) == ("ramp", "entropy")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"models": "nett"}, "model"),
        ({"datasets": "shape"}, "dataset"),
        ({"optimizers": "adam"}, "optimizer"),
        ({"schedule": "rampe"}, "schedule"),
        ({"loss": "entropie"}, "loss"),
        ({"augmentation": "wilde"}, "augmentation"),
        ({"executor": "hero"}, "executor"),
    ],
)
def test_an_unknown_name_of_any_kind_is_an_error(
    registry: Registry, values: dict[str, str], kind: str
) -> None:
    with pytest.raises(UnknownNameError, match=rf"no {kind} is called `.*did you mean `"):
        runs(registry, **values)


def test_two_defaults_are_an_error_until_one_is_named(registry: Registry) -> None:
    add_plugin(registry, bench.Loss(name="mse", build=build_loss, default=True), name="second")
    with pytest.raises(AmbiguousNameError, match="several losses"):
        runs(registry)
    assert runs(registry, loss="mse")[0].loss.plugin == "second"


def test_mode_and_data_folder_are_noted(registry: Registry, tmp_path: Path) -> None:
    (spec,) = runs(registry, deterministic=True, data_dir=str(tmp_path), device="cpu")
    assert (spec.mode, spec.device, spec.data_dir) == (Mode.DETERMINISTIC, "cpu", str(tmp_path))


# Protocol


def test_user_beats_dataset_beats_default(registry: Registry) -> None:
    default = Protocol().model_dump(mode="json")
    (spec,) = runs(registry)
    assert (spec.protocol["epochs"], spec.protocol["limit"]) == (4, 50)
    assert spec.protocol["batch_size"] == default["batch_size"]
    (spec,) = runs(registry, epochs=7, limit="none")
    assert (spec.protocol["epochs"], spec.protocol["limit"]) == (7, None)
    (spec,) = runs(registry, "protocol.epochs=9", epochs=7)
    assert spec.protocol["epochs"] == 9
    (spec,) = runs(registry, datasets="tiny")
    assert (spec.protocol["epochs"], spec.protocol["limit"]) == (default["epochs"], None)


def test_every_spec_holds_every_protocol_field(registry: Registry) -> None:
    for spec in runs(registry, "protocol.batch-size=8,16", datasets="shapes,tiny"):
        assert {*spec.protocol} == {*Protocol.model_fields}


def test_a_protocol_grid_is_the_outer_loop(registry: Registry) -> None:
    specs = runs(registry, "protocol.epochs=1,2", "protocol.schedule=flat,ramp", models="net,other")
    chosen = [(s.protocol["epochs"], s.schedule.name, s.model.name) for s in specs]
    assert chosen == list(itertools.product((1, 2), ("flat", "ramp"), ("net.v1", "other")))


def test_a_pin_is_noted_with_the_value_that_was_asked_for(registry: Registry) -> None:
    free, pinned = runs(registry, optimizers="sgd,sgd-one", batch_size=32)
    assert (free.protocol["batch_size"], free.pinned) == (32, {})
    assert (pinned.protocol["batch_size"], pinned.pinned) == (1, {"batch_size": 32})
    assert {**free.protocol, **free.pinned} == {**pinned.protocol, **pinned.pinned}


def test_a_grid_over_a_pinned_field_gives_each_run_once(registry: Registry) -> None:
    specs = runs(registry, "protocol.batch_size=8,16", optimizers="sgd,sgd-one", seeds=2)
    assert [(s.optimizer.name, s.protocol["batch_size"], s.seed) for s in specs] == [
        ("sgd", 8, 0),
        ("sgd", 8, 1),
        ("sgd-one", 1, 0),
        ("sgd-one", 1, 1),
        ("sgd", 16, 0),
        ("sgd", 16, 1),
    ]


def test_pins_that_contradict_each_other_are_an_error(registry: Registry) -> None:
    add_plugin(
        registry,
        bench.Model(name="pinning", build=build_net, pins={"batch_size": 4, "epochs": 1}),
        bench.Loss(name="agreeing", build=build_loss, pins={"epochs": 1}),
        name="second",
    )
    with pytest.raises(UsageError, match="`pinning` pins batch_size to 4 and `sgd-two` to 2"):
        runs(registry, models="pinning", optimizers="sgd-two")
    (spec,) = runs(registry, models="pinning", loss="agreeing")
    assert spec.pinned == {"batch_size": 64, "epochs": 4}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batchsize": 1}, "the protocol has no field `batchsize`"),
        ({"batch_size": 0}, "`batch-size` is 0"),
        ({"epochs": "many"}, "`epochs` is 'many'"),
    ],
)
def test_wrong_fields_of_a_component_name_its_plugin(
    registry: Registry, fields: dict[str, Any], message: str
) -> None:
    add_plugin(
        registry,
        bench.Model(name="pinning", build=build_net, pins=fields),
        bench.Dataset(name="recommending", load=load_nothing, recommends=fields),
        name="second",
    )
    for values in ({"models": "pinning"}, {"datasets": "recommending"}):
        with pytest.raises(PluginError, match="of plugin `second`") as caught:
            runs(registry, **values)
        assert message in str(caught.value)


# Params


def test_grids_multiply_out(registry: Registry) -> None:
    specs = runs(registry, "adamw.lr=0.1,0.01", "net.v1.width=4,8", "adamw.steps=2")
    chosen = [(s.model.params["width"], s.optimizer.params["lr"]) for s in specs]
    assert chosen == [(4, 0.1), (4, 0.01), (8, 0.1), (8, 0.01)]
    assert {s.optimizer.params["steps"] for s in specs} == {2}
    assert {s.model.params["act"] for s in specs} == {"relu"}


def test_a_setting_holds_for_the_components_it_names_only(registry: Registry) -> None:
    specs = runs(registry, "sgd.lr=0.5", optimizers="adamw,sgd")
    assert [s.optimizer.params["lr"] for s in specs] == [1e-3, 0.5]


@pytest.mark.parametrize("name", ["net", "net.v1", "net*", "*"])
def test_a_setting_may_name_an_alias_or_a_pattern(registry: Registry, name: str) -> None:
    (spec,) = runs(registry, f"{name}.width=4")
    assert spec.model.params["width"] == 4


def test_a_pattern_skips_what_lacks_the_param(registry: Registry) -> None:
    specs = runs(registry, "*.drop=0.5", models="net,other")
    assert [s.model.params.get("drop") for s in specs] == [None, 0.5]


@pytest.mark.parametrize(
    "option",
    ["ramp.warmup=0.1", "entropy.smoothing=0.2", "net.v1.act=elu", "plain.strength=0.5"],
)
def test_params_of_every_kind_can_be_set(registry: Registry, option: str) -> None:
    key, _, value = option.rpartition("=")
    (spec,) = runs(registry, option, schedule="ramp")
    found = {
        f"{ref.name}.{name}": content
        for ref in spec.components.values()
        for name, content in ref.params.items()
    }
    assert str(found[key]) == value


def test_the_executor_takes_one_value_for_each_param(registry: Registry) -> None:
    assert planned(registry, "here.patience=3").executor.params == {"patience": 3}
    with pytest.raises(ConfigError, match="`here` is the executor; its params take one value"):
        planned(registry, "here.patience=3,4")


@pytest.mark.parametrize(
    ("option", "param", "value"),
    [
        ("adamw.lr=1", "lr", 1.0),
        ("adamw.steps=2.0", "steps", 2),
        ("adamw.betas=[0.8,0.9]", "betas", (0.8, 0.9)),
        ("adamw.fused=true", "fused", True),
        ("adamw.clip=2", "clip", 2),
        ("adamw.clip=none", "clip", None),
    ],
)
def test_values_take_the_type_of_the_default(
    registry: Registry, option: str, param: str, value: Any
) -> None:
    (spec,) = runs(registry, option)
    found = spec.optimizer.params[param]
    assert found == value
    assert type(found) is type(value)


def test_a_number_can_be_text(registry: Registry) -> None:
    assert runs(registry, "net.v1.act=3")[0].model.params["act"] == "3"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("adamw.lr=fast", "`adamw.lr` wants a float, not 'fast'"),
        ("adamw.lr=true", "`adamw.lr` wants a float, not True"),
        ("adamw.lr=none", "`adamw.lr` wants a float, not None"),
        ("adamw.lr=[0.1]", "`adamw.lr` wants a float, not [0.1]"),
        ("adamw.lr=0.1,fast", "`adamw.lr` wants a float, not 'fast'"),
        ("adamw.steps=1.5", "`adamw.steps` wants an int, not 1.5"),
        ("adamw.steps=true", "`adamw.steps` wants an int, not True"),
        ("adamw.fused=1", "`adamw.fused` wants a bool, not 1"),
        ("adamw.betas=0.9", "`adamw.betas` wants a tuple, not 0.9"),
        ("net.v1.act=true", "`net.v1.act` wants a str, not True"),
        ("adamw.lr=nan", "`adamw.lr` wants a finite number, not nan"),
        ("adamw.clip=-inf", "`adamw.clip` wants a finite number, not -inf"),
        ("adamw.lrr=1", "`adamw` has no param `lrr` (did you mean `lr`?)"),
        ("adamw.zzz=1", "its params are `betas`, `clip`, `fused`, `lr`, `steps`"),
        ("flat.rate=1", "`flat` has no param `rate`; it has no params"),
        ("n*.zzz=1", "`n*` has no param `zzz`"),
        ("adamm.lr=1", "`adamm` is not among the chosen components"),
        ("adamm.lr=1", "(did you mean `adamw`?)"),
        ("sgd.lr=1", "`sgd` is not among the chosen components"),
        ("z*.lr=1", "`z*` is not among the chosen components"),
        ("protocol.epoch=1", "the protocol has no field `epoch` (did you mean `epochs`?)"),
        ("protocol.epochs=0", "--set protocol.epochs: `epochs` is 0"),
        ("protocol.epochs=true", "--set protocol.epochs: `epochs` cannot be true"),
        ("protocol.epochs=1,x", "--set protocol.epochs: `epochs` is 'x'"),
        ("protokol.epochs=1", "(did you mean `protocol`?)"),
    ],
)
def test_a_wrong_setting_is_an_error_that_helps(
    registry: Registry, option: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        runs(registry, option)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 1}, "write NAME.PARAM=VALUE or protocol.FIELD=VALUE"),
        ({"adamw.lr": []}, "--set adamw.lr: it has no value"),
    ],
)
def test_a_wrong_setting_of_a_call_is_an_error(
    registry: Registry, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(ExperimentConfig.create({"models": "net", "set": settings}), registry)
    assert message in str(caught.value)


@pytest.mark.parametrize("default", [object(), float("inf"), print, {1, 2}])
def test_a_default_that_is_no_plain_value_is_the_plugins_fault(
    registry: Registry, default: Any
) -> None:
    def build(num_classes: int, input_shape: Any, *, odd: Any = default) -> None:
        """A network."""

    add_plugin(registry, bench.Model(name="odd", build=build), name="second")
    with pytest.raises(PluginError, match=r"model `odd` of plugin `second` .*`odd`"):
        runs(registry, models="odd")


def test_a_param_without_a_default_is_the_plugins_fault(registry: Registry) -> None:
    def build(num_classes: int, input_shape: Any, *, width: int) -> None:
        """A network."""

    add_plugin(registry, bench.Model(name="odd", build=build), name="second")
    with pytest.raises(PluginError, match=r"model `odd` of plugin `second` .*`width`"):
        runs(registry, models="odd")


# What is left to do


def test_forecast_knows_how_far_a_trial_is(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    store = Store(tmp_path / "results")
    (final,) = runs(registry, datasets="tiny", device="cpu", epochs=9)
    request = datastore.request_of(final)
    datastore.prepare(registry.get("dataset", "tiny"), final.dataset, request)
    trial = dataclasses.replace(final, purpose=Purpose.TRIAL)
    parts = [trial.paused_at(epoch) for epoch in (1, 3, 9)]
    first, second, whole = forecast(parts, registry, store)
    assert not any(run.cached or run.begun for run in (first, second, whole))
    assert whole.spec.until is None
    assert first.seconds < second.seconds < whole.seconds
    assert whole.disk_bytes("best", "auto") == whole.disk_bytes("none", "none")

    store.write(make_record(first.spec))
    files.write_bytes(store.checkpoint(whole.spec.id), b"its state")
    again = forecast(parts, registry, store)
    assert [run.cached for run in again] == [True, False, False]
    assert [run.begun for run in again] == [False, True, True]
    assert again[1].seconds < second.seconds
    # A state that is lost is no head start.
    store.forget_states([whole.spec.whole_id])
    assert forecast(parts, registry, store)[1].seconds == second.seconds


def test_without_pictures_a_run_takes_less_of_the_disk(registry: Registry, tmp_path: Path) -> None:
    (final,) = runs(registry, datasets="tiny", device="cpu")
    (run,) = forecast([final], registry, Store(tmp_path))
    more = run.disk_bytes("best", "auto") - run.disk_bytes("best", "none")
    assert more == PICTURE_BYTES * MOST


def test_forecast_knows_what_is_done(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    store = Store(tmp_path / "results")
    specs = runs(registry, datasets="tiny", seeds=3, device="cpu")
    before = forecast(specs, registry, store)
    assert [run.cached for run in before] == [False] * 3
    assert all(not run.spec.key and run.seconds > 0 for run in before)

    request = datastore.request_of(specs[0])
    datastore.prepare(registry.get("dataset", "tiny"), specs[0].dataset, request)
    first, second, third = forecast(specs, registry, store)
    assert first.spec.fingerprint == second.spec.fingerprint
    assert first.data is not None
    assert (first.data.train, first.data.test, first.data.image_size) == (6, 6, 4)
    store.write(make_record(first.spec))
    store.write(make_record(second.spec, status=RunStatus.CRASHED, error="signal 11"))

    after = forecast(specs, registry, store)
    assert [run.cached for run in after] == [True, False, False]
    assert not any(run.begun for run in after)
    files.write_bytes(store.checkpoint(second.spec.id), b"its state")
    continued = forecast(specs, registry, store)
    assert [run.begun for run in continued] == [False, True, False]
    config = ExperimentConfig.create({"models": "tiny"})
    said = plan_summary(continued, config)
    assert "3 runs, 1 finished before, 1 begun before and continued" in said
    assert after[0].seconds == 0
    assert min(run.seconds for run in after[1:]) > 0
    assert [run.cached for run in forecast(specs, registry, store, rerun=True)] == [False] * 3
    assert resolve_again(third.spec, registry, store.root) == third.spec


@pytest.mark.parametrize("task", ["auto", "binary"])
def test_a_locate_that_fails_names_its_plugin(
    registry: Registry, tmp_path: Path, task: str
) -> None:
    dataset = bench.Dataset(name="lost", load=load_nothing, locate=lambda data_dir: 1 / 0)
    add_plugin(registry, dataset, name="second")
    with pytest.raises(PluginError, match=r"dataset `lost` of plugin `second`.*ZeroDivisionError"):
        forecast(runs(registry, datasets="lost", task=task), registry, Store(tmp_path))


def test_a_pinned_schedule_is_the_one_that_is_used(registry: Registry) -> None:
    add_plugin(
        registry,
        bench.Model(name="steady", build=build_net, pins={"schedule": "ramp"}),
        name="steady",
    )
    (spec,) = runs(registry, models="steady")
    assert (spec.schedule.name, spec.protocol["schedule"]) == ("ramp", "ramp")
    assert spec.pinned == {"schedule": "flat"}


def test_a_schedule_cannot_pin_the_loss(registry: Registry) -> None:
    add_plugin(
        registry,
        bench.Schedule(name="bossy", build=build_flat, pins={"loss": "entropy"}),
        name="bossy",
    )
    with pytest.raises(PluginError, match=r"schedule `bossy` of plugin .* pins `loss`"):
        runs(registry, schedule="bossy")


# Tasks and sizes


BY_TASK = (
    bench.Loss(name="bce", build=build_loss, default=True, tasks=(bench.Task.MULTI_LABEL,)),
    bench.Dataset(
        name="tags",
        load=load_nothing,
        hints=bench.DatasetHints(train=9, test=9, image_size=8, task=bench.Task.MULTI_LABEL),
    ),
)


def test_the_default_loss_is_that_of_the_task(registry: Registry) -> None:
    add_plugin(registry, *BY_TASK, name="second")
    specs = runs(registry, datasets="shapes,tags")
    assert [spec.loss.name for spec in specs] == ["entropy", "bce"]
    assert [spec.protocol["loss"] for spec in specs] == ["entropy", "bce"]
    (spec,) = runs(registry, datasets="shapes", task="multi-label")
    assert spec.loss.name == "bce"


def test_a_loss_for_another_task_is_an_error_that_names_those_that_fit(registry: Registry) -> None:
    add_plugin(registry, *BY_TASK, name="second")
    with pytest.raises(UsageError) as caught:
        runs(registry, datasets="tags", loss="entropy")
    message = "loss `entropy` is not for a multi-label task, as dataset `tags` is; "
    assert str(caught.value) == f"{message}leave `--loss` out or choose among `bce`"


def test_a_prepared_dataset_tells_its_task_better_than_its_hints(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    hints = bench.DatasetHints(train=9, test=9, image_size=8, task=bench.Task.MULTI_LABEL)
    wrong = bench.Dataset(name="wrong", load=load_arrays, hints=hints)
    add_plugin(registry, *BY_TASK, wrong, name="second")
    (before,) = runs(registry, datasets="wrong")
    assert before.loss.name == "bce"
    offer = registry.get("dataset", "wrong")
    datastore.prepare(offer, before.dataset, datastore.request_of(before))
    (after,) = runs(registry, datasets="wrong")
    assert after.loss.name == "entropy"


def test_the_models_own_size_is_its_hint(registry: Registry) -> None:
    hints = bench.ModelHints(family="net", input_size=96)
    add_plugin(registry, bench.Model(name="wide", build=build_net, hints=hints), name="second")
    (spec,) = runs(registry, models="wide", input_size="model")
    assert (spec.image_size, spec.protocol["input_size"]) == (96, "model")
    assert runs(registry, models="wide", input_size=32)[0].image_size == 32
    assert runs(registry, models="wide")[0].image_size is None
    with pytest.raises(UsageError, match=r"`net\.v1` names no size of its own; give `--input-size"):
        runs(registry, input_size="model")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ema_decay": 0.9}, r"`ema-decay` does nothing here; it goes with `--averaging ema`"),
        ({"ema_decay": 0.9, "averaging": "swa"}, "`ema-decay` does nothing"),
        ({"swa_start": 0.5, "averaging": "ema"}, "`swa-start` does nothing"),
        ({"min_delta": 0.1}, "`min-delta` does nothing here; it goes with `--patience N`"),
    ],
)
def test_a_field_that_does_nothing_is_refused(
    registry: Registry, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        planned(registry, **values)
    with pytest.raises(UsageError, match="`ema-decay` does nothing"):
        planned(registry, "protocol.ema_decay=0.9,0.99")


@pytest.mark.parametrize(
    "values",
    [
        {"ema_decay": 0.9, "averaging": "ema"},
        {"min_delta": 0.1, "patience": 2},
    ],
)
def test_a_field_that_does_something_in_one_run_is_not(
    registry: Registry, values: dict[str, Any]
) -> None:
    assert planned(registry, **values).runs
    assert planned(registry, "protocol.averaging=none,ema", ema_decay=0.9).runs


@pytest.mark.parametrize("monitor", ["acuracy", "f1_makro", "n"])
def test_a_metric_that_val_does_not_have_is_refused(registry: Registry, monitor: str) -> None:
    with pytest.raises(UsageError, match=f"`monitor` is `{monitor}`.* has .*`accuracy`"):
        planned(registry, monitor=monitor)


def test_a_warm_up_longer_than_the_run_is_refused(registry: Registry) -> None:
    assert planned(registry, warmup=4, epochs=4).runs
    with pytest.raises(UsageError, match=r"`warmup` takes 4\.5 epochs and a run has 4"):
        planned(registry, warmup=4.5, epochs=4)


def test_the_plan_tells_the_cells_of_a_grid_apart(registry: Registry, tmp_path: Path) -> None:
    specs = runs(registry, "protocol.l1=0.0,0.5", "protocol.epochs=3")
    table = plan_table(forecast(specs, registry, Store(tmp_path)))
    told = [str(cell) for cell in table.columns[3].cells]
    assert told == ["3 epochs, batch 64, flat, l1 0.0", "3 epochs, batch 64, flat, l1 0.5"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("adamw.lr", 0.5),
        ("adamw.betas", (0.8, 0.9)),
        ("adamw.clip", None),
        ("net.v1.act", "elu"),
        ("protocol.batch_size", 16),
        ("protocol.warmup", 2),
        ("protocol.clip_norm", None),
        ("protocol.schedule", "ramp"),
        ("protocol.augmentation", "wild"),
    ],
)
def test_a_varied_run_is_the_one_that_would_have_been_planned(
    registry: Registry, name: str, value: Any
) -> None:
    (base,) = runs(registry, "adamw.steps=2", clip_norm=1)
    values = {"adamw.steps": (2,), name: (value,)}
    config = ExperimentConfig.create({"models": "net.v1", "clip_norm": 1, "set": values})
    if name == "protocol.clip_norm":
        config = ExperimentConfig.create({"models": "net.v1", "set": values})
    (planned_run,) = plan(config, registry).runs
    varied = vary(base, {name: value}, registry)
    assert dataclasses.replace(varied, pinned={}) == planned_run
    assert varied != base or value is None
    assert {**varied.protocol, **varied.pinned} == base.protocol
