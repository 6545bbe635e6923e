from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import add_plugin

import bench
from bench.config import ExperimentConfig
from bench.errors import ConfigError, PluginError, UsageError
from bench.plan import plan
from bench.protocol import SEARCH_RANGES
from bench.records import RunSpec
from bench.registry import Registry, load_registry
from bench.tuning.domains import Domain, proposed_range, range_of, read
from bench.tuning.space import Space, check_used, space_of
from bench.variation import vary
from bench.words import parse_set, parse_space

optuna.logging.set_verbosity(optuna.logging.ERROR)


# Whatever a test wants of a component is in these few.


def build_net(
    num_classes: int, input_shape: Any, *, depth: int = 2, act: str = "relu", drop: float = 0.1
) -> None:
    """A network."""


def suggest_net(trial: Any) -> dict[str, Any]:
    depth = trial.suggest_int("depth", 1, 4)
    found = {"depth": depth, "act": trial.suggest_categorical("act", ["relu", "gelu"])}
    if depth >= 3:
        found["drop"] = trial.suggest_float("drop", 0.0, 0.5)
    return found


def build_adamw(
    model: Any,
    *,
    lr: float = 1e-3,
    betas: tuple[float, ...] = (0.9, 0.99),
    clip: float | None = None,
    fused: bool = False,
) -> None:
    """An optimizer."""


def suggest_adamw(trial: Any) -> dict[str, Any]:
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "betas": (0.9, 1 - trial.suggest_float("forgetting", 1e-3, 1e-1, log=True)),
    }


def build_sgd(model: Any, *, lr: float = 0.1) -> None:
    """Another optimizer, which proposes nothing."""


def build_flat(steps: int, steps_per_epoch: int) -> list[float]:
    """A schedule."""
    return [1.0] * steps


def build_ramp(steps: int, steps_per_epoch: int, *, rise: float = 0.3) -> list[float]:
    """Another schedule."""
    return [1.0] * steps


def suggest_ramp(trial: Any) -> dict[str, Any]:
    return {"rise": trial.suggest_float("rise", 0.1, 0.5)}


def build_loss(num_classes: int, *, smoothing: float = 0.0) -> None:
    """A loss."""


def build_plain(image_shape: Any, image_kind: Any) -> list[Any]:
    """An augmentation."""
    return []


def build_executor(workers: int, preload: Any) -> None:
    """An executor."""


def load_shapes(data_dir: Path | None, *, side: int = 4) -> bench.Splits:
    """A dataset that must not be loaded."""
    raise AssertionError("planning loads nothing")


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    add_plugin(
        registry,
        bench.Dataset(name="shapes", load=load_shapes, default=True),
        bench.Model(name="net.v1", build=build_net, suggest=suggest_net, aliases=("net",)),
        bench.Optimizer(name="adamw", build=build_adamw, suggest=suggest_adamw, default=True),
        bench.Optimizer(name="sgd", build=build_sgd),
        bench.Optimizer(name="single", build=build_sgd, pins={"batch_size": 1}),
        bench.Schedule(name="flat", build=build_flat, default=True),
        bench.Schedule(name="ramp", build=build_ramp, suggest=suggest_ramp),
        bench.Schedule(name="cold", build=build_flat, pins={"warmup": 0}),
        bench.Loss(name="entropy", build=build_loss, default=True),
        bench.Augmentation(name="plain", build=build_plain, default=True),
        bench.Executor(name="here", build=build_executor, default=True),
    )
    return registry


Made = Callable[..., Space]


def planned(registry: Registry, **values: Any) -> tuple[RunSpec, ExperimentConfig]:
    values["set"] = parse_set(values.pop("set", ()))
    if not isinstance(values.get("space", ()), dict):
        values["space"] = parse_space(values.pop("space", ()))
    config = ExperimentConfig.create({"models": "net.v1", "device": "cpu", "tune": "9", **values})
    return plan(config, registry).runs[0], config


@pytest.fixture
def made(registry: Registry) -> Made:
    """Return a function that makes the space of a cell from options."""

    def make(**values: Any) -> Space:
        spec, config = planned(registry, **values)
        space = space_of(spec, config, registry)
        check_used([space], config)
        return space

    return make


