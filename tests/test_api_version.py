"""What plugins are written for, and what goes: told before it breaks, and clearly when it has."""

from __future__ import annotations

import json
import re
import sys
import tomllib
import types
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Done, install

import bench
from bench import api_version, deprecations, hookspecs
from bench.deprecations import Deprecation
from bench.registry import Plugin, Registry, load_registry

Cli = Callable[..., Done]
ROOT = Path(__file__).parent.parent
NET = """
@bench.hookimpl
def register_models():
    return [bench.Model(name="net", build=lambda num_classes, input_shape: None)]
"""


def loaded(**attributes: Any) -> Plugin:
    """Return what became of a plugin whose module has these attributes."""
    module = types.ModuleType("acme")
    model = bench.Model(name="net", build=lambda num_classes, input_shape: None)
    vars(module).update({"register_models": bench.hookimpl(lambda: [model]), **attributes})
    plugin = Plugin("acme", "acme-nets", "1.0", "acme")
    Registry().add(plugin, lambda: module)
    return plugin


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Plugin]]:
    """Return a function that installs a plugin of this source, loads it and returns it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("BENCH_PLUGINS", "acme_nets")

    def install_and_load(source: str) -> Plugin:
        (tmp_path / "acme_nets.py").write_text(source)
        install(tmp_path, "acme-nets", {"acme_nets": "acme_nets"})
        [plugin] = load_registry().plugins
        return plugin

    yield install_and_load
    sys.modules.pop("acme_nets", None)


# Versions


@pytest.mark.parametrize("attributes", [{}, {"BENCH_API": 1}])
def test_undeclared_is_taken_as_the_first_version(attributes: dict[str, int]) -> None:
    plugin = loaded(**attributes)
    assert plugin.error is None
    assert plugin.api == attributes.get("BENCH_API")
    assert [component.name for component in plugin.components] == ["net"]


def test_a_plugin_for_a_newer_api_says_what_to_install() -> None:
    plugin = loaded(BENCH_API=api_version.API_VERSION + 1)
    assert plugin.error == (
        "PluginError: it is written for plugin API 2, and this bench has 1; "
        "install a newer bench-harness, or an older `acme-nets`"
    )
    assert plugin.components == []
    assert plugin.api == 2


@pytest.mark.parametrize(("oldest", "understood"), [(3, "3"), (2, "2 to 3")])
@pytest.mark.parametrize("attributes", [{"BENCH_API": 1}, {}])
def test_a_plugin_for_an_older_api_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, attributes: dict[str, int], oldest: int, understood: str
) -> None:
    monkeypatch.setattr(api_version, "API_VERSION", 3)
    monkeypatch.setattr(api_version, "OLDEST", oldest)
    assert loaded(**attributes).error == (
        f"PluginError: it is written for plugin API 1, and this bench understands {understood}; "
        "install a newer `acme-nets`, or an older bench-harness"
    )


@pytest.mark.parametrize("value", ["1", 1.0, True, (1, 2)])
def test_what_is_no_whole_number_is_no_version(value: object) -> None:
    error = loaded(BENCH_API=value).error
    assert error is not None
    assert error.startswith(f"PluginError: its `BENCH_API` is {value!r}; write a whole number")


def test_an_object_may_leave_it_to_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("acme_objects")
    monkeypatch.setitem(sys.modules, "acme_objects", module)
    plugin = type("Plugin", (), {"__module__": "acme_objects"})()
    assert api_version.declared(plugin) is None
    module.BENCH_API = 7  # type: ignore[attr-defined]
    assert api_version.declared(plugin) == 7


def test_an_object_may_leave_it_to_the_module_that_its_entry_point_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = types.ModuleType("acme_door")
    monkeypatch.setitem(sys.modules, "acme_door", door)
    plugin = type("Plugin", (), {"__module__": "acme_door.inside"})()
    door.BENCH_API = 7  # type: ignore[attr-defined]
    assert api_version.declared(plugin, "acme_door:plugin") == 7
    assert api_version.declared(plugin) is None


@pytest.mark.parametrize("line", ["BENCH_API = 2", "BENCH_API: int = 2  # with widgets"])
def test_the_version_tells_more_than_the_name_that_is_missing(
    installed: Callable[[str], Plugin], line: str
) -> None:
    plugin = installed(f"import bench\nWIDGET = bench.Widget\n{line}\n{NET}")
    assert plugin.api == 2
    assert plugin.error is not None
    assert plugin.error.startswith("PluginError: it is written for plugin API 2, and this bench")


def test_a_name_that_is_missing_is_told_of_where_the_version_fits(
    installed: Callable[[str], Plugin],
) -> None:
    plugin = installed(f"import bench\nBENCH_API = 1\nWIDGET = bench.Widget\n{NET}")
    assert plugin.api == 1
    assert plugin.error == "AttributeError: module `bench` has no attribute `Widget`"


@pytest.mark.parametrize("target", ["nowhere", "nowhere.deeper", "", "a b", "json:nothing"])
def test_what_has_no_source_declares_nothing(target: str) -> None:
    assert api_version.declared_in_source(target) is None


def test_the_built_in_plugins_declare_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    targets = project["entry-points"]["bench"].values()
    assert {api_version.declared_in_source(target) for target in targets} == {bench.API_VERSION}
    built_in = [p for p in load_registry().plugins if p.distribution == "bench-harness"]
    assert {plugin.api for plugin in built_in} == {bench.API_VERSION}
    assert [told for plugin in built_in for told in plugin.deprecations] == []


def test_the_plugin_of_the_page_works_as_it_stands(installed: Callable[[str], Plugin]) -> None:
    page = (ROOT / "docs/plugins/versions.md").read_text("utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [packaging] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    plugin = installed(code)
    assert (plugin.error, plugin.api) == (None, 1)
    [optimizer] = plugin.components
    network = torch.nn.Linear(2, 2)
    assert optimizer.factory(network).defaults["betas"] == (0.95, 0.99)
    project = tomllib.loads(packaging)["project"]
    assert optimizer.name in project["name"]
    assert [*project["entry-points"]["bench"]] == ["bench_adam_long"]
    assert (
        "it is written for plugin API 2, and this bench has 1; install a newer bench-harness, "
        "or an older `acme-widgets`"
    ) in page


# What goes

OLD = Deprecation(since="0.2", removed="0.3", instead="`bench.Model`", target="bench.specs:Model")
GONE = Deprecation(since="0.1", removed="0.2", instead="`bench.Model`")
OLD_TOLD = "`bench.Net` is deprecated since 0.2 and goes with 0.3; use `bench.Model`"
GONE_TOLD = "`bench.Net` is gone since 0.2; use `bench.Model`"
RENAMED_NET = NET.replace("bench.Model", "bench.Net")


def test_a_name_that_goes_works_and_warns_of_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(deprecations.NAMES, "Net", OLD)
    with pytest.warns(DeprecationWarning, match=f"^{re.escape(OLD_TOLD)}$") as told:
        assert getattr(bench, "Net") is bench.Model  # noqa: B009
    assert [warning.filename for warning in told] == [__file__]
    with pytest.warns(DeprecationWarning, match="goes with 0.3") as told:
        exec("from bench import Net")
    assert {warning.filename for warning in told} == {"<string>"}


@pytest.mark.parametrize(
    "source",
    [
        f"import bench\n{RENAMED_NET}",
        f"import bench\nfrom bench import Net\n{NET}",
    ],
)
def test_a_plugin_that_uses_such_a_name_loads_and_is_told_of(
    installed: Callable[[str], Plugin], monkeypatch: pytest.MonkeyPatch, cli: Cli, source: str
) -> None:
    monkeypatch.setitem(deprecations.NAMES, "Net", OLD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plugin = installed(source)
    assert plugin.error is None
    assert plugin.deprecations == [OLD_TOLD]
    sys.modules.pop("acme_nets")
    done = cli("list", "models")
    assert done.code == 0
    assert done.err == f"warning: plugin `acme_nets` (acme-nets 1.0): {OLD_TOLD}\n"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (f"import bench\n{RENAMED_NET}", f"AttributeError: {GONE_TOLD}"),
        (f"import bench\nfrom bench import Net\n{NET}", f"PluginError: {GONE_TOLD}"),
    ],
)
def test_a_name_that_is_gone_says_what_to_use(
    installed: Callable[[str], Plugin], monkeypatch: pytest.MonkeyPatch, source: str, error: str
) -> None:
    monkeypatch.setitem(deprecations.NAMES, "Net", GONE)
    assert installed(source).error == error
    assert not hasattr(bench, "Net")


def test_a_hook_that_goes_is_called_and_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    going = Deprecation(since="0.2", removed="0.3", instead="`register_trackers`")
    monkeypatch.setitem(deprecations.HOOKS, "run_started", going)
    plugin = loaded(run_started=bench.hookimpl(lambda run: None))
    assert plugin.error is None
    told = "hook `run_started` is deprecated since 0.2 and goes with 0.3; use `register_trackers`"
    assert plugin.deprecations == [told]


def test_a_hook_that_is_gone_says_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Deprecation(since="0.1", removed="0.2", instead="`run_started`")
    monkeypatch.setitem(deprecations.HOOKS, "run_began", gone)
    plugin = loaded(run_began=bench.hookimpl(lambda run: None))
    assert plugin.error == "PluginError: hook `run_began` is gone since 0.2; use `run_started`"
    assert plugin.components == []


def test_what_the_tables_name_is_there_until_the_release_that_removes_it() -> None:
    def numbers(release: str) -> list[int]:
        return [int(part) for part in release.split(".")]

    now = numbers(version("bench-harness"))
    for name, known in deprecations.NAMES.items():
        assert numbers(known.since) < numbers(known.removed), name
        assert bool(known.target) == (now < numbers(known.removed)), name
        assert name not in bench.__all__
    for name, known in deprecations.HOOKS.items():
        assert numbers(known.since) < numbers(known.removed), name
        assert hasattr(hookspecs, name) == (now < numbers(known.removed)), name


def test_listings_show_versions_and_what_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    sources = {
        "acme_new": "BENCH_API = 2",
        "acme_mute": "",
        "acme_old": f"import bench\n{RENAMED_NET}",
    }
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
        install(tmp_path, name.replace("_", "-"), {name: name})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("BENCH_PLUGINS", ",".join(sources))
    monkeypatch.setitem(deprecations.NAMES, "Net", OLD)
    done = cli("plugins", "list", "--json")
    listed = json.loads(done.out)
    plugins = {row["name"]: row for row in listed["plugins"]}
    assert listed["api"] == bench.API_VERSION
    assert {name: (row["api"], row["api_declared"]) for name, row in plugins.items()} == {
        "acme_new": (2, True),
        "acme_mute": (1, False),
        "acme_old": (1, False),
    }
    assert "written for plugin API 2" in plugins["acme_new"]["error"]
    assert plugins["acme_old"]["deprecations"] == [OLD_TOLD]
    for name in sources:
        sys.modules.pop(name, None)
    done = cli("plugins")
    rows = {line.split()[0]: line for line in done.out.splitlines()}
    assert "1 (undeclared)" in rows["acme_mute"]
    assert "broken" in rows["acme_new"]
    assert f"warning: plugin `acme_old` (acme-old 1.0): {OLD_TOLD}" in done.err
    assert "error: plugin `acme_new` (acme-new 1.0): PluginError: it is written for" in done.err
    for name in sources:
        sys.modules.pop(name, None)
