from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from samples import add_plugin, load_nothing

import bench
from bench.config import ExperimentConfig
from bench.errors import ConfigError, UnknownNameError, UsageError
from bench.leaderboard import block_of
from bench.plan import plan
from bench.protocol import NOT_SEARCHED, SEARCH_RANGES, Protocol
from bench.records import RunRecord, RunSpec, RunStatus, canonical
from bench.registry import Registry
from bench.specs import Origin, Preprocessing
from bench.variation import vary
from bench.words import parse_set


def build_net(num_classes: int, input_shape: Any, *, width: int = 8, act: str = "relu") -> None:
    """A network."""


def build_adamw(
    model: Any, *, lr: float = 1e-3, betas: tuple[float, ...] = (0.9, 0.99), fused: bool = False
) -> None:
    """An optimizer."""


def build_flat(steps: int, steps_per_epoch: int) -> list[float]:
    """A schedule."""
    return [1.0] * steps


def build_ramp(steps: int, steps_per_epoch: int, *, rise: float = 0.3) -> list[float]:
    """Another schedule."""
    return [1.0] * steps


def build_loss(num_classes: int, *, smoothing: float = 0.0) -> None:
    """A loss."""


def build_plain(image_shape: Any, image_kind: Any, *, strength: float = 1.0) -> list[Any]:
    """An augmentation."""
    return []


def build_executor(workers: int, preload: Any) -> None:
    """An executor."""


def load_shapes(data_dir: Path | None, *, side: int = 4) -> bench.Splits:
    """A dataset that must not be loaded."""
    return load_nothing(data_dir)


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    hints = bench.DatasetHints(train=9, test=9, image_size=8)
    add_plugin(
        registry,
        bench.Dataset(name="shapes", load=load_shapes, default=True, hints=hints),
        bench.Model(name="net.v1", build=build_net, aliases=("net",)),
        bench.Optimizer(name="adamw", build=build_adamw, default=True),
        bench.Optimizer(name="single", build=build_adamw, pins={"batch_size": 1}),
        bench.Schedule(name="flat", build=build_flat, default=True),
        bench.Schedule(name="ramp", build=build_ramp),
        bench.Schedule(name="cold", build=build_flat, pins={"warmup": 0}),
        bench.Loss(name="entropy", build=build_loss, default=True),
        bench.Loss(name="other", build=build_loss),
        bench.Loss(name="tags", build=build_loss, tasks=(bench.Task.MULTI_LABEL,)),
        bench.Augmentation(name="plain", build=build_plain, default=True),
        bench.Augmentation(name="wild", build=build_plain),
        bench.Executor(name="here", build=build_executor, default=True),
    )
    return registry


def planned(registry: Registry, *options: str, **values: Any) -> RunSpec:
    config = ExperimentConfig.create(
        {"models": "net.v1", "device": "cpu", **values, "set": parse_set(options)}
    )
    (spec,) = plan(config, registry).runs
    return spec


def block(spec: RunSpec) -> str:
    return canonical(block_of(RunRecord(spec, RunStatus.OK)))


@pytest.mark.parametrize(
    ("name", "value", "kind", "param", "expected"),
    [
        ("adamw.lr", 1, "optimizer", "lr", 1.0),
        ("adamw.betas", [0.8, 0.9], "optimizer", "betas", (0.8, 0.9)),
        ("net.v1.width", 16, "model", "width", 16),
        ("net.width", 16.0, "model", "width", 16),
        ("entropy.smoothing", 0.1, "loss", "smoothing", 0.1),
        ("plain.strength", 0.5, "augmentation", "strength", 0.5),
    ],
)
def test_a_param_is_replaced_in_its_type(
    registry: Registry, name: str, value: Any, kind: str, param: str, expected: Any
) -> None:
    base = planned(registry)
    varied = vary(base, {name: value}, registry)
    found = varied.components[kind].params[param]
    assert found == expected
    assert type(found) is type(expected)
    own = base.components[kind]
    changed = dataclasses.replace(own, params={**own.params, param: expected})
    assert varied == dataclasses.replace(base, **{kind: changed})


