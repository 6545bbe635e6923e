from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import config
from bench.cli.run import command
from bench.config import ExperimentConfig
from bench.errors import ConfigError
from bench.protocol import Protocol
from bench.words import parse_duration, parse_set, parse_space, parse_value

PROTOCOL_WORDS = {
    "epochs": ("3", 3),
    "batch_size": ("128", 128),
    "schedule": ("constant", "constant"),
    "loss": ("mse", "mse"),
    "normalize": ("unit", "unit"),
    "augmentation": ("basic", "basic"),
    "image_kind": ("symbol", "symbol"),
    "input_size": ("32", 32),
    "resize": ("pad", "pad"),
    "color": ("gray", "gray"),
    "task": ("multi-label", "multi-label"),
    "classes": ("cat,dog", ("cat", "dog")),
    "fractions": ("0.6,0.2,0.2", (0.6, 0.2, 0.2)),
    "val": ("0.1", 0.1),
    "split_seed": ("7", 7),
    "limit": ("500", 500),
    "on_bad": ("skip", "skip"),
    "threshold": ("0.3", 0.3),
    "select": ("last", "last"),
    "precision": ("float32", "float32"),
    "threads": ("2", 2),
    "warmup": ("0.5", 0.5),
    "micro_batch": ("8", 8),
    "l1": ("1e-5", 1e-5),
    "l2": ("1e-4", 1e-4),
    "clip_norm": ("1", 1.0),
    "clip_value": ("0.5", 0.5),
    "averaging": ("ema", "ema"),
    "ema_decay": ("0.99", 0.99),
    "swa_start": ("0.5", 0.5),
    "monitor": ("log_loss", "log_loss"),
    "patience": ("3", 3),
    "min_delta": ("0.01", 0.01),
    "log_steps": ("10", 10),
    "freeze": ("backbone", "backbone"),
    "unfreeze": ("3,5", (3, 5)),
    "backbone_rate": ("0.1", 0.1),
    "layer_decay": ("0.8", 0.8),
    "batch_norm": ("sync", "sync"),
    "interpolation": ("bicubic", "bicubic"),
}


# Keys


def test_every_protocol_field_is_tried_here() -> None:
    assert {*PROTOCOL_WORDS} == {*Protocol.model_fields}


@pytest.mark.parametrize("name", Protocol.model_fields)
def test_every_protocol_field_is_a_key_in_words(name: str) -> None:
    word, value = PROTOCOL_WORDS[name]
    for spelling in (name, name.replace("_", "-")):
        assert ExperimentConfig.create({spelling: word}).protocol == {name: value}
        assert ExperimentConfig.create({spelling: value}).protocol == {name: value}


@pytest.mark.parametrize("name", config.known_keys())
def test_every_key_is_a_flag_and_in_the_table_of_defaults(name: str) -> None:
    flags = {flag for param in command.params for flag in param.opts}
    assert f"--{name.replace('_', '-')}" in flags
    assert f"| `{name.replace('_', '-')}` |" in config.defaults_table()


def test_no_key_is_declared_twice() -> None:
    assert len({*config.known_keys()}) == len(config.known_keys())


