"""`bench plugins list` and `info`: what is installed, and what is in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Done, install

from bench.registry import load_registry
from bench.specs import KINDS

Cli = Callable[..., Done]
ACME = '''
"""Networks and more by acme."""
import functools
import bench

BENCH_API = 1

def build(num_classes, input_shape, *, width=8, act="relu", deep=False):
    """Build a network.

    More of it,\x1b[31m in red.
    """

def suggest(trial):
    print("asked")
    found = {"width": trial.suggest_int("width", 8, 64, step=8)}
    if trial.suggest_categorical("deep", [True, False]):
        found |= {"deep": True, "act": trial.suggest_categorical("act", ["relu", "gelu"])}
    return found

def wrong(trial):
    return {"widht": trial.suggest_float("width", 1, 2)}

class Build:
    def __call__(self, num_classes, input_shape):
        """Called."""

@bench.hookimpl
def register_models():
    narrow = functools.partial(build, width=4)
    return [
        bench.Model(name="net", build=build, suggest=suggest, aliases=("n",)),
        bench.Model(name="narrow", build=narrow, description="A narrow one.", pins={"epochs": 3}),
        bench.Model(name="wrong", build=build, suggest=wrong),
        bench.Model(name="object", build=Build()),
        bench.Model(name="c", build=len),
    ]

@bench.hookimpl
def register_losses():
    return [bench.Loss(name="net", build=lambda num_classes: None)]

@bench.hookimpl
def run_finished(record):
    pass
'''


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install a plugin, and another one that is broken; return the first one's file."""
    (tmp_path / "acme.py").write_text(ACME)
    (tmp_path / "acme_broken.py").write_text("raise RuntimeError('no')")
    install(tmp_path, "acme-nets", {"acme": "acme"}, version="2.5")
    install(tmp_path, "acme-broken", {"acme_broken": "acme_broken"})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("BENCH_PLUGINS", "acme,acme_broken")
    yield tmp_path / "acme.py"
    sys.modules.pop("acme", None)


def info(cli: Cli, name: str) -> dict[str, list[dict[str, Any]]]:
    done = cli("plugins", "info", name, "--json")
    assert done.code == 0
    told: dict[str, list[dict[str, Any]]] = json.loads(done.out)
    return told


def test_the_list_says_what_each_offers_and_why_one_is_broken(acme: Path, cli: Cli) -> None:
    listed = json.loads(cli("plugins", "list", "--json").out)
    broken, sound = listed["plugins"]
    assert sound["hooks"] == ["register_losses", "register_models", "run_finished"]
    assert sound["components"]["models"] == ["net", "narrow", "wrong", "object", "c"]
    assert sound["seconds"] >= 0
    assert broken["error"] == "RuntimeError: no"
    assert broken["hooks"] == []
    done = cli("plugins", "list")
    rows = {line.split()[0]: line for line in done.out.splitlines()}
    assert rows["acme"].startswith("acme         acme-nets 2.5    1")
    assert rows["acme"].endswith("5 models, 1 loss, observer")
    assert "acme-broken 1.0" in rows["acme_broken"]
    assert done.err == "error: plugin `acme_broken` (acme-broken 1.0): RuntimeError: no\n"


def test_alone_it_lists(acme: Path, cli: Cli) -> None:
    def untimed(out: str) -> list[list[str]]:
        return [[word for word in line.split() if not word.isdigit()] for line in out.splitlines()]

    assert untimed(cli("plugins").out) == untimed(cli("plugins", "list").out)
    bare, named = (json.loads(cli(*w, "--json").out) for w in (("plugins",), ("plugins", "list")))
    assert [row["name"] for row in bare["plugins"]] == [row["name"] for row in named["plugins"]]


def test_a_plugin_is_told_of_with_its_source(acme: Path, cli: Cli) -> None:
    for name in ("acme", "acme-nets"):
        [plugin] = info(cli, name)["plugins"]
        assert plugin["docs"] == "Networks and more by acme."
        assert plugin["source"] == str(acme)
        assert plugin["version"] == "2.5"
    out = cli("plugins", "info", "acme").out
    assert out.startswith("plugin `acme` (acme-nets 2.5)\n\n  Networks and more by acme.\n")
    assert "  models         net, narrow, wrong, object, c\n" in out


def test_of_a_broken_plugin_the_file_is_known(acme: Path, cli: Cli) -> None:
    [plugin] = info(cli, "acme_broken")["plugins"]
    assert plugin["source"] == str(acme.with_name("acme_broken.py"))
    assert plugin["error"] == "RuntimeError: no"
    assert "  error          RuntimeError: no\n" in cli("plugins", "info", "acme_broken").out


def test_a_component_is_told_of_with_its_params_and_space(acme: Path, cli: Cli) -> None:
    model, loss = info(cli, "net")["components"]
    assert (model["kind"], loss["kind"]) == ("model", "loss")
    assert model["params"] == {"width": 8, "act": "relu", "deep": False}
    width = {"kind": "int", "low": 8, "high": 64, "log": False, "step": 8, "always": True}
    assert model["space"]["width"] == width
    assert model["space"]["act"]["always"] is False
    line = ACME.splitlines().index("def build(" + ACME.split("def build(")[1].split("\n")[0])
    assert model["source"] == f"{acme}:{line + 1}"
    done = cli("plugins", "info", "n")
    assert "asked" not in done.out
    assert "\x1b" not in done.out
    assert "  More of it,[31m in red.\n" in done.out
    assert [line.split(None, 2) for line in done.out.splitlines()[-4:]] == [
        ["param", "default", "search"],
        ["width", "8", "8 to 64 in steps of 8"],
        ["act", '"relu"', "relu, gelu, in some trials"],
        ["deep", "false", "true, false"],
    ]


def test_what_a_component_sets_is_shown(acme: Path, cli: Cli) -> None:
    [narrow] = info(cli, "narrow")["components"]
    assert narrow["facts"] == {"pins": {"epochs": 3}}
    assert narrow["docs"].startswith("A narrow one.\n\nBuild a network.")
    assert narrow["params"]["width"] == 4
    assert "  pins           epochs 3\n" in cli("plugins", "info", "narrow").out


def test_a_search_space_that_is_wrong_is_said_to_be(acme: Path, cli: Cli) -> None:
    [wrong] = info(cli, "wrong")["components"]
    assert wrong["space"] == {}
    assert "its `suggest` returned `widht`, which is no param of it" in wrong["space_error"]


@pytest.mark.parametrize(("name", "has_source"), [("object", True), ("c", False)])
def test_factories_may_be_objects_or_written_in_c(
    acme: Path, cli: Cli, name: str, has_source: bool
) -> None:
    [component] = info(cli, name)["components"]
    assert (component["source"] is not None) == has_source
    assert cli("plugins", "info", name).code == 0


def test_a_name_that_nothing_has_is_suggested(acme: Path, cli: Cli) -> None:
    done = cli("plugins", "info", "narow")
    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        "error: no plugin or component is called `narow` (did you mean `narrow`?); "
        "`bench plugins` and `bench list` show what there is"
    )


def test_of_two_plugins_both_are_shown_or_the_one_that_is_named(
    acme: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (acme.with_name("acme_twin.py")).write_text(ACME)
    install(acme.parent, "acme-twin", {"acme_twin": "acme_twin"})
    monkeypatch.setenv("BENCH_PLUGINS", "acme,acme_twin")
    assert [c["plugin"] for c in info(cli, "narrow")["components"]] == ["acme", "acme_twin"]
    assert [c["plugin"] for c in info(cli, "narrow@acme-twin")["components"]] == ["acme_twin"]
    sys.modules.pop("acme_twin", None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_built_in_of_every_kind_is_told_of(kind: str, cli: Cli) -> None:
    offer = load_registry().offers(kind)[0]
    found = info(cli, f"{offer.name}@{offer.plugin.name}")["components"]
    [component] = [each for each in found if each["kind"] == kind]
    assert component["docs"]
    assert component["source"]
    assert component["space_error"] is None
    assert component["params"] == json.loads(json.dumps(offer.component.defaults))
    assert cli("plugins", "info", offer.name).out.startswith(found[0]["kind"])
