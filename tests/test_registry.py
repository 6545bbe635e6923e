from __future__ import annotations

import inspect
import json
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from samples import add_plugin, make_plugin_module

import bench
from bench import hookspecs
from bench.errors import AmbiguousNameError, PluginError, UnknownNameError, UsageError
from bench.foreign_code import stdout_to_stderr
from bench.registry import HOOKS, Plugin, Registry, load_registry
from bench.specs import KINDS, Component


def build(num_classes: int, input_shape: tuple[int, int, int], *, width: int = 8) -> None:
    """Build a network.

    More of it.
    """


def model(name: str, **fields: Any) -> bench.Model:
    return bench.Model(name=name, **{"build": build, **fields})


def broken_plugin(registry: Registry, load: Callable[[], Any], name: str = "broken") -> Plugin:
    plugin = Plugin(name, f"{name}-dist", "1.0", name)
    registry.add(plugin, load)
    return plugin


def module_with(**attributes: Any) -> types.ModuleType:
    module = types.ModuleType("broken")
    vars(module).update(attributes)
    return module


# Components


def test_a_component_documents_itself() -> None:
    component = model("net")
    assert component.defaults == {"width": 8}
    assert component.summary == "Build a network."
    assert model("net", description="better").summary == "better"
    assert model("net", build=lambda n, s: None).summary == ""


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_hook_and_a_factory(kind: str) -> None:
    spec = KINDS[kind]
    assert spec.kind == kind
    assert f"register_{spec.plural}" in HOOKS
    factory = {"dataset": "load", "weights": "load", "metric": "compute"}.get(kind, "build")
    assert spec(name="x", **{factory: build}).factory is build  # type: ignore[arg-type]


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_docstring_of_one_sentence(name: str) -> None:
    text = inspect.getdoc(getattr(hookspecs, name)) or ""
    assert text.endswith(".")
    assert "\n" not in text


def test_the_hooks_are_those_of_the_kinds_of_baselines_and_the_observers() -> None:
    registering = {f"register_{spec.plural}" for spec in KINDS.values()} | {"register_baselines"}
    assert {*HOOKS} == registering | {"run_started", "epoch_finished", "run_finished"}


# Listing


@pytest.mark.parametrize("container", [list, tuple, iter, lambda items: (x for x in items)])
def test_a_hook_returns_any_iterable(container: Callable[[Any], Any]) -> None:
    registry = Registry()
    offered = [model("a"), model("b")]
    hook = bench.hookimpl(lambda: container(offered))
    plugin = broken_plugin(registry, lambda: module_with(register_models=hook))
    assert plugin.error is None
    assert [offer.component for offer in registry.offers("model")] == offered
    assert plugin.components == offered


def test_observers_of_plugins_are_called() -> None:
    registry = Registry()
    seen: list[Any] = []

    @bench.hookimpl
    def run_finished(record: Any) -> None:
        seen.append(record)

    broken_plugin(registry, lambda: module_with(run_finished=run_finished))
    registry.manager.hook.run_finished(record="a record")
    assert seen == ["a record"]


def test_an_empty_plugin_is_no_error() -> None:
    registry = Registry()
    assert broken_plugin(registry, lambda: module_with()).error is None


def test_names_hold_aliases_and_are_sorted() -> None:
    registry = Registry()
    add_plugin(registry, model("resnet50.a1", aliases=("resnet", "r50")), model("a"))
    assert registry.names("model") == ["a", "r50", "resnet", "resnet50.a1"]
    assert [offer.name for offer in registry.offers("model")] == ["resnet50.a1", "a"]
    assert registry.offers("dataset") == []


# Resolving


@pytest.fixture
def registry() -> Registry:
    """Two plugins that share the name `net`."""
    registry = Registry()
    add_plugin(
        registry,
        model("net"),
        model("resnet18", aliases=("resnet",)),
        model("resnet50"),
        name="one",
    )
    add_plugin(registry, model("net"), model("resnext[4d]"), model("Resnet99"), name="two")
    return registry


def test_an_alias_means_its_component(registry: Registry) -> None:
    assert registry.get("model", "resnet").name == "resnet18"
    assert registry.get("model", "resnet@one-dist").name == "resnet18"


