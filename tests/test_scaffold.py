"""New plugins: names that are refused, packages that are sound as they are written."""

from __future__ import annotations

import functools
import importlib
import py_compile
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from conftest import Done
from environments import Workshop

from bench import scaffold
from bench.api_version import API_VERSION
from bench.conformance.checking import check
from bench.errors import StoreError, UsageError
from bench.registry import Plugin, Registry, load_registry
from bench.scaffold import Package
from bench.specs import KINDS


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes the package `bench-fresh` of a kind."""

    def write(kind: str) -> Path:
        folder = tmp_path / "bench-fresh"
        scaffold.write(Package("bench-fresh", kind), folder)
        return folder

    return write


@pytest.fixture
def imported(
    written: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], ModuleType]]:
    """Return a function that writes a package and imports its module."""

    def load(kind: str) -> ModuleType:
        monkeypatch.syspath_prepend(str(written(kind)))
        importlib.invalidate_caches()
        return importlib.import_module("bench_fresh")

    yield load
    sys.modules.pop("bench_fresh", None)


def code(text: str) -> list[str]:
    """Return the lines that are neither empty nor a comment."""
    return [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_module_offers_one_sound_component(
    kind: str, imported: Callable[[str], ModuleType]
) -> None:
    module = imported(kind)
    registry = Registry()
    registry.add(Plugin("bench_fresh", "bench-fresh", "0.1.0", "bench_fresh"), lambda: module)
    assert registry.plugins[0].error is None
    [component] = registry.plugins[0].components
    assert (component.kind, component.name) == (kind, "fresh")
    assert component.summary
    assert module.BENCH_API == API_VERSION


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_is_whole(kind: str, written: Callable[[str], Path]) -> None:
    folder = written(kind)
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["name"] == "bench-fresh"
    assert project["project"]["entry-points"] == {"bench": {"bench_fresh": "bench_fresh"}}
    assert "test" in project["project"]["optional-dependencies"]
    workflow = yaml.safe_load((folder / ".github/workflows/tests.yml").read_text("utf-8"))
    assert "${{ matrix.python }}" in str(workflow)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert path.read_text("utf-8").count("$") == ("tests.yml" in path.name)
    for path in folder.rglob("*.py"):
        py_compile.compile(str(path), cfile=str(folder / "unused.pyc"), doraise=True)
    readme = (folder / "README.md").read_text("utf-8")
    assert KINDS[kind].plural in readme
    assert "licence" in readme


@pytest.mark.skipif(shutil.which("ruff") is None, reason="ruff is not installed")
def test_new_packages_are_formatted(tmp_path: Path) -> None:
    for kind in KINDS:
        scaffold.write(Package(f"bench-{kind}", kind), tmp_path / kind)
    for words in (("format", "--check"), ("check", "--select", "E,W,F,B,UP,SIM,RUF")):
        done = subprocess.run(
            ["ruff", *words, "--line-length", "100", "--no-cache", str(tmp_path)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


LONGER = {"executor": 80}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_module_is_short(kind: str) -> None:
    text = Package("bench-fresh", kind).files()["bench_fresh.py"]
    assert len(code(text)) <= LONGER.get(kind, 16)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("class", "`class` is a keyword of Python; try `bench-class`"),
        ("os", "`os` is a module of Python's own; try `bench-os`"),
        ("tests", "`tests` has a meaning of its own in a package; try `bench-tests`"),
        ("3d", "`3d` would be a module, whose name begins with a letter; try `bench-3d`"),
        ("timm", "is installed already, as another package; try `bench-timm`"),
        ("yaml", "a module `yaml` is installed already; try `bench-yaml`"),
        ("bench-optim", "plugin `bench_optim` (bench-harness "),
        ("Bench.Optim", "plugin `bench_optim` (bench-harness "),
        ("bench-harness", "is installed already; take another name"),
        ("bench-adamw", "optimizer `adamw` is offered by `bench_optim`"),
        ("adamw", "optimizer `adamw` is offered by `bench_optim`"),
        ("two words", "`two words` is no name for a package"),
        ("a/b", "; try `bench-a-b`"),
        ("../up", "; try `bench-up`"),
        ("-dash", "is no name for a package"),
        ("", "`` is no name for a package"),
        ("line\n", "is no name for a package"),
        ("größe", "is no name for a package"),
        ("x" * 65, "the name has 65 characters"),
    ],
)
def test_names_that_would_hide_something_are_refused(
    name: str, why: str, registry: Registry
) -> None:
    with pytest.raises(UsageError) as caught:
        scaffold.check_name(name, "optimizer", registry)
    assert why in str(caught.value)


def test_weights_are_not_called_as_none_at_all(registry: Registry) -> None:
    with pytest.raises(UsageError, match="`none` stands for no weights at all"):
        scaffold.check_name("bench-none", "weights", registry)
    scaffold.check_name("bench-none", "metric", registry)


def test_a_proposed_name_is_accepted(registry: Registry) -> None:
    for name in ("bench-class", "bench-3d", "bench-two-words", "Mixed.Case_name"):
        scaffold.check_name(name, "optimizer", registry)
    assert Package("Mixed.Case_name", "optimizer").module == "mixed_case_name"
    # The name of an optimizer is free for a model.
    scaffold.check_name("bench-adamw", "model", registry)


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Done]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("plugins", "new", "bench-fresh", "--kind", "schedule")
    assert done.code == 0, done.err
    assert "cd bench-fresh\n" in done.out
    assert "bench plugins check bench_fresh\n" in done.out
    assert "bench run --models cnn --schedule fresh\n" in done.out
    for path in done.out.partition(": ")[2].splitlines()[0].split(", "):
        assert (tmp_path / "bench-fresh" / path).is_file()
    again = cli("plugins", "new", "bench-fresh", "--kind", "model")
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "`bench-fresh` exists; name another folder" in again.err
    assert "register_schedules" in (tmp_path / "bench-fresh/bench_fresh.py").read_text("utf-8")
    assert cli("plugins", "new", "bench-fresh", "--kind", "models").code == 2
    assert cli("plugins", "new", "bench-fresh").code == 2


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_nothing_is_overwritten(there: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    if there == "folder":
        place.mkdir()
    elif there == "file":
        place.write_text("mine")
    else:
        place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists"):
        scaffold.write(Package("bench-fresh", "model"), place)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_package_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, text: str, encoding: str) -> int:
        if path.name == "README.md":
            raise OSError(28, "No space left on device")
        return len(path.write_bytes(text.encode()) and text)

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(StoreError, match="No space left"):
        scaffold.write(Package("bench-fresh", "model"), tmp_path / "place")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="cannot write"):
        scaffold.write(Package("bench-fresh", "model"), tmp_path / "file" / "new")


SLOW = ("dataset", "executor")
"""Their rules start further processes that import torch."""


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param([kind for kind in KINDS if kind not in SLOW], id="most"),
        pytest.param(list(SLOW), id="others", marks=pytest.mark.slow),
    ],
)
def test_new_components_keep_the_rules_of_their_kinds(
    kinds: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    offers = []
    for kind in kinds:
        name = f"bench_fresh_{kind}"
        code = Package(f"bench-fresh-{kind}", kind).files()[f"{name}.py"]
        (tmp_path / f"{name}.py").write_text(code, "utf-8")
        importlib.invalidate_caches()
        plugin = Plugin(name, name, "0.1.0", name)
        registry = Registry()
        registry.add(plugin, functools.partial(importlib.import_module, name))
        offers += registry.offers(kind)
    for kind, verdict in zip(kinds, check(offers, seconds=120), strict=True):
        assert (verdict.kind, verdict.failures) == (kind, ())


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind == "schedule" else pytest.mark.slow, id=kind)
        for kind in KINDS
    ],
)
def test_a_new_package_passes_its_own_test_as_a_wheel(
    kind: str, tmp_path: Path, workshop: Workshop
) -> None:
    project = tmp_path / "bench-fresh"
    scaffold.write(Package("bench-fresh", kind), project)
    wheels = workshop.wheels(tmp_path / "built", [project])
    environment = workshop.environment(tmp_path / "environment", wheels)
    shutil.move(project / "tests", tmp_path / "tests")  # what is tested is what is installed
    assert "fresh" in environment.bench("list", KINDS[kind].plural).out
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "tests")
    done = environment.run(environment.python, *words, timeout=600)
    assert done.code == 0, done.out + done.err
    assert " passed" in done.out