def test_defaults_are_those_of_the_fields() -> None:
    plain = ExperimentConfig.create({})
    assert (plain.models, plain.seeds, plain.workers, plain.protocol) == ((), 1, 1, {})
    assert plain.results == Path("results")
    assert "| `val` | `0.2` |" in config.defaults_table()
    assert "| `limit` |  |" in config.defaults_table()
    assert "| `deterministic` | `false` |" in config.defaults_table()


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("epoch", " (did you mean `epochs`?)"),
        ("batchsize", " (did you mean `batch_size`?)"),
        ("model", " (did you mean `models`?)"),
        ("protocol", ""),
        ("zzz", ""),
    ],
)
def test_an_unknown_key_is_an_error_with_a_suggestion(key: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig.create({key: 1}, "`a.toml`")
    assert str(caught.value).startswith(f"`a.toml`: there is no key `{key}`")
    if hint:
        assert str(caught.value).endswith(hint)


# Types


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", "many"),
        ("epochs", 0),
        ("epochs", 1.5),
        ("epochs", True),
        ("epochs", None),
        ("epochs", [1, 2]),
        ("batch-size", -1),
        ("val", 0),
        ("val", 1),
        ("val", math.nan),
        ("val", "nan"),
        ("limit", 0),
        ("input-size", 4097),
        ("normalize", "sideways"),
        ("select", "first"),
        ("precision", "float16"),
        ("schedule", 3),
        ("split-seed", -1),
        ("seeds", 0),
        ("seeds", "three"),
        ("models", 3),
        ("models", [1, 2]),
        ("workers", 0),
        ("device", "tpu"),
        ("deterministic", "perhaps"),
        ("timeout", "soon"),
        ("timeout", 0),
        ("timeout", -5),
        ("timeout", "-5"),
        ("keep", "everything"),
        ("set", 3),
        ("set", "momentum.lr=1"),
        ("results", 5),
    ],
)
def test_a_wrong_value_names_its_key_in_one_line(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig.create({key: value}, "`a.toml`")
    message = str(caught.value)
    assert message.startswith("`a.toml`: `")
    assert f"`{key}`" in message.replace("_", "-")
    assert "\n" not in message
    assert "pydantic" not in message


def test_names_are_split_at_commas() -> None:
    created = ExperimentConfig.create({"models": "a, b,,c ", "datasets": ["d,e", "f"]})
    assert (created.models, created.datasets) == (("a", "b", "c"), ("d", "e", "f"))


def test_words_of_the_command_line_become_numbers() -> None:
    created = ExperimentConfig.create({"seeds": "3", "workers": "2", "deterministic": "true"})
    assert (created.seeds, created.workers, created.deterministic) == (3, 2, True)


@pytest.mark.parametrize("word", ["none", "None", "null"])
def test_none_clears_an_optional_protocol_field(word: str) -> None:
    assert ExperimentConfig.create({"limit": word}).protocol == {"limit": None}


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ExperimentConfig.create({}).seeds = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        (" 90 s ", 90),
        ("1.5m", 90),
        ("30m", 1800),
        ("2h", 7200),
    ],
)
def test_durations_are_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert ExperimentConfig.create({"timeout": text}).timeout == seconds


@pytest.mark.parametrize("text", ["", "h", "1d", "1h30m", "-5", "5 minutes", "1e3", "٣x"])
def test_what_is_no_duration_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write 90, 90s, 30m or 2h"):
        parse_duration(text)


# --set


@pytest.mark.parametrize(
    ("option", "key", "values"),
    [
        ("momentum.lr=0.1", "momentum.lr", (0.1,)),
        ("momentum.lr=0.1,1e-2, .5,1.", "momentum.lr", (0.1, 0.01, 0.5, 1.0)),
        ("protocol.epochs=3,5", "protocol.epochs", (3, 5)),
        ("protocol.batch-size=8", "protocol.batch-size", (8,)),
        ("protocol.schedule=constant,one-cycle", "protocol.schedule", ("constant", "one-cycle")),
        ("vit.a1_in1k.depth=2", "vit.a1_in1k.depth", (2,)),
        ("adamw.fused=true,False", "adamw.fused", (True, False)),
        ("adamw.clip=none,Null,1", "adamw.clip", (None, None, 1)),
        ("m.sizes=[1,2],[3]", "m.sizes", ([1, 2], [3])),
        ("m.sizes=[[1,2],[3,4]]", "m.sizes", ([[1, 2], [3, 4]],)),
        ('m.name="none"', "m.name", ("none",)),
        ("folder:a=b.depth=2", "folder:a=b.depth", (2,)),
        ("folder:/x.y/z.size=2", "folder:/x.y/z.size", (2,)),
        ("m.path=/tmp/a=b", "m.path", ("/tmp/a=b",)),
        ("m.text=a b\nc", "m.text", ("a b\nc",)),
    ],
)
def test_set_options_are_read(option: str, key: str, values: tuple[Any, ...]) -> None:
    read = parse_set([option])
    assert read == {key: values}
    assert [type(value) for value in read[key]] == [type(value) for value in values]