@pytest.mark.parametrize(
    ("selector", "owner"),
    [("net@one", "one"), ("net@one-dist", "one"), ("net@two", "two"), ("net@two-dist", "two")],
)
def test_a_shared_name_is_selected_by_plugin_or_distribution(
    registry: Registry, selector: str, owner: str
) -> None:
    assert registry.get("model", selector).plugin.name == owner
    assert [o.plugin.name for o in registry.select("model", [selector])] == [owner]


def test_a_shared_name_alone_is_an_error_that_names_both(registry: Registry) -> None:
    with pytest.raises(AmbiguousNameError) as caught:
        registry.get("model", "net")
    message = str(caught.value)
    assert "`one` (one-dist 1.0) and `two` (two-dist 1.0)" in message
    assert "`net@one`" in message


def test_an_alias_shared_with_a_name_is_an_error_too(registry: Registry) -> None:
    add_plugin(registry, model("other", aliases=("resnet50",)), name="three")
    with pytest.raises(AmbiguousNameError, match="`resnet50` is offered by"):
        registry.get("model", "resnet50")
    assert registry.get("model", "resnet50@three").name == "other"


def test_an_unknown_name_comes_with_a_suggestion(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match=r"no model is called `resnet51` \(did you mean `"):
        registry.get("model", "resnet51")
    with pytest.raises(UnknownNameError, match="`bench list models` shows them all"):
        registry.get("model", "zzz")
    with pytest.raises(UnknownNameError, match="`net@three`"):
        registry.get("model", "net@three")
    with pytest.raises(UnknownNameError, match="no dataset is called `net`"):
        registry.get("dataset", "net")


def test_an_unknown_name_may_belong_to_what_did_not_load(registry: Registry) -> None:
    broken_plugin(registry, lambda: 1 / 0)
    with pytest.raises(UnknownNameError, match=r"not loaded: `broken` \(broken-dist 1\.0\)"):
        registry.get("model", "zzz")


@pytest.mark.parametrize(
    ("selectors", "names"),
    [
        (["resnet*"], ["resnet18", "resnet50"]),
        (["resnet??"], ["resnet18", "resnet50"]),
        (["*[05]?"], ["resnet50"]),
        (["resnet50", "resnet*"], ["resnet50", "resnet18"]),
        (["resnet", "resnet18"], ["resnet18"]),
        (["resnext[4d]"], ["resnext[4d]"]),
        (["*@two"], ["Resnet99", "net", "resnext[4d]"]),
        (["res*@one", "net@two"], ["resnet18", "resnet50", "net"]),
        ([], []),
    ],
)
def test_selectors_choose_each_component_once(
    registry: Registry, selectors: list[str], names: list[str]
) -> None:
    assert [offer.name for offer in registry.select("model", selectors)] == names


def test_a_glob_over_a_shared_name_is_an_error(registry: Registry) -> None:
    with pytest.raises(AmbiguousNameError, match="model `net`"):
        registry.select("model", ["n*"])