def ask(space: Space, **answers: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a space makes of fixed answers, and what it asked a trial of Optuna's for."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial({name.replace("__", "."): value for name, value in answers.items()})
    trial = study.ask()
    return space.suggest(trial), dict(trial.params)


# What is searched


def test_by_default_model_and_optimizer_are_searched(made: Made) -> None:
    space = made(schedule="ramp")
    assert space.describe() == {
        "net.v1.depth": {"kind": "int", "low": 1, "high": 4, "log": False, "step": 1},
        "net.v1.act": {"kind": "choice", "choices": ["relu", "gelu"]},
        "adamw.lr": {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "adamw.forgetting": {"kind": "float", "low": 1e-3, "high": 1e-1, "log": True},
        "net.v1.drop": {"kind": "float", "low": 0.0, "high": 0.5, "log": False},
    }
    assert space.defaults() == {
        "net.v1.depth": 2,
        "net.v1.act": "relu",
        "adamw.lr": 1e-3,
        "adamw.betas": (0.9, 0.99),
    }


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("model", {"net.v1.depth", "net.v1.act", "net.v1.drop"}),
        ("net.v1", {"net.v1.depth", "net.v1.act", "net.v1.drop"}),
        ("net", {"net.v1.depth", "net.v1.act", "net.v1.drop"}),
        ("net.v1.act", {"net.v1.act"}),
        ("*.lr", {"adamw.lr"}),
        ("schedule,adamw.lr", {"ramp.rise", "adamw.lr"}),
        ("protocol.l2", {"protocol.l2"}),
        ("protocol.batch-size", {"protocol.batch_size"}),
    ],
)
def test_search_takes_kinds_components_and_params(made: Made, search: str, names: set[str]) -> None:
    space = made(search=search, schedule="ramp")
    assert names <= set(space.describe()) <= names | {"adamw.forgetting"}
    asked = set(space.defaults())
    assert asked == names & asked


def test_a_param_that_is_not_chosen_keeps_its_value(made: Made) -> None:
    values, asked = ask(made(search="net.v1.act", set=["net.v1.depth=4"]), **{"net.v1.act": "gelu"})
    assert values == {"net.v1.act": "gelu"} == asked
    # At the depth of 4 that the user has fixed, `drop` is proposed, at 2 it is not.
    assert set(made(search="net.v1", set=["net.v1.depth=4"]).defaults()) == {
        "net.v1.act",
        "net.v1.drop",
    }
    assert set(made(search="net.v1", set=["net.v1.depth=2"]).describe()) == {"net.v1.act"}


def test_the_protocol_has_ranges_of_its_own(made: Made) -> None:
    found = made(search="protocol", epochs=4).describe()
    assert found["protocol.warmup"]["high"] == 2.0
    assert found["protocol.schedule"]["choices"] == ["flat", "ramp", "cold"]
    assert found["protocol.clip_norm"]["choices"][0] is None
    # These do nothing without an average of weights, or without weights to start from.
    unused = {"ema_decay", "swa_start", "backbone_rate", "layer_decay"}
    assert {name.removeprefix("protocol.") for name in found} == set(SEARCH_RANGES) - unused
    averaged = made(search="protocol", averaging="ema").describe()
    assert "protocol.ema_decay" in averaged
    assert "protocol.swa_start" not in averaged


def test_what_the_user_has_fixed_is_left_out(made: Made) -> None:
    space = made(search="optimizer,protocol", batch_size=32, set=["*.lr=0.5", "protocol.l2=0.1"])
    assert not {"adamw.lr", "protocol.batch_size", "protocol.l2"} & set(space.describe())
    assert "adamw.lr" not in ask(space)[0]


def test_what_a_component_pins_is_left_out(made: Made) -> None:
    space = made(search="protocol", optimizers="single")
    assert "protocol.batch_size" not in space.describe()
    with pytest.raises(ConfigError, match=r"--space protocol\.batch_size: .*pins it"):
        made(space=["protocol.batch_size=16,32"], optimizers="single")


def test_a_field_is_not_asked_for_where_the_schedule_pins_it(
    made: Made, registry: Registry
) -> None:
    space = made(search="protocol")
    assert "protocol.warmup" not in ask(space, protocol__schedule="cold")[0]
    assert "protocol.warmup" in ask(space, protocol__schedule="flat")[0]


# What users give


@pytest.mark.parametrize(
    ("option", "described"),
    [
        ("adamw.lr=1..2", {"kind": "float", "low": 1.0, "high": 2.0, "log": False}),
        ("adamw.lr=1e-4 .. .1 log", {"kind": "float", "low": 1e-4, "high": 0.1, "log": True}),
        (
            "adamw.lr=0..1 step 0.25",
            {"kind": "float", "low": 0.0, "high": 1.0, "log": False, "step": 0.25},
        ),
        ("net.depth=-1..5", {"kind": "int", "low": -1, "high": 5, "log": False, "step": 1}),
        ("net.depth=1..64 log", {"kind": "int", "low": 1, "high": 64, "log": True}),
        (
            "net.depth=2..8 step 3",
            {"kind": "int", "low": 2, "high": 8, "log": False, "step": 3},
        ),
        ("net.act=relu,silu,relu", {"kind": "choice", "choices": ["relu", "silu"]}),
        ("adamw.lr=1,2", {"kind": "choice", "choices": [1.0, 2.0]}),
        ("adamw.clip=1..3", {"kind": "float", "low": 1.0, "high": 3.0, "log": False}),
        ("adamw.clip=none,1", {"kind": "choice", "choices": [None, 1]}),
        ("adamw.fused=true,false", {"kind": "choice", "choices": [True, False]}),
        (
            "adamw.betas=[0.8,0.9],[0.9,0.99]",
            {"kind": "choice", "choices": [(0.8, 0.9), (0.9, 0.99)]},
        ),
        ("protocol.clip-norm=1..4", {"kind": "float", "low": 1.0, "high": 4.0, "log": False}),
        ("protocol.schedule=flat,ramp", {"kind": "choice", "choices": ["flat", "ramp"]}),
    ],
)
def test_ranges_and_choices_take_the_type_of_the_param(
    made: Made, registry: Registry, option: str, described: dict[str, Any]
) -> None:
    space = made(search="protocol.l2", set=["protocol.l2=0"], space=[option])
    [(name, found)] = space.describe().items()
    assert found == described
    values, asked = ask(space)
    assert name in asked
    assert name in values
    spec, _ = planned(registry)
    vary(spec, values, registry)