@pytest.mark.parametrize(
    "option", ["", "lr", "lr=1", "momentum.lr", ".lr=1", "momentum.=1", "momentum.1r=1", "=1"]
)
def test_a_set_option_without_name_or_param_is_an_error(option: str) -> None:
    with pytest.raises(ConfigError, match=r"--set takes NAME\.PARAM=VALUE"):
        parse_set([option])


@pytest.mark.parametrize("option", ["m.lr=", "m.lr=1,", "m.lr=,1", "m.lr=1,,2", "m.lr= "])
def test_a_missing_value_is_an_error(option: str) -> None:
    with pytest.raises(ConfigError, match=r"--set m\.lr: a value is missing"):
        parse_set([option])


def test_a_key_given_twice_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"names `m\.lr` twice; give its values in one"):
        parse_set(["m.lr=1", "m.lr=2"])


def test_unbalanced_brackets_stay_text() -> None:
    assert parse_set(["m.x=a],b"]) == {"m.x": ("a]", "b")}
    assert parse_set(["m.x=[a,b"]) == {"m.x": ("[a,b",)}


# Files

TOML = """
models = ["net", "other"]
seeds = 3
batch-size = 32
limit = "none"
timeout = "30m"
deterministic = true

[set]
"adamw.lr" = [1e-3, 2e-3]
"net.v1.sizes" = [[1, 2]]
"net.act" = "relu"
"""
YAML = """
models: net,other
seeds: 3
batch_size: 32
limit: none
timeout: 30m
deterministic: yes
set:
  adamw.lr: [1e-3, 2e-3]
  net.v1.sizes: [[1, 2]]
  net.act: relu
"""


def test_toml_and_yaml_mean_the_same(tmp_path: Path) -> None:
    created = []
    for name, text in (("a.toml", TOML), ("a.yaml", YAML), ("a.yml", YAML)):
        (tmp_path / name).write_text(text)
        created.append(ExperimentConfig.create(config.read_file(tmp_path / name)))
    assert created[0] == created[1] == created[2]
    assert created[0].set["adamw.lr"] == (0.001, 0.002)
    assert created[0].set["net.v1.sizes"] == ([1, 2],)
    assert created[0].protocol == {"batch_size": 32, "limit": None}
    assert created[0].timeout == 1800


def test_an_empty_file_is_an_empty_experiment(tmp_path: Path) -> None:
    for name in ("a.toml", "a.yaml"):
        (tmp_path / name).write_text("")
        assert config.read_file(tmp_path / name) == {}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", b"a = ", "is broken"),
        ("a.yaml", b"a: [", "is broken"),
        ("a.yaml", b"- a\n- b", "holds no table"),
        ("a.yaml", b"text", "holds no table"),
        ("a.ini", b"", "neither .toml nor .yaml"),
        ("a.toml", b"\xff\xfe", "cannot read"),
        ("a.yaml", b"!!python/object/apply:os.getcwd []", "is broken"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.read_file(tmp_path / name)
    assert message in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read `.*nowhere\.toml`"):
        config.read_file(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    "options",
    [
        ["m.lr=0.1"],
        ["m.lr=0.1,0.2"],
        ["m.sizes=[1,2]"],
        ["m.sizes=[1,2],[3]"],
        ["m.sizes=[]"],
        ["m.clip=none"],
        ["m.clip=none,1"],
        ['m.name="a"', "m.v1.fused=true"],
        ['m.name="1"'],
        ['m.name="1","none"'],
        ["m.bound=inf,-inf,1e-30,1e30"],
        ["m.name=[a,b"],
        ["m.name=😀,a\\b"],
        ["folder:a=b.depth=2"],
    ],
)
def test_a_written_config_reads_back_as_it_was(tmp_path: Path, options: list[str]) -> None:
    values = {"models": "net", "set": parse_set(options), "limit": "none", "val": "1e-3"}
    created = ExperimentConfig.create(values)
    (tmp_path / "a.toml").write_text(config.to_toml(created.values()), "utf-8")
    again = ExperimentConfig.create(config.read_file(tmp_path / "a.toml"))
    assert again == created
    assert repr(again.set) == repr(created.set)


def test_a_written_config_leaves_defaults_out() -> None:
    assert ExperimentConfig.create({}).values() == {}
    assert config.to_toml({}) == "\n"
    assert ExperimentConfig.create({"seeds": 1, "epochs": 10}).values() == {"epochs": 10}


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)
scalars = st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | words


