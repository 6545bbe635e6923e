from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import bench
from bench import errors, specs
from bench.jobs import Job, JobEvent, JobEventKind
from bench.records import EpochMetrics, RunRecord, RunSpec, RunStatus


def public_classes(module: object) -> set[str]:
    return {
        name
        for name, value in inspect.getmembers(module, inspect.isclass)
        if value.__module__ == module.__name__ and not name.startswith("_")
    }


def test_all_is_sorted_and_holds_nothing_twice() -> None:
    # Constants come first, as ruff wants it.
    in_order = sorted(set(bench.__all__), key=lambda name: (not name.isupper(), name))
    assert in_order == bench.__all__


@pytest.mark.parametrize("name", bench.__all__)
def test_every_exported_name_resolves_and_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(bench, name))


def test_all_errors_and_specs_are_exported() -> None:
    assert public_classes(errors) | public_classes(specs) <= {*bench.__all__}


def test_what_crosses_between_executor_and_core_is_exported() -> None:
    crossing = (EpochMetrics, Job, JobEvent, JobEventKind, RunRecord, RunSpec, RunStatus)
    assert {kind.__name__ for kind in crossing} <= {*bench.__all__}


def test_public_names_of_the_package_are_all_exported() -> None:
    public = {
        name
        for name, value in vars(bench).items()
        if not name.startswith("_") and inspect.isclass(value) and value.__module__[:6] == "bench."
    }
    assert public <= {*bench.__all__}


def test_an_unknown_attribute_is_named() -> None:
    with pytest.raises(AttributeError, match="`bench` has no attribute `runs`"):
        bench.runs  # noqa: B018


@pytest.mark.parametrize("error", [errors.BenchError, *errors.BenchError.__subclasses__()])
def test_errors_say_how_the_program_exits(error: type[bench.BenchError]) -> None:
    assert error.exit_code == (2 if issubclass(error, bench.UsageError) else 3)


def test_importing_is_light() -> None:
    heavy = ("torch", "torchvision", "timm", "numpy", "pandas", "pydantic", "rich", "bench_timm")
    script = f"import bench, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