def test_lists_go_by_their_text_in_the_storage(made: Made) -> None:
    space = made(search="net.v1.act", space=["adamw.betas=[0.8,0.9],[0.9,0.99]"])
    values, asked = ask(space, adamw__betas="[0.9, 0.99]")
    assert values["adamw.betas"] == (0.9, 0.99)
    assert asked["adamw.betas"] == "[0.9, 0.99]"
    assert space.default_answers()["adamw.betas"] == "[0.9, 0.99]"


def test_files_may_list_choices(made: Made) -> None:
    space = made(search="model", space={"adamw.lr": ["1e-3", 0.1], "net.depth": 3})
    assert space.describe()["adamw.lr"]["choices"] == [1e-3, 0.1]


def test_a_single_value_is_set_and_not_asked_for(made: Made) -> None:
    space = made(search="net.v1.act", space=["adamw.lr=0.5", "net.depth=3..3"])
    assert set(space.describe()) == {"net.v1.act"}
    values, _ = ask(space, **{"net.v1.act": "gelu"})
    assert values == {"net.v1.act": "gelu", "net.v1.depth": 3, "adamw.lr": 0.5}
    assert space.defaults() == {"net.v1.act": "relu", "net.v1.depth": 2, "adamw.lr": 1e-3}


def test_a_range_of_the_users_replaces_that_of_the_component(made: Made) -> None:
    space = made(space=["net.depth=5..6"])
    assert space.describe()["net.v1.depth"]["low"] == 5
    values, asked = ask(space)
    assert asked["net.v1.depth"] in (5, 6)
    assert values["net.v1.drop"] == asked["net.v1.drop"]


def test_a_pattern_gives_way_to_a_name(registry: Registry) -> None:
    options = ["adamw.lr=1..2", "*.lr=3..4", "*.depth=7,8"]
    _, config = planned(registry, optimizers="adamw,sgd", space=options)
    spaces = [space_of(each, config, registry) for each in plan(config, registry).runs]
    check_used(spaces, config)
    first, second = (space.describe() for space in spaces)
    assert first["net.v1.depth"]["choices"] == second["net.v1.depth"]["choices"] == [7, 8]
    assert (first["adamw.lr"]["low"], second["sgd.lr"]["low"]) == (1.0, 3.0)