@given(
    st.dictionaries(
        st.sampled_from(["models", "batch-size", "data_dir"]),
        scalars | st.lists(scalars, max_size=3),
        max_size=3,
    ),
    st.dictionaries(words, scalars | st.lists(scalars, max_size=3), min_size=1, max_size=3),
)
@settings(deadline=None)
def test_toml_holds_whatever_values_there_are(values: Any, table: Any) -> None:
    read = tomllib.loads(config.to_toml({**values, "set": table}))
    expected = {key.replace("_", "-"): value for key, value in values.items()}
    assert read == {**expected, "set": table}


@given(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False))
@settings(deadline=None)
def test_parsing_a_word_undoes_writing_it(value: Any) -> None:
    assert parse_value(json.dumps(value)) == value


def test_yaml_is_read_as_the_library_reads_it_elsewhere() -> None:
    # The reason why words in lists are parsed: YAML 1.1 takes a number without a dot as text.
    assert yaml.safe_load("[1e-3]") == ["1e-3"]


@pytest.mark.parametrize("value", ["nan,0.5,0.5", "0.5,0.5", "0.5,0.4,0.2", "a,b,c", "1,0,0", 3])
def test_fractions_are_three_parts_of_one(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"`fractions` is .*: ?|train, val and test") as caught:
        ExperimentConfig.create({"fractions": value})
    assert "add up to 1" in str(caught.value)


def test_fractions_and_classes_are_read_from_words() -> None:
    config = ExperimentConfig.create({"fractions": "0.63, 0.07,0.3", "classes": "a, b"})
    assert config.protocol["fractions"] == (0.63, 0.07, 0.3)
    assert config.protocol["classes"] == ("a", "b")
    quoted = ExperimentConfig.create({"classes": '["red, dark", "[x]"]'})
    assert quoted.protocol["classes"] == ("red, dark", "[x]")
    assert ExperimentConfig.create({"classes": "a,[x]"}).protocol["classes"] == ("a", "[x]")


def test_the_path_of_a_source_may_hold_a_comma_in_a_list() -> None:
    assert ExperimentConfig.create({"datasets": ["folder:a,b"]}).datasets == ("folder:a,b",)
    assert ExperimentConfig.create({"datasets": "folder:a,b"}).datasets == ("folder:a", "b")


@pytest.mark.parametrize("name", ["l1", "clip_norm", "warmup", "checkpoint_minutes", "timeout"])
@pytest.mark.parametrize("value", ["inf", "1e400", "nan", float("inf")])
def test_numbers_are_finite(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name.replace("_", "-")):
        ExperimentConfig.create({name: value})


def test_a_condition_of_a_range_may_hold_an_equals_sign() -> None:
    options = [
        "cnn.kernel_size=3,5 if cnn.depth=2",
        "protocol.warmup=0..2 if protocol.schedule=cosine",
        "run:a=b.c.lr=1..2  if net.v1.act=relu|gelu",
    ]
    assert parse_space(options) == {
        "cnn.kernel_size": "3,5 if cnn.depth=2",
        "protocol.warmup": "0..2 if protocol.schedule=cosine",
        "run:a=b.c.lr": "1..2  if net.v1.act=relu|gelu",
    }


@pytest.mark.parametrize("option", ["cnn.depth", "cnn.depth=", "cnn.depth= if cnn.act=relu"])
def test_a_range_needs_a_name_and_an_end(option: str) -> None:
    with pytest.raises(ConfigError, match="--space"):
        parse_space([option])


@pytest.mark.parametrize("name", ["set", "space"])
def test_what_is_to_be_a_table_says_how_one_is_written(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig.create({"tune": "3", name: "adamw.lr=1..2"}, "`a.toml`")
    assert str(caught.value) == (
        f"`a.toml`: `{name}` is 'adamw.lr=1..2'; write a table: [{name}], and below it "
        '"NAME.PARAM" = ...'
    )
