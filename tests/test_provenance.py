from __future__ import annotations

import functools
import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from samples import add_plugin, make_spec

import bench
from bench import provenance
from bench.errors import UnknownNameError
from bench.provenance import complete, component_source, key_differences
from bench.records import Mode, Purpose, RunSpec
from bench.registry import Registry

# The source of a component

NETS = '''
"""Networks."""
import math
from functools import partial

from . import blocks, tables as sizes
from acme.layers import norm
from acme.heads import *

WIDTH: int = 8
SCALE = WIDTH * 2
UNUSED = 3

def build(num_classes, input_shape, *, depth=2):
    """Build a network."""
    from acme.late import finish
    from acme.heavy import lift
    net = [Block(SCALE) for _ in range(depth)]  # stacked
    return finish(head(norm(lift(net)))), blocks.make, sizes.SIZES

class Block:
    """A block."""
    def __init__(self, width):
        self.width = helper(width)

    def forward(self, x):
        return x

def helper(width):
    return math.sqrt(width)

def neighbour(num_classes, input_shape):
    return UNUSED

other = lambda num_classes, input_shape: helper(3)

def make(width):
    def build(num_classes, input_shape):
        return width
    return build
'''
FILES = {
    "__init__.py": "",
    "nets.py": NETS,
    "blocks.py": "from acme.blocks_inner import inner\ndef make():\n    return inner()\n",
    "blocks_inner.py": "def inner():\n    return 1\n",
    "tables.py": "SIZES = [1, 2]\n",
    "layers/__init__.py": "from acme.layers.norms import norm\n",
    "layers/norms.py": "def norm(x):\n    return x\ndef apart():\n    return 1\n",
    "heads.py": "def head(x):\n    return x\n",
    "late.py": "def finish(x):\n    return x\n",
    "apart.py": "VALUE = 1\n",
    "heavy.py": "import heavyweight\ndef lift():\n    return 1\n",
}


def forget() -> None:
    """Forget the sources read so far, as a new process would."""
    for name in ("_source_of", "_module", "_module_path", "engine_source"):
        getattr(provenance, name).cache_clear()