WRONG = [
    ("adamw.lr=2..1", "2..1 is empty; the lower end comes first"),
    ("adamw.lr=0..1 log", "a logarithmic range begins above 0, not at 0"),
    ("adamw.lr=0.1..1 log step 0.1", "`log` and `step` do not go together"),
    ("adamw.lr=0..1 step 0.3", "steps of 0.3 from 0 do not meet 1; end at 0.9"),
    ("adamw.lr=0..1 step 0", "a step is a number above 0, not 0"),
    ("adamw.lr=0..1 step -1", "a step is a number above 0, not -1"),
    ("adamw.lr=0..1e999", "has no end"),
    ("adamw.lr=a..b", "a range goes from a number to a number, not `a`"),
    ("adamw.lr=0..1 log log", "twice"),
    ("adamw.lr=0..1 linear", "wants a float, not '0..1 linear'"),
    ("adamw.lr=fast", "`adamw.lr` wants a float, not 'fast'"),
    ("adamw.lr=0.1,,1", "a value is missing"),
    ("net.depth=1.5..3", "it is a whole number, and 1.5 is none"),
    ("net.depth=1..3 step 0.5", "it is a whole number, and 0.5 is none"),
    ("net.depth=1,2.5", "`net.v1.depth` wants an int, not 2.5"),
    ("net.act=1..3", "is 'relu' by default and has no range; list choices"),
    ("adamw.fused=0..1", "is False by default and has no range"),
    ("adamw.betas=0..1", "has no range"),
    ("adamw.rate=0..1", "`adamw` has no param `rate`; its params are `lr`, `betas`"),
    ("adamv.lr=0..1", "nothing is called `adamv` (did you mean `adamw`?)"),
    ("shapes.side=4,8", "a dataset is not searched"),
    ("sgd.lr=0..1", "it does nothing in any of the cells"),
    ("*.speed=0..1", "it does nothing in any of the cells"),
    ("protocol.batchsize=1,2", "the protocol has no field `batchsize` (did you mean"),
    ("protocol.batch_size=16.5,32", "`batch-size` is 16.5"),
    ("protocol.batch_size=0..64", "`batch-size` is 0"),
    ("protocol.ema_decay=0.9..1", "`ema-decay` is 1.0"),
    ("protocol.ema_decay=0.9..0.99", "it goes with `--averaging ema`"),
    ("protocol.averaging=0..1", "it is no number and has no range"),
    ("protocol.schedule=flat,rampe", "no schedule is called `rampe` (did you mean `ramp`?)"),
    ("protocol.epochs=1..9", "it decides how long a run is"),
    ("protocol.limit=100,1000", "it decides which images a run sees"),
    ("protocol.threads=1,2", "it is about how a run is carried out"),
    ("protocol.warmup=0..99", "`warmup` takes 99 epochs and a run has 10"),
    ("adamw.clip=1,2 if adamw.lr", "a condition is `if NAME.PARAM=V1|V2`"),
    ("net.act=relu,gelu if net.depth=9", "`net.depth` is never 9; it is one of 1..4"),
    ("net.act=relu,gelu if adamw.clip=1", "`adamw.clip` is not searched"),
    ("net.act=relu,gelu if net.deep=1", "`net.deep` is not searched"),
    ("net.act=relu,gelu if nett.depth=1", "nothing is called `nett`"),
    ("net.act=relu,gelu if depth=1", "a condition is NAME.PARAM=VALUE"),
    ("net.act=relu,gelu if net.act=relu", "its condition goes round"),
    ("net.depth=1,2 if net.drop=0.1", "`net.drop` is not searched"),
    ("net.depth=1,4 if net.drop=0.1", "its condition, `net.v1.drop=0.1`, never holds"),
]