def test_other_params_stay_as_the_user_has_set_them(registry: Registry) -> None:
    base = planned(registry, "adamw.lr=0.5", "net.v1.act=gelu")
    varied = vary(base, {"adamw.fused": True, "net.v1.width": 4}, registry)
    assert varied.optimizer.params == {"lr": 0.5, "betas": (0.9, 0.99), "fused": True}
    assert varied.model.params == {"width": 4, "act": "gelu"}


def test_the_values_of_the_run_itself_make_the_same_run(registry: Registry) -> None:
    base = planned(registry, "ramp.rise=0.5", schedule="ramp", batch_size=32)
    values = {"adamw.lr": 1e-3, "protocol.batch_size": 32, "protocol.schedule": "ramp"}
    assert vary(base, values, registry) == base
    assert vary(base, {}, registry) == base


def test_a_key_is_dropped(registry: Registry) -> None:
    base = dataclasses.replace(planned(registry), key={"dataset": {"fingerprint": "f00d"}})
    assert vary(base, {"adamw.lr": 0.1}, registry).key == {}


def test_a_varied_field_is_ranked_beside_what_was_asked_for(registry: Registry) -> None:
    base = planned(registry, batch_size=32)
    varied = vary(base, {"protocol.batch-size": 16, "protocol.warmup": 2}, registry)
    assert (varied.protocol["batch_size"], varied.protocol["warmup"]) == (16, 2.0)
    assert varied.pinned == {"batch_size": 32, "warmup": 0.0}
    assert block(varied) == block(base)
    assert varied.cell != base.cell


def test_a_run_that_was_varied_can_be_varied_again(registry: Registry) -> None:
    base = planned(registry, batch_size=32)
    first = vary(base, {"protocol.batch_size": 16}, registry)
    second = vary(first, {"protocol.warmup": 2}, registry)
    assert (second.protocol["batch_size"], second.pinned["batch_size"]) == (16, 32)
    assert block(second) == block(base)
    assert vary(first, {"protocol.batch_size": 32}, registry) == base


def test_what_a_component_pins_cannot_be_varied(registry: Registry) -> None:
    base = planned(registry, optimizers="single")
    with pytest.raises(UsageError, match=r"protocol\.batch_size: `single` pins it to 1"):
        vary(base, {"protocol.batch_size": 16}, registry)
    varied = vary(base, {"single.lr": 0.1}, registry)
    assert (varied.protocol, varied.pinned) == (base.protocol, base.pinned)


def test_another_component_brings_its_default_params(registry: Registry) -> None:
    base = planned(registry, "plain.strength=0.5")
    values = {"protocol.schedule": "ramp", "protocol.augmentation": "wild", "ramp.rise": 0.1}
    varied = vary(base, values, registry)
    assert (varied.schedule.name, varied.schedule.params) == ("ramp", {"rise": 0.1})
    assert (varied.augmentation.name, varied.augmentation.params) == ("wild", {"strength": 1.0})
    assert varied.protocol["schedule"] == "ramp"
    assert varied.pinned == {"schedule": "flat", "augmentation": "plain"}
    assert block(varied) == block(base)


def test_none_means_the_default_as_in_a_plan(registry: Registry) -> None:
    base = planned(registry, schedule="ramp", loss="other", augmentation="wild")
    values = {f"protocol.{kind}": "none" for kind in ("schedule", "loss", "augmentation")}
    varied = vary(base, values, registry)
    names = (varied.schedule.name, varied.loss.name, varied.augmentation.name)
    assert names == ("flat", "entropy", "plain")


