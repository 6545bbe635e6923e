"""What the conformance kit says of wrong plugins, and that it outlives all of them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import types
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wrong.datasets
import wrong.frame
import wrong.models
import wrong.weights
from conftest import Done, install

import bench.testing
from bench.conformance import places, rules_of
from bench.conformance.checking import Checker, Verdict
from bench.conformance.recipes import Recipe
from bench.registry import load_registry
from bench.specs import KINDS
from bench.testing import cases

CLI = Callable[..., Done]
PATIENCE = 60.0
"""Seconds for a rule on a machine that is busy with other tests."""

EVIDENCE = {
    (wrong.datasets, "label-too-high"): "train holds label 3, but 3 classes are labelled 0 to 2",
    (wrong.datasets, "float-pixels"): "train images are float64; uint8 is needed",
    (wrong.datasets, "raises"): r"it raised KeyError: 'training' \(datasets.py:\d+\)",
    (wrong.datasets, "dies"): "it ended the process with exit code 3",
    (wrong.datasets, "shuffled-anew"): r"its fingerprint is \w{12} at first and \w{12} when",
    (wrong.datasets, "numbered-by-a-set"): r"its fingerprint is \w{12} here, and \w{12} in a fr",
    (wrong.datasets, "tested-on-train"): "60 of 60 images of test are in train as well",
    (wrong.datasets, "class-without-images"): "1 of 4 classes have no image in train: `daisy`",
    (wrong.datasets, "wrong-hints"): "`train` is 600, and 60 loaded",
    (wrong.datasets, "located-nowhere"): "names 1 file.* not there, `/nowhere/flowers.npz`",
    (wrong.datasets, "talks"): "it printed 'loading the flowers ...'",
    (wrong.datasets, "pins-nonsense"): r"no field `batchsize` \(did you mean `batch_size`\?\)",
    (wrong.models, "ten-classes"): r"shape \(2, 10\) for 2 images and 5 classes; \(2, 5\) is",
    (wrong.models, "function"): "`build` returned function, not torch.nn.Module",
    (wrong.models, "segfaults"): r"it died of SIGSEGV \(models.py:\d+\)",
    (wrong.models, "colour-only"): r"asked for 2 classes and 1 channel\(s\), it takes no input of",
    (wrong.models, "softmax"): "each row adds up to 1",
    (wrong.models, "unused-layer"): r"2 of 6 parameters \(`attention.weight`, `attention.bias`\)",
    (wrong.models, "detached"): r"2 of 4 parameters \(`features.weight`, `features.bias`\) get no",
    (wrong.models, "unsaved"): r"saved and loaded again, its logits differ by \d",
    (wrong.models, "seeded"): "built under another seed, it has the same weights",
    (wrong.models, "always-drops"): r"in evaluation its logits differ by \S+ from one time to",
    (wrong.models, "by-batch"): r"logits of an image differ by \S+ between batches of 1 and 4",
    (wrong.models, "other-in-training"): r"in training and in evaluation differ by \d",
    (wrong.models, "stubborn"): r"after `eval\(\)`, 1 of its modules are in the other mode: `feat",
    (wrong.models, "in-place"): "it changes the images that it is given",
    (wrong.models, "more-threads"): "afterwards the number of threads is 2, not 1",
    (wrong.models, "half-its-layers"): "`layers` must name every parameter of the network once",
    (wrong.models, "bytes-preprocessing"): r"mean \[124.0, 124.0, 124.0\] and std \[58.0",
    (wrong.models, "wrong-hints"): "25,000,000 parameters with 1,000 classes, and it has 9,224",
    (wrong.models, "other-weights"): "of another architecture than model `other-weights`: 0%",
    (wrong.models, "suggests-other"): "returned `width`, which is no param of it",
    (wrong.weights, "fickle-origin"): "asked again, its `origin` gives other `classes`",
    (wrong.weights, "other-network"): "of another architecture than model `sample`: 0% of the",
    (wrong.weights, "arrays"): "`load` returned dict, not tensors by name",
    (wrong.weights, "drawn"): r"loaded again, 6 of 11 tensors differ: `0.weight`",
    (wrong.weights, "kept"): r"loaded again, \d+ of 11 tensors differ: `0.weight`",
    (wrong.weights, "heavy-origin"): "asking for its `origin` imports torch",
}
"""What is said of each wrong component, as a pattern."""


def verdict_on(
    module: types.ModuleType, kind: str, name: str, seconds: float = PATIENCE, **params: Any
) -> Verdict:
    """Return what the kit says of a component, in the processes that all tests share."""
    label = module.__name__
    recipe = Recipe(label, kind, name, label, label, "1.0", params)
    return bench.testing._checker().check(recipe, seconds)


@pytest.mark.parametrize(
    ("module", "name"), EVIDENCE, ids=lambda each: getattr(each, "__name__", each)
)
def test_a_wrong_component_is_told_the_rule_that_it_breaks(
    module: types.ModuleType, name: str
) -> None:
    rule, component = module.BROKEN[name]

    verdict = verdict_on(module, component.kind, name)

    assert [failure.rule for failure in verdict.failures] == [rule]
    assert re.search(EVIDENCE[module, name], verdict.failures[0].evidence)
    assert verdict.failures[0].fix


def test_each_wrong_component_is_tried() -> None:
    modules = (wrong.datasets, wrong.models, wrong.weights)
    hanging = {(wrong.datasets, "hangs")}  # which has a test of its own

    assert {(m, name) for m in modules for name in m.BROKEN} == EVIDENCE.keys() | hanging


@pytest.mark.parametrize(
    ("module", "kind", "name"),
    [
        (wrong.datasets, "dataset", "sound"),
        (wrong.models, "model", "sound"),
        (wrong.models, "model", "frozen-norm"),
        (wrong.weights, "weights", "sound"),
    ],
)
def test_what_is_right_passes(module: types.ModuleType, kind: str, name: str) -> None:
    verdict = verdict_on(module, kind, name)

    assert verdict.failures == ()
    assert set(verdict.skipped) <= {"works_on_a_gpu"}


def test_every_kind_has_rules_that_begin_with_one_of_its_own() -> None:
    common = {rule.name for rule in rules_of("loss")} & {rule.name for rule in rules_of("report")}
    for kind in KINDS:
        rules = rules_of(kind)
        assert rules[0].name not in common, kind
        assert all(rule.text and rule.kind == kind for rule in rules)


def test_what_hangs_is_ended_and_where_it_hung_is_told() -> None:
    verdict = verdict_on(wrong.datasets, "dataset", "hangs", seconds=3)

    assert re.fullmatch(r"no end after 3 s \(datasets.py:\d+\)", verdict.failures[0].evidence)
    assert "it rests on `is_a_sound_dataset`" in verdict.skipped.values()


def test_a_loop_in_c_is_ended_too() -> None:
    verdict = verdict_on(wrong.frame, "schedule", "loops", seconds=3)

    assert re.fullmatch(r"no end after 3 s \(frame.py:\d+\)", verdict.failures[0].evidence)


def test_a_crash_is_noticed_where_something_lives_on() -> None:
    verdict = verdict_on(wrong.frame, "schedule", "leaves-a-child")

    assert verdict.failures[0].evidence == "it ended the process with exit code 4"
    assert verdict.seconds < PATIENCE


def test_endless_recursion_is_an_error_like_others() -> None:
    verdict = verdict_on(wrong.frame, "schedule", "deep")

    assert "RecursionError" in verdict.failures[0].evidence


def test_nobody_waits_for_an_answer_on_stdin() -> None:
    verdict = verdict_on(wrong.frame, "schedule", "reads-stdin")

    assert verdict.ok


def test_a_plugin_that_kills_the_checker_is_told_so_and_the_next_is_checked() -> None:
    with Checker() as checker:
        label = wrong.frame.__name__
        recipe = Recipe(label, "schedule", "kills-its-parent", label, label, "1.0")
        killed = checker.check(recipe, PATIENCE)
        after = checker.check(Recipe(label, "schedule", "sound", label, label, "1.0"), PATIENCE)

    assert [failure.evidence for failure in killed.failures] == [
        "it killed the process that checks it"
    ]
    assert after.ok


def test_a_source_is_skipped_without_a_path_and_checked_with_one(tmp_path: Path) -> None:
    labels = np.arange(40) % 2
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=labels)

    without = verdict_on(wrong.frame, "dataset", "arrays")
    given = verdict_on(wrong.frame, "dataset", "arrays", path=str(tmp_path / "a.npz"))
    missing = verdict_on(wrong.frame, "dataset", "arrays", path=str(tmp_path / "b.npz"))

    assert without.ok
    assert "`--set path=PATH`" in without.skipped["is_a_sound_dataset"]
    assert given.ok
    assert not given.skipped
    assert re.match("it raised FileNotFoundError", missing.failures[0].evidence)


def test_a_recipe_makes_the_same_component_elsewhere() -> None:
    [offer] = load_registry().select("dataset", ["folder:/photos"])
    recipe = Recipe.of(offer)
    again = recipe.offer()

    assert recipe.name == "folder"
    assert dict(recipe.params) == {"path": "/photos"}
    assert again.name == offer.name
    assert again.component.defaults == offer.component.defaults
    assert Recipe.of(again) == recipe


def test_params_that_a_plugin_has_bound_itself_are_none_of_a_recipe() -> None:
    offer = load_registry().get("model", "squeezenet1_1")
    changed = Recipe.of(offer, {"dropout": 0.25})

    assert dict(Recipe.of(offer).params) == {}
    assert changed.offer().component.defaults["dropout"] == 0.25
    assert dict(Recipe.of(changed.offer()).params) == {"dropout": 0.25}


def test_the_place_is_the_last_one_in_the_plugin() -> None:
    try:
        wrong.datasets.raises(None)
    except KeyError as error:
        place = places.of_error(error, Path(wrong.datasets.__file__))
    stack = 'Current thread (most recent call first):\n  File "/x/p/b.py", line 3 in f\n'
    stack += '  File "/x/p/a.py", line 9 in g\n'

    assert re.fullmatch(r"datasets.py:\d+", place)
    assert places.of_stack(stack, Path("/x/p")) == "p/b.py:3"
    assert places.of_stack(stack, Path("/x/q")) == ""


def packaged(site: Path, text: str, name: str = "bench_odd") -> None:
    """Install a distribution with one plugin."""
    site.mkdir(exist_ok=True)
    (site / f"{name}.py").write_text(text)
    install(site, name.replace("_", "-"), {name: name})


ODD = '''
import bench
BENCH_API = 1
def good(steps, steps_per_epoch):
    """A constant."""
    print("noise")
    return [1.0] * steps
def bad(steps, steps_per_epoch, *, factor=0.5):
    """One factor too few."""
    return [factor] * (steps - 1)
@bench.hookimpl
def register_schedules():
    yield bench.Schedule(name="even", build=good)
    yield bench.Schedule(name="odd", build=bad)
'''


def test_the_command_tells_a_verdict_on_each_component(
    tmp_path: Path, cli: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(tmp_path / "site", ODD.replace('    print("noise")\n', ""))
    monkeypatch.syspath_prepend(tmp_path / "site")

    done = cli("plugins", "check", "bench_odd", "--json", "--seconds", PATIENCE)
    said = json.loads(done.out)

    assert done.code == 1
    assert said["schema"] == 1
    even, odd = said["components"]
    assert even == {"kind": "schedule", "name": "even", "ok": True, "failures": []}
    assert odd["ok"] is False
    assert set(odd["failures"][0]) == {"rule", "evidence", "fix"}
    assert odd["failures"][0]["rule"] == "gives_each_step_a_factor"
    assert {each["name"] for each in said["skipped"]} == {"odd"}
    lines = done.err.splitlines()
    assert "checking 2 components ..." in lines
    assert re.fullmatch(r"schedule even: ok \(.*s\)", lines[-2])
    assert re.fullmatch(r"schedule odd: 1 rule broken \(.*s\)", lines[-1])


def test_the_command_is_read_by_people(
    tmp_path: Path, cli: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(tmp_path / "site", ODD)
    monkeypatch.syspath_prepend(tmp_path / "site")

    done = cli("plugins", "check", "schedule:even", "odd", "--set", "factor=0.25")

    assert done.code == 1
    assert "schedule even\n  keeps_stdout_clean: it printed 'noise'\n    fix: use" in done.out
    assert "schedule odd\n  gives_each_step_a_factor: " in done.out
    assert "of `odd`: it rests on `gives_each_step_a_factor`" in done.out
    assert done.out.endswith("components that keep all rules checked here: 0 of 2\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bench_cn",), "no plugin, distribution or component is called `bench_cn` (did you mean"),
        (("model:adamw",), "no plugin, distribution or component is called `model:adamw`"),
        (("adamw", "--set", "path"), "--set path: write PARAM=VALUE"),
        (("adamw", "--set", "pat=h"), "--set pat=h: none of the components has a param `pat`"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(
    cli: CLI, arguments: tuple[str, ...], message: str
) -> None:
    done = cli("plugins", "check", *arguments)

    assert done.code == 2
    assert message in done.err.splitlines()[-1]


def test_a_plugin_that_cannot_be_loaded_is_told_why(
    tmp_path: Path, cli: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(tmp_path / "site", "import tensorflow_of_yesteryear\n", "bench_late")
    monkeypatch.syspath_prepend(tmp_path / "site")

    done = cli("plugins", "check", "bench-late", "--json")
    [component] = json.loads(done.out)["components"]

    assert done.code == 1
    assert (component["kind"], component["name"], component["ok"]) == (
        "plugin",
        "bench_late",
        False,
    )
    assert component["failures"][0]["rule"] == "is_loaded"
    assert "tensorflow_of_yesteryear" in component["failures"][0]["evidence"]
    assert cli("plugins", "check", "bench_late").code == 1


def test_an_answer_that_nobody_waited_for_is_nobody_elses() -> None:
    def too_late(number: int, frame: object) -> None:
        raise RuntimeError("too late")

    [offer] = [o for o in load_registry().offers("schedule") if o.name == "constant"]
    before = signal.signal(signal.SIGALRM, too_late)
    try:
        with Checker() as checker:
            signal.setitimer(signal.ITIMER_REAL, 0.3)  # sooner than torch can be imported
            with pytest.raises(RuntimeError, match="too late"):
                checker.check(Recipe.of(offer))
            assert checker._server is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_cases_are_tests_by_component_and_rule() -> None:
    found = cases(wrong.models, only="softmax", seconds=PATIENCE)
    by_rule = {param.values[0].rule.name: param for param in found}
    broken = by_rule["gives_no_probabilities"]

    assert broken.id == "model-softmax-gives_no_probabilities"
    assert [rule.name for rule in rules_of("model")] == list(by_rule)
    by_rule["gives_logits"].values[0].run()
    with pytest.raises(AssertionError, match="each row adds up to 1\nfix: drop the softmax"):
        broken.values[0].run()
    with pytest.raises(bench.conformance.rules.Broken):
        broken.values[0].debug()


def test_what_rests_on_a_broken_rule_is_skipped() -> None:
    found = cases(wrong.datasets, only=["dataset:dies"], seconds=PATIENCE)

    with pytest.raises(AssertionError, match="ended the process with exit code 3"):
        found[0].values[0].run()
    with pytest.raises(unittest.SkipTest, match="it rests on `is_a_sound_dataset`"):
        found[1].values[0].run()


def test_cases_of_nothing_are_an_error() -> None:
    plugin = next(p for p in load_registry().plugins if p.name == "bench_cnn")

    assert {param.values[0].offer.name for param in cases(plugin, only="cnn*")} == {
        "cnn",
        "cnn3",
        "cnn-flowers",
    }
    with pytest.raises(bench.UsageError, match="no component that `optimizer` names"):
        cases(plugin, only="optimizer")
    with pytest.raises(bench.PluginError, match="is no sound plugin: "):
        cases(_unsound())


def _unsound() -> types.ModuleType:
    module = types.ModuleType("unsound")
    module.register_models = bench.hookimpl(lambda: [3])  # type: ignore[attr-defined]
    return module


PAGE = Path(__file__).parent.parent / "docs" / "plugins" / "testing.md"


def test_the_page_has_every_rule() -> None:
    text = PAGE.read_text("utf-8")
    common, *sections = re.split(r"^### (\w+)$", text, flags=re.MULTILINE)
    told = dict(zip(sections[::2], sections[1::2], strict=True))
    assert [*told] == [spec.plural.capitalize() for spec in KINDS.values()]
    for kind, spec in KINDS.items():
        for rule in rules_of(kind):
            row = f"| `{rule.name}` | {rule.text} |\n"
            assert (row in told[spec.plural.capitalize()]) != (row in common), rule
    rules = text.partition("## The rules")[2]
    known = {rule.name for kind in KINDS for rule in rules_of(kind)}
    assert set(re.findall(r"^\| `(\w+)` \|", rules, re.MULTILINE)) == known


def test_the_pages_test_passes_for_a_sound_plugin_and_fails_for_another(tmp_path: Path) -> None:
    [block] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "bench_moths.py").write_text(ODD.replace('    print("noise")\n', ""))
    (tmp_path / "test_moths.py").write_text(block)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_moths.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"1 failed, \d+ passed, \d+ skipped", done.stdout)
    assert "schedule-odd-gives_each_step_a_factor" in done.stdout
    assert "fix: " in done.stdout