@pytest.mark.parametrize(("option", "message"), WRONG)
def test_what_cannot_be_searched_is_said_in_one_line(made: Made, option: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        made(space=[option])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"search": "optimzer"}, "did you mean `optimizer`?"),
        ({"search": "sgd", "optimizers": "sgd"}, "`sgd` proposes no ranges; give one: `--space"),
        ({"search": "adamw.clip"}, "`adamw` proposes no range of `clip`; give one"),
        ({"search": "adamw.lrr"}, "`adamw` has no param `lrr` (did you mean `lr`?)"),
        ({"search": "adamv.lr"}, "nothing is called `adamv"),
        ({"search": "dataset"}, "a dataset is not searched"),
        ({"search": "shapes"}, "a dataset is not searched"),
        ({"search": "sgd"}, "--search sgd: it does nothing in any of the cells"),
        ({"search": "weights"}, "--search weights: it does nothing in any of the cells"),
        ({"search": "loss"}, "--search loss: it does nothing in any of the cells"),
        ({"search": "protocol.loss"}, "no range is known for it; give one"),
        ({"search": "protocol.epochs"}, "it decides how long a run is"),
        ({"search": "protocol.epoch"}, "the protocol has no field `epoch`"),
        ({"search": "protocol.swa_start"}, "it goes with `--averaging swa`"),
        ({"space": ["adamw.lr=1..2"], "set": ["adamw.lr=1"]}, "`--set` fixes `adamw.lr`"),
        ({"space": ["adamw.lr=1..2"], "set": ["*.lr=1"]}, "`--set` fixes `adamw.lr`"),
        ({"space": ["protocol.l2=1,2"], "l2": 1}, "it is given as 1.0; leave out one"),
        ({"space": ["protocol.l2=1,2"], "set": ["protocol.l2=1"]}, "it is given as 1.0"),
        ({"space": {"adamw.lr": {"low": 1}}}, "write a range or choices, not a table"),
        ({"space": {"adamw.lr": []}}, "a value is missing"),
        ({"space": {"lr": "1..2"}}, "write NAME.PARAM=LOW..HIGH"),
        (
            {"space": ["net.act=relu,gelu if net.depth=1", "net.depth=1,2 if net.act=relu"]},
            "`net.v1.act` -> `net.v1.depth` -> `net.v1.act`",
        ),
    ],
)
def test_what_does_not_fit_together_is_said_in_one_line(
    made: Made, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        made(**values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_concerns_another_cell_is_passed_over(registry: Registry) -> None:
    _, config = planned(registry, optimizers="adamw,sgd", search="adamw,sgd.lr")
    specs = plan(config, registry).runs
    with pytest.raises(ConfigError, match=r"`sgd` proposes no range of `lr`"):
        [space_of(each, config, registry) for each in specs]
    # A range that `--space` gives is one, whoever proposed it.
    _, config = planned(
        registry, optimizers="adamw,sgd", search="adamw,sgd.lr", space=["sgd.lr=0.1..1"]
    )
    ranged = [space_of(each, config, registry) for each in plan(config, registry).runs]
    assert [{*space.describe()} for space in ranged] == [
        {"adamw.lr", "adamw.forgetting"},
        {"sgd.lr"},
    ]
    _, config = planned(
        registry,
        optimizers="adamw,sgd",
        search="adamw",
        space=["sgd.lr=0.1..1", "net.act=relu,gelu if sgd.lr=1", "*.lr=1..2"],
    )
    spaces = [space_of(each, config, registry) for each in plan(config, registry).runs]
    check_used(spaces, config)
    assert set(spaces[0].describe()) == {"adamw.lr", "adamw.forgetting"}
    assert set(spaces[1].describe()) == {"sgd.lr", "net.v1.act"}
    with pytest.raises(ConfigError, match=r"--space sgd\.lr: it does nothing"):
        check_used(spaces[:1], config)


# Conditions


def test_a_condition_decides_what_is_asked_for(made: Made) -> None:
    space = made(search="model", space=["adamw.lr=0.1..1 if net.depth=2|3"])
    assert space.describe()["adamw.lr"]["condition"] == "net.v1.depth=2|3"
    for depth in (1, 2, 3, 4):
        values, asked = ask(space, **{"net.v1.depth": depth})
        assert ("adamw.lr" in asked) is ("adamw.lr" in values) is (depth in (2, 3))


def test_what_a_condition_names_is_asked_for_first(made: Made) -> None:
    # The protocol is asked for before the model, the model before the optimizer.
    space = made(space=["protocol.l2=0.1..1 if adamw.lr=0.1", "adamw.lr=0.1,0.2 if net.act=gelu"])
    assert "protocol.l2" in ask(space, **{"net.v1.act": "gelu", "adamw.lr": 0.1})[1]
    assert "protocol.l2" not in ask(space, **{"net.v1.act": "gelu", "adamw.lr": 0.2})[1]
    assert "protocol.l2" not in ask(space, **{"net.v1.act": "relu", "adamw.lr": 0.1})[1]


def test_a_component_gets_its_own_value_where_a_condition_does_not_hold(made: Made) -> None:
    space = made(search="net", space=["protocol.l2=0,1", "net.depth=3,4 if protocol.l2=1"])
    values, asked = ask(space, protocol__l2=0.0)
    assert "net.v1.depth" not in values
    assert "net.v1.drop" not in asked  # as with the depth of 2 that it has


def test_another_schedule_is_searched_where_it_is_chosen(made: Made) -> None:
    space = made(search="schedule", space=["protocol.schedule=flat,ramp"])
    assert space.describe()["ramp.rise"]["condition"] == "protocol.schedule=ramp"
    assert "ramp.rise" in ask(space, protocol__schedule="ramp")[0]
    assert ask(space, protocol__schedule="flat")[0] == {"protocol.schedule": "flat"}


def test_an_average_is_tuned_where_there_is_one(made: Made) -> None:
    space = made(space=["protocol.averaging=none,ema", "protocol.ema_decay=0.9..0.99"])
    assert space.describe()["protocol.ema_decay"]["condition"] == "--averaging ema"
    assert "protocol.ema_decay" in ask(space, protocol__averaging="ema")[0]
    assert "protocol.ema_decay" not in ask(space, protocol__averaging=None)[0]


# What plugins propose


def offering(registry: Registry, suggest: Any) -> Callable[..., Space]:
    add_plugin(registry, bench.Model(name="odd", build=build_net, suggest=suggest), name="second")
    spec, config = planned(registry, models="odd", search="odd")
    return functools.partial(space_of, spec, config, registry)


@pytest.mark.parametrize(
    ("suggest", "message"),
    [
        (lambda trial: {"width": 3}, "its `suggest` returned `width`, which is no param of it"),
        (lambda trial: None, "its `suggest` returned NoneType, not a dict"),
        (lambda trial: {"depth": "deep"}, "`odd.depth` wants an int, not 'deep'"),
        (lambda trial: {"drop": float("nan")}, "wants a finite number"),
        (lambda trial: 1 / 0, "its `suggest` fails: ZeroDivisionError"),
        (lambda trial: {"drop": trial.suggest_float("drop", 1, 0)}, "1..0 is empty"),
        (lambda trial: {"drop": trial.suggest_float("drop", 0, 1, log=True)}, "begins above 0"),
        (lambda trial: {"act": trial.suggest_categorical("act", [])}, "there are no choices"),
        (lambda trial: {"drop": trial.suggest_uniform("drop", 0, 1)}, "no `suggest_uniform`"),
        (
            # Only deep networks of one kind are wrong.
            lambda trial: {
                "act": trial.suggest_categorical("act", ["relu", "gelu"]),
                "depth": trial.suggest_int("depth", 1, 20),
                **({"wdith": 1} if trial.params == {"act": "gelu", "depth": 20} else {}),
            },
            "returned `wdith`",
        ),
        (
            lambda trial: {
                "depth": trial.suggest_int("depth", 1, 2),
                "act": trial.suggest_categorical("act", ["relu", "gelu"][: trial.params["depth"]]),
            },
            "asks for `act` in different ways",
        ),
    ],
)
def test_a_wrong_proposal_names_its_plugin_before_anything_runs(
    registry: Registry, suggest: Any, message: str
) -> None:
    with pytest.raises(PluginError) as caught:
        offering(registry, suggest)()
    assert str(caught.value).startswith("model `odd` of plugin `second`")
    assert message in str(caught.value)


def test_a_condition_in_plain_python_works(registry: Registry) -> None:
    def suggest(trial: Any) -> dict[str, Any]:
        if trial.suggest_categorical("deep", [True, False]):
            depth = trial.suggest_int("depth", 10, 20)
            if depth == 15:
                return {"depth": depth, "act": trial.suggest_categorical("act", ["gelu", "tanh"])}
            return {"depth": depth}
        return {"drop": trial.suggest_float("drop", 0.0, 1.0)}

    space = offering(registry, suggest)()
    assert set(space.describe()) == {"odd.deep", "odd.depth", "odd.drop", "odd.act"}
    assert ask(space, odd__deep=True, odd__depth=15, odd__act="tanh")[0] == {
        "odd.depth": 15,
        "odd.act": "tanh",
    }
    assert ask(space, odd__deep=False, odd__drop=0.5)[0] == {"odd.drop": 0.5}


def test_a_trial_is_a_trial_to_a_component(registry: Registry) -> None:
    seen = []

    def suggest(trial: Any) -> dict[str, Any]:
        depth = trial.suggest_int("depth", 1, 3)
        seen.append((trial.number, dict(trial.params)))
        return {"depth": depth}

    space = offering(registry, suggest)()
    assert ask(space, odd__depth=2)[0] == {"odd.depth": 2}
    assert seen[-1] == (0, {"depth": 2})


def test_names_that_begin_alike_or_are_alike_are_told_apart(registry: Registry) -> None:
    add_plugin(
        registry,
        bench.Model(name="net", build=build_net, suggest=suggest_net),
        bench.Optimizer(name="net.v2", build=build_adamw, suggest=suggest_adamw),
        bench.Schedule(name="net", build=build_ramp, suggest=suggest_ramp),
        name="second",
    )
    values = {"models": "net@second", "optimizers": "net.v2", "schedule": "net@second"}
    spec, config = planned(registry, **values, search="model,optimizer,schedule")
    space = space_of(spec, config, registry)
    assert {"net.depth", "net.act", "net.rise", "net.v2.lr"} <= set(space.defaults())
    assert vary(spec, space.defaults(), registry) == spec


def test_an_error_of_the_storage_is_not_blamed_on_a_component(made: Made) -> None:
    class Lost(Exception):
        """The storage is gone."""

    class Trial:
        def suggest_int(self, *args: Any, **kwargs: Any) -> int:
            raise Lost

    with pytest.raises(Lost):
        made().suggest(Trial())


def test_defaults_make_the_cell_itself(registry: Registry) -> None:
    spec, config = planned(registry, set=["adamw.clip=2"], search="model,optimizer,protocol")
    space = space_of(spec, config, registry)
    assert vary(spec, space.defaults(), registry) == spec
    answers = space.default_answers()
    assert answers["adamw.lr"] == 1e-3
    assert "adamw.forgetting" not in answers  # no param says what it is
    assert "protocol.l2" not in answers  # 0 lies outside of a logarithmic range
    values, asked = ask(space, **answers)
    assert answers.items() <= asked.items()
    assert space.defaults().items() - values.items() <= {
        ("adamw.betas", (0.9, 0.99)),
        ("protocol.l2", 0.0),
    }


# Grids


def test_a_grid_grows_evenly_and_fits(made: Made) -> None:
    space = made(search="adamw.lr", space=["net.act=relu,gelu", "net.drop=0..1"])
    sizes = {size: len(space.grid(size)) for size in (2, 4, 7, 8, 12, 18, 23)}
    # Two choices, times 1x1, 2x1, 2x1, 2x2, 3x2, 3x3, 3x3 points of the ranges; `forgetting`,
    # which is no param, is asked for too and has its share.
    assert all(len(space.grid(size)) <= size for size in sizes)
    assert sizes[2] == 2
    assert sorted(sizes.values()) == list(sizes.values())


def test_a_grid_has_the_middle_then_the_ends(made: Made) -> None:
    space = made(search="net.v1.act", space=["adamw.lr=1e-4..1e-2 log", "net.act=relu"])
    assert space.grid(1) == [{"adamw.lr": pytest.approx(1e-3)}]
    assert sorted(point["adamw.lr"] for point in space.grid(2)) == [1e-4, 1e-2]
    found = sorted(point["adamw.lr"] for point in space.grid(5))
    assert found == pytest.approx([1e-4, 10**-3.5, 1e-3, 10**-2.5, 1e-2])


def test_a_grid_goes_down_every_branch(made: Made) -> None:
    space = made(search="model", space=["net.depth=1,3", "net.act=relu,gelu"])
    points = space.grid(6)
    assert len(points) == 6
    shallow = [point for point in points if point["net.v1.depth"] == 1]
    assert [set(point) for point in shallow] == [{"net.v1.depth", "net.v1.act"}] * 2
    deep = {(p["net.v1.act"], p["net.v1.drop"]) for p in points if p["net.v1.depth"] == 3}
    assert deep == {("relu", 0.0), ("relu", 0.5), ("gelu", 0.0), ("gelu", 0.5)}


def test_a_grid_of_few_whole_numbers_ends(made: Made) -> None:
    space = made(search="net.v1.depth")
    assert sorted(point["net.v1.depth"] for point in space.grid(100)) == [1, 2, 3, 4]


def test_the_order_of_a_grid_is_spread_and_always_the_same(made: Made) -> None:
    space = made(search="net.v1.act", space=["adamw.lr=0..1 step 0.01"])
    points = [point["adamw.lr"] for point in space.grid(200) if point["net.v1.act"] == "relu"]
    assert len(points) > 90
    early = points[:20]
    assert min(early) < 0.25
    assert max(early) > 0.75
    assert space.grid(200) == space.grid(200)


def test_a_grid_that_does_not_fit_says_how_many_points_it_has(made: Made) -> None:
    space = made(search="net.v1.act", space=["adamw.fused=true,false", "adamw.clip=1,2,3"])
    with pytest.raises(UsageError, match=r"has 12 points and the budget is 11; search less"):
        space.grid(11)
    assert len(space.grid(12)) == 12


def test_points_of_a_grid_can_be_enqueued(made: Made) -> None:
    space = made(search="model,optimizer", space=["adamw.betas=[0.8,0.9],[0.9,0.99]"])
    for point in space.grid(40):
        values, asked = ask(space, **point)
        assert asked == point
        assert set(values) <= {*point} - {"adamw.forgetting"} | {"adamw.betas"}


# Properties


NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(low=NUMBERS, high=NUMBERS, count=st.integers(1, 50))
def test_points_of_a_range_are_in_it_in_order_and_apart(
    low: float, high: float, count: int
) -> None:
    low, high = min(low, high), max(low, high)
    points = proposed_range("float", low, high, None, False).points(count)
    assert points == sorted(set(points))
    assert low <= points[0] <= points[-1] <= high
    if count > 1:
        assert (points[0], points[-1]) == (low, high)


@given(
    low=st.integers(1, 1000),
    width=st.integers(0, 1000),
    step=st.integers(1, 50),
    log=st.booleans(),
    count=st.integers(1, 60),
)
def test_whole_numbers_stay_whole_and_on_their_steps(
    low: int, width: int, step: int, log: bool, count: int
) -> None:
    domain = proposed_range("int", low, low + width, None if log else step, log)
    points = domain.points(count)
    assert all(type(point) is int and point in domain for point in points)
    assert points == sorted(set(points))
    if not log:
        assert len(points) == min(count, domain.size)
        assert all((point - low) % step == 0 for point in points)


@given(low=st.floats(1e-6, 1e3), factor=st.floats(1.001, 1e6), count=st.integers(1, 20))
def test_logarithmic_points_are_evenly_apart(low: float, factor: float, count: int) -> None:
    domain = proposed_range("float", low, low * factor, None, True)
    points = domain.points(count)
    assert all(point in domain for point in points)
    ratios = [later / earlier for earlier, later in itertools.pairwise(points)]
    assert all(math.isclose(ratio, ratios[0], rel_tol=1e-6) for ratio in ratios)


@given(low=NUMBERS, high=NUMBERS)
def test_a_written_range_is_read_as_it_was_meant(low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    domain = range_of(read("x.y", f"{low!r}..{high!r}"), "float")
    assert (domain.low, domain.high) == (low, high)


@given(text=st.text(max_size=30))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    said = "--space x.y: "
    try:
        written = read("x.y", text)
        if written.ends is not None:
            range_of(written, "float")
    except ConfigError as error:
        said = str(error)
    assert said.startswith("--space x.y: ")


def test_domains_of_different_kinds_do_not_mix() -> None:
    range_, choice = Domain("int", 1, 2, step=1), Domain("choice", choices=(1, 2))
    with pytest.raises(ValueError, match="is another kind"):
        range_.merge(choice)
    assert range_.merge(Domain("int", 2, 5, step=1)) == Domain("int", 1, 5, step=1)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_whatever_a_trial_answers_makes_a_run(data: st.DataObject) -> None:
    spec, space = _rich()
    trial = _Drawn(data)
    values = space.suggest(trial)
    varied = vary(spec, values, BUILT_IN)
    assert trial.params.keys() <= space.describe().keys()
    assert varied.dataset == spec.dataset
    for name, value in values.items():
        owner, _, param = name.rpartition(".")
        if owner != "protocol":
            [ref] = [ref for ref in varied.components.values() if ref.name == owner]
            assert ref.params[param] == value


class _Drawn:
    """A trial whose answers hypothesis draws."""

    number = 7

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self.params: dict[str, Any] = {}

    def _note(self, name: str, value: Any) -> Any:
        assert name not in self.params, "asked twice"
        self.params[name] = value
        return value

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> Any:
        return self._note(name, self._data.draw(st.floats(low, high)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> Any:
        count = (high - low) // step
        return self._note(name, low + step * self._data.draw(st.integers(0, count)))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._note(name, self._data.draw(st.sampled_from(choices)))


# What is built in


BUILT_IN = load_registry()


@functools.cache
def _rich() -> tuple[RunSpec, Space]:
    """Return a space with all there is: components to choose, conditions, lists."""
    spec, config = planned(
        BUILT_IN,
        models="cnn",
        datasets="digits",
        search="model,optimizer,schedule,loss,protocol",
        space=[
            "protocol.loss=cross-entropy,focal",
            "protocol.augmentation=none,standard",
            "protocol.averaging=none,ema,swa",
            "protocol.ema_decay=0.9..0.999",
            "cnn.kernel_size=3,5 if cnn.depth=2",
            "standard.mixup=0..1",
            "adamw.eps=1e-9..1e-7 log if protocol.batch_size=32|64",
        ],
    )
    return spec, space_of(spec, config, BUILT_IN)


def _sample_of_models() -> list[str]:
    """Return every built-in model that is not timm's, and of these every hundredth."""
    offers = BUILT_IN.offers("model")
    of_timm = [f"{o.name}@bench_timm" for o in offers if o.plugin.name == "bench_timm"]
    others = [
        f"{o.name}@{o.plugin.name}"
        for o in offers
        if o.plugin.name in ("bench_cnn", "bench_torchvision")
    ]
    return [*others, *of_timm[::100]]


def _proposed(**values: Any) -> None:
    spec, config = planned(BUILT_IN, **{"datasets": "digits", "models": "cnn", **values})
    space = space_of(spec, config, BUILT_IN)
    check_used([space], config)
    assert vary(spec, space.defaults(), BUILT_IN) == spec
    for seed in range(3):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        vary(spec, space.suggest(study.ask()), BUILT_IN)


@pytest.mark.parametrize("name", [o.name for o in BUILT_IN.offers("optimizer")])
def test_what_optimizers_propose_makes_runs(name: str) -> None:
    _proposed(optimizers=name, search="optimizer")


@pytest.mark.parametrize("kind", ["schedule", "loss", "augmentation"])
def test_what_the_protocols_components_propose_makes_runs(kind: str) -> None:
    silent = []
    for offer in BUILT_IN.offers(kind):
        if offer.plugin.name not in ("bench_optim", "bench_augment"):
            continue
        if offer.component.suggest is None:
            silent.append(offer.name)
            # Nothing is proposed by what has no params, or one that changes its nature.
            assert len(offer.component.defaults) <= 1
        else:
            fits = kind != "loss" or bench.Task.MULTI_CLASS in offer.component.tasks
            task = {} if fits else {"task": "multi-label"}
            _proposed(search=kind, **{kind: offer.name, **task})
    assert (
        silent
        == {
            "schedule": ["constant"],
            "loss": ["mse"],
            "augmentation": ["none", "trivial-augment"],
        }[kind]
    )


@pytest.mark.parametrize("name", _sample_of_models())
def test_what_models_propose_makes_runs(name: str) -> None:
    if BUILT_IN.get("model", name).component.suggest is not None:
        _proposed(models=name, search="model")


def test_the_whole_protocol_can_be_searched() -> None:
    _proposed(search="protocol")
    _proposed(search="protocol", averaging="swa")


def test_learning_rates_by_layer_are_searched_where_training_starts_from_weights(
    tmp_path: Path,
) -> None:
    (tmp_path / "some.safetensors").write_bytes(b"not looked at while planning")
    weights = f"file:{tmp_path / 'some.safetensors'}"
    spec, config = planned(
        BUILT_IN, models="cnn", datasets="digits", search="protocol", weights=weights
    )
    found = space_of(spec, config, BUILT_IN).describe()
    assert {"protocol.layer_decay", "protocol.backbone_rate"} <= set(found)