def test_another_component_pins_what_it_pins_and_frees_it_when_it_goes(registry: Registry) -> None:
    base = planned(registry, warmup=2)
    cold = vary(base, {"protocol.schedule": "cold"}, registry)
    assert (cold.protocol["warmup"], cold.pinned) == (0.0, {"schedule": "flat", "warmup": 2.0})
    with pytest.raises(UsageError, match=r"protocol\.warmup: `cold` pins it to 0"):
        vary(base, {"protocol.schedule": "cold", "protocol.warmup": 1}, registry)
    assert vary(cold, {"protocol.schedule": "flat"}, registry) == base


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"adamw.lr": "fast"}, "`adamw.lr` wants a float, not 'fast'"),
        ({"adamw.lr": float("nan")}, "wants a finite number"),
        ({"adamw.rate": 1}, r"no param `rate`; its params are `betas`, `fused`, `lr`"),
        ({"adamv.lr": 1}, r"`adamv` is not among the chosen components .*did you mean `adamw`"),
        ({"lr": 1}, "write NAME.PARAM=VALUE"),
        ({"ramp.rise": 0.1}, "`ramp` is not among the chosen components"),
        ({"protocol.batchsize": 1}, "the protocol has no field `batchsize`"),
        ({"protocol.batch_size": 0}, "`batch-size` is 0"),
        ({"protocol.ema_decay": 0.9}, "`ema-decay` does nothing here"),
        ({"protocol.layer_decay": 0.9}, "`layer-decay` does nothing here"),
        ({"protocol.warmup": 99}, "`warmup` takes 99 epochs and a run has 10"),
        ({"protocol.averaging": "ema", "protocol.swa_start": 0.5}, "`swa-start` does nothing"),
        ({"protocol.loss": "tags"}, r"loss `tags` is not for a multi-class task"),
        ({"shapes.side": 8}, r"shapes\.side: it is the dataset's"),
        ({"here.patience": 8}, "`here` is not among"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    registry: Registry, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        vary(planned(registry), values, registry)
    assert "\n" not in str(caught.value)


def test_an_unknown_component_is_refused(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="no schedule is called `rampe`"):
        vary(planned(registry), {"protocol.schedule": "rampe"}, registry)


@pytest.mark.parametrize("name", NOT_SEARCHED)
def test_what_runs_are_compared_on_is_refused(registry: Registry, name: str) -> None:
    value = Protocol().model_dump()[name]
    with pytest.raises(UsageError, match=rf"protocol\.{name}: it "):
        vary(planned(registry), {f"protocol.{name}": value}, registry)


def test_every_field_is_searchable_or_says_why_not() -> None:
    assert set(NOT_SEARCHED) <= set(Protocol.model_fields)
    assert set(SEARCH_RANGES) <= set(Protocol.model_fields) - set(NOT_SEARCHED)


def test_a_batch_has_an_image_for_every_device(registry: Registry) -> None:
    base = planned(registry, devices=2)
    with pytest.raises(UsageError, match="batches of 1, which 2 devices cannot share"):
        vary(base, {"protocol.batch_size": 1}, registry)


def test_weights_are_found_again_where_the_model_changes(
    registry: Registry, tmp_path: Path
) -> None:
    def preprocessing(*, size: int = 8) -> Preprocessing:
        return Preprocessing(mean=[0.5], std=[0.5], size=size, interpolation="bicubic")

    def build(num_classes: int, input_shape: Any, *, size: int = 8) -> None:
        """A network that says at which size it saw images."""

    seen = []

    def origin(model: bench.Model, results: Path, *, tag: str = "a") -> Origin:
        seen.append((results, tag))
        return Origin()

    def load(model: bench.Model, input_shape: Any, files: Any, *, tag: str = "a") -> Any:
        """Weights."""

    add_plugin(
        registry,
        bench.Model(name="sized", build=build, preprocessing=preprocessing),
        bench.Weights(name="mine", load=load, origin=origin),
        name="second",
    )
    base = planned(registry, models="sized", weights="mine")
    assert (base.image_size, base.interpolation) == (8, "bicubic")
    varied = vary(base, {"sized.size": 12, "mine.tag": "b"}, registry, tmp_path)
    assert (varied.image_size, varied.weights and varied.weights.params) == (12, {"tag": "b"})
    assert varied.origin["preprocessing"]["size"] == 12
    assert seen[-1] == (tmp_path, "b")
    assert vary(base, {"protocol.layer_decay": 0.5}, registry).origin == base.origin


def test_a_source_keeps_its_path(registry: Registry, tmp_path: Path) -> None:
    def load(model: Any, input_shape: Any, files: Any, *, path: str = "", part: str = "") -> Any:
        """Weights."""

    add_plugin(
        registry, bench.Weights(name="file", load=load, address=lambda text: text), name="second"
    )
    base = planned(registry, weights="file:/a/b.c")
    assert base.weights is not None
    varied = vary(base, {f"{base.weights.name}.part": "top"}, registry)
    assert varied.weights is not None
    assert varied.weights.name == base.weights.name
    assert varied.weights.params == {"path": "/a/b.c", "part": "top"}
    with pytest.raises(ConfigError, match="it is what stands after"):
        vary(base, {f"{base.weights.name}.path": "/d"}, registry)