@pytest.mark.parametrize("selector", ["z*", "resnext*@one", "*@three"])
def test_a_glob_that_matches_nothing_is_an_error(registry: Registry, selector: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.select("model", [selector])
    assert f"no model matches `{selector}`" in str(caught.value)


def test_the_default_of_a_kind_declares_itself() -> None:
    registry = Registry()
    with pytest.raises(UsageError, match=r"no model is chosen; name one \(`bench list models`"):
        registry.default("model")
    add_plugin(registry, model("a"), model("b", default=True), name="one")
    assert registry.default("model").name == "b"
    add_plugin(registry, model("c", default=True), name="two")
    with pytest.raises(AmbiguousNameError, match=r"several models .*`b@one`, `c@two`.*name one"):
        registry.default("model")


# Broken plugins


def exit_at_import() -> None:
    raise SystemExit(3)


def half_way() -> Iterator[bench.Model]:
    yield model("first")
    raise RuntimeError("no more")


@pytest.mark.parametrize(
    ("load", "error"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (exit_at_import, "SystemExit: 3"),
        (
            lambda: module_with(register_models=bench.hookimpl(half_way)),
            "RuntimeError: no more",
        ),
        (
            lambda: module_with(register_models=bench.hookimpl(lambda: None)),
            "PluginError: `register_models` returned NoneType, not a list",
        ),
        (
            lambda: module_with(register_models=bench.hookimpl(lambda: "net")),
            "PluginError: `register_models` returned str, not a list",
        ),
        (
            lambda: module_with(register_models=bench.hookimpl(lambda: model("net"))),
            "PluginError: `register_models` returned Model, not a list",
        ),
        (
            lambda: module_with(register_models=bench.hookimpl(lambda: ["net"])),
            "PluginError: `register_models` returned str, not bench.Model",
        ),
        (
            lambda: module_with(register_optimizers=bench.hookimpl(lambda: [model("net")])),
            "PluginError: `register_optimizers` returned Model, not bench.Optimizer",
        ),
        (
            lambda: module_with(register_modles=bench.hookimpl(lambda: [])),
            "PluginError: there is no hook `register_modles` (did you mean `register_models`?)",
        ),
        (
            lambda: module_with(register_models=bench.hookimpl(lambda oops: [])),
            "PluginValidationError: ",
        ),
        (
            lambda: make_plugin_module(model("a"), model("a")),
            "PluginError: it offers model `a` twice",
        ),
        (
            lambda: make_plugin_module(model("a"), model("b", aliases=("a",))),
            "PluginError: it offers model `a` twice",
        ),
        (
            lambda: make_plugin_module(model("a", build=None)),
            "PluginError: model `a` has no callable factory",
        ),
        (
            lambda: make_plugin_module(model("a", build=min)),
            "PluginError: model `a` has a factory without a signature; wrap it in a function",
        ),
        *(
            (lambda name=name: make_plugin_module(model(name)), f"PluginError: model name {name!r}")
            for name in ("", " ", "a,b", "a@b", "a\nb", "a\x9bb", 3)
        ),
        *(
            (
                lambda suffix=suffix: make_plugin_module(
                    bench.Report(name="a", build=build, suffix=suffix)
                ),
                f"ValueError: report `a`: its suffix is {suffix!r}; it is to be a dot and letters",
            )
            for suffix in ("/../../evil", "./evil.html", "..", ".", "", "html", ".a b", ".a\n", 3)
        ),
        (
            lambda: make_plugin_module(model("a", aliases=("b,c",))),
            "PluginError: model name 'b,c'",
        ),
    ],
)
def test_nothing_of_a_broken_plugin_is_listed(load: Callable[[], Any], error: str) -> None:
    registry = Registry()
    add_plugin(registry, model("sound"), name="sound")
    broken = broken_plugin(registry, load)
    add_plugin(registry, model("later"), name="later")
    assert broken.error is not None
    assert broken.error.startswith(error)
    assert "\n" not in broken.error
    assert broken.components == []
    assert registry.names("model") == ["later", "sound"]
    assert registry.names("optimizer") == []
    assert not registry.manager.has_plugin("broken")
    assert [plugin.name for plugin in registry.plugins] == ["sound", "broken", "later"]


def test_the_hooks_of_a_broken_plugin_are_never_called() -> None:
    registry = Registry()
    seen: list[str] = []
    observer = bench.hookimpl(lambda record: seen.append(record))
    module = module_with(run_finished=observer, register_models=bench.hookimpl(lambda: None))
    broken_plugin(registry, lambda: module)
    registry.manager.hook.run_finished(record="a record")
    assert seen == []


def test_two_entry_points_of_one_name_leave_the_first() -> None:
    registry = Registry()
    add_plugin(registry, model("a"), name="twin")
    second = add_plugin(registry, model("b"), name="twin")
    assert second.error == "PluginError: another plugin is already called `twin`"
    assert registry.names("model") == ["a"]
    assert registry.manager.has_plugin("twin")


def test_an_interrupt_is_no_broken_plugin() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_plugin(Registry(), interrupted)


# Entry points


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that installs a distribution with a plugin of one module."""
    before = {*sys.modules}
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("BENCH_STRICT_PLUGINS", raising=False)
    monkeypatch.delenv("BENCH_PLUGINS_FATAL", raising=False)

    def install(distribution: str, module: str, source: str, point: str | None = None) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        folder = tmp_path / f"{distribution.replace('-', '_')}-2.5.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n"
        )
        (folder / "entry_points.txt").write_text(f"[bench]\n{point or module} = {module}\n")

    yield install
    for name in {*sys.modules} - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


OFFERS_NET = """
import bench
def build(num_classes, input_shape, *, width=8):
    "A network."
@bench.hookimpl
def register_models():
    return [bench.Model(name="net", build=build)]
"""


def test_an_installed_distribution_is_found(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme-nets", "acme_nets", OFFERS_NET, point="acme")
    monkeypatch.setenv("BENCH_PLUGINS", "acme")
    (plugin,) = load_registry().plugins
    assert plugin.label == "`acme` (acme-nets 2.5)"
    assert plugin.module == "acme_nets"
    assert plugin.error is None
    assert load_registry().get("model", "net@acme-nets").component.defaults == {"width": 8}


@pytest.mark.parametrize(("value", "names"), [("", []), (" acme , ", ["acme"]), (",", [])])
def test_bench_plugins_names_those_to_load(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch, value: str, names: list[str]
) -> None:
    install("acme-nets", "acme", OFFERS_NET)
    monkeypatch.setenv("BENCH_PLUGINS", value)
    assert [plugin.name for plugin in load_registry().plugins] == names


def test_bench_plugins_may_name_only_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_PLUGINS", "bench_cnn,nowhere")
    with pytest.raises(UsageError, match="BENCH_PLUGINS names `nowhere`, which is not installed"):
        load_registry()


@pytest.mark.parametrize("variable", ["BENCH_STRICT_PLUGINS", "BENCH_PLUGINS_FATAL"])
def test_strict_makes_a_broken_plugin_fatal(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    install("acme-nets", "acme", "raise SystemExit('no\\nlicence')")
    monkeypatch.setenv("BENCH_PLUGINS", "acme")
    for value in ("", "0"):
        monkeypatch.setenv(variable, value)
        (plugin,) = load_registry().plugins
        assert plugin.error == "SystemExit: no licence"
    monkeypatch.setenv(variable, "1")
    with pytest.raises(PluginError, match=r"`acme` \(acme-nets 2\.5\) could not be loaded: System"):
        load_registry()


def test_what_plugins_print_does_not_reach_stdout(
    install: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    noise = "import os\nprint('from python')\nos.write(1, b'from c\\n')"
    install("acme-nets", "acme", noise + OFFERS_NET)
    monkeypatch.setenv("BENCH_PLUGINS", "acme")
    load_registry()
    print("after")
    out, err = capfd.readouterr()
    assert out == "after\n"
    assert "from python" in err
    assert "from c" in err


def test_stdout_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="oops"), stdout_to_stderr():
        raise ValueError("oops")
    os.write(1, b"back\n")
    assert capfd.readouterr().out == "back\n"


# Built-in plugins


@pytest.fixture(scope="module")
def builtins() -> list[Component]:
    """Return every component of the plugins that this distribution brings."""
    registry = load_registry()
    ours = [plugin for plugin in registry.plugins if plugin.distribution == "bench-harness"]
    assert ours
    assert [plugin.error for plugin in ours if plugin.error] == []
    return [component for plugin in ours for component in plugin.components]


def test_every_builtin_says_in_one_line_what_it_is(builtins: list[Component]) -> None:
    assert [c.name for c in builtins if not c.summary or "\n" in c.summary] == []


def test_every_builtin_param_has_a_plain_default(builtins: list[Component]) -> None:
    for component in builtins:
        text = json.dumps(component.defaults, allow_nan=False)
        assert json.loads(text) == component.defaults, component.name


def test_every_builtin_takes_what_its_kind_is_called_with(builtins: list[Component]) -> None:
    arguments = {
        "dataset": (None,),
        "model": (10, (3, 8, 8)),
        "optimizer": (None,),
        "schedule": (10, 5),
        "augmentation": ((3, 8, 8), bench.ImageKind.PHOTO),
        "executor": (1, ()),
        "weights": (None, (3, 8, 8), ()),
        "metric": (None,),
        "report": (None,),
        "tracker": (None,),
    }
    for component in builtins:
        signature = inspect.signature(component.factory)
        is_loss = isinstance(component, bench.Loss)
        given = component.arguments([5] * 10) if is_loss else arguments[component.kind]
        signature.bind(*given, **({"path": "here"} if component.is_source else {}))
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD not in kinds, component.name


def test_builtins_offer_one_default_of_each_kind_but_the_model(builtins: list[Component]) -> None:
    chosen = [c.kind for c in builtins if c.default and not isinstance(c, bench.Loss)]
    assert sorted(chosen) == sorted({*KINDS} - {"model", "loss", "weights", "metric", "tracker"})


def test_builtins_offer_one_default_loss_for_every_task(builtins: list[Component]) -> None:
    losses = [component for component in builtins if isinstance(component, bench.Loss)]
    for task in bench.Task:
        [chosen] = [loss for loss in losses if loss.is_default(task)]
        assert task in chosen.tasks