class Package:
    """A plugin's package on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in FILES.items():
            path = root / "acme" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        path = self.root / "acme" / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    def load(self, name: str) -> Any:
        for module in [m for m in sys.modules if m.split(".")[0] == "acme"]:
            del sys.modules[module]
        importlib.invalidate_caches()
        forget()
        return getattr(importlib.import_module("acme.nets"), name)

    def source(self, name: str = "build") -> str:
        return component_source(self.load(name))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Package(tmp_path)
    for module in [m for m in sys.modules if m.split(".")[0] == "acme"]:
        del sys.modules[module]
    forget()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("nets.py", "depth=2", "depth=3"),
        ("nets.py", "range(depth)", "range(depth + 1)"),
        ("nets.py", "return x", "return -x"),
        ("nets.py", "math.sqrt(width)", "math.exp(width)"),
        ("nets.py", "WIDTH * 2", "WIDTH * 3"),
        ("nets.py", "WIDTH: int = 8", "WIDTH: int = 9"),
        ("nets.py", "UNUSED = 3", "UNUSED = 3\nif True:\n    WIDTH = 9"),
        ("nets.py", "UNUSED = 3", "UNUSED = 3\nWIDTH += 9"),
        ("nets.py", "def build(num", "@partial\ndef build(num"),
        ("blocks.py", "return inner()", "return inner() + 1"),
        ("blocks_inner.py", "return 1", "return 2"),
        ("tables.py", "[1, 2]", "[1, 3]"),
        ("layers/norms.py", "return x", "return -x"),
        ("heads.py", "return x", "return -x"),
        ("late.py", "return x", "return -x"),
        ("heavy.py", "return 1", "return 2"),
    ],
)
def test_what_a_component_reaches_counts(package: Package, file: str, old: str, new: str) -> None:
    before = package.source()
    package.replace(file, old, new)
    assert package.source() != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("nets.py", "# stacked", "# stacked up"),
        ("nets.py", '"""Build a network."""', '"""Build a better network."""'),
        ("nets.py", '"""Networks."""', '"""All networks."""'),
        ("nets.py", '"""A block."""', '"""A better block."""'),
        ("nets.py", "range(depth)]", "range( depth\n    )]"),
        ("nets.py", "return UNUSED", "return -UNUSED"),
        ("nets.py", "UNUSED = 3", "UNUSED = 4"),
        ("nets.py", "def neighbour", "def a_new_one():\n    pass\n\ndef neighbour"),
        ("nets.py", "import math\n", "import math\nimport json\n"),
        ("layers/norms.py", "return 1", "return 2"),
        ("apart.py", "VALUE = 1", "VALUE = 2"),
    ],
)
def test_neighbours_and_words_do_not_count(package: Package, file: str, old: str, new: str) -> None:
    before = package.source()
    package.replace(file, old, new)
    assert package.source() == before


def test_reading_sources_imports_nothing(package: Package) -> None:
    build = package.load("build")
    before = {*sys.modules}
    component_source(build)
    assert {*sys.modules} == before
    assert "acme.heavy" not in before


def test_a_lambda_counts_with_its_whole_module(package: Package) -> None:
    before = package.source("other")
    package.replace("nets.py", "helper(3)", "helper(4)")
    assert package.source("other") != before


def test_a_factory_made_by_a_function_counts_with_it(package: Package) -> None:
    before = component_source(package.load("make")(3))
    package.replace("nets.py", "return width", "return -width")
    assert component_source(package.load("make")(3)) != before


def test_what_a_closure_holds_counts(package: Package) -> None:
    make = package.load("make")
    assert component_source(make(3)) == component_source(make(3))
    assert component_source(make(3)) != component_source(make(4))


def test_a_class_can_be_a_factory(package: Package) -> None:
    before = package.source("Block")
    package.replace("nets.py", "return math.sqrt(width)", "return math.exp(width)")
    assert package.source("Block") != before


def test_what_a_partial_binds_counts(package: Package) -> None:
    build = package.load("build")
    sources = [
        component_source(factory)
        for factory in (
            build,
            functools.partial(build, 3),
            functools.partial(build, 4),
            functools.partial(build, depth=3),
            functools.partial(build, depth=4),
            functools.partial(functools.partial(build, 3), depth=4),
        )
    ]
    assert len({*sources}) == len(sources)
    assert component_source(functools.partial(build, 3, depth=4)) == sources[-1]


def test_a_function_that_a_partial_binds_counts_by_its_source(package: Package) -> None:
    bound = functools.partial(package.load("build"), package.load("neighbour"))
    first = component_source(bound)
    again = component_source(functools.partial(package.load("build"), package.load("neighbour")))
    assert again == first
    package.replace("nets.py", "return UNUSED", "return -UNUSED")
    edited = functools.partial(package.load("build"), package.load("neighbour"))
    assert component_source(edited) != first


def test_a_factory_without_source_still_has_a_hash() -> None:
    assert component_source(dict.fromkeys) == component_source(dict.fromkeys)
    assert component_source(len) != component_source(abs)


def test_a_source_that_cannot_be_parsed_is_no_crash(package: Package) -> None:
    build = package.load("build")
    package.replace("nets.py", "def helper", "def def helper")
    forget()
    assert component_source(build)


# The engine

STORING = (
    "datastore.py",
    "decoding.py",
    "geometry.py",
    "intake.py",
    "metrics.py",
    "parts.py",
    "selection.py",
    "stored.py",
    "storing.py",
)


def test_the_engines_source_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(provenance.__file__).parent
    shutil.copytree(home / "engine", tmp_path / "engine")
    for path in home.glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))

    def source() -> str:
        provenance.engine_source.cache_clear()
        return provenance.engine_source()

    try:
        before = source()
        training = tmp_path / "engine" / "training.py"
        code = training.read_text()
        training.write_text(code + "\n# a comment\n")
        assert source() == before
        training.write_text(code.replace("loss.backward()", "(2 * loss).backward()"))
        assert source() != before
        training.write_text(code)
        for name in STORING:
            storing = tmp_path / name
            code = storing.read_text()
            storing.write_text(code + "\n# a comment\n")
            assert source() == before
            storing.write_text(code + "\nMORE = 1\n")
            assert source() != before
            storing.write_text(code)
    finally:
        provenance.engine_source.cache_clear()


# The key


def build(num_classes: int, input_shape: Any, *, width: int = 8) -> int:
    """Build nothing much."""
    return width


def registry_of(version: str = "1.0", factory: Callable[..., Any] = build) -> Registry:
    registry = Registry()
    add_plugin(
        registry,
        bench.Dataset(name="shapes", load=build),
        bench.Model(name="net", build=factory),
        bench.Optimizer(name="adamw", build=build),
        bench.Schedule(name="constant", build=build),
        bench.Loss(name="cross-entropy", build=build),
        bench.Augmentation(name="none", build=build),
        version=version,
    )
    return registry


def completed(
    spec: RunSpec | None = None,
    registry: Registry | None = None,
    content: tuple[str, str] | None = ("f00d", "8x8x1"),
    device: str = "a processor",
) -> RunSpec:
    return complete(spec or make_spec(), registry or registry_of(), content, device)


def differences(other: RunSpec) -> list[str]:
    """Return the fields in which a key differs from that of the plain spec."""
    return [path for path, _, _ in key_differences(completed().key, other.key)]


COMPONENTS = ("augmentation", "loss", "model", "optimizer", "schedule")


def test_equal_requests_have_equal_keys() -> None:
    assert differences(completed()) == []
    assert completed().id == completed().id


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        (completed(make_spec(seed=1)), ["seed"]),
        (completed(make_spec(mode=Mode.DETERMINISTIC)), ["mode"]),
        (completed(make_spec(purpose=Purpose.TRIAL)), ["purpose"]),
        (completed(make_spec(until=1)), ["until"]),
        (completed(make_spec(tuned={"study": "5e1f", "trial": 3})), ["tuned"]),
        (completed(make_spec(protocol={"epochs": 3})), ["protocol.epochs"]),
        (completed(make_spec(protocol={"threads": 1})), ["protocol.threads"]),
        (completed(make_spec(params={"model": {"width": 9}})), ["model.params.width"]),
        (completed(make_spec(params={"augmentation": {"p": 1}})), ["augmentation.params.p"]),
        (completed(content=("beef", "8x8x1")), ["dataset.fingerprint"]),
        (completed(content=("f00d", "9x9x1-crop")), ["dataset.variant"]),
        (completed(device="another processor"), ["device"]),
        (completed(registry=registry_of("2.0")), [f"{kind}.version" for kind in COMPONENTS]),
        (completed(registry=registry_of(factory=make_spec)), ["model.source"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_each_change_shows_in_its_field_and_in_the_id(other: RunSpec, fields: list[str]) -> None:
    assert differences(other) == fields
    assert other.id != completed().id


def test_a_part_of_a_run_is_completed_as_it_would_be_from_the_whole() -> None:
    whole = completed(make_spec(purpose=Purpose.TRIAL))
    part = make_spec(purpose=Purpose.TRIAL).paused_at(1)
    assert completed(part) == whole.paused_at(1)
    assert completed(part).whole_id == whole.id
    assert "until" not in whole.key
    assert "tuned" not in whole.key


def test_engine_and_libraries_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = completed()
    monkeypatch.setattr(provenance, "engine_source", lambda: "another engine")
    monkeypatch.setattr(provenance, "library_version", lambda name: "9.9")
    now = completed()
    fields = [path for path, _, _ in key_differences(before.key, now.key)]
    libraries = ("numpy", "pillow", "scipy", "timm", "torch", "torchvision")
    assert fields == ["engine", *(f"libraries.{name}" for name in libraries)]


@pytest.mark.parametrize(
    "spec",
    [
        make_spec(protocol=dict(reversed(make_spec().protocol.items()))),
        make_spec(data_dir="/elsewhere"),
        make_spec(pinned={"batch_size": 64}),
        make_spec(placement="map"),
        make_spec(exclude="/elsewhere"),
        make_spec(params={"dataset": {"path": "/elsewhere"}}),
    ],
    ids=["order", "data-dir", "pinned", "placement", "exclude", "source"],
)
def test_what_cannot_change_a_result_does_not_count(spec: RunSpec) -> None:
    assert completed(spec).id == completed().id


def test_a_dataset_that_could_not_be_stored_counts_by_its_source() -> None:
    def lost(size: int, version: str = "1.0") -> RunSpec:
        spec = make_spec(params={"dataset": {"size": size}})
        return completed(spec, registry_of(version), content=None)

    assert lost(8).key["dataset"]["fingerprint"] is None
    assert lost(8).key["dataset"]["variant"] is None
    assert lost(8).id == lost(8).id
    assert [path for path, _, _ in key_differences(lost(8).key, lost(9).key)] == [
        "dataset.params.size"
    ]
    changed = [path for path, _, _ in key_differences(lost(8).key, lost(8, "2.0").key)]
    assert "dataset.version" in changed


def test_neither_commit_nor_folder_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = completed().id
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("0" * 40)
    monkeypatch.setenv("GIT_COMMIT", "0" * 40)
    forget()
    assert completed().id == before


def test_what_is_no_longer_installed_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="`shapes@acme`"):
        complete(make_spec(), Registry(), ("f00d", "8x8x1"), "a processor")


def test_versions_are_those_installed() -> None:
    assert provenance.library_version("no-such-distribution") is None
    libraries = completed().key["libraries"]
    assert {*libraries} == {"torch", "torchvision", "timm", "numpy", "pillow", "scipy"}
    assert all(libraries.values())


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, []),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, [("a.b.c", 1, 2)]),
        ({"a": 1}, {}, [("a", 1, None)]),
        ({}, {"a": {"b": 1}}, [("a", None, {"b": 1})]),
        ({"b": 1, "a": 1}, {"a": 2, "b": 2}, [("a", 1, 2), ("b", 1, 2)]),
        ({"a": (1, 2)}, {"a": [1, 2]}, []),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("a", [1, 2], [2, 1])]),
    ],
)
def test_differences_are_named_by_dotted_fields(old: Any, new: Any, expected: Any) -> None:
    assert list(key_differences(old, new)) == expected


def test_why_tells_what_changed_or_that_it_cannot_be_resolved() -> None:
    assert provenance.why(completed(), completed()) == []
    ((field, old, new),) = provenance.why(completed(), completed(content=("beef", "8x8x1")))
    assert (field, old, new) == ("dataset.fingerprint", "f00d", "beef")
    ((field, _, message),) = provenance.why(completed(), UnknownNameError("it is gone"))
    assert (field, message) == ("request", "it is gone")
